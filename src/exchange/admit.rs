//! Judging a request's body: what it asks, what it may cost, what it reserves.

use super::deciding::{Deciding, SendOn};
use super::event::UsageEvent;
use super::head::Identified;
use super::message::{Effect, HeaderEdits, Metadata, Reply, Step};
use super::open_call::{ExpectedOutput, OpenCall};
use super::output_cap::Cap;
use super::prompt::{self, Prompt, Words};
use super::reading::{self, Read};
use super::{Learned, Settings, cost, verdict};
use crate::identity::Principal;
use crate::limits::{Charge, HoldId, Reservation, Unit};
use crate::policy::{self, Estimate, Hold, Model, Plan, Snapshot};
use crate::pricing::PinnedPrice;
use crate::protocol::denial::{Denial, Rendered};
use crate::protocol::refusal::{self, Form};
use crate::protocol::{CallFacts, Endpoint, json_edit, request};
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
    /// How its limits stand.
    pub rate_headers: Vec<(&'static str, String)>,
    pub started_at: UnixMillis,
}

/// What a call asks for.
#[derive(Debug, Default)]
struct Asked {
    prompt: Prompt,
    estimate: Estimate,
    most: Estimate,
    expected: Option<ExpectedOutput>,
    searches: u64,
    stream: bool,
    strip_usage: bool,
    request_bytes: u64,
    price: Option<PinnedPrice>,
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
            rate_headers: Vec::new(),
            started_at,
        })
    }
}

