//! Alerts in both databases of the ledger: kept once by many, delivered by one at a
//! time, again where nobody knows, given up, forgotten, looked at.

use crate::ledger::Ledger;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir::accounts::Accounts;
use weir::accounts::alerts::{
    AlertsAsked, Delivery, DeliveryState, KEPT_FOR, PAGE_ROWS_MAX, Raised, StoredAlert,
};
use weir::alerts::retry::GIVE_UP_AFTER;
use weir::alerts::{Alert, Facts};
use weir::limits::reservation::counter_id;
use weir::limits::{Scope, Unit};
use weir::policy::budget::Passed;
use weir::units::{Millis, UnixMillis};

/// One test for each engine.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::sqlite().await).await).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Kept::on(crate::ledger::Ledger::postgres().await).await).await; })* }
    };
}

on_each_database!(
    an_alert_is_kept_once_whoever_makes_it,
    a_lower_threshold_is_not_told_after_a_higher_one,
    two_takers_never_have_the_same_delivery,
    who_dies_between_sending_and_saying_so_is_followed_by_another,
    what_fails_is_tried_at_its_time_and_given_up,
    what_is_over_is_forgotten_and_what_nobody_sends_is_dead,
    lists_go_page_by_page_and_by_tenant,
);

const LEASE: Millis = Millis(40_000);
const DAY_MS: u64 = 86_400_000;
const START: u64 = 20_000 * DAY_MS;

struct Kept {
    accounts: Accounts,
    /// Another sidecar's connections.
    other: Accounts,
    _ledger: Ledger,
}

impl Kept {
    async fn on(ledger: Ledger) -> Self {
        Self {
            accounts: Accounts::open(&ledger.config).await.unwrap(),
            other: Accounts::open(&ledger.config).await.unwrap(),
            _ledger: ledger,
        }
    }

    async fn raise(&self, alert: Alert) -> usize {
        self.accounts.raise(&[raised(alert)]).await.unwrap()
    }

    async fn take(&self, webhook: &str, at: u64) -> Option<Delivery> {
        let webhook: Arc<str> = webhook.into();
        let taken = self.accounts.take_delivery(&webhook, UnixMillis(at), LEASE);
        taken.await.unwrap()
    }

    async fn all(&self) -> Vec<StoredAlert> {
        let asked = AlertsAsked {
            limit: PAGE_ROWS_MAX,
            ..AlertsAsked::default()
        };
        self.accounts.alerts(&asked).await.unwrap()
    }

    /// How the only alert stands with a webhook.
    async fn state(&self, webhook: &str) -> (DeliveryState, u64, Option<String>) {
        let [alert] = self.all().await.try_into().unwrap();
        let mut all = alert.deliveries.into_iter();
        let of = all.find(|of| &*of.webhook == webhook).unwrap();
        (
            of.state,
            of.tries,
            of.last_error.map(|text| text.to_string()),
        )
    }
}

fn raised(alert: Alert) -> Raised {
    Raised {
        alert,
        webhooks: vec!["one".into(), "two".into()],
    }
}

fn budget(tenant: &str, per_mille: u64, at: u64, resets_in_ms: u64) -> Alert {
    let passed = Passed {
        budget: "monthly'; --".into(),
        counter: counter_id("monthly", &[tenant, "adá"]).into(),
        scope: Scope::USER,
        unit: Unit::Cost,
        threshold_per_mille: per_mille,
        used: weir::limits::AMOUNT_MAX,
        amount: weir::limits::AMOUNT_MAX,
        resets_in_ms: Some(resets_in_ms),
    };
    Alert::budget(&tenant.into(), &passed, false, UnixMillis(at))
}

