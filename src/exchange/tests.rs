//! Whole calls as tables: every order of messages that a gateway can produce,
//! and a break at every point.

mod bodies;
mod doors;
mod expected;
mod heads;
mod orders;
mod prices;
mod routes;
mod scopes;
mod sources;
mod tokens;

use super::door::{Check, Door, Judgement};
use super::event::Outcome;
use super::message::Headers;
use super::*;
use crate::identity::table::{Account, Key};
use crate::identity::{KeyRing, KeyTable, Pepper};
use crate::limits::Decision;
use crate::limits::{Algorithm, Limit, Mode, Scope, Standing, Unit};
use crate::policy::{Hold, Model, OutputField, OutputRule, Plan, PlanLimit, Vocabulary};
use std::sync::Arc;

pub(super) const KEY: &str = "a-key-for-the-tests";
pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) fn settings() -> Settings {
    Settings {
        body_bytes_max: 4096,
        keep_authorization: false,
        trust_ext_authz: true,
        count_checks: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        handover_max: Millis::from_mins(10),
    }
}

pub(super) fn snapshot() -> Arc<Snapshot> {
    let pepper = Pepper::new(b"0123456789abcdef").unwrap();
    let digest = pepper.digest(KEY.as_bytes());
    let key = Key {
        digest,
        id: "key-1".into(),
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
    let every = Millis::from_mins(1);
    let plan = Plan {
        name: "team".into(),
        limits: vec![
            limit(
                "rpm",
                Scope::TENANT,
                Unit::Requests,
                10,
                Algorithm::SlidingWindow { every },
            ),
            limit(
                "tpm",
                Scope::USER,
                Unit::Tokens,
                1_000,
                Algorithm::TokenBucket { every, burst: 900 },
            ),
            limit(
                "slots",
                Scope::TENANT,
                Unit::Concurrency,
                2,
                Algorithm::Concurrency,
            ),
        ],
        output: OutputRule {
            max_tokens_default: Some(100),
            max_tokens_cap: Some(200),
            choices_cap: Some(4),
            hold: Some(Hold::Maximum),
            ..OutputRule::default()
        },
        ..Plan::default()
    };
    let model = |name: &str, output_field| {
        Arc::new(Model {
            name: name.into(),
            tier: None,
            provider: None,
            price: None,
            service_tier: None,
            vocabulary: Vocabulary::O200kBase,
            max_input_tokens: None,
            token_ratio: crate::policy::ModelRatio::EXACT,
            max_output_tokens: Some(16_384),
            output_field,
            image_tokens: None,
            inject_include_usage: true,
        })
    };
    let mut snapshot = Snapshot {
        keys,
        tenants: Arc::new([("acme".into(), "team".into())].into_iter().collect()),
        ..Snapshot::default()
    };
    Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
    for model in [
        model("gpt-4o", OutputField::Either),
        model("gpt-5", OutputField::MaxCompletionTokens),
        model("embed", OutputField::MaxTokens),
    ] {
        Arc::make_mut(&mut snapshot.models).insert(Arc::clone(&model.name), model);
    }
    Arc::new(snapshot)
}

pub(super) fn exchange(role: Role) -> Exchange {
    let hold = HoldId::new(NOW, &[7; 10]);
    Exchange::new(
        role,
        settings(),
        snapshot(),
        Learned::default(),
        hold,
        Counting::unbounded(),
    )
}

pub(super) fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

pub(super) fn request_head(path: &str) -> RequestHead {
    RequestHead {
        headers: headers(&[
            (":method", "POST"),
            (":path", path),
            ("authorization", &format!("Bearer {KEY}")),
            ("content-type", "application/json"),
        ]),
        ..RequestHead::default()
    }
}

/// The judgement of a head alone.
pub(super) fn at_door(head: &RequestHead, snapshot: &Snapshot) -> Judgement {
    let check = Check {
        head: head.clone(),
        ..Check::default()
    };
    check_at_door(check, snapshot, settings())
}

pub(super) fn check_at_door(check: Check, snapshot: &Snapshot, settings: Settings) -> Judgement {
    let door = Door {
        snapshot,
        settings,
        id: HoldId::new(NOW, &[7; 10]),
        counting: &Counting::unbounded(),
    };
    door.judge(check, NOW)
}

pub(super) fn chat(extra: &str) -> Vec<u8> {
    format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"hello world"}}]{extra}}}"#)
        .into_bytes()
}

pub(super) fn body(body: Vec<u8>) -> Event {
    Event::RequestBody { body, end: true }
}

pub(super) fn admitted() -> Event {
    let standing = |used, remaining| Standing {
        exceeded: false,
        used,
        remaining,
        carried: 0,
        reset_after: Some(Millis(6_000)),
    };
    Event::Decided(Some(Decision::Admitted(vec![
        standing(1, 9),
        standing(113, 787),
        standing(1, 1),
    ])))
}

pub(super) fn response_head(status: &str, content_type: &str) -> Event {
    Event::ResponseHeaders(ResponseHead {
        headers: headers(&[(":status", status), ("content-type", content_type)]),
        origin: Origin::Upstream,
        ..ResponseHead::default()
    })
}

pub(super) fn chunk(text: &str, end: bool) -> Event {
    Event::ResponseBody {
        body: text.as_bytes().to_vec(),
        end,
    }
}

pub(super) const ANSWER: &str = r#"{"model":"gpt-4o-2024","choices":[{"index":0,"message":{"role":"assistant","content":"hi there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}"#;

/// Steps through events and keeps all that came out.
pub(super) fn run(exchange: &mut Exchange, events: Vec<Event>) -> Vec<Step> {
    let mut now = NOW;
    events
        .into_iter()
        .map(|event| {
            now = now + Millis(10);
            exchange.step(event, now)
        })
        .collect()
}

pub(super) fn settlements(steps: &[Step]) -> Vec<&Settlement> {
    effects(steps)
        .filter_map(|effect| match effect {
            Effect::Settle(settlement) => Some(&**settlement),
            _ => None,
        })
        .collect()
}

pub(super) fn records(steps: &[Step]) -> Vec<&UsageEvent> {
    effects(steps)
        .filter_map(|effect| match effect {
            Effect::Record(event) => Some(&**event),
            _ => None,
        })
        .collect()
}

fn effects(steps: &[Step]) -> impl Iterator<Item = &Effect> {
    steps.iter().flat_map(|step| &step.effects)
}

pub(super) fn refusal(step: &Step) -> (u16, String) {
    match &step.reply {
        Some(Reply::Refuse { rendered, .. }) => {
            let body: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
            (
                rendered.status,
                body["error"]["code"].as_str().unwrap().to_owned(),
            )
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) fn ended_as(settlement: &Settlement) -> Outcome {
    settlement.event.as_ref().unwrap().outcome
}
