//! Judging a request's body: what it asks, what it may cost, what it reserves.

use super::deciding::Deciding;
use super::event::UsageEvent;
use super::head::Identified;
use super::message::{Effect, Metadata, Notice, Reply, Step};
use super::open_call::OpenCall;
use super::planning::Planned;
use super::weigh::{Ask, Weighed};
use super::{Learned, Settings, reading, verdict};
use crate::identity::Principal;
use crate::limits::{HoldId, Reservation};
use crate::policy::grants::ApprovalRequest;
use crate::policy::{Model, Plan, Snapshot};
use crate::protocol::Endpoint;
use crate::protocol::denial::{Denial, Rendered};
use crate::protocol::refusal::{self, Form};
use crate::tokens::Counting;
use crate::units::UnixMillis;
use std::sync::Arc;

/// A call that won't be let through, and on whose account.
#[derive(Debug)]
pub(super) struct Refused {
    pub denial: Denial,
    pub principal: Option<Arc<Principal>>,
    pub endpoint: Option<Endpoint>,
    pub model: Option<Arc<str>>,
    /// What policy did to it, or would have.
    pub actions: Vec<Arc<str>>,
    /// What is to be approved, for it to pass.
    pub approval: Option<Box<ApprovalRequest>>,
    /// How its limits stand.
    pub rate_headers: Vec<(&'static str, String)>,
    pub started_at: UnixMillis,
}

/// What judging a body needs.
pub(super) struct Admission<'a> {
    pub settings: Settings,
    pub snapshot: &'a Snapshot,
    pub learned: &'a Learned,
    pub hold: HoldId,
    pub counting: &'a Counting,
    /// Grants that have refused it, by the names of their limits.
    pub used_up: &'a [Arc<str>],
}

impl Refused {
    pub fn new(
        denial: Denial,
        principal: Option<&Arc<Principal>>,
        endpoint: Option<Endpoint>,
        started_at: UnixMillis,
    ) -> Box<Self> {
        Box::new(Self {
            denial,
            principal: principal.cloned(),
            endpoint,
            model: None,
            actions: Vec::new(),
            approval: None,
            rate_headers: Vec::new(),
            started_at,
        })
    }
}

/// The step that refuses a call.
pub(super) fn refuse(refused: Refused, form: Form, id: HoldId, now: UnixMillis) -> Step {
    let mut refused = refused;
    let asked = refused.approval.take().map(Notice::Approval);
    let (rendered, metadata, event) = refusal_of(refused, form, id, now);
    let mut effects = vec![Effect::Record(Box::new(event))];
    effects.extend(asked.map(Effect::Notice));
    Step {
        reply: Some(Reply::Refuse { rendered, metadata }),
        effects,
    }
}

/// A refusal in its three forms: for the caller, for the access log, for the
/// record. `form` is what its head looked like.
pub(super) fn refusal_of(
    mut refused: Refused,
    form: Form,
    id: HoldId,
    now: UnixMillis,
) -> (Rendered, Metadata, UsageEvent) {
    let form = form.at(refused.endpoint);
    let mut rendered = refusal::render(form, &refused.denial, &id.to_string());
    let decision: Arc<str> = match &refused.denial {
        Denial::Rate(rate) => Arc::clone(&rate.limit_name),
        Denial::Policy(policy) => Arc::clone(&policy.rule),
        other => Arc::from(other.reason()),
    };
    rendered.headers.append(&mut refused.rate_headers);
    rendered.headers.extend([
        ("content-type", "application/json".to_owned()),
        ("x-weir-decision", decision.to_string()),
        ("x-weir-decision-id", id.to_string()),
    ]);
    let metadata = Metadata {
        decision: Arc::clone(&decision),
        id,
        tenant: refused
            .principal
            .as_ref()
            .map(|who| Arc::clone(&who.tenant)),
        model: refused.model.clone(),
        outcome: Some("refused"),
        input_tokens: None,
        output_tokens: None,
        handover: None,
    };
    let event = verdict::refused(refused, decision, (form.dialect, rendered.status), id, now);
    (rendered, metadata, event)
}

impl Admission<'_> {
    /// Reads a body and weighs what it asks.
    pub fn judge(
        &self,
        who: Identified,
        body: Vec<u8>,
        end: bool,
    ) -> Result<(Ask, Weighed), Box<Refused>> {
        let read = match reading::read(&who, (body, end), self.snapshot, self.settings) {
            Ok(read) => read,
            Err(denial) => {
                let (principal, endpoint) = (Some(&who.principal), Some(who.endpoint));
                return Err(Refused::new(denial, principal, endpoint, who.started_at));
            }
        };
        let ask = Ask::of(read, who);
        let weighed = self.weigh(&ask, None, None)?;
        Ok((ask, weighed))
    }

    pub fn reservation(&self, deciding: &Deciding) -> Reservation {
        Reservation {
            hold: self.hold,
            slot: Arc::clone(&deciding.call.tenant),
            charges: Arc::clone(&deciding.charges),
            shared: Arc::clone(&deciding.shared),
            hold_ttl: self.settings.hold_ttl,
            lease_ttl: self.settings.lease_ttl,
            context: deciding.call.to_json().into(),
        }
    }

    /// What is known of a call as it was planned.
    pub fn open_call(
        &self,
        who: &Identified,
        plan: &Plan,
        model: &Model,
        planned: Planned,
        shared: bool,
    ) -> OpenCall {
        let prompt = planned.prompt;
        OpenCall {
            id: self.hold,
            started_at: who.started_at,
            tenant: Arc::clone(&who.principal.tenant),
            project: who.principal.project.clone(),
            environment: who.principal.environment.clone(),
            user: who.principal.user.clone(),
            key_id: Arc::clone(&who.principal.key_id),
            plan: Arc::clone(&plan.name),
            labels: who.principal.labels.clone(),
            endpoint: who.endpoint,
            model: Arc::clone(&model.name),
            asked: None,
            provider: model.provider.clone(),
            vocabulary: model.vocabulary,
            token_ratio: self.learned.ratios.of(model),
            price: planned.price,
            stream: planned.stream,
            strip_usage: planned.strip_usage,
            input_tokens: planned.estimate.input_tokens,
            input_estimate: (prompt.tokens != prompt.held_tokens).then_some(prompt.tokens),
            input_basis: prompt.basis.filter(|_| model.token_ratio.learned),
            output_tokens: planned.estimate.output_tokens,
            expected: planned.expected,
            searches: planned.searches,
            request_bytes: planned.request_bytes,
            traceparent: who.traceparent.clone(),
            shared,
            would_refuse: Vec::new(),
            actions: Vec::new(),
            rate_headers: Vec::new(),
        }
    }

    /// A number by which weights decide, of the call's own: the same for each of its
    /// holds ([`HoldId::again`]), so that it is the same model that is weighed again.
    pub fn point(&self) -> u64 {
        let [.., a, b, c, d, e, _, f] = *self.hold.0.as_bytes();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}
