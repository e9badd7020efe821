//! Which model a call gets: the one that it names, or one behind a virtual name.

use super::Scale;
use super::refused::Against;
use crate::exchange::planning::Given;
use crate::exchange::{guardrails, reading};
use crate::policy::Model;
use crate::policy::choice::VirtualModel;
use crate::protocol::Dialect;
use crate::protocol::denial::{Denial, Entitlement};
use std::sync::Arc;

impl<'a> Scale<'a> {
    /// The model of the name that the call has.
    pub(super) fn model(&self) -> Result<&'a Arc<Model>, Against> {
        let snapshot = self.admission.snapshot;
        let name = self.ask.facts.model.as_str();
        let Some(choice) = self.admission.names_virtual(self.ask) else {
            let model = snapshot.models.get(name).ok_or(Denial::UnknownModel)?;
            let may = reading::may_use(&self.ask.who, self.terms, model);
            may.map_err(|denial| Against {
                model: Some(Arc::clone(&model.name)),
                ..denial.into()
            })?;
            return Ok(model);
        };
        let usual = self.usual(choice)?;
        let planned = self.planned(usual, Given::default())?;
        let facts = self.facts(usual, &planned);
        let failures = &self.admission.learned.failures;
        let may_use = |name: &str| self.can_be(name);
        let chosen = choice.choose(&facts, failures, may_use, self.admission.point());
        let chosen = chosen.and_then(|name| snapshot.models.get(name));
        Ok(chosen.unwrap_or(usual))
    }

    /// The model that conditions of a virtual one see, as they may speak of what the
    /// call would cost: that of the last way, which is for any call.
    pub fn usual(&self, choice: &VirtualModel) -> Result<&'a Arc<Model>, Against> {
        let ways = choice.ways.iter().rev().flat_map(|way| &way.models);
        let usual = ways.map(|(name, _)| name).find(|name| self.can_be(name));
        let usual = usual.and_then(|name| self.admission.snapshot.models.get(name));
        Ok(usual.ok_or_else(|| guardrails::not_entitled(Entitlement::Model))?)
    }

    /// Whether the call can go to a model of this name.
    fn can_be(&self, name: &str) -> bool {
        let model = self.admission.snapshot.models.get(name);
        model.is_some_and(|model| self.may_use(model) && self.speaks(model))
    }

    /// Whether the caller may use a model.
    pub(super) fn may_use(&self, model: &Model) -> bool {
        reading::may_use(&self.ask.who, self.terms, model).is_ok()
    }

    /// Whether a model can answer calls of this form.
    pub(super) fn speaks(&self, model: &Model) -> bool {
        let provider = model.provider.as_deref();
        let dialect = provider.and_then(Dialect::of_provider);
        let endpoint = self.ask.who.endpoint;
        // What only embeds doesn't chat, and the other way round.
        let embeds = model.max_output_tokens == Some(0);
        dialect.is_none_or(|dialect| dialect == endpoint.dialect())
            && (endpoint.is_free() || embeds == endpoint.is_without_output())
    }
}
