//! Judging a request's body: what it asks, what it may cost, what it reserves;
//! and what the store's decision makes of it.

use super::event::UsageEvent;
use super::head::Identified;
use super::message::{Effect, Metadata, Reply, Settlement, Step};
use super::open_call::{ExpectedOutput, OpenCall};
use super::output_cap::Cap;
use super::prompt::{Prompt, Words};
use super::{Learned, Settings, told, verdict};
use crate::identity::Principal;
use crate::limits::{Actual, Charge, Decision, HoldId, Reservation};
use crate::policy::{self, Estimate, Hold, Model, Plan, Snapshot};
use crate::protocol::denial::{Denial, Rendered};
use crate::protocol::openai::{refusal, request};
use crate::protocol::{BodyError, CallFacts, Endpoint, json_edit};
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
    pub started_at: UnixMillis,
}

/// A reservation under way.
#[derive(Debug)]
pub(super) struct Deciding {
    call: OpenCall,
    charges: Vec<Charge>,
    /// Those on counters that tenants share.
    shared: Vec<Charge>,
    principal: Arc<Principal>,
    ietf_headers: bool,
    /// The client's body with weir's edits; `None` where there are none.
    edited: Option<Vec<u8>>,
}

/// What judging a body needs.
pub(super) struct Admission<'a> {
    pub settings: Settings,
    pub snapshot: &'a Snapshot,
    pub learned: &'a Learned,
    pub hold: HoldId,
    pub counting: &'a Counting,
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
            started_at,
        })
    }
}

/// The step that refuses a call.
pub(super) fn refuse(refused: Refused, id: HoldId, now: UnixMillis) -> Step {
    let (rendered, metadata, event) = refusal_of(refused, id, now);
    Step {
        reply: Some(Reply::Refuse { rendered, metadata }),
        effects: vec![Effect::Record(Box::new(event))],
    }
}

/// A refusal in its three forms: for the caller, for the access log, for the
/// record.
pub(super) fn refusal_of(
    refused: Refused,
    id: HoldId,
    now: UnixMillis,
) -> (Rendered, Metadata, UsageEvent) {
    let mut rendered = refusal::render(&refused.denial);
    let decision: Arc<str> = match &refused.denial {
        Denial::Rate(rate) => Arc::clone(&rate.limit_name),
        other => Arc::from(other.reason()),
    };
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
    let event = verdict::refused(refused, decision, rendered.status, id, now);
    (rendered, metadata, event)
}

impl Admission<'_> {
    pub fn judge(
        &self,
        who: Identified,
        body: Vec<u8>,
        end: bool,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        let refused = |denial| {
            Refused::new(
                denial,
                Some(&who.principal),
                Some(who.endpoint),
                who.started_at,
            )
        };
        // A body that isn't whole is never parsed: what follows could change
        // its meaning.
        if !end || body.len() > self.settings.body_bytes_max {
            return Err(refused(Denial::BodyTooLarge {
                bytes_max: self.settings.body_bytes_max,
            }));
        }
        let facts = request::read(who.endpoint, &body).map_err(|e| refused(Denial::Body(e)))?;
        let model = self.snapshot.models.get(facts.model.as_str());
        let plan = self.snapshot.plans.get(&who.principal.plan);
        let (Some(model), Some(plan)) = (model, plan) else {
            return Err(refused(Denial::UnknownModel));
        };
        let deciding = self
            .plan_call(&who, plan, model, &facts, &body)
            .map_err(|denial| {
                let mut refused = refused(denial);
                refused.model = Some(Arc::clone(&model.name));
                refused
            })?;
        let reservation = Reservation {
            hold: self.hold,
            slot: Arc::clone(&who.principal.tenant),
            charges: deciding.charges.clone(),
            shared: deciding.shared.clone(),
            hold_ttl: self.settings.hold_ttl,
            lease_ttl: self.settings.lease_ttl,
            context: deciding.call.to_json().into(),
        };
        Ok((deciding, reservation))
    }

    fn plan_call(
        &self,
        who: &Identified,
        plan: &Plan,
        model: &Model,
        facts: &CallFacts,
        body: &[u8],
    ) -> Result<Deciding, Denial> {
        let cap = Cap::of(plan, model, facts, who.endpoint)?;
        let strip_usage = facts.stream && !facts.include_usage && model.inject_include_usage;
        let edits = request::edits(facts, cap.written, strip_usage);
        let prompt = self.prompt(who.endpoint, model, facts, body)?;
        let priced = |tokens: u64| {
            let output_tokens = tokens.saturating_mul(facts.answers);
            Estimate::priced(model.price, prompt.held_tokens, output_tokens)
        };
        let most = priced(cap.tokens);
        let estimate = priced(self.held_tokens(who, plan, model, &cap));
        let asked = asked(who, model, estimate, most);
        let shared = policy::charges(&self.snapshot.shared, asked);
        let call = OpenCall {
            id: self.hold,
            started_at: who.started_at,
            tenant: Arc::clone(&who.principal.tenant),
            project: who.principal.project.clone(),
            environment: who.principal.environment.clone(),
            user: who.principal.user.clone(),
            key_id: Arc::clone(&who.principal.key_id),
            plan: Arc::clone(&plan.name),
            endpoint: who.endpoint,
            model: Arc::clone(&model.name),
            vocabulary: model.vocabulary,
            token_ratio: self.learned.ratios.of(model),
            price: model.price,
            stream: facts.stream,
            strip_usage,
            input_tokens: estimate.input_tokens,
            input_estimate: (prompt.tokens != prompt.held_tokens).then_some(prompt.tokens),
            input_basis: prompt.basis.filter(|_| model.token_ratio.learned),
            output_tokens: estimate.output_tokens,
            expected: ExpectedOutput::of(plan.output.hold, facts.answers, most),
            request_bytes: body.len() as u64,
            traceparent: who.traceparent.clone(),
            shared: !shared.is_empty(),
            would_refuse: Vec::new(),
            rate_headers: Vec::new(),
        };
        Ok(Deciding {
            call,
            charges: policy::charges(&plan.limits, asked),
            shared,
            principal: Arc::clone(&who.principal),
            ietf_headers: self.settings.ietf_rate_limit_headers,
            edited: (!edits.is_empty()).then(|| json_edit::apply(body, &edits)),
        })
    }

    /// What is held for the output of one answer.
    fn held_tokens(&self, who: &Identified, plan: &Plan, model: &Model, cap: &Cap) -> u64 {
        let known = match plan.output.hold {
            Hold::Maximum => None,
            Hold::Expected { .. } => {
                let tenant = &who.principal.tenant;
                self.learned.expected.output_tokens(tenant, &model.name)
            }
        };
        known.map_or(cap.tokens, |known| known.min(cap.tokens))
    }

    fn prompt(
        &self,
        endpoint: Endpoint,
        model: &Model,
        facts: &CallFacts,
        body: &[u8],
    ) -> Result<Prompt, Denial> {
        let image_tokens = match (facts.images, model.image_tokens) {
            (0, _) => 0,
            (images, Some(tokens)) => images.saturating_mul(tokens),
            (_, None) => return Err(unpriced_image()),
        };
        let words = Words {
            model: &model.name,
            dialect: endpoint.dialect(),
            vocabulary: model.vocabulary,
            ratio: self.learned.ratios.of(model),
        };
        Ok(Prompt::of(words, facts, body, self.counting).and(image_tokens))
    }
}