async fn an_alert_is_kept_once_whoever_makes_it(kept: Kept) {
    let alert = budget("acme", 500, START, DAY_MS);
    assert_eq!(kept.raise(alert.clone()).await, 1);
    assert_eq!(kept.raise(alert.clone()).await, 0);
    // By the clock of another, at the edge of a step of the id.
    for off in [1, 4_999, 5_001, 15_000] {
        let other = budget("acme", 500, START + 1_000, DAY_MS - 1_000 + off);
        let added = kept.other.raise(&[raised(other)]).await.unwrap();
        assert_eq!(added, 0, "{off}");
    }
    let [stored] = kept.all().await.try_into().unwrap();
    assert_eq!(stored.alert, alert);
    assert_eq!(stored.deliveries.len(), 2);
    // At the same time, of another tenant, and of the period after.
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for n in 0..20 {
        ones.push(raised(budget(&format!("t{n}"), 500, START, DAY_MS)));
        others.push(raised(budget(
            &format!("t{}", 19 - n),
            500,
            START + 3,
            DAY_MS,
        )));
    }
    let (one, two) = tokio::join!(kept.accounts.raise(&ones), kept.other.raise(&others));
    assert_eq!(one.unwrap() + two.unwrap(), 20);
    assert_eq!(
        kept.raise(budget("acme", 500, START + DAY_MS, DAY_MS))
            .await,
        1
    );
    assert_eq!(kept.all().await.len(), 22);
}

async fn a_lower_threshold_is_not_told_after_a_higher_one(kept: Kept) {
    let all = [(800, 1), (500, 0), (800, 0), (1_000, 1), (900, 0)];
    for (per_mille, new) in all {
        let alert = budget("acme", per_mille, START, DAY_MS);
        assert_eq!(kept.raise(alert).await, new, "{per_mille}");
    }
    assert_eq!(kept.raise(budget("acme", 500, START, 2 * DAY_MS)).await, 1);
}

async fn two_takers_never_have_the_same_delivery(kept: Kept) {
    let all: Vec<Raised> = (0..30)
        .map(|n| raised(budget(&format!("t{n}"), 500, START + n, DAY_MS)))
        .collect();
    kept.accounts.raise(&all).await.unwrap();
    let webhook: Arc<str> = "one".into();
    let take_all = async |accounts: &Accounts| {
        let mut taken = Vec::new();
        let now = UnixMillis(START + 1_000);
        while let Some(delivery) = accounts.take_delivery(&webhook, now, LEASE).await.unwrap() {
            assert_eq!(delivery.tries, 1);
            accounts.delivered(&delivery, now).await.unwrap();
            taken.push(delivery.alert.id.to_string());
        }
        taken
    };
    let (one, two) = tokio::join!(take_all(&kept.accounts), take_all(&kept.other));
    let mut both = [one, two].concat();
    // A taker that meets another's lock may find nothing once.
    both.extend(take_all(&kept.accounts).await);
    assert_eq!(both.len(), 30);
    assert_eq!(both.iter().collect::<BTreeSet<_>>().len(), 30);
    assert!(
        kept.take("two", START).await.is_some(),
        "another webhook's are its own"
    );
    assert!(kept.take("three", START + 1_000).await.is_none());
}

async fn who_dies_between_sending_and_saying_so_is_followed_by_another(kept: Kept) {
    let alert = budget("acme", 500, START, DAY_MS);
    kept.raise(alert.clone()).await;
    let first = kept.take("one", START).await.unwrap();
    assert!(
        kept.take("one", START + LEASE.0 - 1).await.is_none(),
        "it is leased"
    );
    let second = kept.take("one", START + LEASE.0).await.unwrap();
    assert_eq!(second.alert, alert, "under the same id");
    assert_eq!((first.tries, second.tries), (1, 2));
    // It was not dead, but slow: what failed is the other's to say, what arrived isn't.
    let late = UnixMillis(START + LEASE.0 + 1);
    kept.accounts
        .not_delivered(&first, "no answer", None, late)
        .await
        .unwrap();
    assert_eq!(kept.state("one").await, (DeliveryState::Waiting, 2, None));
    kept.accounts.delivered(&first, late).await.unwrap();
    kept.other
        .not_delivered(&second, "no answer", Some(late), late)
        .await
        .unwrap();
    assert_eq!(kept.state("one").await, (DeliveryState::Sent, 2, None));
    assert!(kept.take("one", START + DAY_MS).await.is_none());
}

