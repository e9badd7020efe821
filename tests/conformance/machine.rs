//! Random histories of a fleet, each answer held against the model.
//!
//! Memory's time is an argument: its histories jump, step back, and cross the
//! days on which clocks change. Redis goes by its own clock, which a test can't
//! set, so there windows are short, time only passes, and daylight saving and
//! the ends of months are left to memory; the model is told the server's time.

use crate::engine::*;
use crate::model::{Model, calendars};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use weir::counters::memory::Memory;
use weir::counters::redis::{At, Redis};
use weir::counters::{CounterError, ExpiredHold};
use weir::limits::period::Period;
use weir::limits::*;
use weir::units::{Millis, UnixMillis};

const HOUR_MS: u64 = 3_600_000;

/// Holds that a history may use.
const HOLDS: u16 = 16;

/// How time passes in a history, and which limits it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Memory: sub-second windows, with steps of up to days, forwards and back.
    Steps,
    /// Memory: calendars, from an hour to some days before clocks change.
    Calendars,
    /// Redis: tens of milliseconds, as they pass.
    Server,
}

#[derive(Debug, Clone)]
pub enum Step {
    Reserve {
        hold: u16,
        /// Places in the world's list of limits.
        limits: Vec<usize>,
        tokens: u64,
        hold_ms: u64,
        lease_ms: u64,
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
    /// The owner of this hold never comes back.
    Crash {
        hold: u16,
    },
    Expire {
        max: usize,
        claim_ms: u64,
        told: bool,
    },
    Pass {
        ms: u64,
    },
    Back {
        ms: u64,
    },
}

/// What a history's next step hangs on.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub world: World,
    pub begins: UnixMillis,
    /// What each hold that was asked for asked for.
    tokens: BTreeMap<u16, u64>,
    crashed: BTreeSet<u16>,
}

impl Fleet {
    fn is_alive(&self, hold: u16) -> bool {
        !self.crashed.contains(&hold)
    }
}

/// Generates histories: one machine for each world.
macro_rules! machine {
    ($name:ident, $world:expr) => {
        pub struct $name;

        impl ReferenceStateMachine for $name {
            type State = Fleet;
            type Transition = Step;

            fn init_state() -> BoxedStrategy<Fleet> {
                let begin = begin($world);
                let fleet = begin.prop_map(|begins| Fleet {
                    world: $world,
                    begins,
                    tokens: BTreeMap::new(),
                    crashed: BTreeSet::new(),
                });
                fleet.boxed()
            }

            fn transitions(fleet: &Fleet) -> BoxedStrategy<Step> {
                steps(fleet)
            }

            fn preconditions(fleet: &Fleet, step: &Step) -> bool {
                match step {
                    Step::Reserve { hold, .. }
                    | Step::Settle { hold, .. }
                    | Step::Renew { hold, .. }
                    | Step::Crash { hold } => fleet.is_alive(*hold),
                    Step::Expire { .. } | Step::Pass { .. } | Step::Back { .. } => true,
                }
            }

            fn apply(mut fleet: Fleet, step: &Step) -> Fleet {
                match step {
                    Step::Reserve { hold, tokens, .. } => {
                        fleet.tokens.insert(*hold, *tokens);
                    }
                    Step::Crash { hold } => {
                        fleet.crashed.insert(*hold);
                    }
                    _ => {}
                }
                fleet
            }
        }
    };
}

machine!(Steps, World::Steps);
machine!(Calendars, World::Calendars);
machine!(ServerTime, World::Server);

/// Moments at which some clock changes, or a month ends: Berlin and New York,
/// spring and autumn; Lord Howe's half hours; Apia's lost day; Sao Paulo's
/// midnights; the ends of February.
const CHANGES: [u64; 12] = [
    1_774_746_000_000, // Berlin, 2026-03-29T01:00Z
    1_792_890_000_000, // Berlin, 2026-10-25T01:00Z
    1_772_953_200_000, // New York, 2026-03-08T07:00Z
    1_793_512_800_000, // New York, 2026-11-01T06:00Z
    1_775_314_800_000, // Lord Howe, 2026-04-04T15:00Z
    1_791_041_400_000, // Lord Howe, 2026-10-03T15:30Z
    1_325_239_200_000, // Apia, 2011-12-30T10:00Z
    1_541_300_400_000, // Sao Paulo, 2018-11-04T03:00Z
    1_518_919_200_000, // Sao Paulo, 2018-02-18T02:00Z
    1_772_236_800_000, // 2026-02-28
    1_835_395_200_000, // 2028-02-29
    1_798_675_200_000, // 2026-12-31
];

