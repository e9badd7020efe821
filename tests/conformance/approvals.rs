//! Requests for approval, grants and top-ups in both databases of the ledger: asked,
//! answered, followed, bounded, and told of in the audit.

use crate::ledger::Ledger;
use std::sync::Arc;
use weir::accounts::alerts::AlertsAsked;
use weir::accounts::allowed::Allowed;
use weir::accounts::approvals::{
    Asked, KEPT_FOR, PAGE_ROWS_MAX, State, StoredRequest, WAITING_OF_TENANT_MAX,
};
use weir::accounts::audit;
use weir::accounts::grants::{NewGrant, StoredGrant};
use weir::accounts::lasting::LastingAsked;
use weir::accounts::top_ups::StoredTopUp;
use weir::accounts::{Accounts, AccountsError, Actor};
use weir::alerts::Facts;
use weir::identity::Principal;
use weir::limits::period::Period;
use weir::limits::{Algorithm, Dimension, Limit, Mode, Scope, Unit};
use weir::policy::grants::{
    Allowance, ApprovalRequest, Approver, DENIALS_OF_TENANT_MAX, GRANTS_OF_TENANT_MAX, Grant,
    GrantChange, Grants,
};
use weir::policy::top_ups::{TopUp, TopUps};
use weir::units::{Millis, UnixMillis};

/// One test for each engine.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::sqlite().await).await).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::postgres().await).await).await; })* }
    };
}

on_each_database!(
    what_is_asked_waits_once,
    each_wait_is_told_once_by_whichever_sidecar_asks,
    nobody_is_told_of_more_than_can_wait,
    a_grant_answers_its_request_and_is_used_up_later,
    a_denial_holds_until_it_is_over,
    what_cannot_be_answered_changes_nothing,
    grants_are_made_without_a_request_and_taken_back,
    top_ups_come_back_as_they_were_and_are_taken_back,
    followers_have_what_holds_and_then_what_changes,
    followers_miss_nothing_while_many_answer,
    a_row_that_is_not_understood_counts_as_taken_back,
    the_oldest_make_way_and_what_is_over_is_forgotten,
    a_tenant_has_a_bound_of_grants,
    a_tenant_has_a_bound_of_denials,
    lists_go_page_by_page,
    each_answer_is_in_the_audit_and_no_ask,
    a_database_of_the_version_before_is_brought_on,
);

struct Kept {
    accounts: Accounts,
    ledger: Ledger,
}

impl Kept {
    async fn on(ledger: Ledger) -> Self {
        Self {
            accounts: Accounts::open(&ledger.config).await.unwrap(),
            ledger,
        }
    }

    async fn ask(&self, user: &str, at: u64) -> Arc<str> {
        let request = request(user, at);
        let id = Arc::clone(&request.id);
        self.accounts.ask(vec![request]).await.unwrap();
        id
    }

    async fn approval(&self, id: &str) -> StoredRequest {
        self.accounts.approval(id).await.unwrap().unwrap()
    }

    async fn grant(&self, id: &str, request: Option<&str>, at: u64) -> Result<(), AccountsError> {
        let new = NewGrant {
            grant: grant(id),
            request: request.map(Arc::from),
            note: Some("so be it".into()),
        };
        self.accounts.grant(by(at), new).await.map(drop)
    }

    async fn all_of(&self, after: i64) -> Allowed {
        self.accounts.allowed(after, None, 1_000).await.unwrap()
    }
}

fn by(at: u64) -> Actor<'static> {
    Actor {
        name: "cli/tester",
        at: UnixMillis(at),
    }
}

fn request(user: &str, at: u64) -> ApprovalRequest {
    ApprovalRequest {
        id: ApprovalRequest::id_of_parts("acme", Some(user), "k1", "big", "gpt"),
        asked_at: UnixMillis(at),
        tenant: "acme".into(),
        project: Some("p'; DROP TABLE approval_requests; --".into()),
        environment: None,
        user: Some(user.into()),
        key_id: "k1".into(),
        plan: "team".into(),
        rule: "big".into(),
        model: "gpt".into(),
        endpoint: "/v1/chat/completions".into(),
        cost_max_nanos: 5_000_000_000,
        valid_for: Millis(3_600_000),
        approvers: Some("finance@acme.com".into()),
        approver: Approver::TenantAdmin,
        expires_at: UnixMillis(at + 1_000_000),
    }
}

