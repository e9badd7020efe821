//! Random histories: Redis by its own clock, memory by the times at which Redis
//! answered, and every answer the same.

use crate::engine::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use weir::counters::memory::Memory;
use weir::counters::redis::Redis;
use weir::limits::period::{Calendar, CalendarUnit, Period};
use weir::limits::*;
use weir::units::Millis;

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        hold: u16,
        plan: u8,
        user: u8,
        tokens: u64,
        hold_ms: u64,
        lease_ms: u64,
    },
    /// For good: every third of no tokens, which asks.
    Charge {
        plan: u8,
        user: u8,
        tokens: u64,
    },
    Settle {
        hold: u16,
        requests: u64,
        tokens: u64,
    },
    Renew {
        hold: u16,
        hold_ms: u64,
        lease_ms: u64,
    },
    Expire,
    Pass {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let hold = 0_u16..24;
    prop_oneof![
        8 => (hold.clone(), 0_u8..3, 0_u8..2, 0_u64..40, 1_u64..60, 1_u64..40).prop_map(
            |(hold, plan, user, tokens, hold_ms, lease_ms)| Step::Reserve {
                hold, plan, user, tokens, hold_ms, lease_ms
            }
        ),
        3 => (0_u8..3, 0_u8..2, 0_u64..40).prop_map(|(plan, user, tokens)| Step::Charge {
            plan,
            user,
            tokens: if tokens % 3 == 0 { 0 } else { tokens },
        }),
        4 => (hold.clone(), 0_u64..3, 0_u64..80)
            .prop_map(|(hold, requests, tokens)| Step::Settle { hold, requests, tokens }),
        2 => (hold, 1_u64..60, 1_u64..40)
            .prop_map(|(hold, hold_ms, lease_ms)| Step::Renew { hold, hold_ms, lease_ms }),
        2 => Just(Step::Expire),
        5 => (1_u64..12).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// Short windows, so that time moves through them by itself. Plans differ in
/// the parameters of the same limits, as before and after a reload.
fn charges(plan: u8, user: u8, tokens: u64) -> Vec<Charge> {
    let (every, refill) = match plan {
        0 => (Millis(120), (7, Millis(10), 60)),
        1 => (Millis(120), (7, Millis(10), 60)),
        _ => (Millis(50), (11, Millis(15), 45)),
    };
    let first = Period::first_hit(Millis(every.0 / 2));
    // Carries, carries more, and carries nothing.
    let rolls = match plan {
        0 => rolling("rolls", Unit::Tokens, 90, 140, Period::aligned(every)),
        1 => rolling("rolls", Unit::Tokens, 70, 300, Period::aligned(every)),
        _ => fixed("rolls", Unit::Tokens, 90, Period::aligned(Millis(60))),
    };
    let changes = match plan {
        2 => Period::aligned(every),
        _ => Period::first_hit(every),
    };
    let limits = [
        rolls,
        rolling("steady", Unit::Requests, 2, 5, Period::aligned(Millis(60))),
        window("rpm", Unit::Requests, 9, every),
        window("tpm", Unit::Tokens, 150, every),
        bucket("bucket", refill.0, refill.1, refill.2),
        slots("slots", 4),
        fixed("aligned", Unit::Requests, 7, Period::aligned(every)),
        fixed("first", Unit::InputTokens, 130, first),
        fixed("changes", Unit::Cost, 400, changes),
        shadow(&fixed("shade", Unit::Requests, 1, Period::aligned(every))),
        shadow(&window("ghost", Unit::Requests, 1, every)),
        shadow(&bucket("hint", 3, Millis(20), 9)),
        shadow(&slots("trace", 1)),
        fixed("month", Unit::OutputTokens, 900, month()),
    ];
    let count = if plan == 1 { 4 } else { limits.len() };
    let charged = limits.iter().take(count).map(|limit| {
        let amount = match limit.unit {
            Unit::Tokens | Unit::InputTokens => tokens,
            Unit::OutputTokens => 2 * tokens,
            Unit::Cost => 3 * tokens,
            Unit::Requests | Unit::Concurrency => 1,
        };
        let who = if limit.unit == Unit::Tokens {
            user.to_string()
        } else {
            "all".to_owned()
        };
        let counter = reservation::counter_id(&limit.name, &[&who]);
        let charge = Charge::new(Arc::clone(limit), counter, amount);
        // Every third needs more room than it takes, or asks.
        match amount % 3 {
            0 => needing(charge, 2 * amount + 1),
            _ => charge,
        }
    });
    charged.collect()
}

fn month() -> Period {
    let zone = jiff::tz::TimeZoneDatabase::bundled();
    Period::calendar(Calendar {
        unit: CalendarUnit::Month(31),
        zone: zone.get("America/Sao_Paulo").unwrap(),
    })
}

fn id(history: u32, hold: u16) -> HoldId {
    let [a, b] = hold.to_be_bytes();
    let [c, d, e, f] = history.to_be_bytes();
    HoldId::new(weir::units::UnixMillis(1), &[c, d, e, f, 0, 0, 0, 0, a, b])
}

struct Pair<'a> {
    redis: &'a Redis,
    memory: Memory,
    raw: redis::aio::MultiplexedConnection,
    history: u32,
    slot: Arc<str>,
}

impl Pair<'_> {
    async fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Reserve {
                hold,
                plan,
                user,
                tokens,
                hold_ms,
                lease_ms,
            } => {
                let reservation = Reservation {
                    hold: id(self.history, hold),
                    slot: Arc::clone(&self.slot),
                    charges: charges(plan, user, tokens).into(),
                    shared: Arc::default(),
                    hold_ttl: Millis(hold_ms),
                    lease_ttl: Millis(lease_ms),
                    context: format!("{hold}").into(),
                };
                let there = self.redis.reserve(&reservation, NOW).await.unwrap();
                let here = self.memory.reserve(&reservation, there.now).unwrap();
                prop_assert_eq!(there.answer, here);
            }
            Step::Charge { plan, user, tokens } => {
                let mut charges = charges(plan, user, tokens);
                charges.retain(|charge| charge.limit.unit != Unit::Concurrency);
                let slot = Arc::clone(&self.slot);
                let toll = Toll { slot, charges };
                let there = self.redis.charge(&toll, NOW).await.unwrap();
                let here = self.memory.charge(&toll, there.now).unwrap();
                prop_assert_eq!(there.answer, here);
            }
            Step::Settle {
                hold,
                requests,
                tokens,
            } => {
                let actual = Actual {
                    requests,
                    input_tokens: tokens,
                    output_tokens: tokens / 2,
                    cost_nanos: tokens * 2,
                };
                self.settle(hold, actual).await?;
            }
            Step::Renew {
                hold,
                hold_ms,
                lease_ms,
            } => {
                let (hold, hold_ttl, lease_ttl) =
                    (id(self.history, hold), Millis(hold_ms), Millis(lease_ms));
                let there = self
                    .redis
                    .renew(&self.slot, hold, hold_ttl, lease_ttl)
                    .await
                    .unwrap();
                let here = self
                    .memory
                    .renew(&self.slot, hold, hold_ttl, lease_ttl, there.now);
                prop_assert_eq!(there.answer, here);
            }
            Step::Expire => self.expire().await?,
            Step::Pass { ms } => server_passes(&mut self.raw, ms).await,
        }
        Ok(())
    }

    async fn settle(&self, hold: u16, actual: Actual) -> Result<(), TestCaseError> {
        let hold = id(self.history, hold);
        let there = self.redis.settle(&self.slot, hold, actual).await.unwrap();
        let here = self.memory.settle(&self.slot, hold, actual, there.now);
        prop_assert_eq!(there.answer, here);
        Ok(())
    }

    async fn expire(&self) -> Result<(), TestCaseError> {
        let there = self.redis.expire_due(1_000, CLAIM).await.unwrap();
        let mut here = self.memory.expire_due(there.now, 1_000, CLAIM);
        let mut there = there.answer;
        there.sort_by_key(|expired| expired.hold);
        here.sort_by_key(|expired| expired.hold);
        prop_assert_eq!(there, here);
        Ok(())
    }

    /// Once all is settled or expired nothing is left behind.
    async fn end(&mut self) -> Result<(), TestCaseError> {
        for hold in 0..12 {
            self.settle(hold, Actual::VOID).await?;
        }
        server_passes(&mut self.raw, 61).await;
        self.expire().await?;
        prop_assert_eq!(self.redis.open_holds().await.unwrap(), 0);
        prop_assert_eq!(self.memory.open_holds(), 0);
        let lanes = self.raw.clone().keys_with("c").await;
        prop_assert_eq!(lanes, Vec::<String>::new());
        // In time every counter is at rest, and dropped.
        let later = server_now(&mut self.raw).await + Millis(500 * 86_400_000);
        self.memory.expire_due(later, 1, CLAIM);
        prop_assert_eq!(self.memory.counters(), 0);
        Ok(())
    }
}