fn begin(world: World) -> BoxedStrategy<UnixMillis> {
    match world {
        World::Steps => (0_u64..2_000)
            .prop_map(|ms| UnixMillis(1_800_000_000_000 + ms))
            .boxed(),
        World::Calendars => (select(&CHANGES), 0_u64..60 * HOUR_MS)
            .prop_map(|(change, before)| UnixMillis(change - before))
            .boxed(),
        World::Server => Just(NOW).boxed(),
    }
}

fn steps(fleet: &Fleet) -> BoxedStrategy<Step> {
    let living: Vec<u16> = (0..HOLDS).filter(|hold| fleet.is_alive(*hold)).collect();
    if living.is_empty() {
        return prop_oneof![pass(fleet.world), expire()].boxed();
    }
    let hold = select(living.clone());
    // Mostly such as were asked for; at times one that no one knows.
    let asked: Vec<u16> = fleet.tokens.keys().copied().collect();
    let asked: Vec<u16> = asked.into_iter().filter(|h| fleet.is_alive(*h)).collect();
    let known = select(if asked.is_empty() { living } else { asked });
    let tokens = fleet.tokens.clone();
    let settle = (known.clone(), 0_u8..8, 1_u64..60).prop_map(move |(hold, how, off)| {
        let held = tokens.get(&hold).copied().unwrap_or(0);
        let (requests, tokens) = match how {
            0 | 1 => (0, 0),
            2 | 3 => (1, held),
            4 | 5 => (1, held.saturating_sub(off)),
            6 => (1, held + off),
            _ => (2, held + 5 * off),
        };
        Step::Settle {
            hold,
            requests,
            tokens,
        }
    });
    let world = fleet.world;
    let lives = lives(world);
    let all: Vec<usize> = (0..limits(world).len()).collect();
    let count = 1..=all.len();
    let reserve = (
        hold.clone(),
        subsequence(all, count),
        0_u64..60,
        lives.clone(),
    );
    let reserve = reserve.prop_map(
        |(hold, limits, tokens, (hold_ms, lease_ms))| Step::Reserve {
            hold,
            limits,
            tokens,
            hold_ms,
            lease_ms,
        },
    );
    let renew = (known.clone(), lives).prop_map(|(hold, (hold_ms, lease_ms))| Step::Renew {
        hold,
        hold_ms,
        lease_ms,
    });
    let stranger = (hold, 0_u64..9).prop_map(|(hold, tokens)| Step::Settle {
        hold,
        requests: 1,
        tokens,
    });
    prop_oneof![
        12 => reserve,
        6 => settle,
        1 => stranger,
        3 => renew,
        1 => known.prop_map(|hold| Step::Crash { hold }),
        2 => expire(),
        7 => pass(world),
    ]
    .boxed()
}

fn expire() -> BoxedStrategy<Step> {
    let max = prop_oneof![1_usize..3, Just(1_000)];
    let expire = (max, 0_u64..40, any::<bool>());
    expire
        .prop_map(|(max, claim_ms, told)| Step::Expire {
            max,
            claim_ms,
            told,
        })
        .boxed()
}

/// How long holds and leases live.
fn lives(world: World) -> BoxedStrategy<(u64, u64)> {
    match world {
        World::Steps => (1_u64..3_000, 1_u64..900).boxed(),
        World::Calendars => (1..30 * HOUR_MS, 1..5 * HOUR_MS).boxed(),
        World::Server => (1_u64..60, 1_u64..40).boxed(),
    }
}