/// The step that refuses a call.
pub(super) fn refuse(refused: Refused, form: Form, id: HoldId, now: UnixMillis) -> Step {
    let (rendered, metadata, event) = refusal_of(refused, form, id, now);
    Step {
        reply: Some(Reply::Refuse { rendered, metadata }),
        effects: vec![Effect::Record(Box::new(event))],
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
        let read = reading::read(&who, (body, end), self.snapshot, self.settings);
        let Read {
            body,
            facts,
            model,
            plan,
        } = read.map_err(refused)?;
        let mut deciding = self
            .plan_call(&who, plan, model, &facts, &body)
            .map_err(|denial| {
                let mut refused = refused(denial);
                refused.model = Some(Arc::clone(&model.name));
                refused
            })?;
        if who.is_encoded() {
            deciding.send_on.or_body(body);
        }
        let reservation = self.reservation(&deciding);
        Ok((deciding, reservation))
    }

    /// A call of which only the head is read.
    pub fn unread(
        &self,
        who: Identified,
        edits: HeaderEdits,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        let deciding = self.of_head(&who, &Model::unknown(), edits)?;
        let reservation = self.reservation(&deciding);
        Ok((deciding, reservation))
    }

    /// A call of which nothing is counted but that it came; by what it isn't known
    /// to be, it isn't limited.
    pub fn as_request(
        &self,
        who: &Identified,
        model: Option<&Model>,
        edits: HeaderEdits,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        let unknown = Model::unknown();
        let mut deciding = self.of_head(who, model.unwrap_or(&unknown), edits)?;
        let counts = |charge: &Charge| {
            let limit = &charge.limit;
            limit.unit == Unit::Requests && (model.is_some() || !limit.scope.is_of_models())
        };
        deciding.charges.retain(counts);
        deciding.shared.retain(counts);
        deciding.call.shared = !deciding.shared.is_empty();
        let reservation = self.reservation(&deciding);
        Ok((deciding, reservation))
    }

    fn of_head(
        &self,
        who: &Identified,
        model: &Model,
        edits: HeaderEdits,
    ) -> Result<Deciding, Box<Refused>> {
        let plan = self.snapshot.plans.get(&who.principal.plan);
        let plan = plan.ok_or_else(|| {
            let denial = Denial::UnknownEndpoint;
            Refused::new(denial, Some(&who.principal), None, who.started_at)
        })?;
        let send_on = SendOn::Head {
            edits,
            without_bodies: who.upgrade,
        };
        Ok(self.open(who, plan, model, Asked::default(), send_on))
    }

    fn reservation(&self, deciding: &Deciding) -> Reservation {
        Reservation {
            hold: self.hold,
            slot: Arc::clone(&deciding.call.tenant),
            charges: deciding.charges.clone(),
            shared: deciding.shared.clone(),
            hold_ttl: self.settings.hold_ttl,
            lease_ttl: self.settings.lease_ttl,
            context: deciding.call.to_json().into(),
        }
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
        let asks_for_usage = who.endpoint.is_asked_for_usage() && model.inject_include_usage;
        let strip_usage = facts.stream && !facts.include_usage && asks_for_usage;
        let edits = request::edits(
            facts,
            &request::Changes {
                output_max: cap.written,
                include_usage: strip_usage,
                ..request::Changes::default()
            },
        );
        let prompt = match who.endpoint.is_free() {
            true => Prompt::default(),
            false => prompt::of_call(
                self.words(who.endpoint, model),
                model,
                facts,
                body,
                self.counting,
            )?,
        };
        let may = cost::may(who.endpoint, model, facts, body, prompt.held_tokens);
        let price = model.price.as_ref();
        let price = price.map(|price| price.pin(who.started_at, may));
        let priced = |tokens: u64| {
            let output_tokens = tokens.saturating_mul(facts.answers);
            Estimate::priced(
                price.as_ref(),
                prompt.held_tokens,
                output_tokens,
                facts.searches,
            )
        };
        let most = priced(cap.tokens);
        let estimate = priced(self.held_tokens(who, plan, model, &cap));
        let asked = Asked {
            prompt,
            estimate,
            most,
            expected: ExpectedOutput::of(plan.output.hold, facts.answers, most),
            searches: facts.searches,
            stream: facts.stream,
            strip_usage,
            request_bytes: body.len() as u64,
            price,
        };
        let edited = (!edits.is_empty()).then(|| json_edit::apply(body, &edits));
        Ok(self.open(who, plan, model, asked, SendOn::Body(edited)))
    }

    fn open(
        &self,
        who: &Identified,
        plan: &Plan,
        model: &Model,
        asked: Asked,
        send_on: SendOn,
    ) -> Deciding {
        let call = policy::Call {
            who: &who.principal,
            model,
            endpoint: who.endpoint,
            estimate: asked.estimate,
            most: asked.most,
        };
        let shared = policy::charges(&self.snapshot.shared, call);
        let mut charges = policy::charges(&plan.limits, call);
        // A head isn't let in without them.
        let own = self.snapshot.own_limits(&who.principal);
        charges.extend(policy::charges(own.unwrap_or_default(), call));
        let call = OpenCall {
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
            provider: model.provider.clone(),
            vocabulary: model.vocabulary,
            token_ratio: self.learned.ratios.of(model),
            price: asked.price,
            stream: asked.stream,
            strip_usage: asked.strip_usage,
            input_tokens: asked.estimate.input_tokens,
            input_estimate: (asked.prompt.tokens != asked.prompt.held_tokens)
                .then_some(asked.prompt.tokens),
            input_basis: asked.prompt.basis.filter(|_| model.token_ratio.learned),
            output_tokens: asked.estimate.output_tokens,
            expected: asked.expected,
            searches: asked.searches,
            request_bytes: asked.request_bytes,
            traceparent: who.traceparent.clone(),
            shared: !shared.is_empty(),
            would_refuse: Vec::new(),
            rate_headers: Vec::new(),
        };
        Deciding {
            call,
            charges,
            shared,
            principal: Arc::clone(&who.principal),
            ietf_headers: self.settings.ietf_rate_limit_headers,
            send_on,
        }
    }

    fn words<'m>(&self, endpoint: Endpoint, model: &'m Model) -> Words<'m> {
        Words {
            model: &model.name,
            dialect: endpoint.dialect(),
            vocabulary: model.vocabulary,
            ratio: self.learned.ratios.of(model),
            held_ratio: self.learned.ratios.held_of(model),
        }
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
}
