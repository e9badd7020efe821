//! Keys and admin tokens in both databases of the ledger: made, replaced,
//! withdrawn, followed, and told of in the audit.

use crate::ledger::Ledger;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use weir::accounts::audit::{self, PAGE_ROWS_MAX};
use weir::accounts::follow::changed_of;
use weir::accounts::key::State;
use weir::accounts::{
    Accounts, AccountsError, Actor, Listing, NewKey, NewToken, StoredKey, Successor,
};
use weir::identity::Attributes;
use weir::identity::scopes::{Pattern, Scopes};
use weir::identity::table::Change;
use weir::identity::{KeyDigest, KeyTable, KeyTableBuilder, Role};
use weir::ledger::store::verify::Fault;
use weir::units::{Millis, UnixMillis};

/// One test for each engine.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::sqlite().await).await).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::postgres().await).await).await; })* }
    };
}

on_each_database!(
    a_key_comes_back_as_it_was_made,
    a_name_and_a_digest_are_of_one_key,
    a_replaced_key_counts_for_the_overlap,
    a_revoked_key_is_told_of_to_all_who_follow,
    followers_miss_nothing_while_many_write,
    many_keys_are_brought_at_once_and_again,
    keys_are_listed_page_by_page,
    when_keys_were_used_is_noted_and_followed_by_nobody,
    the_audit_tells_what_was_done_and_no_secret,
    the_audit_takes_no_change,
    an_audit_that_was_tampered_with_shows_where,
    tokens_are_made_found_and_revoked,
    a_token_that_was_revoked_makes_no_other,
    a_row_that_is_not_understood_counts_no_more,
    the_tables_are_made_once_by_all_who_begin,
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

    async fn create(&self, id: &str, n: u32) -> StoredKey {
        self.accounts.create(by(1_000), key(id, n)).await.unwrap()
    }

    /// SQL past weir, whether it is taken.
    async fn tamper(&self, sql: &str) {
        // Whoever can do that can also take the guards away.
        let guards: &[&str] = match self.ledger.is_postgres() {
            true => &["ALTER TABLE audit DISABLE TRIGGER ALL"],
            false => &[
                "DROP TRIGGER IF EXISTS audit_update",
                "DROP TRIGGER IF EXISTS audit_delete",
                "DROP TRIGGER IF EXISTS audit_replace",
            ],
        };
        for guard in guards {
            self.ledger.raw(guard).await;
        }
        self.ledger.raw(sql).await;
    }
}

fn by(at: u64) -> Actor<'static> {
    Actor {
        name: "cli/tester",
        at: UnixMillis(at),
    }
}

