//! The prices that hold now: a configuration's, or those of a file alone.

use crate::config::{Config, Outside};
use crate::exchange::UsageEvent;
use crate::policy::{ByName, Model};
use crate::pricing::catalogue::CATALOGUE_BYTES_MAX;
use crate::pricing::{Catalogue, ModelPrice, names};
use anyhow::{Context, anyhow, bail};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The most names whose price is remembered: all of an installation.
const FOUND_MAX: usize = 10_000;

pub(super) struct Prices {
    from: From,
    found: HashMap<Names, Option<Arc<ModelPrice>>>,
}

enum From {
    /// By the name that calls ask for.
    Config(ByName<Arc<Model>>),
    File {
        file: Catalogue,
        /// Who else there is that serves models.
        built_in: Catalogue,
    },
}

/// What a price is looked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Names {
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    model_served: Option<String>,
}

impl Prices {
    pub fn of(
        file: Option<&Path>,
        config: Option<&Config>,
        outside: &dyn Outside,
    ) -> anyhow::Result<Self> {
        let from = match (file, config) {
            (Some(path), _) => From::File {
                file: read(path, outside)?,
                built_in: Catalogue::built_in(),
            },
            (None, Some(config)) => From::Config((*config.snapshot.models).clone()),
            (None, None) => bail!(
                "whose prices? Name weir's configuration with --config FILE, or corrected prices \
                 with --prices FILE"
            ),
        };
        Ok(Self {
            from,
            found: HashMap::new(),
        })
    }

    /// The price of the call's model.
    pub fn of_call(&mut self, event: &UsageEvent) -> Option<Arc<ModelPrice>> {
        let names = Names {
            provider: event.provider.clone(),
            model: event.model.clone(),
            model_served: event.model_served.clone(),
        };
        if let Some(known) = self.found.get(&names) {
            return known.clone();
        }
        let price = match &self.from {
            From::Config(models) => of_config(models, &names),
            From::File { file, built_in } => of_file(file, built_in, &names),
        };
        if self.found.len() >= FOUND_MAX {
            self.found.clear();
        }
        self.found.insert(names, price.clone());
        price
    }
}

/// The price of a model that somebody else serves by now is not the call's.
fn of_config(models: &ByName<Arc<Model>>, names: &Names) -> Option<Arc<ModelPrice>> {
    let model = models.get(names.model.as_ref()?)?;
    match (&model.provider, &names.provider) {
        (Some(now), Some(then)) if now != then => None,
        _ => model.price.clone(),
    }
}

/// By the name that was asked for, or else by that of the model that answered.
/// What the file says nothing of is found in the program's prices, if anywhere,
/// and is left alone.
fn of_file(file: &Catalogue, built_in: &Catalogue, asked: &Names) -> Option<Arc<ModelPrice>> {
    let served_by = asked.provider.as_deref();
    let asked = [asked.model.as_deref(), asked.model_served.as_deref()];
    let mut found = asked.into_iter().flatten();
    let entry = found.find_map(|name| {
        let found = names::find_among(&[file, built_in], served_by, name);
        found.filter(|(at, _)| *at == 0).map(|(_, entry)| entry)
    })?;
    let name = format!("{} {}", file.version(), entry.key);
    Some(Arc::new(ModelPrice::new(entry.schedule, &name)))
}

/// The most faults of a file that are told.
const FAULTS_MAX: usize = 20;

fn read(path: &Path, outside: &dyn Outside) -> anyhow::Result<Catalogue> {
    let name = path.display();
    let bytes = outside.file(path, CATALOGUE_BYTES_MAX);
    let bytes = bytes.with_context(|| format!("--prices: {name}: can't be read"))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| anyhow!("--prices: {name}: is not UTF-8"))?;
    if text.trim_start().starts_with(['{', '[']) {
        bail!(
            "--prices: {name}: is no file of weir's prices; of a public data set `weir prices \
             import` makes one"
        );
    }
    Catalogue::read(&text).map_err(|faults| {
        let told: Vec<String> = faults
            .iter()
            .take(FAULTS_MAX)
            .map(|fault| format!("{name}:{}: {}", fault.line, fault.fault))
            .collect();
        let count = faults.len();
        let told = told.join("\n");
        anyhow!("--prices: {name}: {count} of its lines are wrong\n{told}")
    })
}