fn pass(world: World) -> BoxedStrategy<Step> {
    let ms = match world {
        World::Steps => prop_oneof![
            20 => 1_u64..120,
            6 => 1_u64..2_000,
            3 => 1_u64..200_000,
            1 => 1..100 * 24 * HOUR_MS,
        ]
        .boxed(),
        World::Calendars => prop_oneof![
            12 => 1..HOUR_MS,
            6 => 1..30 * HOUR_MS,
            1 => 1..40 * 24 * HOUR_MS,
        ]
        .boxed(),
        World::Server => (1_u64..10).boxed(),
    };
    let forwards = ms.prop_map(|ms| Step::Pass { ms });
    match world {
        World::Steps => {
            let back = prop_oneof![1_u64..500, Just(HOUR_MS)].prop_map(|ms| Step::Back { ms });
            prop_oneof![15 => forwards, 1 => back].boxed()
        }
        World::Calendars => {
            let back = Just(Step::Back { ms: HOUR_MS });
            prop_oneof![15 => forwards, 1 => back].boxed()
        }
        World::Server => forwards.boxed(),
    }
}

/// Every algorithm, and every algorithm in shadow, with windows that a history
/// of this world goes through many times.
pub fn limits(world: World) -> Vec<Arc<Limit>> {
    let unit = match world {
        World::Steps => 500,
        World::Calendars => 6 * HOUR_MS + 7,
        World::Server => 14,
    };
    let span = |parts: u64| Millis(unit * parts);
    let leaky = Algorithm::LeakyBucket {
        every: span(3),
        burst: 3,
    };
    let mut limits = vec![
        window("requests", Unit::Requests, 6, span(2)),
        window("tokens", Unit::Tokens, 150, Millis(3 * unit - 1)),
        bucket("bucket", 70, span(2), 90),
        limit("leaky", Unit::Requests, 7, leaky),
        slots("slots", 4),
        rolling("rolling", Unit::Requests, 3, 7, Period::aligned(span(1))),
        shadow(&rolling(
            "wave",
            Unit::Tokens,
            40,
            25,
            Period::aligned(span(2)),
        )),
        fixed("aligned", Unit::Requests, 5, Period::aligned(span(1))),
        fixed("first", Unit::Cost, 240, Period::first_hit(span(2))),
        shadow(&window("shade", Unit::Requests, 1, span(1))),
        shadow(&bucket("ghost", 3, span(1), 9)),
        shadow(&slots("trace", 1)),
        shadow(&fixed(
            "hint",
            Unit::Requests,
            1,
            Period::first_hit(span(1)),
        )),
    ];
    if world == World::Calendars {
        // Days, and months that begin with their last day. (Of Apia's lost day the
        // engines say that it was a day without any call.)
        let rolls = [(1, 2, 3), (5, 4, 11), (8, 2, 1)].map(|(n, amount, most)| {
            let (_, period) = &calendars::known()[n];
            let name = format!("rolling {n}");
            rolling(&name, Unit::Requests, amount, most, period.clone())
        });
        limits.extend(rolls);
        let calendars = (0_u64..).zip(calendars::known());
        limits.extend(calendars.map(|(n, (_, period))| {
            let name = format!("calendar {n}");
            fixed(&name, Unit::Requests, 3 + 2 * n, period.clone())
        }));
    }
    limits
}

/// What is tested: an engine, its time, and the model beside it.
struct Pair<'a> {
    engine: Tested<'a>,
    model: Model,
    now: UnixMillis,
    limits: Vec<Arc<Limit>>,
    history: u32,
    slot: Arc<str>,
    /// Whether some who are refused come back when they were told to.
    comes_back: bool,
}

enum Tested<'a> {
    Memory(Memory),
    Redis(&'a Redis, redis::aio::MultiplexedConnection),
}