fn digest(n: u32) -> KeyDigest {
    let mut bytes = [0xd1; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    KeyDigest(bytes)
}

fn key(id: &str, n: u32) -> NewKey {
    NewKey {
        id: id.into(),
        digest: digest(n),
        attributes: Attributes {
            tenant: "acme".into(),
            ..Attributes::default()
        },
        expires_at: None,
    }
}

fn whole() -> NewKey {
    NewKey {
        attributes: Attributes {
            tenant: "acme'; DROP TABLE keys; --".into(),
            project: Some("p".into()),
            environment: Some("prod".into()),
            user: Some("adá".into()),
            owner: Some("ops".into()),
            labels: vec![("a".into(), "1".into()), ("b".into(), "{}".into())],
            scopes: Scopes {
                models: vec![Pattern::new("gpt-*").unwrap()],
                addresses: vec!["10.0.0.0/8".parse().unwrap()],
                ..Scopes::default()
            },
            limits: Some("[{\"per\":\"key\"}]".into()),
        },
        expires_at: Some(UnixMillis(9_000)),
        ..key("whole", 1)
    }
}

async fn a_key_comes_back_as_it_was_made(kept: Kept) {
    let made = kept.accounts.create(by(1_000), whole()).await.unwrap();
    assert_eq!(
        (&made.attributes, made.digest),
        (&whole().attributes, digest(1))
    );
    assert_eq!(
        (made.created_at, &*made.created_by),
        (UnixMillis(1_000), "cli/tester")
    );
    let read = kept.accounts.key("whole").await.unwrap();
    assert_eq!(read.as_ref(), Some(&made));
    assert_eq!(kept.accounts.key("other").await.unwrap(), None);
    let Change::Put(key) = made.change() else {
        panic!()
    };
    assert_eq!(key.ends_at, Some(UnixMillis(9_000)));
    assert_eq!(
        key.account.labels.as_deref(),
        Some(&whole().attributes.labels[..])
    );
    let small = kept.create("small", 2).await;
    assert_eq!(kept.accounts.key("small").await.unwrap(), Some(small));
}

async fn a_name_and_a_digest_are_of_one_key(kept: Kept) {
    kept.create("a", 1).await;
    for (id, n) in [("a", 2), ("b", 1), ("a", 1)] {
        let again = kept.accounts.create(by(1), key(id, n)).await;
        assert!(
            matches!(again, Err(AccountsError::Taken("key"))),
            "{again:?}"
        );
    }
    let to = |id: &str, n| Successor {
        id: id.into(),
        digest: digest(n),
        expires_at: None,
    };
    let rotated = kept
        .accounts
        .rotate(by(1), "a", to("b", 1), Millis(5))
        .await;
    assert!(matches!(rotated, Err(AccountsError::Taken("key"))));
    let key = kept.accounts.key("a").await.unwrap().unwrap();
    assert_eq!(key.replaced_by, None, "what failed has changed nothing");
    assert_eq!(kept.ledger.count("SELECT COUNT(*) FROM audit").await, 1);
    assert_eq!(kept.accounts.verify_audit().await.unwrap(), Ok(1));
}

async fn a_replaced_key_counts_for_the_overlap(kept: Kept) {
    let accounts = &kept.accounts;
    let old = accounts.create(by(1_000), whole()).await.unwrap();
    let to = |n: u32| Successor {
        id: format!("next-{n}").into(),
        digest: digest(n),
        expires_at: None,
    };
    let new = accounts
        .rotate(by(2_000), "whole", to(2), Millis(500))
        .await
        .unwrap();
    assert_eq!(new.attributes, old.attributes);
    assert_eq!(new.expires_at, old.expires_at);
    let old = accounts.key("whole").await.unwrap().unwrap();
    assert_eq!(old.replaced_by.as_deref(), Some("next-2"));
    for (now, state) in [(2_499, State::Replaced), (2_500, State::Ended)] {
        assert_eq!(old.state(UnixMillis(now)), state);
    }
    let Change::Put(told) = old.change() else {
        panic!()
    };
    assert!(told.replaced && told.ends_at == Some(UnixMillis(2_500)));
    // An overlap gives no key a longer life than it had.
    let to_later = Successor {
        expires_at: Some(UnixMillis(20_000)),
        ..to(3)
    };
    let long = Millis(1_000_000);
    let newer = accounts
        .rotate(by(3_000), "next-2", to_later, long)
        .await
        .unwrap();
    assert_eq!(newer.expires_at, Some(UnixMillis(20_000)));
    let new = accounts.key("next-2").await.unwrap().unwrap();
    assert_eq!(new.expires_at, Some(UnixMillis(9_000)));
    for (id, at) in [
        ("whole", 2_400),
        ("next-2", 3_001),
        ("next-3", 20_000),
        ("none", 1),
    ] {
        let again = accounts
            .rotate(by(at), id, to(9), Millis(1))
            .await
            .unwrap_err();
        let over = matches!(
            again,
            AccountsError::Over(_) | AccountsError::Unknown("key")
        );
        assert!(over, "{id}: {again}");
    }
    assert!(accounts.revoke(by(4_000), "next-3").await.unwrap());
    let again = accounts.rotate(by(4_001), "next-3", to(9), Millis(1)).await;
    assert!(matches!(again, Err(AccountsError::Over("was revoked"))));
}

async fn load(accounts: &Accounts) -> (KeyTable, i64) {
    let mut load = accounts.load().await.unwrap();
    let mut builder = KeyTableBuilder::with_capacity(load.count);
    loop {
        let keys = load.next().await.unwrap();
        if keys.is_empty() {
            return (builder.build().unwrap(), load.changed());
        }
        for key in keys {
            match key.unwrap().change() {
                Change::Put(key) => builder.push(key),
                Change::Remove(id) => panic!("{id} is loaded"),
            }
        }
    }
}

async fn a_revoked_key_is_told_of_to_all_who_follow(kept: Kept) {
    let accounts = &kept.accounts;
    for n in 1..=3 {
        kept.create(&format!("k{n}"), n).await;
    }
    let (table, changed) = load(accounts).await;
    assert_eq!((table.len(), changed), (3, 3));
    assert!(accounts.changes(changed, 10).await.unwrap().keys.is_empty());
    assert!(accounts.revoke(by(5_000), "k2").await.unwrap());
    assert!(
        !accounts.revoke(by(6_000), "k2").await.unwrap(),
        "it is withdrawn once"
    );
    let unknown = accounts.revoke(by(6_000), "k9").await;
    assert!(matches!(unknown, Err(AccountsError::Unknown("key"))));
    let changes = accounts.changes(changed, 10).await.unwrap();
    let [Ok(told)] = &changes.keys[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(told.revoked_at, Some(UnixMillis(5_000)));
    let table = table.changed([told.change()]);
    assert!(table.find(&digest(2)).is_none() && table.find(&digest(1)).is_some());
    assert_eq!(load(accounts).await.0.len(), 2);
}

/// Numbers are given in the order of commits: who has seen one has seen all before.
async fn followers_miss_nothing_while_many_write(kept: Kept) {
    const WRITERS: u32 = 4;
    const EACH: u32 = 15;
    let accounts = &kept.accounts;
    let write = |writer: u32| async move {
        for n in 0..EACH {
            let number = writer * EACH + n;
            let id = format!("k{number}");
            accounts.create(by(1), key(&id, number)).await.unwrap();
            if n % 3 == 0 {
                accounts.revoke(by(2), &id).await.unwrap();
            }
        }
    };
    let follow = async {
        let (mut after, mut state) = (0, BTreeMap::new());
        let until = Instant::now() + std::time::Duration::from_secs(60);
        while state.len() < (WRITERS * EACH) as usize || after < i64::from(WRITERS * EACH * 4 / 3) {
            assert!(Instant::now() < until, "{after}: {state:?}");
            let changes = accounts.changes(after, 7).await.unwrap();
            let mut last = after;
            for change in &changes.keys {
                let number = changed_of(change);
                assert!(number > last, "in order");
                last = number;
                let key = change.as_ref().unwrap();
                state.insert(Arc::clone(&key.id), key.revoked_at.is_some());
            }
            after = last;
        }
        state
    };
    let writes = futures_util::future::join_all((0..WRITERS).map(write));
    let (_, state) = futures_util::future::join(writes, follow).await;
    let revoked = state.values().filter(|revoked| **revoked).count();
    assert_eq!(revoked, (WRITERS * EACH / 3) as usize);
    let rows = u64::from(WRITERS * EACH * 4 / 3);
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(rows));
}

async fn many_keys_are_brought_at_once_and_again(kept: Kept) {
    const MANY: u32 = 10_000;
    let keys = |from: u32| {
        (from..from + MANY)
            .map(|n| key(&format!("k{n}"), n))
            .collect()
    };
    let begun = Instant::now();
    let imported = kept.accounts.import(by(1), keys(0)).await.unwrap();
    println!("{MANY} keys in {:?}", begun.elapsed());
    assert_eq!(
        (imported.added, imported.passed_over.len()),
        (MANY as usize, 0)
    );
    let again = kept.accounts.import(by(2), keys(MANY / 2)).await.unwrap();
    assert_eq!(again.added, (MANY / 2) as usize);
    assert_eq!(again.passed_over.len(), (MANY / 2) as usize);
    assert_eq!(&*again.passed_over[0], format!("k{}", MANY / 2));
    // Twice in one, by its name and by its digest.
    let twice = vec![key("x", 50_000), key("x", 50_001), key("y", 50_000)];
    let imported = kept.accounts.import(by(3), twice).await.unwrap();
    let passed: Vec<&str> = imported.passed_over.iter().map(|id| &**id).collect();
    assert_eq!((imported.added, passed), (1, vec!["x", "y"]));
    let (table, _) = load(&kept.accounts).await;
    assert_eq!(table.len(), (MANY + MANY / 2 + 1) as usize);
    let rows = u64::from(MANY + MANY / 2 + 1);
    assert_eq!(kept.accounts.verify_audit().await.unwrap(), Ok(rows));
}

async fn keys_are_listed_page_by_page(kept: Kept) {
    let tenants = ["acme", "globex"];
    let keys = (0..25u32).map(|n| NewKey {
        attributes: Attributes {
            tenant: tenants[n as usize % 2].into(),
            user: (n < 3).then(|| "ada".into()),
            owner: (n > 20).then(|| "ops".into()),
            ..Attributes::default()
        },
        ..key(&format!("k{n:02}"), n)
    });
    kept.accounts.import(by(1), keys.collect()).await.unwrap();
    kept.accounts.revoke(by(2), "k04").await.unwrap();
    let all = |listing: Listing| async {
        let (mut listing, mut names) = (listing, Vec::new());
        loop {
            let page = kept.accounts.list(&listing).await.unwrap();
            let Some(last) = page.last() else {
                return names;
            };
            assert!(page.len() <= listing.limit);
            listing.after = Some(Arc::clone(&last.id));
            names.extend(page.into_iter().map(|key| key.id.to_string()));
        }
    };
    let asked = Listing {
        limit: 4,
        ..Listing::default()
    };
    let names = all(asked.clone()).await;
    assert_eq!(names.len(), 24);
    assert!(names.is_sorted() && !names.contains(&"k04".to_owned()));
    let of = |change: fn(&mut Listing)| {
        let mut asked = asked.clone();
        change(&mut asked);
        all(asked)
    };
    assert_eq!(of(|l| l.revoked = true).await.len(), 25);
    assert_eq!(of(|l| l.tenant = Some("globex".into())).await.len(), 12);
    assert_eq!(
        of(|l| l.user = Some("ada".into())).await,
        ["k00", "k01", "k02"]
    );
    assert_eq!(of(|l| l.owner = Some("ops".into())).await.len(), 4);
    assert_eq!(of(|l| l.tenant = Some("' OR 1=1 --".into())).await.len(), 0);
}

async fn when_keys_were_used_is_noted_and_followed_by_nobody(kept: Kept) {
    let accounts = &kept.accounts;
    kept.create("a", 1).await;
    kept.create("b", 2).await;
    let (_, changed) = load(accounts).await;
    let note = |hours: Vec<(&str, u32)>| {
        let hours = hours.into_iter().map(|(id, hour)| (id.into(), hour));
        accounts.used(hours.collect())
    };
    note(vec![("a", 500), ("nobody", 1)]).await.unwrap();
    note(vec![("a", 400), ("b", 501)]).await.unwrap();
    let hour =
        |id: &'static str| async move { accounts.key(id).await.unwrap().unwrap().last_used_hour };
    assert_eq!((hour("a").await, hour("b").await), (Some(500), Some(501)));
    let changes = accounts.changes(changed, 10).await.unwrap();
    assert!(changes.keys.is_empty() && changes.head == changed);
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(2));
}

