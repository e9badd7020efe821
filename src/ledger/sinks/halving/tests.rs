//! Any receiver, any poison, any fault: each row ends where it belongs.

use super::*;
use crate::ledger::sinks::tests::{id, rows};
use proptest::prelude::*;

/// A receiver that remembers each request.
#[derive(Debug, Default)]
struct Fake {
    poison: HashSet<HoldId>,
    /// Answers before the real one: whether it is away.
    away: Vec<bool>,
    rows_max: usize,
    bytes_max: usize,
    requests: Vec<Vec<HoldId>>,
    accepted: Vec<HoldId>,
}

impl Receiver for Fake {
    type Item = HoldId;

    fn item(&self, row: &Row) -> Result<HoldId, String> {
        Ok(row.event.id)
    }

    fn item_bytes(&self, _: &HoldId) -> usize {
        10
    }

    fn request_bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn request_rows_max(&self) -> usize {
        self.rows_max
    }

    async fn offer(&mut self, items: &[HoldId]) -> Answer {
        self.requests.push(items.to_vec());
        if self.away.pop().unwrap_or(false) {
            return Answer::Away("away".into());
        }
        if items.iter().any(|item| self.poison.contains(item)) {
            return Answer::Refused("odd".into());
        }
        self.accepted.extend(items);
        Answer::Taken
    }
}

proptest! {
    #[test]
    fn each_row_is_accepted_once_in_order_or_set_aside(
        most in 0..40u16,
        poison in proptest::collection::hash_set(0..40u16, 0..8),
        away in proptest::collection::vec(any::<bool>(), 0..20),
        rows_max in 0..50usize,
        bytes_max in 10..500usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut fake = Fake {
            poison: poison.iter().map(|n| id(*n)).collect(),
            away, rows_max, bytes_max,
            ..Fake::default()
        };
        let mut taken = Taken::default();
        let mut left = rows(0..most);
        let mut aside = Vec::new();
        for round in 0.. {
            prop_assert!(round < 200);
            match runtime.block_on(deliver(&mut fake, &mut taken, &left)) {
                Ok(()) => break,
                Err(SinkError::Away(_)) => {}
                Err(SinkError::Poison { index, .. }) => aside.push(left.remove(index).event.id),
            }
        }
        let (bad, good): (Vec<u16>, Vec<u16>) = (0..most).partition(|n| poison.contains(n));
        let named = |ns: Vec<u16>| ns.into_iter().map(id).collect::<Vec<_>>();
        prop_assert_eq!(aside, named(bad));
        prop_assert_eq!(fake.accepted, named(good));
        for request in &fake.requests {
            prop_assert!(!request.is_empty());
            prop_assert!(request.len() <= rows_max.max(1));
            prop_assert!(10 * request.len() <= bytes_max);
        }
    }
}

#[tokio::test]
async fn a_poison_row_is_found_in_few_requests() {
    let mut fake = Fake {
        poison: [id(700)].into(),
        rows_max: 2_048,
        bytes_max: usize::MAX,
        ..Fake::default()
    };
    let all = rows(0..2_048);
    let outcome = deliver(&mut fake, &mut Taken::default(), &all).await;
    let why = "odd".to_owned();
    assert_eq!(outcome, Err(SinkError::Poison { index: 700, why }));
    assert!(fake.requests.len() <= 23, "{}", fake.requests.len());
}

#[tokio::test]
async fn a_row_larger_than_a_request_is_poison_and_those_before_it_are_taken() {
    let mut fake = Fake {
        rows_max: 10,
        bytes_max: 9,
        ..Fake::default()
    };
    let outcome = deliver(&mut fake, &mut Taken::default(), &rows(0..3)).await;
    assert!(
        matches!(&outcome, Err(SinkError::Poison { index: 0, why }) if why.contains("10 bytes")),
        "{outcome:?}"
    );
    assert_eq!(fake.requests.len(), 0);
}

#[test]
fn requests_get_smaller_at_once_and_larger_after_a_while() {
    let mut pace = Pace::new(100);
    for (rows, left) in [(100, 50), (50, 25), (3, 1), (1, 1)] {
        pace.too_large(rows);
        assert_eq!(pace.rows(), left);
    }
    for rows in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
        assert_eq!(pace.rows(), rows);
        // What isn't full says nothing of a full one.
        pace.taken(rows - 1);
        for _ in 0..GROW_AFTER {
            pace.taken(rows);
        }
    }
    assert_eq!(Pace::new(0).rows(), 1);
}