impl Pair<'_> {
    async fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Reserve {
                hold,
                limits,
                tokens,
                hold_ms,
                lease_ms,
            } => {
                let call = self.call(*hold, limits, *tokens, (*hold_ms, *lease_ms));
                let there = match &self.engine {
                    Tested::Memory(memory) => self.told(memory.reserve(&call, self.now).unwrap()),
                    Tested::Redis(redis, _) => in_a_window(redis, &call).await,
                };
                let here = self.model.reserve(&call, there.now);
                prop_assert_eq!(&there.answer, &here);
                if self.comes_back && hold.is_multiple_of(2) {
                    self.come_back(&call, &here)?;
                }
            }
            Step::Settle {
                hold,
                requests,
                tokens,
            } => self.settle(*hold, *requests, *tokens).await?,
            Step::Renew {
                hold,
                hold_ms,
                lease_ms,
            } => {
                let (hold, ttl, lease) = (self.id(*hold), Millis(*hold_ms), Millis(*lease_ms));
                let there = match &self.engine {
                    Tested::Memory(memory) => {
                        self.told(memory.renew(&self.slot, hold, ttl, lease, self.now))
                    }
                    Tested::Redis(redis, _) => {
                        redis.renew(&self.slot, hold, ttl, lease).await.unwrap()
                    }
                };
                let here = self.model.renew(hold, ttl, lease, there.now);
                prop_assert_eq!(there.answer, here);
            }
            Step::Crash { .. } => {}
            Step::Expire {
                max,
                claim_ms,
                told,
            } => {
                let expired = self.expire(*max, Millis(*claim_ms)).await?;
                if *told {
                    self.tell(&expired).await;
                }
            }
            Step::Pass { ms } => self.pass(*ms).await,
            Step::Back { ms } => self.now = UnixMillis(self.now.0 - ms),
        }
        let open = match &self.engine {
            Tested::Memory(memory) => memory.open_holds(),
            Tested::Redis(redis, _) => redis.open_holds().await.unwrap(),
        };
        prop_assert_eq!(open, self.model.open_holds());
        Ok(())
    }

    /// The same call passes when it was told to come back, and not a millisecond
    /// before. Memory only. What leases refuse is promised no time.
    fn come_back(&mut self, call: &Reservation, told: &Decision) -> Result<(), TestCaseError> {
        let Tested::Memory(memory) = &self.engine else {
            return Ok(());
        };
        let leased = |charge: &Charge| charge.limit.algorithm == Algorithm::Concurrency;
        let Decision::Refused(refusal, _) = told else {
            return Ok(());
        };
        let Retry::After(wait) = refusal.retry else {
            return Ok(());
        };
        if call.charges.iter().any(leased) {
            return Ok(());
        }
        prop_assert!(wait.0 > 0, "refused, and told to come now");
        let due = self.now + wait;
        let early = due - Millis(1);
        let answer = memory.reserve(call, early).unwrap();
        prop_assert_eq!(&answer, &self.model.reserve(call, early));
        let waits = matches!(&answer, Decision::Refused(refusal, _) if refusal.retry == Retry::After(Millis(1)));
        prop_assert!(waits, "a millisecond early: {:?}", answer);
        let answer = memory.reserve(call, due).unwrap();
        prop_assert_eq!(&answer, &self.model.reserve(call, due));
        let admitted = matches!(answer, Decision::Admitted(_));
        prop_assert!(admitted, "when told to: {:?}", answer);
        self.now = due;
        Ok(())
    }

    async fn settle(&mut self, n: u16, requests: u64, tokens: u64) -> Result<(), TestCaseError> {
        let hold = self.id(n);
        let actual = Actual {
            requests,
            input_tokens: tokens - tokens / 3,
            output_tokens: tokens / 3,
            cost_nanos: 3 * tokens,
        };
        let there = match &self.engine {
            Tested::Memory(memory) => self.told(memory.settle(&self.slot, hold, actual, self.now)),
            Tested::Redis(redis, _) => redis.settle(&self.slot, hold, actual).await.unwrap(),
        };
        let here = self.model.settle(hold, actual, there.now);
        prop_assert_eq!(there.answer, here);
        Ok(())
    }

    async fn expire(
        &mut self,
        max: usize,
        claim: Millis,
    ) -> Result<Vec<ExpiredHold>, TestCaseError> {
        let there = match &self.engine {
            Tested::Memory(memory) => self.told(memory.expire_due(self.now, max, claim)),
            Tested::Redis(redis, _) => redis.expire_due(max, claim).await.unwrap(),
        };
        let here = self.model.expire_due(there.now, max, claim);
        prop_assert_eq!(&there.answer, &here);
        Ok(here)
    }

    /// The rows of these are safe.
    async fn tell(&mut self, expired: &[ExpiredHold]) {
        match &self.engine {
            Tested::Memory(memory) => memory.told(expired),
            Tested::Redis(redis, _) => redis.told(expired).await.unwrap(),
        }
        self.model.told(expired);
    }

    async fn pass(&mut self, ms: u64) {
        match &mut self.engine {
            Tested::Memory(_) => self.now = self.now + Millis(ms),
            Tested::Redis(_, raw) => server_passes(raw, ms).await,
        }
    }

    /// What is crashed only expires; then no hold is left, and no slot taken.
    async fn end(&mut self) -> Result<(), TestCaseError> {
        let world_lasts = match self.engine {
            Tested::Memory(_) => 41 * 24 * HOUR_MS,
            Tested::Redis(..) => 61,
        };
        self.pass(world_lasts).await;
        let expired = self.expire(1_000, Millis(0)).await?;
        self.tell(&expired).await;
        prop_assert_eq!(self.model.open_holds(), 0);
        prop_assert_eq!(self.expire(1_000, Millis(0)).await?, []);
        let lanes = self.limits.iter().position(|limit| &*limit.name == "slots");
        let last = Step::Reserve {
            hold: HOLDS,
            limits: lanes.into_iter().collect(),
            tokens: 0,
            hold_ms: 1,
            lease_ms: 1,
        };
        Box::pin(self.apply(&last)).await?;
        if let Tested::Memory(memory) = &self.engine {
            let later = self.now + Millis(900 * 24 * HOUR_MS);
            memory.expire_due(later, 1, CLAIM);
            prop_assert_eq!(memory.counters(), 0);
        }
        Ok(())
    }

    fn told<T>(&self, answer: T) -> At<T> {
        At {
            answer,
            now: self.now,
        }
    }

    fn id(&self, hold: u16) -> HoldId {
        let [a, b] = hold.to_be_bytes();
        let [c, d, e, f] = self.history.to_be_bytes();
        HoldId::new(UnixMillis(1), &[c, d, e, f, 0, 0, 0, 0, a, b])
    }

    fn call(
        &self,
        n: u16,
        places: &[usize],
        tokens: u64,
        (hold, lease): (u64, u64),
    ) -> Reservation {
        let charges = places.iter().map(|place| {
            let limit = &self.limits[*place];
            let amount = size(limit, tokens);
            // Some need more room than they take.
            match tokens % 4 {
                3 => needing(charge(limit, amount), amount + tokens),
                _ => charge(limit, amount),
            }
        });
        Reservation {
            hold: self.id(n),
            slot: Arc::clone(&self.slot),
            charges: charges.collect(),
            shared: Arc::default(),
            hold_ttl: Millis(hold),
            lease_ttl: Millis(lease),
            context: format!("{n}").into(),
        }
    }
}