async fn told(kept: &Kept) -> Vec<audit::Entry> {
    let asked = audit::Asked {
        limit: PAGE_ROWS_MAX,
        ..audit::Asked::default()
    };
    kept.accounts.audit(&asked).await.unwrap()
}

async fn the_audit_tells_what_was_done_and_no_secret(kept: Kept) {
    let accounts = &kept.accounts;
    accounts.create(by(1_000), whole()).await.unwrap();
    let to = Successor {
        id: "next".into(),
        digest: digest(7),
        expires_at: None,
    };
    accounts
        .rotate(by(2_000), "whole", to, Millis(10))
        .await
        .unwrap();
    accounts.revoke(by(3_000), "next").await.unwrap();
    let rows = told(&kept).await;
    let deeds: Vec<(u64, &str, &str)> = rows
        .iter()
        .map(|row| (row.at.0, &*row.action, &*row.subject))
        .collect();
    assert_eq!(
        deeds,
        [
            (1_000, "key.create", "whole"),
            (2_000, "key.create", "next"),
            (2_000, "key.rotate", "whole"),
            (3_000, "key.revoke", "next"),
        ]
    );
    let json = |text: &Option<Arc<str>>| -> Value {
        text.as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    };
    assert_eq!(json(&rows[0].before), Value::Null);
    assert_eq!(json(&rows[0].after)["scopes"]["models"][0], "gpt-*");
    assert_eq!(json(&rows[2].before)["replaced_by"], Value::Null);
    assert_eq!(json(&rows[2].after)["replaced_by"], "next");
    assert_eq!(json(&rows[3].after)["revoked_at_ms"], 3_000);
    let text = format!("{rows:?}");
    for secret in [digest(1), digest(7)] {
        assert!(!text.contains(&secret.to_string()), "{text}");
    }
    let of = audit::Asked {
        subject: Some("next".into()),
        limit: 10,
        ..audit::Asked::default()
    };
    assert_eq!(accounts.audit(&of).await.unwrap().len(), 2);
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(4));
}