fn grant(id: &str) -> Grant {
    Grant {
        id: id.into(),
        tenant: "acme".into(),
        project: None,
        environment: Some("prod".into()),
        user: Some("adá".into()),
        key_id: None,
        rule: Some("big".into()),
        models: vec!["gpt".into(), "gpt-mini".into()],
        allowance: Allowance::CostNanos(50_000_000_000),
        from: UnixMillis(1_000),
        until: UnixMillis(90_000),
        granted_by: "is whoever does it".into(),
    }
}

fn top_up(id: &str, of: Vec<(Dimension, Arc<str>)>, unit: Unit) -> TopUp {
    TopUp {
        id: id.into(),
        tenant: "acme".into(),
        budget: "monthly".into(),
        counter: TopUp::counter_of("monthly", "acme", &of),
        of,
        unit,
        amount: weir::limits::AMOUNT_MAX,
        from: UnixMillis(1_000),
        until: UnixMillis(90_000),
        by: "cli/tester".into(),
        note: Some("{}".into()),
    }
}

fn lasting(all: bool, now: u64) -> LastingAsked {
    LastingAsked {
        all,
        now: UnixMillis(now),
        limit: PAGE_ROWS_MAX,
        ..LastingAsked::default()
    }
}

fn asked(state: Option<State>, now: u64) -> Asked {
    Asked {
        state,
        now: UnixMillis(now),
        limit: PAGE_ROWS_MAX,
        ..Asked::default()
    }
}

async fn what_is_asked_waits_once(kept: Kept) {
    let id = kept.ask("ada", 1_000).await;
    let stored = kept.approval(&id).await;
    assert_eq!(stored.request, request("ada", 1_000));
    assert_eq!((stored.state, stored.asked_count), (State::Waiting, 1));
    let twice = vec![
        request("ada", 2_000),
        request("bob", 2_000),
        request("ada", 3_000),
    ];
    kept.accounts.ask(twice).await.unwrap();
    let again = kept.approval(&id).await;
    assert_eq!((again.state, again.asked_count), (State::Waiting, 3));
    assert_eq!(again.last_asked_at, UnixMillis(3_000));
    assert_eq!(again.request.asked_at, UnixMillis(1_000));
    assert_eq!(again.request.expires_at, UnixMillis(1_003_000));
    let waits = asked(Some(State::Waiting), 3_000);
    assert_eq!(kept.accounts.approvals(&waits).await.unwrap().len(), 2);
    kept.accounts.ask(Vec::new()).await.unwrap();
    let read = kept.all_of(0).await;
    assert!(
        read.grants.is_empty() && read.head == 0,
        "nobody follows asks"
    );
}

/// Alerts of this tenant's that are kept, for whom.
fn wanting(tenant: &str) -> Vec<Arc<str>> {
    let is_wanted = tenant == "acme";
    is_wanted.then(|| "ops".into()).into_iter().collect()
}

async fn each_wait_is_told_once_by_whichever_sidecar_asks(kept: Kept) {
    let other = Accounts::open(&kept.ledger.config).await.unwrap();
    let ask = async |accounts: &Accounts, at: u64| {
        let requests = vec![request("ada", at), request("ada", at + 1)];
        accounts.ask_and_tell(requests, wanting).await.unwrap()
    };
    // At once, by two.
    let both = tokio::join!(ask(&kept.accounts, 1_000), ask(&other, 1_002));
    assert_eq!(both.0 + both.1, 1);
    assert_eq!(ask(&other, 900_000).await, 0, "it still waits");
    let id = request("ada", 1).id;
    // A grant of one call, used up at once, and asked for again on the same day; a
    // sidecar that hasn't heard of it asks meanwhile.
    for (nth, at) in [1_000_000, 1_100_000, 1_200_000].into_iter().enumerate() {
        let name = format!("grt_{nth}");
        kept.grant(&name, Some(&id), at).await.unwrap();
        assert_eq!(ask(&other, at + 5_000).await, 0, "{nth}");
        assert_eq!(ask(&kept.accounts, at + 15_000).await, 1, "{nth}");
        assert_eq!(ask(&other, at + 16_000).await, 0, "{nth}");
    }
    let until = UnixMillis(1_350_000);
    kept.accounts
        .deny(by(1_300_000), &id, until, None)
        .await
        .unwrap();
    assert_eq!(ask(&other, 1_349_000).await, 0, "denied");
    assert_eq!(ask(&other, 1_350_000).await, 1);
    let asked = AlertsAsked {
        limit: 100,
        ..AlertsAsked::default()
    };
    let all = kept.accounts.alerts(&asked).await.unwrap();
    let ids: std::collections::BTreeSet<_> = all.iter().map(|one| &one.alert.id).collect();
    assert_eq!((all.len(), ids.len()), (5, 5));
    let ops: Arc<str> = "ops".into();
    let taken = other.take_delivery(&ops, UnixMillis(400_000_000), Millis(1));
    let told = taken.await.unwrap().unwrap().alert;
    assert!(matches!(told.facts, Facts::Approval { request, .. } if request == id));
    // Nobody wants to hear of this one.
    let mut unheard = request("ada", 1_000);
    unheard.id = "apr_other".into();
    unheard.tenant = "globex".into();
    let told = kept.accounts.ask_and_tell(vec![unheard], wanting).await;
    assert_eq!(told.unwrap(), 0);
    other.close().await;
}

