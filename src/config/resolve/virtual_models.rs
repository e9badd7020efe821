//! Names behind which a model is chosen.

use super::limits::{Known, unknown};
use super::rules::{Words, condition};
use crate::config::problem::Findings;
use crate::config::raw::RawModel;
use crate::config::raw::policy::RawWay;
use crate::policy::ByName;
use crate::policy::choice::{VirtualModel, Way};
use crate::policy::facts::Needs;
use std::collections::HashSet;
use std::sync::Arc;

/// All virtual models; `None` after a problem.
pub fn virtual_models(
    raw: &[RawModel],
    words: &Words,
    findings: &Findings,
) -> Option<ByName<Arc<VirtualModel>>> {
    let written = raw
        .iter()
        .filter_map(|raw| Some((raw, raw.choose.as_ref()?)));
    let all: Vec<Option<VirtualModel>> = written
        .map(|(raw, ways)| {
            let ways = ways.as_ref()?;
            if let Some(last) = ways.value.last().filter(|last| last.when.is_some()) {
                let at = last.when.as_ref().map_or(&ways.at, |when| &when.at);
                let text = "the last way must have no condition: it is for all other calls";
                findings.problem(at, text);
                return None;
            }
            virtual_model(raw, &ways.value, words, findings)
        })
        .collect();
    let all = all.into_iter().collect::<Option<Vec<_>>>()?;
    let named = all
        .into_iter()
        .map(|one| (Arc::clone(&one.name), Arc::new(one)));
    Some(named.collect())
}

fn virtual_model(
    raw: &RawModel,
    ways: &[RawWay],
    words: &Words,
    findings: &Findings,
) -> Option<VirtualModel> {
    let ways: Vec<Option<Way>> = ways.iter().map(|raw| way(raw, words, findings)).collect();
    let ways = ways.into_iter().collect::<Option<Vec<_>>>()?;
    let conditions = ways.iter().filter_map(|way| way.when.as_ref());
    let needs = conditions.map(|when| Needs::of(when.fields()));
    Some(VirtualModel {
        name: Arc::clone(&raw.name.value),
        needs: needs.fold(Needs::default(), Needs::and),
        ways,
        names: Arc::clone(&words.names.counters),
    })
}

fn way(raw: &RawWay, words: &Words, findings: &Findings) -> Option<Way> {
    let when = match &raw.when {
        Some(text) => Some(condition(text, words, findings)?),
        None => None,
    };
    let mut whole = true;
    for (name, _) in &raw.models {
        whole &= words.has_model(name, findings);
    }
    let models = raw.models.iter();
    let models = models.map(|(name, weight)| (Arc::clone(&name.value), *weight));
    whole.then(|| Way {
        when,
        models: models.collect(),
    })
}

impl Words<'_> {
    /// Whether there is a model of this name that calls can go to, which is reported
    /// where not.
    pub fn has_model(
        &self,
        name: &crate::config::reader::Located<Arc<str>>,
        findings: &Findings,
    ) -> bool {
        let Some(models) = self.known.models else {
            return true;
        };
        let names: HashSet<&str> = models.iter().map(|model| &*model.name).collect();
        let there = names.contains(&*name.value);
        if !there && self.called.contains(&*name.value) {
            let text = "is a name behind which a model is chosen: name the model itself";
            findings.problem(&name.at, text);
        } else if !there {
            unknown("model", name, &names, findings);
        }
        there
    }
}

impl<'r> Known<'r> {
    /// The tiers of all models.
    pub fn tiers(&self) -> HashSet<&'r str> {
        let models = self.models.unwrap_or_default().iter();
        models.filter_map(|model| model.tier.as_deref()).collect()
    }

    /// The providers of all models.
    pub fn providers(&self) -> HashSet<&'r str> {
        let models = self.models.unwrap_or_default().iter();
        let providers = models.filter_map(|model| model.provider.as_deref());
        providers.collect()
    }
}