fn asked<'a>(
    who: &'a Identified,
    model: &'a Model,
    estimate: Estimate,
    most: Estimate,
) -> policy::Call<'a> {
    policy::Call {
        who: &who.principal,
        model,
        endpoint: who.endpoint,
        estimate,
        most,
    }
}

fn unpriced_image() -> Denial {
    Denial::Body(BodyError {
        message: "Images are not enabled for this model at this gateway.".into(),
        param: Some("messages".into()),
    })
}

impl Deciding {
    /// What the store's decision makes of the call: the open call and the body
    /// to send on, or the step that refuses it.
    pub fn decide(
        self,
        decision: Option<Decision>,
        now: UnixMillis,
    ) -> Result<(OpenCall, Option<Vec<u8>>), Box<Step>> {
        match decision {
            Some(Decision::Admitted(standings)) => {
                let (mut call, mut charges) = (self.call, self.charges);
                charges.extend(self.shared);
                call.rate_headers = told::headers(&charges, &standings, self.ietf_headers);
                call.would_refuse = told::would_refuse(&charges, &standings);
                Ok((call, self.edited))
            }
            Some(Decision::Refused(refusal)) => {
                let denial = told::denial(
                    &[&*self.charges, &self.shared].concat(),
                    refusal,
                    &self.call,
                );
                let (id, refused) = self.refused(denial);
                Err(Box::new(refuse(refused, id, now)))
            }
            // The store may have taken the reservation without saying so:
            // whatever it holds is given back.
            Some(Decision::Ended) | None => {
                let void = self.void(None);
                let (id, refused) = self.refused(Denial::LimitsUnavailable);
                let mut step = refuse(refused, id, now);
                step.effects.insert(0, void);
                Err(Box::new(step))
            }
        }
    }

    /// The client left while the store was deciding: nothing was sent.
    pub fn abandon(self, now: UnixMillis) -> Step {
        let event = verdict::void(&self.call, now);
        Step::effect(self.void(Some(event)))
    }

    fn void(&self, event: Option<UsageEvent>) -> Effect {
        Effect::Settle(Box::new(Settlement {
            slot: Arc::clone(&self.call.tenant),
            hold: self.call.id,
            shared: self.call.shared,
            actual: Actual::VOID,
            event,
            lesson: None,
            ratio_lesson: None,
        }))
    }

    fn refused(self, denial: Denial) -> (HoldId, Refused) {
        let refused = Refused {
            denial,
            principal: Some(self.principal),
            endpoint: Some(self.call.endpoint),
            model: Some(self.call.model),
            started_at: self.call.started_at,
        };
        (self.call.id, refused)
    }
}