async fn nobody_is_told_of_more_than_can_wait(kept: Kept) {
    let many = (0..WAITING_OF_TENANT_MAX as u64).map(|n| request(&format!("u{n}"), 1_000 + n));
    let told = kept.accounts.ask_and_tell(many.collect(), wanting).await;
    assert_eq!(told.unwrap(), WAITING_OF_TENANT_MAX);
    let more = vec![request("more", 9_000)];
    let told = kept.accounts.ask_and_tell(more, wanting).await;
    assert_eq!(told.unwrap(), 0);
}

async fn a_grant_answers_its_request_and_is_used_up_later(kept: Kept) {
    let id = kept.ask("ada", 1_000).await;
    kept.grant("grt_1", Some(&id), 5_000).await.unwrap();
    let granted = kept.approval(&id).await;
    assert_eq!(
        (granted.state, granted.grant.as_deref()),
        (State::Granted, Some("grt_1"))
    );
    assert_eq!(granted.decided_by.as_deref(), Some("cli/tester"));
    let stored = kept.accounts.find_grant("grt_1").await.unwrap().unwrap();
    let expected = Grant {
        granted_by: "cli/tester".into(),
        ..grant("grt_1")
    };
    assert_eq!(
        (&stored.grant, stored.request.as_ref()),
        (&expected, Some(&id))
    );
    assert_eq!(
        (stored.granted_at, stored.note.as_deref()),
        (UnixMillis(5_000), Some("so be it"))
    );
    let again = kept.grant("grt_2", Some(&id), 5_500).await;
    assert!(matches!(again, Err(AccountsError::Over(_))), "{again:?}");
    assert_eq!(kept.accounts.find_grant("grt_2").await.unwrap(), None);
    kept.ask("ada", 15_000).await;
    assert_eq!(
        kept.approval(&id).await.state,
        State::Granted,
        "it wasn't heard of yet"
    );
    kept.ask("ada", 15_001).await;
    let waits = kept.approval(&id).await;
    assert_eq!((waits.state, waits.asked_count), (State::Waiting, 3));
    assert_eq!(
        (waits.request.asked_at, waits.grant),
        (UnixMillis(15_001), None)
    );
    kept.grant("grt_2", Some(&id), 16_000).await.unwrap();
}

async fn a_denial_holds_until_it_is_over(kept: Kept) {
    let id = kept.ask("ada", 1_000).await;
    let until = UnixMillis(9_000);
    let denied = kept
        .accounts
        .deny(by(2_000), &id, until, Some("too much".into()));
    let denied = denied.await.unwrap();
    assert_eq!(denied, kept.approval(&id).await);
    assert_eq!(
        (denied.state, denied.denied_until),
        (State::Denied, Some(until))
    );
    let read = kept.all_of(0).await;
    let grants = Grants::default().changed(read.grants);
    let denial = grants.denied("acme", &id, UnixMillis(8_999)).unwrap();
    assert_eq!(&*denial.denied_by, "cli/tester");
    kept.ask("ada", 8_999).await;
    assert_eq!(kept.approval(&id).await.state, State::Denied);
    kept.ask("ada", 9_000).await;
    let waits = kept.approval(&id).await;
    assert_eq!((waits.state, waits.note), (State::Waiting, None));
    // Who denied may think better of it.
    kept.accounts
        .deny(by(9_100), &id, UnixMillis(99_000), None)
        .await
        .unwrap();
    kept.grant("grt_1", Some(&id), 9_200).await.unwrap();
    let read = kept.all_of(read.upto).await;
    let grants = grants.changed(read.grants);
    assert!(grants.denied("acme", &id, UnixMillis(9_300)).is_none());
    assert_eq!(grants.len(), 1);
}

