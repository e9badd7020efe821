//! Rules as they are written.

use super::limits::MODES;
use super::policy::Name;
use super::{DAY_MS, SECOND_MS};
use crate::config::problem::At;
use crate::config::reader::{Fields, Item, Located};
use crate::limits::{AMOUNT_MAX, Mode};
use crate::policy::rule::{Approval, Block, DELAY_MAX, Route, Throttle};
use crate::units::Millis;
use std::sync::Arc;

#[derive(Debug)]
pub struct RawRule {
    pub at: At,
    pub name: Option<Name>,
    pub when: Option<Located<String>>,
    pub then: Vec<RawAction>,
    pub mode: Mode,
    /// All that is there could be read.
    pub is_read: bool,
}

/// What a rule does.
#[derive(Debug)]
pub enum RawAction {
    Warn(Option<Arc<str>>),
    Throttle(Throttle),
    ClampOutput(u64),
    Downgrade(RawSwap),
    Route(Route),
    RequireApproval(Approval),
    Block(Block),
}

#[derive(Debug)]
pub struct RawSwap {
    pub to: Vec<Name>,
    pub drop: Vec<Arc<str>>,
    pub refuse: Vec<Arc<str>>,
}

/// How long a grant lasts where nothing is said.
const VALID_FOR_DEFAULT: Millis = Millis::from_mins(60);

/// The longest text of a rule that callers are shown, in a header too.
const MESSAGE_BYTES_MAX: usize = 200;

/// The most models that one rule may choose from, and the most fields that it may
/// speak of.
const LIST_MAX: usize = 32;

const ACTIONS: &[&str] = &[
    "warn",
    "throttle",
    "clamp_output",
    "downgrade",
    "route",
    "require_approval",
    "block",
];

const APPROVERS: &[(&str, bool)] = &[("operator", false), ("tenant_admin", true)];

/// All rules of a list.
pub fn rules(item: &Item) -> Option<Located<Vec<RawRule>>> {
    Some(Located {
        value: item.list()?.iter().filter_map(rule).collect(),
        at: item.at.clone(),
    })
}

fn rule(item: &Item) -> Option<RawRule> {
    let fields = item.fields(&["name", "when", "then", "mode"])?;
    let name = fields.required("name", "refusals and the ledger call the rule by it");
    let then = fields.required("then", "what the rule does, as block: true");
    let when = fields.optional("when");
    let when_is_there = when.is_some();
    let when = when.and_then(|item| item.text());
    let mode = fields.optional("mode");
    let mode_is_there = mode.is_some();
    let mode = mode.and_then(|item| item.word(MODES));
    let then = then.and_then(|item| actions(&item));
    Some(RawRule {
        at: fields.at.clone(),
        name: name.and_then(|item| item.name()),
        is_read: when_is_there == when.is_some()
            && mode_is_there == mode.is_some()
            && then.is_some(),
        when,
        then: then.unwrap_or_default(),
        mode: mode.map(|mode| mode.value).unwrap_or_default(),
    })
}

fn actions(item: &Item) -> Option<Vec<RawAction>> {
    let fields = fields_of(item, ACTIONS, "what the rule does, as { block: true }")?;
    let present = ACTIONS.iter().filter_map(|name| {
        let item = fields.optional(name)?;
        Some((*name, item))
    });
    let present: Vec<_> = present.collect();
    if present.is_empty() {
        return item.report(format!("must have one of {}", ACTIONS.join(", ")));
    }
    let read: Vec<Option<RawAction>> = present
        .iter()
        .map(|(name, item)| action(name, item))
        .collect();
    read.into_iter().collect()
}

fn action(name: &str, item: &Item) -> Option<RawAction> {
    match name {
        "warn" => warn(item).map(RawAction::Warn),
        "throttle" => throttle(item).map(RawAction::Throttle),
        "clamp_output" => clamp(item).map(RawAction::ClampOutput),
        "downgrade" => downgrade(item).map(RawAction::Downgrade),
        "route" => route(item).map(RawAction::Route),
        "require_approval" => approval(item).map(RawAction::RequireApproval),
        _ => block(item).map(RawAction::Block),
    }
}