/// What a call of so many tokens takes from a limit.
pub fn size(limit: &Limit, tokens: u64) -> u64 {
    match limit.unit {
        Unit::Cost => 3 * tokens,
        Unit::Requests | Unit::Concurrency => 1,
        _ => tokens,
    }
}

/// Windows here are shorter than a busy machine may take for one call; where each
/// was over when the server was asked, nothing was taken, and it is asked again.
async fn in_a_window(redis: &Redis, call: &Reservation) -> At<Decision> {
    for _ in 0..100 {
        match redis.reserve(call, NOW).await {
            Err(CounterError::Corrupt(why)) if why.contains("clock") => {}
            decided => return decided.unwrap(),
        }
    }
    panic!("no call takes less than a window")
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    }
}

fn memory_is_the_model<M>(cases: u32, steps: usize, comes_back: bool)
where
    M: ReferenceStateMachine<State = Fleet, Transition = Step>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let strategy = M::sequential_strategy(1..steps);
    let outcome = TestRunner::new(config(cases)).run(&strategy, |(fleet, steps, seen)| {
        let mut pair = in_memory(&fleet, comes_back);
        runtime.block_on(run(&mut pair, &steps, seen.as_deref()))
    });
    outcome.unwrap();
}

fn in_memory(fleet: &Fleet, comes_back: bool) -> Pair<'static> {
    Pair {
        engine: Tested::Memory(Memory::default()),
        model: Model::default(),
        now: fleet.begins,
        limits: limits(fleet.world),
        history: 0,
        slot: SLOT.into(),
        comes_back,
    }
}

