//! How far a sliding window's count may be from the exact one: the calls of the
//! last `every`, one by one.
//!
//! With S the length of a sub-window (a twelfth of `every`), at every moment
//! - it counts at least what came in the last 11 S, so at most `amount` passes
//!   in any span of 11/12 of `every`;
//! - it counts at most what came in the last 13 S;
//! - from the exact count it differs by at most what came in the one oldest
//!   sub-window, and it counts less only by less than that.

use crate::engine::*;
use crate::model::sliding::sub_window;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use weir::counters::memory::Memory;
use weir::limits::*;
use weir::units::{Millis, UnixMillis};

/// One sliding window in memory, and all that it admitted.
struct Window {
    memory: Memory,
    limit: Arc<Limit>,
    calls: u16,
    admitted: Vec<(u64, u64)>,
}

impl Window {
    fn new(amount: u64, every: Millis) -> Self {
        Self {
            memory: Memory::default(),
            limit: window("w", Unit::Tokens, amount, every),
            calls: 0,
            admitted: Vec::new(),
        }
    }

    fn ask(&mut self, tokens: u64, now: u64) -> Decision {
        self.calls += 1;
        let call = call(self.calls, vec![charge(&self.limit, tokens)]);
        let decision = self.memory.reserve(&call, UnixMillis(now)).unwrap();
        if matches!(decision, Decision::Admitted(_)) {
            self.admitted.push((now, tokens));
        }
        decision
    }

    /// What was admitted in this long, up to and with `now`.
    fn exact(&self, span: u64, now: u64) -> u64 {
        let inside = |at: u64| at <= now && at + span > now;
        let calls = self.admitted.iter().filter(|(at, _)| inside(*at));
        calls.map(|(_, tokens)| tokens).sum()
    }

    /// The most that was admitted in any span of this length.
    fn most(&self, span: u64) -> u64 {
        let ends = self.admitted.iter().map(|(at, _)| self.exact(span, *at));
        ends.max().unwrap_or(0)
    }
}

#[test]
fn a_sliding_window_is_off_by_less_than_its_oldest_sub_window() {
    let gaps = prop_oneof![6 => 0_u64..15, 2 => 0_u64..80, 1 => 0_u64..400];
    let calls = prop::collection::vec((gaps, 0_u64..1_000), 1..120);
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(12_u64..400, calls), |(every, calls)| {
        let sub = u64::try_from(sub_window(i128::from(every))).unwrap();
        let mut window = Window::new(AMOUNT_MAX, Millis(every));
        let mut now = 1_800_000_000_000;
        for (gap, tokens) in calls {
            now += gap;
            let used = used(&window.ask(tokens, now))[0];
            let begin = (now / sub - 12) * sub;
            let oldest = window.admitted.iter();
            let oldest = oldest.filter(|(at, _)| (begin..begin + sub).contains(at));
            let oldest: u64 = oldest.map(|(_, tokens)| tokens).sum();
            let exact = window.exact(12 * sub, now);
            prop_assert!(used <= exact + oldest, "{used} > {exact} + {oldest}");
            let under = exact.saturating_sub(used);
            prop_assert!(under == 0 || under < oldest, "{used} < {exact} - {oldest}");
            prop_assert!(used >= window.exact(11 * sub, now));
            prop_assert!(used <= window.exact(13 * sub, now));
            // Against `every` itself: never shorter, longer by less than 12 ms.
            prop_assert!(12 * sub >= every && 12 * sub < every + 12);
            prop_assert!(used + oldest >= window.exact(every, now));
        }
        Ok(())
    });
    outcome.unwrap();
}

/// What clients get out of 1,200 in 12 s, in any 12 s and in any 11 s.
fn got(client: &str, mut ask: impl FnMut(&mut Window, u64)) -> (u64, u64) {
    let mut window = Window::new(1_200, Millis(12_000));
    let begins = 1_800_000_000_000;
    let (mut under, mut over) = (0, 0);
    for now in begins..begins + 40_000 {
        ask(&mut window, now);
        if now % 40 == 8 {
            let counted = match window.ask(0, now) {
                Decision::Admitted(standings) => standings[0].used,
                other => refused(&other).used,
            };
            let exact = window.exact(12_000, now);
            under = under.max(exact.saturating_sub(counted));
            over = over.max(counted.saturating_sub(exact));
        }
    }
    let most = (window.most(12_000), window.most(11_000));
    println!(
        "{client}: {} in 12 s, {} in 11 s, of 1,200; counted at most {under} less and {over} more",
        most.0, most.1
    );
    most
}

#[test]
fn what_clients_get_out_of_a_sliding_window() {
    // Twice as much as is allowed, in even steps.
    let even = got("evenly", |window, now| {
        if now % 50 == 0 {
            window.ask(10, now);
        }
    });
    // The same at random, in calls of any size.
    let mut dice = 88_172_645_463_325_252_u64;
    let random = got("at random", move |window, now| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        if dice.is_multiple_of(50) {
            window.ask(dice / 64 % 20, now);
        }
    });
    // The same in bursts.
    let bursts = got("in bursts", |window, now| {
        if now % 1_370 == 0 {
            for _ in 0..27 {
                window.ask(10, now);
            }
        }
    });
    // All at the very end of a sub-window; then, as that one fades, whatever
    // passes. The worst there is, and only once after a pause.
    let worst = got("at worst", |window, now| {
        if now % 40_000 == 999 {
            window.ask(1_200, now);
        } else if now % 10 == 8 && now % 40_000 > 1_000 {
            while let Decision::Admitted(_) = window.ask(10, now) {}
        }
    });
    for (within_every, within_eleven) in [even, random, bursts, worst] {
        assert!(within_eleven <= 1_200);
        assert!(within_every < 2 * 1_200);
    }
    for (within_every, _) in [even, random, bursts] {
        assert!(within_every <= 1_300, "more than a twelfth past it");
    }
    assert!(worst.0 > 2_300, "the bound is as tight as it can be");
}