/// `true`, or a message.
fn warn(item: &Item) -> Option<Option<Arc<str>>> {
    if item.is_true() {
        return Some(None);
    }
    if !item.is_text() {
        return item.report("must be true, or the message that the caller is told");
    }
    message(item).map(Some)
}

/// The fields of an action that has no other form, or that `true` stands for.
fn fields_of<'a>(
    item: &Item<'a>,
    known: &'static [&'static str],
    form: &str,
) -> Option<Fields<'a>> {
    match item.is_mapping() {
        true => item.fields(known),
        false => item.report(format!("must be {form}")),
    }
}

/// A text for callers: it may stand in a header.
fn message(item: &Item) -> Option<Arc<str>> {
    let text = item.text()?.value;
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.len() > MESSAGE_BYTES_MAX || !text.chars().all(plain) {
        return item.report(format!(
            "must have at most {MESSAGE_BYTES_MAX} characters, all of them printable ASCII"
        ));
    }
    Some(text.into())
}

fn optional_message(fields: &Fields) -> Option<Option<Arc<str>>> {
    match fields.optional("message") {
        None => Some(None),
        Some(item) => message(&item).map(Some),
    }
}

fn throttle(item: &Item) -> Option<Throttle> {
    let form = "delay, limits or both, as { delay: 2s, limits: 0.5 }";
    let fields = fields_of(item, &["delay", "limits"], form)?;
    let (delay, limits) = (fields.optional("delay"), fields.optional("limits"));
    if delay.is_none() && limits.is_none() {
        return item.report("must have one of delay, limits");
    }
    let delay = match delay {
        Some(item) => Some(item.span(1..=DELAY_MAX.0)?.value),
        None => None,
    };
    let limits_per_mille = match limits {
        Some(item) => Some(item.per_mille(1..=999)?.value),
        None => None,
    };
    Some(Throttle {
        delay,
        limits_per_mille,
    })
}

/// A number, or `max_tokens: NUMBER`.
fn clamp(item: &Item) -> Option<u64> {
    let tokens = match item.is_mapping() {
        true => item
            .fields(&["max_tokens"])?
            .required("max_tokens", "the most tokens of one answer")?,
        false => item.clone(),
    };
    Some(tokens.amount(1..=AMOUNT_MAX)?.value)
}

/// A model, a list of them, or `to:` with more beside it.
fn downgrade(item: &Item) -> Option<RawSwap> {
    if !item.is_mapping() {
        return Some(RawSwap {
            to: names(item)?,
            drop: Vec::new(),
            refuse: Vec::new(),
        });
    }
    let fields = item.fields(&["to", "drop", "refuse"])?;
    let to = fields.required("to", "the models to go to, the best first");
    let list = |name, read: fn(&Item) -> Option<Vec<Arc<str>>>| match fields.optional(name) {
        None => Some(Vec::new()),
        Some(item) => read(&item),
    };
    let (drop, refuse) = (list("drop", dropped), list("refuse", parameters));
    Some(RawSwap {
        to: names(&to?)?,
        drop: drop?,
        refuse: refuse?,
    })
}

/// One name, or several.
pub fn names(item: &Item) -> Option<Vec<Name>> {
    let items = item.one_or_list()?;
    if items.is_empty() || items.len() > LIST_MAX {
        return item.report(format!("must have 1 to {LIST_MAX} names"));
    }
    let names: Vec<Option<Name>> = items.iter().map(Item::name).collect();
    names.into_iter().collect()
}

/// Names of fields of request bodies that go.
pub fn dropped(item: &Item) -> Option<Vec<Arc<str>>> {
    let names = parameters(item)?;
    let bounds = |name: &&Arc<str>| BOUNDS.contains(&plain(name).as_str());
    match names.iter().find(bounds) {
        None => Some(names),
        Some(name) => item.report(format!(
            "{name} bounds what a call may produce: it must stay (forbid refuses calls with it)"
        )),
    }
}