/// `seen` tells the shrinking which steps were reached.
async fn run(
    pair: &mut Pair<'_>,
    steps: &[Step],
    seen: Option<&std::sync::atomic::AtomicUsize>,
) -> Result<(), TestCaseError> {
    for step in steps {
        if let Some(seen) = seen {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        pair.apply(step).await?;
    }
    pair.end().await
}

#[test]
fn memory_is_the_model_through_jumps_and_steps_back() {
    memory_is_the_model::<Steps>(300, 80, false);
}

/// A slot is looked through a minute after the first call that named it, though
/// that took nothing; a clock that steps back shows when that was. In the first
/// two histories it is a call that is refused, in the others one made again.
#[tokio::test]
async fn calls_that_take_nothing_count_for_when_counters_are_looked_at() {
    let reserve = |hold, limit, tokens| Step::Reserve {
        hold,
        limits: vec![limit],
        tokens,
        hold_ms: 1,
        lease_ms: 1,
    };
    let settle = |hold, requests, tokens| Step::Settle {
        hold,
        requests,
        tokens,
    };
    let pass = |ms| Step::Pass { ms };
    let back = |ms| Step::Back { ms };
    let (window, bucket, aligned, ghost, hint) = (0, 2, 5, 8, 10);
    let histories = [
        vec![
            reserve(0, aligned, 11),
            pass(309),
            reserve(1, bucket, 0),
            back(1),
            reserve(2, bucket, 1),
        ],
        vec![
            reserve(0, aligned, 31),
            pass(42_304),
            reserve(0, ghost, 1),
            pass(17_696),
            reserve(0, bucket, 0),
            back(HOUR_MS),
            reserve(0, ghost, 0),
        ],
        vec![
            reserve(0, hint, 0),
            pass(60_000),
            reserve(0, hint, 0),
            pass(310),
            reserve(1, window, 0),
            back(33),
            settle(1, 0, 0),
            reserve(2, window, 0),
        ],
        vec![
            reserve(0, bucket, 0),
            pass(60_000),
            reserve(0, aligned, 0),
            back(177),
            settle(0, 2, 99),
            pass(15),
            reserve(1, hint, 0),
            back(1),
            reserve(2, bucket, 0),
        ],
    ];
    for (n, steps) in histories.iter().enumerate() {
        let fleet = Fleet {
            world: World::Steps,
            begins: UnixMillis(1_800_000_000_290),
            tokens: BTreeMap::new(),
            crashed: BTreeSet::new(),
        };
        let outcome = run(&mut in_memory(&fleet, false), steps, None).await;
        assert!(outcome.is_ok(), "history {n}: {outcome:?}");
    }
}

#[test]
fn memory_is_the_model_where_clocks_change_and_months_end() {
    memory_is_the_model::<Calendars>(150, 60, false);
}

#[test]
fn who_is_refused_passes_when_told_to_and_not_a_millisecond_before() {
    memory_is_the_model::<Steps>(250, 60, true);
    memory_is_the_model::<Calendars>(120, 50, true);
}

#[test]
fn redis_is_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&[]));
    let redis = runtime.block_on(server.connect());
    let histories = AtomicU32::new(0);
    let strategy = ServerTime::sequential_strategy(1..60);
    let outcome = TestRunner::new(config(50)).run(&strategy, |(fleet, steps, seen)| {
        runtime.block_on(async {
            let history = histories.fetch_add(1, Ordering::SeqCst);
            let mut raw = server.raw().await;
            // What a failed history left must not mislead its shrinking.
            redis::cmd("FLUSHDB").exec_async(&mut raw).await.unwrap();
            let mut pair = Pair {
                engine: Tested::Redis(&redis, raw),
                model: Model::default(),
                now: NOW,
                limits: limits(fleet.world),
                history,
                slot: format!("slot {history}").into(),
                comes_back: false,
            };
            run(&mut pair, &steps, seen.as_deref()).await
        })
    });
    outcome.unwrap();
}