async fn what_cannot_be_answered_changes_nothing(kept: Kept) {
    let id = kept.ask("ada", 1_000).await;
    let until = UnixMillis(5);
    let unknown = kept.accounts.deny(by(2_000), "apr_none", until, None).await;
    assert!(
        matches!(unknown, Err(AccountsError::Unknown(_))),
        "{unknown:?}"
    );
    let unknown = kept.grant("grt_1", Some("apr_none"), 2_000).await;
    assert!(
        matches!(unknown, Err(AccountsError::Unknown(_))),
        "{unknown:?}"
    );
    let late = kept.grant("grt_1", Some(&id), 1_001_000).await;
    assert!(
        matches!(late, Err(AccountsError::Over("waits no more"))),
        "{late:?}"
    );
    let foreign = NewGrant {
        grant: Grant {
            tenant: "globex".into(),
            ..grant("grt_1")
        },
        request: Some(Arc::clone(&id)),
        note: None,
    };
    let foreign = kept.accounts.grant(by(2_000), foreign).await;
    assert!(
        matches!(foreign, Err(AccountsError::Unknown(_))),
        "{foreign:?}"
    );
    kept.grant("grt_1", None, 2_000).await.unwrap();
    let taken = kept.grant("grt_1", Some(&id), 2_000).await;
    assert!(
        matches!(taken, Err(AccountsError::Taken("grant"))),
        "{taken:?}"
    );
    assert_eq!(kept.approval(&id).await.state, State::Waiting);
    kept.grant("grt_2", Some(&id), 2_000).await.unwrap();
    let granted = kept.accounts.deny(by(2_100), &id, until, None).await;
    assert!(
        matches!(granted, Err(AccountsError::Over(_))),
        "{granted:?}"
    );
    assert_eq!(kept.accounts.verify_audit().await.unwrap(), Ok(3));
}