async fn the_audit_takes_no_change(kept: Kept) {
    kept.create("a", 1).await;
    let mut changes = vec!["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"];
    match kept.ledger.is_postgres() {
        true => changes.push("TRUNCATE audit"),
        false => changes.push("INSERT OR REPLACE INTO audit SELECT * FROM audit"),
    }
    for change in changes {
        let refused = kept.ledger.try_raw(change).await.unwrap_err();
        assert!(refused.contains("append-only"), "{change}: {refused}");
    }
    assert_eq!(kept.accounts.verify_audit().await.unwrap(), Ok(1));
}

async fn an_audit_that_was_tampered_with_shows_where(kept: Kept) {
    for n in 1..=5 {
        kept.create(&format!("k{n}"), n).await;
    }
    let verified = || async { kept.accounts.verify_audit().await.unwrap() };
    assert_eq!(verified().await, Ok(5));
    kept.tamper("UPDATE audit SET actor = 'x' WHERE sequence = 3")
        .await;
    assert_eq!(verified().await, Err(Fault::Changed(3)));
    kept.tamper("UPDATE audit SET actor = 'cli/tester' WHERE sequence = 3")
        .await;
    assert_eq!(verified().await, Ok(5));
    kept.tamper("UPDATE audit SET after = NULL WHERE sequence = 2")
        .await;
    assert_eq!(verified().await, Err(Fault::Changed(2)));
    kept.tamper("DELETE FROM audit WHERE sequence = 2").await;
    assert_eq!(verified().await, Err(Fault::Removed(2, 2)));
    kept.tamper("DELETE FROM audit WHERE sequence > 1").await;
    assert_eq!(verified().await, Err(Fault::Cut(1)));
}

