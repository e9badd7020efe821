//! `alerts` as they are written: who is told of what, besides callers.

use super::receivers::{TIMEOUT_MAX_MS, TIMEOUT_MIN_MS};
use super::{DAY_MS, SECOND_MS, secret_source};
use crate::alerts::{Form, Kind};
use crate::config::problem::At;
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::{Secret, SecretSource};
use crate::limits::AMOUNT_MAX;
use crate::units::Millis;
use std::sync::Arc;

/// Each has its own connection, and is asked for what waits every second.
const WEBHOOKS_MAX: usize = 16;

/// Each alert is held against all.
const TENANTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct RawAlerts {
    pub webhooks: Vec<RawWebhook>,
    pub refusals: Option<RawRefusals>,
}

#[derive(Debug)]
pub struct RawRefusals {
    pub above: Option<Located<u64>>,
    pub every: Option<Located<Millis>>,
}

/// An address as it is written, or where it is kept.
#[derive(Debug)]
pub enum RawUrl {
    /// It may hold a key, so no problem repeats it.
    Written(Located<Secret>),
    Elsewhere(Located<SecretSource>),
}

#[derive(Debug)]
pub struct RawWebhook {
    pub at: At,
    pub name: Option<Located<Arc<str>>>,
    /// The inner is `None` where what is written can't be read; and so on.
    pub url: Option<Option<RawUrl>>,
    pub form: Option<Located<Form>>,
    pub secret: Option<Option<Located<SecretSource>>>,
    pub routing_key: Option<Option<Located<SecretSource>>>,
    pub on: Option<Vec<Located<Kind>>>,
    pub tenants: Option<Vec<Arc<str>>>,
    pub allow_private: bool,
    pub ca_file: Option<Located<String>>,
    pub timeout: Option<Located<Millis>>,
}

pub fn alerts(top: &Fields) -> Option<RawAlerts> {
    let fields = top.optional("alerts")?.fields(&["webhooks", "refusals"])?;
    let webhooks = fields.required("webhooks", "whom to tell");
    let webhooks = webhooks.and_then(|item| some(&item, WEBHOOKS_MAX));
    let webhooks = webhooks.unwrap_or_default();
    let refusals = fields.optional("refusals");
    Some(RawAlerts {
        webhooks: webhooks.iter().filter_map(webhook).collect(),
        refusals: refusals.and_then(|item| refusals_of(&item)),
    })
}

fn some<'i>(item: &Item<'i>, max: usize) -> Option<Vec<Item<'i>>> {
    let items = item.list()?;
    match items.len() {
        0 => item.report("must have at least one entry"),
        len if len > max => item.report(format!("must have at most {max} entries (got {len})")),
        _ => Some(items),
    }
}

fn refusals_of(item: &Item) -> Option<RawRefusals> {
    let fields = item.fields(&["per", "above", "every"])?;
    if let Some(per) = fields.optional("per") {
        per.word(&[("tenant", ())])?;
    }
    let above = fields.required("above", "how many refusals are too many");
    let every = fields.required("every", "within how long, as 1m");
    Some(RawRefusals {
        above: above.and_then(|item| item.amount(1..=AMOUNT_MAX)),
        every: every.and_then(|item| item.span(SECOND_MS..=DAY_MS)),
    })
}

fn webhook(item: &Item) -> Option<RawWebhook> {
    let fields = item.fields(&[
        "name",
        "url",
        "form",
        "secret",
        "routing_key",
        "on",
        "tenants",
        "allow_private",
        "ca_file",
        "timeout",
    ])?;
    let forms = &[
        ("json", Form::Json),
        ("slack", Form::Slack),
        ("pagerduty", Form::PagerDuty),
    ];
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), kind));
    let on = fields.optional("on").and_then(|item| item.one_or_list());
    let tenants = fields.optional("tenants");
    let tenants = tenants.and_then(|item| some(&item, TENANTS_MAX));
    let secret = |name| fields.optional(name).map(|item| secret_source(&item));
    let name = fields.required("name", "what it is called in lists and logs");
    let form = fields.required("form", "what it takes: json, slack or pagerduty");
    let allow_private = fields.optional("allow_private");
    let timeout = fields.optional("timeout");
    Some(RawWebhook {
        at: fields.at.clone(),
        name: name.and_then(|item| item.name()),
        url: fields.optional("url").map(|item| url(&item)),
        form: form.and_then(|item| item.word(forms)),
        secret: secret("secret"),
        routing_key: secret("routing_key"),
        on: on.map(|items| items.iter().filter_map(|item| item.word(&kinds)).collect()),
        tenants: tenants.map(|items| {
            let names = items.iter().filter_map(|item| item.name());
            names.map(|name| name.value).collect()
        }),
        allow_private: allow_private
            .and_then(|item| item.boolean())
            .is_some_and(|is| is.value),
        ca_file: fields.optional("ca_file").and_then(|item| item.text()),
        timeout: timeout.and_then(|item| item.span(TIMEOUT_MIN_MS..=TIMEOUT_MAX_MS)),
    })
}

fn url(item: &Item) -> Option<RawUrl> {
    match item.is_mapping() {
        true => secret_source(item).map(RawUrl::Elsewhere),
        false => item.secret().map(RawUrl::Written),
    }
}
