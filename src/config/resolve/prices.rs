//! Which price a model has: its own, a catalogue's, or what stands in.
//!
//! An operator's file goes before the program's prices for what it names, and says
//! nothing of anything else: OpenAI's prices in it are not those of Azure, which
//! sells the same models, unless the file has `azure/MODEL = openai/MODEL` or the
//! model `price_as: openai/MODEL`.

use crate::config::outside::Outside;
use crate::config::problem::{Findings, shown};
use crate::config::raw::prices::{RawPrice, RawPrices, Unknown};
use crate::config::raw::{Raw, RawModel};
use crate::config::reader::Located;
use crate::pricing::catalogue::CATALOGUE_BYTES_MAX;
use crate::pricing::{Catalogue, ModelPrice, Schedule, names};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// The most faults of a file of prices that are told.
const FAULTS_MAX: usize = 20;

/// Where prices are looked for.
pub struct Prices {
    /// The operator's own go before those in the program.
    catalogues: Vec<Catalogue>,
    unknown: Unknown,
    fallback: Option<Arc<ModelPrice>>,
    /// Something of it couldn't be read, so that nothing is missing for sure.
    is_partial: bool,
}

impl Prices {
    pub fn of(raw: &Raw, outside: &dyn Outside, findings: &Findings) -> Self {
        let none = RawPrices {
            fallback_is_read: true,
            ..RawPrices::default()
        };
        let raw = raw.prices.as_ref().unwrap_or(&none);
        let file = raw.file.as_ref().map(|file| own(file, outside, findings));
        let fallback = raw.fallback.as_ref();
        let fallback = fallback.map(|schedule| Arc::new(configured("fallback", schedule)));
        let unknown = match &raw.unknown {
            Some(unknown) => unknown.value,
            None if fallback.is_some() => Unknown::Fallback,
            None => Unknown::Refuse,
        };
        if let Some(said) = &raw.unknown
            && unknown == Unknown::Fallback
            && fallback.is_none()
            && raw.fallback_is_read
        {
            findings.problem(&said.at, "needs prices.fallback: what such models cost");
        }
        Self {
            is_partial: !raw.fallback_is_read || matches!(file, Some(None)),
            catalogues: file
                .flatten()
                .into_iter()
                .chain([Catalogue::built_in()])
                .collect(),
            unknown,
            fallback,
        }
    }

    /// The model's price; `None` where it has none, or after a problem.
    pub fn of_model(&self, raw: &RawModel, findings: &Findings) -> Option<Arc<ModelPrice>> {
        if !raw.price_is_read {
            return None;
        }
        match &raw.price {
            Some(RawPrice::Unpriced) => return None,
            Some(RawPrice::Own(schedule)) => {
                return Some(Arc::new(configured(&raw.name.value, schedule)));
            }
            None => {}
        }
        if let Some(other) = &raw.price_as {
            // A name of the catalogue with another provider in front is meant so.
            let found = self.find(raw, &other.value);
            let found = found.or_else(|| self.find_of_named(&other.value));
            if found.is_none() && !self.is_partial {
                let hint = self.alike(&other.value);
                let text = format!("no price is known of {}{hint}", shown(&other.value));
                findings.problem(&other.at, text);
            }
            return found;
        }
        let found = self.find(raw, &raw.name.value);
        if found.is_some() {
            return found;
        }
        match self.unknown {
            Unknown::Unpriced => None,
            Unknown::Fallback => self.fallback.clone(),
            Unknown::Refuse => {
                if !self.is_partial {
                    self.refuse(raw, findings);
                }
                None
            }
        }
    }

    /// Whether it was told already why a model has no price.
    pub fn is_told(&self, raw: &RawModel) -> bool {
        let asked = raw.price_as.is_some() || self.unknown == Unknown::Refuse;
        !raw.price_is_read || (raw.price.is_none() && (asked || self.is_partial))
    }

    /// The price of the name, of the model's provider where it says one.
    fn find(&self, raw: &RawModel, name: &str) -> Option<Arc<ModelPrice>> {
        let served_by = raw.provider.as_ref().map(|provider| &*provider.value);
        self.find_of(served_by, name)
    }

    /// The price of a name that says a provider itself.
    fn find_of_named(&self, name: &str) -> Option<Arc<ModelPrice>> {
        name.contains('/').then(|| self.find_of(None, name))?
    }

    fn find_of(&self, served_by: Option<&str>, name: &str) -> Option<Arc<ModelPrice>> {
        let all: Vec<&Catalogue> = self.catalogues.iter().collect();
        let (at, entry) = names::find_among(&all, served_by, name)?;
        let version = all.get(at)?.version();
        let name = format!("{version} {}", entry.key);
        Some(Arc::new(ModelPrice::new(entry.schedule, &name)))
    }

    fn refuse(&self, raw: &RawModel, findings: &Findings) {
        let hint = self.alike(&raw.name.value);
        let text = format!(
            "no price is known of this model, so its calls would cost nothing by accident: set \
             its price (dollars per million tokens, or free, or unpriced), or price_as (a name \
             of `weir prices list`), or say in prices.unknown what becomes of such models{hint}"
        );
        findings.problem(&raw.name.at, text);
    }

    fn alike(&self, name: &str) -> String {
        let alike = self.catalogues.iter();
        let mut alike: Vec<String> = alike.flat_map(|c| names::alike(c, name)).collect();
        alike.truncate(3);
        match alike.as_slice() {
            [] => String::new(),
            names => format!("; known are {}", names.join(", ")),
        }
    }
}

/// Prices of a configuration, named for what they are so that the ledger tells
/// one from the next.
fn configured(name: &str, schedule: &Schedule) -> ModelPrice {
    let mut text = String::new();
    for dated in schedule.iter() {
        let _ = writeln!(text, "{} {}", dated.from.0, dated.price);
    }
    let sum = crc32fast::hash(text.as_bytes());
    ModelPrice::new(schedule.clone(), &format!("config {name} {sum:08x}"))
}

/// The operator's own file; `None` after a problem.
fn own(file: &Located<String>, outside: &dyn Outside, findings: &Findings) -> Option<Catalogue> {
    let bytes = match outside.file(Path::new(&file.value), CATALOGUE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("{}: can't be read: {error}", shown(&file.value));
            findings.problem(&file.at, text);
            return None;
        }
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        findings.problem(&file.at, format!("{} is not UTF-8", shown(&file.value)));
        return None;
    };
    match Catalogue::read(text) {
        Ok(catalogue) => Some(catalogue),
        Err(faults) => {
            for fault in faults.iter().take(FAULTS_MAX) {
                findings.problem(&file.at, format!("{}: {fault}", shown(&file.value)));
            }
            None
        }
    }
}