async fn what_fails_is_tried_at_its_time_and_given_up(kept: Kept) {
    kept.raise(budget("acme", 500, START, DAY_MS)).await;
    let first = kept.take("one", START).await.unwrap();
    let next = UnixMillis(START + 7_000);
    let why = "answered 503 ".repeat(100);
    kept.accounts
        .not_delivered(&first, &why, Some(next), UnixMillis(START + 1))
        .await
        .unwrap();
    let (state, tries, error) = kept.state("one").await;
    assert_eq!((state, tries), (DeliveryState::Waiting, 1));
    assert!(error.is_some_and(|error| error.len() == 300 && error.starts_with("answered 503")));
    assert!(kept.take("one", next.0 - 1).await.is_none());
    let second = kept.take("one", next.0).await.unwrap();
    assert_eq!(second.tries, 2);
    kept.accounts
        .not_delivered(&second, "answered 410", None, next)
        .await
        .unwrap();
    let dead = (DeliveryState::Dead, 2, Some("answered 410".to_owned()));
    assert_eq!(kept.state("one").await, dead);
    assert!(kept.take("one", next.0 + DAY_MS).await.is_none());
}

async fn what_is_over_is_forgotten_and_what_nobody_sends_is_dead(kept: Kept) {
    kept.raise(budget("acme", 500, START, DAY_MS)).await;
    let first = kept.take("one", START).await.unwrap();
    kept.accounts
        .delivered(&first, UnixMillis(START))
        .await
        .unwrap();
    let day = START + GIVE_UP_AFTER.0;
    kept.accounts.forget_alerts(UnixMillis(day)).await.unwrap();
    assert_eq!(kept.state("two").await.0, DeliveryState::Waiting);
    kept.accounts
        .forget_alerts(UnixMillis(day + 3_700_000))
        .await
        .unwrap();
    let (state, _, error) = kept.state("two").await;
    assert_eq!(state, DeliveryState::Dead);
    assert!(error.unwrap().contains("nobody sends there"));
    assert_eq!(kept.state("one").await.0, DeliveryState::Sent);
    let later = START + KEPT_FOR.0;
    kept.raise(budget("globex", 500, later, DAY_MS)).await;
    kept.accounts
        .forget_alerts(UnixMillis(later))
        .await
        .unwrap();
    // Of a period that goes on for longer.
    let long = budget("initech", 500, START, 400 * DAY_MS);
    kept.raise(long.clone()).await;
    assert_eq!(kept.all().await.len(), 3);
    kept.accounts
        .forget_alerts(UnixMillis(later + 1))
        .await
        .unwrap();
    let left = kept.all().await;
    let left: Vec<_> = left.iter().map(|one| one.alert.tenant.as_deref()).collect();
    assert_eq!(left, [Some("globex"), Some("initech")]);
    // So a process that starts anew doesn't tell it once more.
    assert_eq!(
        kept.raise(Alert {
            at: UnixMillis(later),
            ..long
        })
        .await,
        0
    );
}

async fn lists_go_page_by_page_and_by_tenant(kept: Kept) {
    let tenant = |n: u64| {
        if n.is_multiple_of(2) {
            "acme"
        } else {
            "globex"
        }
    };
    for n in 0..10 {
        // Two at a time.
        let at = START + n / 2;
        kept.raise(budget(tenant(n), 500, at, (n + 1) * DAY_MS))
            .await;
    }
    let (mut asked, mut seen) = (AlertsAsked::default(), Vec::new());
    asked.limit = 3;
    loop {
        let page = kept.accounts.alerts(&asked).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        asked.after = Some(last.place());
        seen.extend(page);
    }
    let ids: BTreeSet<_> = seen.iter().map(|one| one.alert.id.clone()).collect();
    assert_eq!((seen.len(), ids.len()), (10, 10));
    assert!(seen.is_sorted_by_key(|one| std::cmp::Reverse(one.alert.at)));
    let asked = AlertsAsked {
        tenant: Some("acme".into()),
        limit: 100,
        ..AlertsAsked::default()
    };
    assert_eq!(kept.accounts.alerts(&asked).await.unwrap().len(), 5);
    let json = seen[0].to_json();
    assert_eq!(json["deliveries"][1]["webhook"], "two");
    assert!(json["summary"].as_str().unwrap().contains("is over 50%"));
    let of_dead = AlertsAsked {
        state: Some(DeliveryState::Dead),
        limit: 100,
        ..AlertsAsked::default()
    };
    assert_eq!(kept.accounts.alerts(&of_dead).await.unwrap(), []);
    assert!(matches!(seen[0].alert.facts, Facts::Budget { .. }));
}