async fn tokens_are_made_found_and_revoked(kept: Kept) {
    let accounts = &kept.accounts;
    let new = |id: &str, n: u32, role: Role, expires_at: Option<u64>| NewToken {
        id: id.into(),
        digest: digest(n),
        role,
        expires_at: expires_at.map(UnixMillis),
    };
    let admin = Role::TenantAdmin("acme".into());
    let made = accounts.create_token(by(1_000), new("t1", 1, admin.clone(), Some(5_000)));
    let made = made.await.unwrap();
    accounts
        .create_token(by(1_000), new("t2", 2, Role::Owner, None))
        .await
        .unwrap();
    let again = accounts
        .create_token(by(1_000), new("t3", 1, Role::Viewer, None))
        .await;
    assert!(matches!(again, Err(AccountsError::Taken("token"))));
    let found = |n: u32, now: u64| async move {
        accounts
            .find_token(&digest(n), UnixMillis(now))
            .await
            .unwrap()
    };
    assert_eq!(found(1, 4_999).await, Some(made));
    assert_eq!(found(1, 5_000).await, None, "it has ended");
    assert_eq!(found(3, 1_000).await, None);
    assert_eq!(found(2, 1_000).await.unwrap().role, Role::Owner);
    accounts.tokens_used(vec![("t2".into(), 77)]).await.unwrap();
    assert!(accounts.revoke_token(by(2_000), "t2").await.unwrap());
    assert!(!accounts.revoke_token(by(2_000), "t2").await.unwrap());
    let unknown = accounts.revoke_token(by(2_000), "t9").await;
    assert!(matches!(unknown, Err(AccountsError::Unknown("token"))));
    assert_eq!(found(2, 2_001).await, None);
    let tokens = accounts.tokens().await.unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(
        (&tokens[0].role, tokens[1].last_used_hour),
        (&admin, Some(77))
    );
    let actions: Vec<String> = told(&kept)
        .await
        .iter()
        .map(|row| row.action.to_string())
        .collect();
    assert_eq!(actions, ["token.create", "token.create", "token.revoke"]);
    let acmes = audit::Asked {
        tenant: Some("acme".into()),
        limit: 10,
        ..audit::Asked::default()
    };
    assert_eq!(accounts.audit(&acmes).await.unwrap().len(), 1);
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(3));
}

