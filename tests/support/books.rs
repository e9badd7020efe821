//! The books at the end of a test: what the provider saw, what the usage events
//! say and what the counters hold agree, and nothing is left open.

use super::stack::{Engine, SOON, Stack, unix_ms};
use super::until;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::counters::redis::{Redis, RedisConfig};
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;
use weir::limits::reservation::counter_id;
use weir::limits::{
    Actual, Algorithm, Charge, Decision, HoldId, Limit, Mode, Reservation, Scope, Unit,
};
use weir::protocol::Endpoint;
use weir::units::{Millis, UnixMillis};

/// In every plan besides its own limits: never reached, and exact, so that the
/// books can be held against them. Fewer tokens than the ample limit, so that
/// what is left of them is what the headers say.
pub const AUDIT: [&str; 3] = [
    "{ name: audit-requests, per: tenant, unit: requests, amount: 200k, every: 24h }",
    "{ name: audit-tokens, per: tenant, unit: tokens, amount: 500M, every: 24h, algorithm: sliding_window }",
    "{ name: audit-cost, per: tenant, unit: cost, amount: 9_000_000, every: 24h, algorithm: sliding_window }",
];

/// The same, as weir resolves them.
const AUDITED: [(&str, Unit, u64); 3] = [
    ("audit-requests", Unit::Requests, 200_000),
    ("audit-tokens", Unit::Tokens, 500_000_000),
    ("audit-cost", Unit::Cost, 9_000_000_000_000_000),
];

const DAY: Millis = Millis(86_400_000);

/// Limits of these amounts are exact and count whatever the tenant uses.
const EXACT_REQUESTS: [u64; 2] = [100_000, 200_000];
const EXACT_TOKENS: [u64; 1] = [500_000_000];

impl Stack {
    /// Provider's log, events and counters agree, and nothing is left open.
    pub async fn settle_the_books(&self) {
        let events = self.log_and_events_agree().await;
        match self.setup.engine {
            Engine::Memory => self.memory_agrees(&events).await,
            Engine::Redis => self.redis_agrees(&events).await,
        }
        let mut after = self.events();
        // The probe has an event of its own.
        after.retain(|event| event.started_at_ms <= events_end(&events));
        assert_eq!(after.len(), events.len(), "no event came late: {after:#?}");
    }

    /// The same without asking the counters, where no call can get through.
    pub async fn log_and_events_agree(&self) -> Vec<UsageEvent> {
        let received = self.provider.log();
        let count = received.len();
        let what = format!("an event for each of the {count} calls that the provider saw");
        let events = until(&what, SOON, || async move {
            let events = self.events();
            (events.iter().filter(|event| was_sent(event)).count() >= count).then_some(events)
        })
        .await;
        until("no call and no hold to be open", SOON, || async move {
            let mut open = 0.0;
            for series in ["weir_open_calls", "weir_open_holds", "weir_unsettled_holds"] {
                open += self.metric(series).await;
            }
            (open == 0.0).then_some(())
        })
        .await;
        let sent = events.iter().filter(|event| was_sent(event)).count();
        assert_eq!(sent, count, "{events:#?}");
        let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "no two events share an id");

