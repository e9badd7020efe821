//! A leaky bucket is a token bucket told from the other side, and both are
//! GCRA: any rate, any burst, the same answers to the last millisecond.

use crate::engine::*;
use crate::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use weir::counters::memory::Memory;
use weir::limits::*;
use weir::units::{Millis, UnixMillis};

#[derive(Debug, Clone)]
struct Call {
    after_ms: u64,
    tokens: u64,
    /// What it really used, where it is settled at once.
    used: Option<u64>,
}

fn call_of() -> impl Strategy<Value = Call> {
    let after = prop_oneof![4 => 0_u64..50, 2 => 0_u64..5_000, 1 => 0_u64..10_000_000];
    let used = prop::option::of(0_u64..900);
    (after, 0_u64..300, used).prop_map(|(after_ms, tokens, used)| Call {
        after_ms,
        tokens,
        used,
    })
}

fn pair(amount: u64, every: Millis, burst: u64) -> [Arc<Limit>; 2] {
    [
        Algorithm::TokenBucket { every, burst },
        Algorithm::LeakyBucket { every, burst },
    ]
    .map(|algorithm| limit(algorithm.as_str(), Unit::Tokens, amount, algorithm))
}

#[test]
fn both_buckets_are_gcra() {
    let rates = (1_u64..5_000, 1_u64..200_000, 1_u64..400);
    let histories = (rates, prop::collection::vec(call_of(), 1..40));
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&histories, |((amount, every, burst), calls)| {
        let [token, leaky] = pair(amount, Millis(every), burst);
        let (memory, mut model) = (Memory::default(), Model::default());
        let mut now = UnixMillis(1_800_000_000_000);
        for (n, step) in (0_u16..).zip(&calls) {
            now = now + Millis(step.after_ms);
            let [first, second] = [(2 * n, &token), (2 * n + 1, &leaky)]
                .map(|(n, limit)| call(n, vec![charge(limit, step.tokens)]));
            let by_token = memory.reserve(&first, now).unwrap();
            let by_leaky = memory.reserve(&second, now).unwrap();
            prop_assert_eq!(&by_token, &by_leaky);
            prop_assert_eq!(&by_leaky, &model.reserve(&second, now));
            if let (Decision::Admitted(_), Some(used)) = (by_leaky, step.used) {
                let used = actual(1, used);
                memory.settle(SLOT, first.hold, used, now);
                memory.settle(SLOT, second.hold, used, now);
                model.settle(second.hold, used, now);
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
