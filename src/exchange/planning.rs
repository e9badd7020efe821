//! What a call may use and cost at a model, and which bytes of its body change.

use super::admit::Admission;
use super::cost;
use super::open_call::ExpectedOutput;
use super::output_cap::Cap;
use super::prompt::{self, Prompt, Words};
use super::weigh::Ask;
use crate::policy::{Estimate, Hold, Model, Terms};
use crate::pricing::{May, PinnedPrice, ServiceTier};
use crate::protocol::denial::Denial;
use crate::protocol::json_edit::Edit;
use crate::protocol::request::{self, Changes};
use crate::protocol::{CallFacts, Endpoint};
use std::sync::Arc;

/// A call as it would be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Planned {
    pub prompt: Prompt,
    pub estimate: Estimate,
    pub most: Estimate,
    pub expected: Option<ExpectedOutput>,
    pub searches: u64,
    pub stream: bool,
    pub strip_usage: bool,
    pub request_bytes: u64,
    pub price: Option<PinnedPrice>,
    /// How much one answer may produce, and what of that is written.
    pub cap: Cap,
    /// So many answers are asked for, in place of more.
    pub choices: Option<u64>,
    pub drop_fields: Vec<Arc<str>>,
}

/// What rules make of a call that is planned, and what is known of it already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given<'g> {
    /// The most tokens of one answer.
    pub clamp: Option<u64>,
    /// Its prompt, counted for this model.
    pub prompt: Option<Prompt>,
    /// Fields that are left out, besides those that its plan leaves out.
    pub drop: &'g [Arc<str>],
}

/// Plans a call at this model.
///
/// # Errors
/// It can't be bounded, or asks for more than it may.
pub(super) fn plan(
    admission: &Admission,
    ask: &Ask,
    terms: Terms,
    model: &Model,
    given: Given,
) -> Result<Planned, Denial> {
    let Ask {
        who, body, facts, ..
    } = ask;
    let output = terms.output();
    let hold = output.hold.unwrap_or_default();
    let choices = super::guardrails::choices(&output, facts)?;
    let cap = Cap::of(&output, model, facts, who.endpoint, given.clamp)?;
    let asks_for_usage = who.endpoint.is_asked_for_usage() && model.inject_include_usage;
    let prompt = match (given.prompt, who.endpoint.is_free()) {
        (Some(counted), _) => counted,
        (None, true) => Prompt::default(),
        (None, false) => {
            let words = words(admission, who.endpoint, model);
            prompt::of_call(words, model, facts, body, admission.counting)?
        }
    };
    let dropped = terms.layers().flat_map(|plan| &plan.guardrails.dropped);
    let dropped: Vec<Arc<str>> = dropped.chain(given.drop).cloned().collect();
    let may = May {
        service_tier: asked_tier(facts, &dropped, model),
        ..cost::may(who.endpoint, facts, body, prompt.held_tokens)
    };
    let price = model.price.as_ref();
    let price = price.map(|price| price.pin(who.started_at, may));
    let answers = choices.map_or(facts.answers, |choices| facts.answers_at(choices));
    let priced = |tokens: u64| {
        let output_tokens = tokens.saturating_mul(answers);
        let input_tokens = prompt.held_tokens;
        Estimate::priced(price.as_ref(), input_tokens, output_tokens, facts.searches)
    };
    let most = priced(cap.tokens);
    let estimate = priced(held_tokens(admission, ask, hold, model, &cap));
    Ok(Planned {
        prompt,
        estimate,
        most,
        expected: ExpectedOutput::of(hold, answers, most),
        searches: facts.searches,
        stream: facts.stream,
        strip_usage: facts.stream && !facts.include_usage && asks_for_usage,
        request_bytes: body.len() as u64,
        price,
        cap,
        choices,
        drop_fields: dropped,
    })
}

/// The tier of service that the provider is asked for; `None`: any.
fn asked_tier(facts: &CallFacts, dropped: &[Arc<str>], model: &Model) -> Option<ServiceTier> {
    let mut gone = dropped.iter().filter_map(|name| facts.field(name));
    let stays = !gone.any(|field| field.is_named("service_tier"));
    let asked = facts.service_tier.filter(|_| stays);
    asked.and_then(cost::tier).or(model.service_tier)
}

fn words<'m>(admission: &Admission, endpoint: Endpoint, model: &'m Model) -> Words<'m> {
    Words {
        model: &model.name,
        dialect: endpoint.dialect(),
        vocabulary: model.vocabulary,
        ratio: admission.learned.ratios.of(model),
        held_ratio: admission.learned.ratios.held_of(model),
    }
}

/// What is held for the output of one answer.
fn held_tokens(admission: &Admission, ask: &Ask, hold: Hold, model: &Model, cap: &Cap) -> u64 {
    let known = match hold {
        Hold::Maximum => None,
        Hold::Expected { .. } => {
            let tenant = &ask.who.principal.tenant;
            admission
                .learned
                .expected
                .output_tokens(tenant, &model.name)
        }
    };
    known.map_or(cap.tokens, |known| known.min(cap.tokens))
}

impl Planned {
    /// What changes in the body; `model` where it goes to another than it names.
    pub fn edits(&self, facts: &CallFacts, model: Option<&str>) -> Vec<Edit> {
        let drop_fields: Vec<&str> = self.drop_fields.iter().map(|name| &**name).collect();
        let changes = Changes {
            output_max: self.cap.written,
            moves_cap: self.cap.moves,
            include_usage: self.strip_usage,
            model,
            choices: self.choices,
            drop_fields: &drop_fields,
        };
        request::edits(facts, &changes)
    }
}
