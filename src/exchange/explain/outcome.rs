//! The verdict on a call: how it would be sent on, or what its client would get.

use super::Inquiry;
use super::explanation::{AnswerTold, EditTold, SentTold, VerdictTold};
use crate::exchange::message::{HeaderEdits, Notice, Reply};
use crate::exchange::open_call::OpenCall;
use crate::exchange::{State, rules_told};
use crate::protocol::denial::Rendered;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The header that says what refused a call.
const DECISION: &str = "x-weir-decision";

pub(super) fn verdict(inquiry: &Inquiry) -> VerdictTold {
    let mut verdict = match &inquiry.seen.reply {
        Some(Reply::Refuse { rendered, .. }) => refused(inquiry, rendered),
        reply => allowed(inquiry, reply.as_ref()),
    };
    verdict.delay_ms = inquiry.seen.delay.0;
    if verdict.delay_ms > 0 {
        verdict.is.push("delayed".to_owned());
    }
    for notice in &inquiry.seen.notices {
        if let Notice::Budget { passed, .. } = notice {
            let percent = passed.threshold_per_mille / 10;
            verdict.passed.insert(passed.budget.to_string(), percent);
        }
    }
    verdict
}

fn refused(inquiry: &Inquiry, rendered: &Rendered) -> VerdictTold {
    let event = inquiry.seen.event.as_ref();
    let reason = event.and_then(|event| event.refusal.as_deref());
    let headers: BTreeMap<String, String> = rendered
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-weir-decision-id")
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    VerdictTold {
        decision: "refused",
        is: reason.map(str::to_owned).into_iter().collect(),
        by: headers.get(DECISION).cloned(),
        actions: texts(event.map_or(&[][..], |event| &event.actions)),
        would_refuse: Vec::new(),
        delay_ms: 0,
        passed: BTreeMap::new(),
        sent: None,
        answer: Some(AnswerTold {
            status: rendered.status,
            headers,
            body: serde_json::from_slice(&rendered.body).unwrap_or_default(),
        }),
    }
}

fn allowed(inquiry: &Inquiry, reply: Option<&Reply>) -> VerdictTold {
    let none = HeaderEdits::default();
    let (body, head) = match reply {
        Some(Reply::RequestBody { body, head, .. }) => (body.as_deref(), head),
        Some(Reply::RequestHeaders { edits, .. }) => (None, edits),
        _ => (None, &none),
    };
    let call = match &inquiry.exchange.state {
        State::Upstream(call) => Some(&**call),
        _ => None,
    };
    let told = call
        .map(|call| call.rate_headers.as_slice())
        .unwrap_or_default();
    let told = told
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()));
    let answer_headers: BTreeMap<String, String> = told.collect();
    VerdictTold {
        decision: "allowed",
        is: kinds(&answer_headers, head),
        by: None,
        actions: texts(call.map_or(&[][..], |call: &OpenCall| &call.actions)),
        would_refuse: texts(call.map_or(&[][..], |call| &call.would_refuse)),
        delay_ms: 0,
        passed: BTreeMap::new(),
        sent: Some(SentTold {
            headers: head
                .set
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            edits: edits(inquiry, body),
            answer_headers,
        }),
        answer: None,
    }
}

/// What its client hears of.
fn kinds(headers: &BTreeMap<String, String>, head: &HeaderEdits) -> Vec<String> {
    let told = [
        (rules_told::DOWNGRADED_FROM, "downgraded"),
        (rules_told::CLAMPED, "clamped"),
        (rules_told::WARNING, "warned"),
    ];
    let told = told.iter().filter(|(name, _)| headers.contains_key(*name));
    let routed = head.set.iter().any(|(name, _)| *name == "x-weir-cluster");
    let routed = routed.then_some("routed");
    told.map(|(_, is)| *is)
        .chain(routed)
        .map(str::to_owned)
        .collect()
}

fn texts(all: &[Arc<str>]) -> Vec<String> {
    all.iter().map(|text| text.to_string()).collect()
}

/// What differs between the client's body and the one that is sent on; of one that
/// isn't JSON nothing is told.
fn edits(inquiry: &Inquiry, sent: Option<&[u8]>) -> BTreeMap<String, EditTold> {
    let mut edits = BTreeMap::new();
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let came = inquiry.ask.as_ref().and_then(|ask| read(&ask.body));
    if let Some((came, sent)) = came.zip(sent.and_then(read)) {
        differences("", &came, &sent, &mut edits);
    }
    edits
}

/// weir edits fields of objects, and never a list. As deep as a body may be.
fn differences(path: &str, from: &Value, to: &Value, found: &mut BTreeMap<String, EditTold>) {
    if from == to {
        return;
    }
    if let (Value::Object(before), Value::Object(after)) = (from, to) {
        let dot = if path.is_empty() { "" } else { "." };
        let nothing = Value::Null;
        for name in before.keys().chain(after.keys()) {
            let path = format!("{path}{dot}{name}");
            let before = before.get(name).unwrap_or(&nothing);
            let after = after.get(name).unwrap_or(&nothing);
            differences(&path, before, after, found);
        }
        return;
    }
    let edit = EditTold {
        from: from.clone(),
        to: to.clone(),
    };
    found.insert(path.to_owned(), edit);
}