        // How often each endpoint billed these tokens, less how often an exact
        // event says so.
        let mut difference: BTreeMap<(&str, u64, u64), i64> = BTreeMap::new();
        for call in &received {
            if call.status == 200 && call.finished && call.header("x-fake-no-usage").is_none() {
                let endpoint = Endpoint::of_path(&call.path).map_or("", |(known, _)| known.path());
                let (input, output) = call.bills;
                *difference.entry((endpoint, input, output)).or_default() += 1;
            }
        }
        for event in events.iter().filter(|e| e.outcome == Outcome::Exact) {
            let endpoint = event.endpoint.map_or("", Endpoint::path);
            let tokens = |tokens: Option<u64>| tokens.unwrap_or(0);
            let (input, output) = (tokens(event.input_tokens), tokens(event.output_tokens));
            *difference.entry((endpoint, input, output)).or_default() -= 1;
        }
        // Of what is free, an event needn't say that it is exactly nothing.
        difference.retain(|(_, input, output), count| *count != 0 && input + output > 0);
        if self.was_killed {
            // What ended while there was no weir is estimated.
            let estimated = |e: &&UsageEvent| e.outcome == Outcome::Estimated;
            let estimated = events.iter().filter(estimated).count();
            let billed: i64 = difference.values().sum();
            assert!(
                difference.values().all(|count| *count > 0)
                    && usize::try_from(billed).unwrap() <= estimated,
                "{difference:?} {events:#?}"
            );
        } else {
            assert!(
                difference.is_empty(),
                "exact events say what the provider bills: {difference:?} {events:#?}"
            );
        }
        events
    }

    /// What `acme`'s counters should have counted: requests, tokens,
    /// nano-dollars.
    fn counted(&self, events: &[UsageEvent]) -> (u64, u64, u64) {
        let counted: Vec<_> = events
            .iter()
            .filter(|event| was_sent(event) && self.is_counted(event))
            .filter(|event| event.tenant.as_deref() == Some("acme"))
            .collect();
        let tokens = counted.iter().map(|event| event.total_tokens()).sum();
        let cost = counted.iter().filter_map(|event| event.cost_nanos).sum();
        (counted.len() as u64, tokens, cost)
    }

    /// What Redis lost of calls that were open is charged when they end; weir's
    /// memory is lost with weir.
    fn is_counted(&self, event: &UsageEvent) -> bool {
        let at = match self.setup.engine {
            Engine::Redis => event.ended_at_ms,
            Engine::Memory => event.started_at_ms,
        };
        at.0 >= self.counting_since_ms
    }

    /// Asks Redis itself: what the exact limits hold is what the events say, and
    /// no hold and no slot is left.
    async fn redis_agrees(&self, events: &[UsageEvent]) {
        // Open holds and slots are all that is kept in sorted sets.
        until("no hold and no slot in Redis", SOON, || async move {
            self.sorted_sets().await.is_empty().then_some(())
        })
        .await;
        let config = RedisConfig {
            response_timeout: Millis::from_secs(5),
            ..RedisConfig::new(self.redis_url())
        };
        let redis = Redis::connect(&config).await.unwrap();
        let (requests, tokens, cost) = self.counted(events);
        let right = [requests + 1, tokens + 1, cost + 1];
        let deadline = Instant::now() + SOON;
        // What weir admitted alone is told a moment after it was settled.
        loop {
            let used = audited(&redis).await;
            if used == right {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "in Redis {used:?} instead of {right:?}, the audit's own included: {events:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The keys of sorted sets in Redis, but for the sidecars' signs of life.
    pub async fn sorted_sets(&self) -> Vec<String> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg(&["TYPE", "zset", "COUNT", "1000"]);
            let (next, keys): (u64, Vec<String>) = self.ask_redis(&scan).await;
            all.extend(keys.into_iter().filter(|key| !key.ends_with(":sidecars")));
            cursor = next;
            if cursor == 0 {
                return all;
            }
        }
    }

    /// Asks the counters by one more call: what is left of each exact limit is
    /// what the events have not used. A plan whose own limit is tighter, and has
    /// refused, says what it has counted; where its headers hide the exact ones,
    /// the same test over Redis sees them.
    async fn memory_agrees(&self, events: &[UsageEvent]) {
        let (requests, tokens, _) = self.counted(events);
        let probe = self.chat(
            &json!({"model": "gpt-4o", "max_tokens": 1,
            "messages": [{"role": "user", "content": "probe"}]}),
            &[],
        );
        let answer = self.send(probe).await;
        if answer.status == 429 {
            let message = answer.json()["error"]["message"].to_string();
            let long = answer.header("x-should-retry") == Some("false");
            if message.contains("requests (tenant-requests)") && long {
                assert!(message.contains(&format!("Used {requests},")), "{message}");
            }
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let own = until("the probe's event", SOON, || async move {
            let mut known = self.events().into_iter();
            known.find(|event| {
                events.iter().all(|other| other.id != event.id) && event.outcome == Outcome::Exact
            })
        })
        .await;
        let own = own.reserved_tokens.unwrap();
        let number = |name: String| {
            answer
                .header(&name)
                .map(|text| text.parse::<u64>().unwrap())
        };
        for (unit, used, exact) in [
            ("requests", requests + 1, &EXACT_REQUESTS[..]),
            ("tokens", tokens + own, &EXACT_TOKENS[..]),
        ] {
            let limit = number(format!("x-ratelimit-limit-{unit}")).unwrap();
            let left = number(format!("x-ratelimit-remaining-{unit}")).unwrap();
            if exact.contains(&limit) {
                assert_eq!(limit - left, used, "{unit} in the counters: {events:#?}");
            }
        }
    }
}

/// When the last call of these began.
fn events_end(events: &[UsageEvent]) -> UnixMillis {
    let starts = events.iter().map(|event| event.started_at_ms);
    starts.max().unwrap_or(UnixMillis(0))
}

/// Whether the provider saw the call, and the counters its request: what was
/// never sent is void without the provider's own refusal.
pub fn was_sent(event: &UsageEvent) -> bool {
    let refused_there = event
        .status
        .is_some_and(|status| (400..500).contains(&status));
    match event.outcome {
        Outcome::Refused => false,
        Outcome::Void => refused_there,
        Outcome::Exact | Outcome::Estimated => true,
    }
}

/// What `acme`'s exact limits hold in Redis, and one of each for asking:
/// requests, tokens, nano-dollars.
pub async fn audited(redis: &Redis) -> Vec<u64> {
    let now = UnixMillis(unix_ms());
    let hold = HoldId::new(now, &[0xbb; 10]);
    let charges = AUDITED.map(|(name, unit, amount)| {
        let limit = Limit {
            name: name.into(),
            scope: Scope::TENANT,
            unit,
            amount,
            algorithm: Algorithm::SlidingWindow { every: DAY },
            mode: Mode::Enforce,
        };
        Charge::new(Arc::new(limit), counter_id(name, &["acme"]), 1)
    });
    let reservation = Reservation {
        hold,
        slot: "acme".into(),
        charges: charges.to_vec().into(),
        shared: Arc::default(),
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(60),
        context: "".into(),
    };
    let decision = redis.reserve(&reservation, now).await.unwrap().answer;
    redis.settle("acme", hold, Actual::VOID).await.unwrap();
    let Decision::Admitted(standings) = decision else {
        panic!("{decision:?}");
    };
    standings.iter().map(|standing| standing.used).collect()
}
