//! Whatever happens to calls, in whatever order: nothing is left behind.
//!
//! Random histories of many calls run through exchanges and the counters in
//! memory, in virtual time. Calls are interleaved message by message, broken at
//! any point, killed with their sidecar, refused; the clock moves on between.
//! At the end the books must balance.
//!
//! Beside it, in `fuzz/smoke.rs`: whatever bytes a client or a provider sends,
//! what reads them keeps its word; and in `property/allocations.rs`: what may not
//! allocate doesn't.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

#[path = "property/allocations.rs"]
mod allocations;
#[path = "property/explains.rs"]
mod explains;
#[path = "property/loopholes.rs"]
mod loopholes;
#[path = "property/policies.rs"]
mod policies;
#[path = "fuzz/smoke.rs"]
mod smoke;
#[path = "property/world.rs"]
mod world;

use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use weir::counters::memory::Memory;
use weir::exchange::event::Outcome;
use weir::exchange::{
    Effect, Event, Exchange, Learned, Origin, RequestHead, ResponseHead, Role, Settings, UsageEvent,
};
use weir::identity::table::{Account, Key};
use weir::identity::{KeyRing, KeyTable, Pepper};
use weir::limits::{Algorithm, Decision, HoldId, Limit, Mode, Scope, Settled, Unit};
use weir::policy::{Model, OutputField, OutputRule, Plan, PlanLimit, Snapshot, Vocabulary};
use weir::tokens::Counting;
use weir::units::{Millis, UnixMillis};

const KEY: &str = "a-key-for-tests";
const SLOTS: u64 = 4;
const HOLD_TTL: Millis = Millis::from_secs(60);
const LEASE_TTL: Millis = Millis::from_secs(15);

fn settings() -> Settings {
    Settings {
        body_bytes_max: 1 << 20,
        keep_authorization: false,
        trust_ext_authz: false,
        count_checks: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: HOLD_TTL,
        lease_ttl: LEASE_TTL,
        handover_max: Millis::from_mins(10),
    }
}