trait KeysWith {
    async fn keys_with(&mut self, algorithm: &str) -> Vec<String>;
}

impl KeysWith for redis::aio::MultiplexedConnection {
    async fn keys_with(&mut self, algorithm: &str) -> Vec<String> {
        let pattern = format!("weir:1:*}}:{algorithm}:*");
        redis::cmd("KEYS")
            .arg(pattern)
            .query_async(self)
            .await
            .unwrap()
    }
}

#[test]
fn both_engines_agree_on_random_histories() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&[]));
    let redis = runtime.block_on(server.connect());
    let histories = AtomicU32::new(0);
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..90), |steps| {
        runtime.block_on(async {
            let history = histories.fetch_add(1, Ordering::SeqCst);
            let mut pair = Pair {
                redis: &redis,
                memory: Memory::default(),
                raw: server.raw().await,
                history,
                slot: format!("slot {history}").into(),
            };
            // What a failed history left must not mislead its shrinking.
            redis::cmd("FLUSHDB")
                .exec_async(&mut pair.raw)
                .await
                .unwrap();
            for step in &steps {
                pair.apply(step).await?;
            }
            pair.end().await
        })
    });
    outcome.unwrap();
}

/// A call that ends when its charge is half out of the window: the refund and
/// the overage go to that oldest sub-window. Histories seldom get there.
#[tokio::test]
async fn settling_in_the_oldest_sub_window() {
    const SUB_MS: u64 = 50;
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    let mut raw = server.raw().await;
    let tpm = window("tpm", Unit::Tokens, 1_000, Millis(12 * SUB_MS));
    let until = std::time::Instant::now() + DEADLINE;
    let mut hits = 0;
    for n in 0.. {
        assert!(
            std::time::Instant::now() < until,
            "never in the oldest sub-window"
        );
        let (first, second, probe) = (3 * n + 1, 3 * n + 2, 3 * n + 3);
        let memory = Memory::default();
        redis::cmd("FLUSHDB").exec_async(&mut raw).await.unwrap();
        let mut taken = 0;
        for hold in [first, second] {
            let call = call(hold, vec![charge(&tpm, 300)]);
            let there = redis.reserve(&call, NOW).await.unwrap();
            assert_eq!(there.answer, memory.reserve(&call, there.now).unwrap());
            taken = there.now.0 / SUB_MS;
        }
        let target = (taken + 12) * SUB_MS + 5;
        let now = server_now(&mut raw).await;
        server_passes(&mut raw, target.saturating_sub(now.0)).await;
        for (hold, tokens) in [(first, 0), (second, 420)] {
            let actual = actual(1, tokens);
            let there = redis
                .settle(SLOT, crate::engine::hold(hold), actual)
                .await
                .unwrap();
            memory.settle(SLOT, crate::engine::hold(hold), actual, there.now);
        }
        let probe = call(probe, vec![charge(&tpm, 0)]);
        let there = redis.reserve(&probe, NOW).await.unwrap();
        let here = memory.reserve(&probe, there.now).unwrap();
        assert_eq!(there.answer, here);
        let share = used(&here)[0];
        if there.now.0 / SUB_MS == taken + 12 && share > 0 && share <= 420 {
            hits += 1;
        }
        if hits == 2 {
            break;
        }
    }
}

/// Releases that know of no rollover read the others' states, and whoever carries
/// is still known when the next window ends.
#[tokio::test]
async fn only_windows_that_carry_are_stored_with_what_they_carry() {
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    let mut raw = server.raw().await;
    let plain = fixed("plain", Unit::Tokens, 100, Period::aligned(DAY));
    let carries = rolling("carries", Unit::Tokens, 100, 50, month());
    let call = call(1, vec![charge(&plain, 30), charge(&carries, 30)]);
    redis.reserve(&call, NOW).await.unwrap();
    let mut stored = Vec::new();
    for key in raw.keys_with("f").await {
        let bytes: u64 = redis::cmd("STRLEN")
            .arg(&key)
            .query_async(&mut raw)
            .await
            .unwrap();
        let lives: u64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut raw)
            .await
            .unwrap();
        stored.push((key.contains("carries"), bytes, lives));
    }
    stored.sort_unstable();
    let [(false, 24, plain), (true, 40, carries)] = stored[..] else {
        panic!("{stored:?}");
    };
    assert!(plain <= DAY.0 + 1_000);
    assert!((400 * DAY.0..432 * DAY.0).contains(&carries), "{carries}");
}