/// Who was let in before it was revoked is not let go on after.
async fn a_token_that_was_revoked_makes_no_other(kept: Kept) {
    let accounts = &kept.accounts;
    let new = |id: &str, n| NewToken {
        id: id.into(),
        digest: digest(n),
        role: Role::Operator,
        expires_at: None,
    };
    let of = |name| Actor {
        name,
        at: UnixMillis(3_000),
    };
    accounts
        .create_token(by(1_000), new("t1", 1))
        .await
        .unwrap();
    accounts.create_token(of("t1"), new("t2", 2)).await.unwrap();
    accounts.create_token(of("t2"), new("t3", 3)).await.unwrap();
    accounts
        .create_token(by(1_000), new("t4", 4))
        .await
        .unwrap();
    assert!(accounts.revoke_token(by(2_000), "t1").await.unwrap());
    for (name, n) in [("t1", 5), ("t2", 6), ("t3", 7)] {
        let made = accounts.create_token(of(name), new("t9", n)).await;
        assert!(matches!(made, Err(AccountsError::Over(_))), "{made:?}");
        let made = accounts.create(of(name), key("k9", n)).await;
        assert!(matches!(made, Err(AccountsError::Over(_))), "{made:?}");
        let revoked = accounts.revoke_token(of(name), "t4").await;
        assert!(
            matches!(revoked, Err(AccountsError::Over(_))),
            "{revoked:?}"
        );
    }
    let tokens = accounts.tokens().await.unwrap();
    let ended = tokens.iter().map(|token| token.revoked_at.is_some());
    assert_eq!(ended.collect::<Vec<_>>(), [true, true, true, false]);
    accounts.create_token(of("t4"), new("t5", 8)).await.unwrap();
    assert_eq!(accounts.verify_audit().await.unwrap(), Ok(8));
}

async fn a_row_that_is_not_understood_counts_no_more(kept: Kept) {
    kept.create("good", 1).await;
    kept.create("odd", 2).await;
    kept.ledger
        .raw("UPDATE keys SET scopes = '{\"tenants\":[\"all\"]}' WHERE id = 'odd'")
        .await;
    let changes = kept.accounts.changes(0, 10).await.unwrap();
    let [Ok(good), Err(odd)] = &changes.keys[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((&*good.id, &*odd.id, odd.changed), ("good", "odd", 2));
}

async fn the_tables_are_made_once_by_all_who_begin(kept: Kept) {
    kept.create("a", 1).await;
    let config = &kept.ledger.config;
    let all = futures_util::future::join_all((0..6).map(|_| Accounts::open(config))).await;
    for accounts in all {
        assert!(accounts.unwrap().key("a").await.unwrap().is_some());
    }
    let reader = Accounts::open_to_read(config).await.unwrap();
    assert!(reader.key("a").await.unwrap().is_some());
    let empty = match kept.ledger.is_postgres() {
        true => Ledger::postgres().await,
        false => Ledger::sqlite().await,
    };
    let none = Accounts::open_to_read(&empty.config).await;
    assert!(matches!(none, Err(AccountsError::NoAccounts)));
}