fn snapshot() -> Arc<Snapshot> {
    let pepper = Pepper::new(b"0123456789abcdef").unwrap();
    let digest = pepper.digest(KEY.as_bytes());
    let key = Key {
        digest,
        id: "k".into(),
        user: Some("ann".into()),
        account: Account {
            tenant: "acme".into(),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    };
    let keys = KeyRing {
        peppers: Some(pepper.into()),
        configured: Arc::new(KeyTable::of([key]).unwrap()),
        ..KeyRing::default()
    };
    // Windows so long that a history never leaves them: what is used at the end
    // is all that was ever charged.
    let every = Millis::from_mins(60 * 24);
    let limit = |name: &str, scope, unit, amount, algorithm| {
        PlanLimit::from(Limit {
            name: name.into(),
            scope,
            unit,
            amount,
            algorithm,
            mode: Mode::Enforce,
        })
    };
    let plan = Plan {
        name: "team".into(),
        limits: vec![
            limit(
                "requests",
                Scope::TENANT,
                Unit::Requests,
                30,
                Algorithm::SlidingWindow { every },
            ),
            limit(
                "tokens",
                Scope::USER,
                Unit::Tokens,
                86_400,
                Algorithm::SlidingWindow { every },
            ),
            limit(
                "slots",
                Scope::TENANT,
                Unit::Concurrency,
                SLOTS,
                Algorithm::Concurrency,
            ),
        ],
        output: OutputRule {
            max_tokens_default: Some(50),
            max_tokens_cap: None,
            choices_cap: Some(4),
            ..OutputRule::default()
        },
        ..Plan::default()
    };
    let model = Model {
        name: "gpt-4o".into(),
        tier: None,
        provider: None,
        price: None,
        service_tier: None,
        vocabulary: Vocabulary::O200kBase,
        max_input_tokens: None,
        token_ratio: weir::policy::ModelRatio::EXACT,
        max_output_tokens: Some(1_000),
        output_field: OutputField::MaxTokens,
        image_tokens: None,
        inject_include_usage: true,
    };
    let mut snapshot = Snapshot {
        keys,
        tenants: Arc::new([("acme".into(), "team".into())].into_iter().collect()),
        ..Snapshot::default()
    };
    Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
    Arc::make_mut(&mut snapshot.models).insert("gpt-4o".into(), Arc::new(model));
    Arc::new(snapshot)
}

/// What is done next in a history.
#[derive(Debug, Clone)]
enum Act {
    /// A call arrives; its answer will be of this kind.
    Open(Answer),
    /// The nth open call's next message.
    Next(usize),
    /// The nth open call's stream breaks.
    Break(usize),
    /// The nth open call's sidecar dies: nobody settles.
    Kill(usize),
    Wait(u64),
    /// Expired holds are looked for.
    Expire,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Plain,
    Stream,
    NoUsage,
    Refused,
    Failed,
    NeverSent,
}

fn act() -> impl Strategy<Value = Act> {
    let answer = prop_oneof![
        Just(Answer::Plain),
        Just(Answer::Stream),
        Just(Answer::NoUsage),
        Just(Answer::Refused),
        Just(Answer::Failed),
        Just(Answer::NeverSent),
    ];
    prop_oneof![
        3 => answer.prop_map(Act::Open),
        8 => any::<usize>().prop_map(Act::Next),
        1 => any::<usize>().prop_map(Act::Break),
        1 => any::<usize>().prop_map(Act::Kill),
        2 => (0u64..20_000).prop_map(Act::Wait),
        1 => Just(Act::Expire),
    ]
}

fn messages(answer: Answer) -> Vec<Event> {
    let headers = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
            .collect()
    };
    let stream = matches!(answer, Answer::Stream);
    let head = RequestHead {
        headers: headers(&[
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("authorization", &format!("Bearer {KEY}")),
            ("content-type", "application/json"),
        ]),
        ..RequestHead::default()
    };
    let body = format!(
        r#"{{"model":"gpt-4o","stream":{stream},"messages":[{{"role":"user","content":"hello"}}]}}"#
    );
    let response = |status: &str, kind: &str, origin| {
        Event::ResponseHeaders(ResponseHead {
            headers: headers(&[(":status", status), ("content-type", kind)]),
            origin,
            ..ResponseHead::default()
        })
    };
    let chunk = |text: &str, end| Event::ResponseBody {
        body: text.as_bytes().to_vec(),
        end,
    };
    let mut messages = vec![
        Event::RequestHeaders(head),
        Event::RequestBody {
            body: body.into_bytes(),
            end: true,
        },
    ];
    let json = "application/json";
    messages.extend(match answer {
        Answer::Plain => vec![
            response("200", json, Origin::Upstream),
            chunk(r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"#, false),
            chunk(r#""usage":{"prompt_tokens":8,"completion_tokens":70,"total_tokens":78}}"#, true),
        ],
        Answer::Stream => vec![
            response("200", "text/event-stream", Origin::Upstream),
            chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n", false),
            chunk("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1}}\n\n", false),
            chunk("data: [DONE]\n\n", true),
        ],
        Answer::NoUsage => vec![
            response("200", json, Origin::Upstream),
            chunk(r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}"#, true),
        ],
        Answer::Refused => vec![response("400", json, Origin::Upstream), chunk("{}", true)],
        Answer::Failed => vec![response("500", json, Origin::Upstream), chunk("{}", true)],
        Answer::NeverSent => vec![response("503", "text/plain", Origin::NeverSent), chunk("no", true)],
    });
    messages.reverse();
    messages
}

/// A call and the messages still to come, last first.
struct Call {
    exchange: Exchange,
    messages: Vec<Event>,
}

struct World {
    snapshot: Arc<Snapshot>,
    counters: Memory,
    now: UnixMillis,
    calls: Vec<Call>,
    opened: u8,
    admitted: usize,
    /// Events of admitted calls, by hold.
    ended: HashMap<HoldId, UsageEvent>,
    refused: usize,
}

impl World {
    fn new() -> Self {
        Self {
            snapshot: snapshot(),
            counters: Memory::default(),
            now: UnixMillis(1_700_000_000_000),
            calls: Vec::new(),
            opened: 0,
            admitted: 0,
            ended: HashMap::new(),
            refused: 0,
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Open(answer) => self.open(answer),
            Act::Next(n) => self.on_call(n, |call| call.messages.pop()),
            Act::Break(n) => self.on_call(n, |call| {
                call.messages.clear();
                Some(Event::Closed)
            }),
            Act::Kill(n) => {
                if !self.calls.is_empty() {
                    self.calls.swap_remove(n % self.calls.len());
                }
            }
            Act::Wait(ms) => self.now = self.now + Millis(ms),
            Act::Expire => self.expire(),
        }
    }

    fn open(&mut self, answer: Answer) {
        if self.opened == u8::MAX {
            return;
        }
        self.opened += 1;
        let hold = HoldId::new(self.now, &[self.opened; 10]);
        let exchange = Exchange::new(
            Role::Full,
            settings(),
            Arc::clone(&self.snapshot),
            Learned::default(),
            hold,
            Counting::unbounded(),
        );
        self.calls.push(Call {
            exchange,
            messages: messages(answer),
        });
    }

    fn on_call(&mut self, n: usize, next: impl FnOnce(&mut Call) -> Option<Event>) {
        if self.calls.is_empty() {
            return;
        }
        let index = n % self.calls.len();
        let mut call = self.calls.swap_remove(index);
        if let Some(event) = next(&mut call) {
            self.step(&mut call.exchange, event);
        }
        if !call.messages.is_empty() {
            self.calls.push(call);
        }
    }

    fn step(&mut self, exchange: &mut Exchange, event: Event) {
        let mut event = Some(event);
        while let Some(next) = event.take() {
            for effect in exchange.step(next, self.now).effects {
                match effect {
                    Effect::Reserve(reservation) => {
                        let decision = self.counters.reserve(&reservation, self.now).unwrap();
                        self.admitted += usize::from(matches!(decision, Decision::Admitted(_)));
                        event = Some(Event::Decided(Some(decision)));
                    }
                    Effect::Settle(s) => {
                        let settled = self.counters.settle(&s.slot, s.hold, s.actual, self.now);
                        if settled == Settled::Applied {
                            self.end(s.event.unwrap());
                        }
                    }
                    Effect::Record(event) => {
                        assert_eq!(event.outcome, Outcome::Refused);
                        self.refused += 1;
                    }
                    Effect::Adopt { .. } => panic!("no meter here"),
                    Effect::Wait { .. } | Effect::Notice(_) => panic!("no rule is there"),
                }
            }
        }
    }

    fn expire(&mut self) {
        let expired = self.counters.expire_due(self.now, 1_000, HOLD_TTL);
        self.counters.told(&expired);
        for expired in expired {
            let call = weir::exchange::OpenCall::from_json(&expired.context).unwrap();
            self.end(weir::exchange::expired_event(&call, self.now));
        }
    }

    fn end(&mut self, event: UsageEvent) {
        let before = self.ended.insert(event.id, event);
        assert!(before.is_none(), "two events for one call: {before:?}");
    }

    /// Traffic stops: open calls break, the dead ones' holds run out.
    fn come_to_rest(&mut self) {
        while let Some(mut call) = self.calls.pop() {
            self.step(&mut call.exchange, Event::Closed);
        }
        self.now = self.now + HOLD_TTL + Millis(1);
        self.expire();
    }

    /// What the counters hold, asked by a reservation that takes one of each.
    fn used(&mut self) -> Option<(u64, u64, u64)> {
        let mut probe = None;
        let mut exchange = Exchange::new(
            Role::Full,
            settings(),
            Arc::clone(&self.snapshot),
            Learned::default(),
            HoldId::new(self.now, &[0; 10]),
            Counting::unbounded(),
        );
        for event in messages(Answer::Plain).into_iter().rev().take(2) {
            for effect in exchange.step(event, self.now).effects {
                if let Effect::Reserve(reservation) = effect {
                    let asked: Vec<u64> = reservation.charges.iter().map(|c| c.amount).collect();
                    if let Decision::Admitted(standings) =
                        self.counters.reserve(&reservation, self.now).unwrap()
                    {
                        let used: Vec<u64> = standings
                            .iter()
                            .zip(asked)
                            .map(|(s, a)| s.used - a)
                            .collect();
                        probe = Some((used[0], used[1], used[2]));
                    }
                }
            }
        }
        probe
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_histories_leave_nothing_behind(acts in prop::collection::vec(act(), 1..250)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.come_to_rest();
        prop_assert_eq!(world.counters.open_holds(), 0, "a hold is left");
        prop_assert_eq!(world.ended.len(), world.admitted, "each admitted call has one event");
        let requests = world.ended.values().filter(|event| {
            // A void call that reached its provider still counts as a request.
            event.outcome != Outcome::Void || event.status == Some(400)
        });
        let requests = requests.count() as u64;
        let tokens: u64 = world.ended.values().map(UsageEvent::total_tokens).sum();
        match world.used() {
            Some(used) => prop_assert_eq!(used, (requests, tokens, 0), "counters and events agree"),
            // Refused: only by a limit that the events say is used up.
            None => prop_assert!(requests >= 30 || tokens > 86_400 - 60),
        }
    }
}