async fn grants_are_made_without_a_request_and_taken_back(kept: Kept) {
    let accounts = &kept.accounts;
    for (id, allowance, models) in [
        ("grt_a", Allowance::Calls(3), vec![]),
        ("grt_b", Allowance::Unlimited, vec!["\"odd\"".into()]),
    ] {
        let new = NewGrant {
            grant: Grant {
                allowance,
                models,
                project: Some("p".into()),
                key_id: Some("k".into()),
                rule: None,
                granted_by: "cli/tester".into(),
                ..grant(id)
            },
            request: None,
            note: None,
        };
        let made = accounts.grant(by(1_000), new.clone()).await.unwrap();
        assert_eq!(made.grant, new.grant);
        assert_eq!(accounts.find_grant(id).await.unwrap(), Some(made));
    }
    let before = kept.all_of(0).await;
    assert!(accounts.revoke_grant(by(2_000), "grt_a").await.unwrap());
    assert!(
        !accounts.revoke_grant(by(3_000), "grt_a").await.unwrap(),
        "it is taken back once"
    );
    let unknown = accounts.revoke_grant(by(3_000), "grt_z").await;
    assert!(matches!(unknown, Err(AccountsError::Unknown("grant"))));
    let after = kept.all_of(before.upto).await;
    assert_eq!(after.grants, [GrantChange::Revoked("grt_a".into())]);
    let ids = |all, now| async move {
        let found = accounts
            .lasting::<StoredGrant>(&lasting(all, now))
            .await
            .unwrap();
        found
            .iter()
            .map(|one| one.grant.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(false, 2_000).await, ["grt_b"]);
    assert_eq!(ids(false, 90_000).await, Vec::<String>::new(), "it is over");
    assert_eq!(ids(true, 90_000).await, ["grt_a", "grt_b"]);
}

async fn top_ups_come_back_as_they_were_and_are_taken_back(kept: Kept) {
    let accounts = &kept.accounts;
    let of = vec![
        (Dimension::Project, "p".into()),
        (Dimension::User, "adá".into()),
    ];
    let (whole, small) = (
        top_up("top_a", of, Unit::Tokens),
        top_up("top_b", vec![], Unit::Cost),
    );
    for one in [&whole, &small] {
        let made = accounts.top_up(by(1_000), one.clone()).await.unwrap();
        assert_eq!(&made.top_up, one);
        assert_eq!(accounts.find_top_up(&one.id).await.unwrap(), Some(made));
    }
    let again = accounts.top_up(by(1_000), whole.clone()).await;
    assert!(matches!(again, Err(AccountsError::Taken("top-up"))));
    let read = kept.all_of(0).await;
    let top_ups = TopUps::default().changed(read.top_ups);
    let extra = |of: &TopUps, one: &TopUp| {
        let limit = budget(one.unit);
        of.extra("acme", &one.counter, &limit, UnixMillis(5_000))
    };
    assert_eq!(
        (extra(&top_ups, &whole), extra(&top_ups, &small)),
        (whole.amount, small.amount)
    );
    assert!(accounts.revoke_top_up(by(2_000), "top_a").await.unwrap());
    assert!(!accounts.revoke_top_up(by(2_000), "top_a").await.unwrap());
    let unknown = accounts.revoke_top_up(by(2_000), "top_z").await;
    assert!(matches!(unknown, Err(AccountsError::Unknown("top-up"))));
    let top_ups = top_ups.changed(kept.all_of(read.upto).await.top_ups);
    assert_eq!(
        (extra(&top_ups, &whole), extra(&top_ups, &small)),
        (0, small.amount)
    );
    assert_eq!(
        accounts
            .lasting::<StoredTopUp>(&lasting(false, 2_000))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        accounts
            .lasting::<StoredTopUp>(&lasting(true, 2_000))
            .await
            .unwrap()
            .len(),
        2
    );
    let of_globex = LastingAsked {
        tenant: Some("globex".into()),
        ..lasting(true, 2_000)
    };
    assert_eq!(
        accounts.lasting::<StoredTopUp>(&of_globex).await.unwrap(),
        []
    );
}

async fn followers_have_what_holds_and_then_what_changes(kept: Kept) {
    let accounts = &kept.accounts;
    for n in 0..5u64 {
        let id = kept.ask(&format!("u{n}"), 1_000).await;
        let until = UnixMillis(10_000 * (n + 1));
        accounts.deny(by(2_000), &id, until, None).await.unwrap();
        kept.grant(&format!("grt_{n}"), None, 2_000).await.unwrap();
        let added = top_up(&format!("top_{n}"), vec![], Unit::Cost);
        accounts.top_up(by(2_000), added).await.unwrap();
    }
    accounts.revoke_grant(by(3_000), "grt_0").await.unwrap();
    accounts.revoke_top_up(by(3_000), "top_0").await.unwrap();
    // Of what is there, all that holds: page by page.
    let live = Some(UnixMillis(20_000));
    let (mut grants, mut top_ups) = (Grants::default(), TopUps::default());
    let (mut after, mut pages) = (0, 0);
    loop {
        let read = accounts.allowed(after, live, 2).await.unwrap();
        grants = grants.changed(read.grants);
        top_ups = top_ups.changed(read.top_ups);
        pages += 1;
        assert!(read.upto > after, "it goes on");
        after = read.upto;
        if read.upto == read.head {
            break;
        }
    }
    assert!(pages >= 2, "{pages}");
    assert_eq!((grants.len(), top_ups.len()), (4 + 3, 4));
    let all = accounts.allowed(0, live, 1_000).await.unwrap();
    assert_eq!(Grants::default().changed(all.grants), grants);
    assert_eq!(TopUps::default().changed(all.top_ups), top_ups);
    let none = kept.all_of(after).await;
    assert!(none.grants.is_empty() && none.top_ups.is_empty() && none.upto == after);
    // Keys have numbers among the same.
    let key = weir::accounts::NewKey {
        id: "k".into(),
        digest: weir::identity::KeyDigest([1; 32]),
        attributes: weir::identity::Attributes::default(),
        expires_at: None,
    };
    accounts.create(by(4_000), key).await.unwrap();
    accounts.revoke_grant(by(4_000), "grt_1").await.unwrap();
    let read = kept.all_of(after).await;
    assert_eq!(read.grants, [GrantChange::Revoked("grt_1".into())]);
    assert_eq!(read.upto, after + 2);
    let changes = accounts.changes(after, 10).await.unwrap();
    assert_eq!((changes.keys.len(), changes.head), (1, after + 2));
}

/// Numbers are given in the order of commits: who has seen one has seen all before.
async fn followers_miss_nothing_while_many_answer(kept: Kept) {
    const WRITERS: usize = 4;
    const EACH: usize = 8;
    let accounts = &kept.accounts;
    let write = |writer: usize| {
        let kept = &kept;
        async move {
            for n in 0..EACH {
                let id = format!("grt_{writer}_{n}");
                let asked = kept.ask(&id, 1_000).await;
                kept.grant(&id, Some(&asked), 2_000).await.unwrap();
                if n % 2 == 0 {
                    kept.accounts.revoke_grant(by(3_000), &id).await.unwrap();
                }
            }
        }
    };
    let last = i64::try_from(WRITERS * EACH * 5 / 2).unwrap();
    let follow = async {
        let (mut after, mut grants) = (0, Grants::default());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while after < last {
            assert!(std::time::Instant::now() < until, "{after} of {last}");
            let read = accounts.allowed(after, None, 3).await.unwrap();
            grants = grants.changed(read.grants);
            after = read.upto;
        }
        grants
    };
    let writes = futures_util::future::join_all((0..WRITERS).map(write));
    let (_, grants) = futures_util::future::join(writes, follow).await;
    assert_eq!(grants.len(), WRITERS * EACH / 2);
    let all = accounts
        .allowed(0, Some(UnixMillis(5_000)), 1_000)
        .await
        .unwrap();
    assert_eq!(Grants::default().changed(all.grants), grants);
}

async fn a_row_that_is_not_understood_counts_as_taken_back(kept: Kept) {
    kept.grant("grt_good", None, 1_000).await.unwrap();
    kept.grant("grt_odd", None, 1_000).await.unwrap();
    kept.accounts
        .top_up(by(1_000), top_up("top_odd", vec![], Unit::Cost))
        .await
        .unwrap();
    kept.ledger
        .raw("UPDATE approval_grants SET models = '[]' WHERE id = 'grt_odd'")
        .await;
    kept.ledger
        .raw("UPDATE budget_top_ups SET unit = 'euros'")
        .await;
    let read = kept.all_of(0).await;
    assert_eq!(read.unread, ["grt_odd", "top_odd"].map(Arc::<str>::from));
    let who = Principal {
        tenant: "acme".into(),
        environment: Some("prod".into()),
        user: Some("adá".into()),
        ..Principal::default()
    };
    let grants = Grants::default().changed(read.grants);
    let found = grants.for_call(&who, "big", "gpt", UnixMillis(2_000));
    let found: Vec<&str> = found.map(|grant| &*grant.id).collect();
    assert_eq!(found, ["grt_good"]);
    assert!(TopUps::default().changed(read.top_ups).is_empty());
}

async fn the_oldest_make_way_and_what_is_over_is_forgotten(kept: Kept) {
    let denied = kept.ask("denied", 1).await;
    let long = UnixMillis(KEPT_FOR.0 + 2_000_000);
    kept.accounts
        .deny(by(2), &denied, long, None)
        .await
        .unwrap();
    let many = (0..WAITING_OF_TENANT_MAX as u64 + 5).map(|n| request(&format!("u{n}"), 1_000 + n));
    let many: Vec<_> = many.collect();
    for some in many.chunks(250) {
        kept.accounts.ask(some.to_vec()).await.unwrap();
    }
    let waiting = format!(
        "SELECT COUNT(*) FROM approval_requests WHERE state = '{}'",
        "waiting"
    );
    let count = kept.ledger.count(&waiting).await;
    assert_eq!(usize::try_from(count).unwrap(), WAITING_OF_TENANT_MAX);
    for (user, there) in [("u0", false), ("u4", false), ("u5", true)] {
        let found = kept.accounts.approval(&request(user, 1).id).await.unwrap();
        assert_eq!(found.is_some(), there, "{user}");
    }
    kept.grant("grt_1", None, 1_000).await.unwrap();
    kept.accounts
        .top_up(by(1_000), top_up("top_1", vec![], Unit::Cost))
        .await
        .unwrap();
    let rows = || async {
        let mut counts = Vec::new();
        for table in ["approval_requests", "approval_grants", "budget_top_ups"] {
            counts.push(
                kept.ledger
                    .count(&format!("SELECT COUNT(*) FROM {table}"))
                    .await,
            );
        }
        counts
    };
    let forget = |at: u64| kept.accounts.forget_ended(UnixMillis(at));
    forget(1_001_000).await.unwrap();
    assert_eq!(rows().await, [1_001, 1, 1]);
    forget(1_001_500).await.unwrap();
    assert_eq!(
        rows().await,
        [504 + 1, 1, 1],
        "those that wait no more are gone"
    );
    let seen = kept
        .accounts
        .approvals(&asked(Some(State::Waiting), 1_001_900))
        .await
        .unwrap();
    assert_eq!(
        seen.len(),
        104,
        "and nobody is shown those that aren't gone yet"
    );
    forget(KEPT_FOR.0 + 90_000).await.unwrap();
    assert_eq!(rows().await, [1, 0, 0], "the denial still holds");
    forget(KEPT_FOR.0 + 2_000_000).await.unwrap();
    assert_eq!(rows().await, [0, 0, 0]);
}

async fn a_tenant_has_a_bound_of_grants(kept: Kept) {
    // As many as fit, past weir: one by one takes too long.
    kept.grant("grt_0", None, 1_000).await.unwrap();
    let columns = "request_id, tenant, project, environment, user_name, key_id, rule, models, \
                   allowance, amount, from_ms, until_ms, granted_at_ms, granted_by, note, revoked_at_ms";
    let series = match kept.ledger.is_postgres() {
        true => "generate_series(1, 999) AS s (n)".to_owned(),
        false => "(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 999) \
                  SELECT n FROM c) AS s"
            .to_owned(),
    };
    kept.ledger
        .raw(&format!(
            "INSERT INTO approval_grants (id, {columns}, changed) \
             SELECT 'grt_x' || s.n, {columns}, s.n + 100 FROM approval_grants, {series}"
        ))
        .await;
    assert_eq!(GRANTS_OF_TENANT_MAX, 1_000);
    let more = kept.grant("grt_more", None, 2_000).await;
    assert!(
        matches!(more, Err(AccountsError::Full("grants"))),
        "{more:?}"
    );
    kept.grant("grt_more", None, 90_000).await.unwrap();
    assert!(
        kept.accounts
            .revoke_grant(by(2_000), "grt_0")
            .await
            .unwrap()
    );
}

async fn a_tenant_has_a_bound_of_denials(kept: Kept) {
    let until = UnixMillis(900_000);
    let deny = async |id: &str, at: u64, until: UnixMillis| {
        kept.accounts.deny(by(at), id, until, None).await.map(drop)
    };
    let first = kept.ask("ada", 1_000).await;
    deny(&first, 2_000, until).await.unwrap();
    // As many as fit, past weir: one by one takes too long.
    let columns = "tenant, project, environment, user_name, key_id, plan, rule, model, endpoint, \
                   cost_max_nanos, valid_for_ms, approvers, approver_role, asked_at_ms, \
                   last_asked_at_ms, asked_count, expires_at_ms, state, decided_at_ms, decided_by, \
                   note, denied_until_ms, grant_id";
    let more = DENIALS_OF_TENANT_MAX - 1;
    let series = match kept.ledger.is_postgres() {
        true => format!("generate_series(1, {more}) AS s (n)"),
        false => format!(
            "(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {more}) \
             SELECT n FROM c) AS s"
        ),
    };
    kept.ledger
        .raw(&format!(
            "INSERT INTO approval_requests (id, {columns}, changed) \
             SELECT 'apr_x' || s.n, {columns}, s.n + 100 FROM approval_requests, {series}"
        ))
        .await;
    let second = kept.ask("bob", 3_000).await;
    let full = deny(&second, 4_000, until).await;
    assert!(
        matches!(full, Err(AccountsError::FullOfDenials)),
        "{full:?}"
    );
    // One that is denied already may be denied for longer, and what is over makes room.
    deny(&first, 5_000, UnixMillis(950_000)).await.unwrap();
    deny(&second, 900_000, UnixMillis(990_000)).await.unwrap();
}

async fn lists_go_page_by_page(kept: Kept) {
    for n in 0..7 {
        kept.ask(&format!("u{n}"), 1_000).await;
        kept.grant(&format!("grt_{n}"), None, 1_000).await.unwrap();
    }
    let (mut page, mut ids) = (asked(None, 1_000), Vec::new());
    page.limit = 3;
    loop {
        let found = kept.accounts.approvals(&page).await.unwrap();
        let Some(last) = found.last() else { break };
        assert!(found.len() <= 3);
        page.after = Some(Arc::clone(&last.request.id));
        ids.extend(found.into_iter().map(|one| one.request.id));
    }
    assert!(ids.len() == 7 && ids.is_sorted());
    let (mut page, mut ids) = (lasting(false, 1_000), Vec::new());
    page.limit = 3;
    loop {
        let found = kept.accounts.lasting::<StoredGrant>(&page).await.unwrap();
        let Some(last) = found.last() else { break };
        page.after = Some(Arc::clone(&last.grant.id));
        ids.extend(found.into_iter().map(|one| one.grant.id));
    }
    assert!(ids.len() == 7 && ids.is_sorted());
    let of_others = Asked {
        tenant: Some("globex".into()),
        ..asked(None, 1_000)
    };
    assert_eq!(kept.accounts.approvals(&of_others).await.unwrap(), []);
}

async fn each_answer_is_in_the_audit_and_no_ask(kept: Kept) {
    let accounts = &kept.accounts;
    let (ada, bob) = (kept.ask("ada", 1_000).await, kept.ask("bob", 1_000).await);
    kept.grant("grt_1", Some(&ada), 2_000).await.unwrap();
    accounts
        .deny(by(3_000), &bob, UnixMillis(9_000), None)
        .await
        .unwrap();
    accounts.revoke_grant(by(4_000), "grt_1").await.unwrap();
    accounts
        .top_up(by(5_000), top_up("top_1", vec![], Unit::Cost))
        .await
        .unwrap();
    accounts.revoke_top_up(by(6_000), "top_1").await.unwrap();
    let all = audit::Asked {
        tenant: Some("acme".into()),
        limit: 100,
        ..audit::Asked::default()
    };
    let rows = accounts.audit(&all).await.unwrap();
    let deeds: Vec<(u64, &str, &str)> = rows
        .iter()
        .map(|row| (row.at.0, &*row.action, &*row.subject))
        .collect();
    assert_eq!(
        deeds,
        [
            (2_000, "approval.grant", &*ada),
            (2_000, "grant.create", "grt_1"),
            (3_000, "approval.deny", &*bob),
            (4_000, "grant.revoke", "grt_1"),
            (5_000, "budget.top-up", "top_1"),
            (6_000, "budget.revoke-top-up", "top_1"),
        ]
    );
    let json = |text: &Option<Arc<str>>| -> serde_json::Value {
        serde_json::from_str(text.as_deref().unwrap()).unwrap()
    };
    assert_eq!(json(&rows[0].before)["state"], "waiting");
    assert_eq!(json(&rows[0].after)["grant"], "grt_1");
    assert_eq!(json(&rows[1].after)["cost_nanos"], 50_000_000_000_u64);
    assert_eq!(json(&rows[2].after)["denied_until_ms"], 9_000);
    assert_eq!(json(&rows[3].after)["revoked_at_ms"], 4_000);
    assert_eq!(json(&rows[4].after)["budget"], "monthly");
    assert_eq!(json(&rows[5].before)["state"], "active");
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(6));
}

async fn a_database_of_the_version_before_is_brought_on(kept: Kept) {
    for drop in [
        "DROP TABLE alert_deliveries",
        "DROP TABLE alerts",
        "DROP TABLE approval_requests",
        "DROP TABLE approval_grants",
        "DROP TABLE budget_top_ups",
        "DELETE FROM accounts_version WHERE version >= 2",
    ] {
        kept.ledger.raw(drop).await;
    }
    assert!(Accounts::open_to_read(&kept.ledger.config).await.is_err());
    let accounts = Accounts::open(&kept.ledger.config).await.unwrap();
    accounts.ask(vec![request("ada", 1)]).await.unwrap();
}

/// One that top-ups may be for.
fn budget(unit: Unit) -> Limit {
    Limit {
        name: "monthly".into(),
        scope: Scope::TENANT,
        unit,
        amount: 1,
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::forever()),
            rollover: None,
        },
        mode: Mode::Enforce,
    }
}