/// A name as every spelling of it has it.
fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// Names of fields of request bodies, as `logit_bias` or `generationConfig.topK`.
pub fn parameters(item: &Item) -> Option<Vec<Arc<str>>> {
    let items = item.one_or_list()?;
    if items.len() > LIST_MAX {
        return item.report(format!("must have at most {LIST_MAX} names"));
    }
    let names: Vec<Option<Arc<str>>> = items
        .iter()
        .map(|item| {
            let text = item.text()?.value;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if text.len() > 128 || !text.chars().all(is_plain) {
                return item.report("must be a field of request bodies, as logit_bias");
            }
            let plain = plain(&text);
            if PROTECTED.contains(&plain.as_str()) {
                return item.report(format!("{text} is what calls are metered by: it must stay"));
            }
            if let Some((object, member)) = plain.split_once('.')
                && (!OBJECTS.contains(&object) || member.contains('.'))
            {
                return item.report(format!(
                    "{text} is not looked at: name a field of the body itself, or one of \
                     generationConfig, inferenceConfig, textGenerationConfig, options or \
                     stream_options"
                ));
            }
            Some(text.into())
        })
        .collect();
    names.into_iter().collect()
}

/// The objects of a body whose own fields are known, and no others'.
const OBJECTS: &[&str] = &[
    "generationconfig",
    "inferenceconfig",
    "textgenerationconfig",
    "options",
    "streamoptions",
];

/// Fields without which a call could produce more than is held for it.
const BOUNDS: &[&str] = &[
    "maxtokens",
    "maxcompletiontokens",
    "maxoutputtokens",
    "maxtokenstosample",
    "maxgenlen",
    "maxtoolcalls",
    "generationconfig",
    "generationconfig.maxoutputtokens",
    "inferenceconfig",
    "inferenceconfig.maxtokens",
    "inferenceconfig.maxnewtokens",
    "textgenerationconfig",
    "textgenerationconfig.maxtokencount",
    "options",
    "options.numpredict",
];

/// Fields without which a call is another one.
const PROTECTED: &[&str] = &[
    "model", "messages", "input", "prompt", "contents", "stream", "n", "bestof",
];

/// A cluster, or `cluster: NAME`.
fn route(item: &Item) -> Option<Route> {
    let cluster = match item.is_mapping() {
        true => item
            .fields(&["cluster"])?
            .required("cluster", "what x-weir-cluster is to say")?,
        false => item.clone(),
    };
    Some(Route {
        cluster: cluster.name()?.value,
    })
}

/// `true`, or what is different from usual.
fn approval(item: &Item) -> Option<Approval> {
    let mut approval = Approval {
        valid_for: VALID_FOR_DEFAULT,
        approvers: None,
        by_tenant_admin: false,
        message: None,
    };
    if item.is_true() {
        return Some(approval);
    }
    let form = "true, or what differs from usual: valid_for, approvers, by, message";
    let fields = fields_of(item, &["valid_for", "approvers", "by", "message"], form)?;
    if let Some(item) = fields.optional("valid_for") {
        approval.valid_for = item.span(SECOND_MS..=366 * DAY_MS)?.value;
    }
    if let Some(item) = fields.optional("approvers") {
        approval.approvers = Some(message(&item)?);
    }
    if let Some(item) = fields.optional("by") {
        approval.by_tenant_admin = item.word(APPROVERS)?.value;
    }
    approval.message = optional_message(&fields)?;
    Some(approval)
}

/// `true`, or what is different from usual.
fn block(item: &Item) -> Option<Block> {
    let mut block = Block {
        status: 403,
        code: None,
        message: None,
    };
    if item.is_true() {
        return Some(block);
    }
    let form = "true, or what differs from usual: status, code, message";
    let fields = fields_of(item, &["status", "code", "message"], form)?;
    if let Some(item) = fields.optional("status") {
        let status = item.amount(400..=499)?.value;
        block.status = u16::try_from(status).unwrap_or(403);
    }
    if let Some(item) = fields.optional("code") {
        block.code = Some(item.name()?.value);
    }
    block.message = optional_message(&fields)?;
    Some(block)
}
