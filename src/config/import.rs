//! Reads a configuration of `envoyproxy/ratelimit`, to be carried over.
//! Its format: <https://github.com/envoyproxy/ratelimit#configuration>.
//!
//! A tree of descriptors there is a list of rules here, one for each path from
//! the root. What can't be carried over is a note with its place; a file that
//! program would refuse is refused.
//!
//! Left to others: writing the rules down (`cli`).

use super::problem::{At, Findings, Problems, shown};
use super::reader::{Fields, Item, Located};
use super::yaml;
use std::collections::HashMap;
use std::sync::Arc;

/// The rules of one file, which has one domain.
#[derive(Debug, PartialEq, Eq)]
pub struct Imported {
    pub domain: Arc<str>,
    /// What stands above comes first.
    pub rules: Vec<ImportedRule>,
    /// What isn't carried over, one line each, with its place.
    pub notes: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct ImportedRule {
    pub entries: Vec<ImportedEntry>,
    /// `None`: unlimited.
    pub limit: Option<ImportedLimit>,
}

/// A key, and the value as it is written, where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImportedEntry {
    pub key: Arc<str>,
    pub value: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct ImportedLimit {
    pub name: Option<Arc<str>>,
    pub amount: u64,
    /// As in `1m`.
    pub every: &'static str,
    pub shadow: bool,
}

/// The units there, and how long windows of them are.
const UNITS: [(&str, &str); 7] = [
    ("second", "1s"),
    ("minute", "1m"),
    ("hour", "1h"),
    ("day", "1d"),
    ("week", "7d"),
    ("month", "30d"),
    ("year", "365d"),
];

/// In place of a limit of 0, as no limit here is.
const ALMOST_NOTHING: (u64, &str) = (1, "365d");

/// What no file of ratelimit says, as it counts refused hits too.
const ON_DONE: &str = "rules whose hits Envoy tells when a stream is done \
                       (apply_on_stream_done) need on_done: true, or hits beyond a limit aren't \
                       counted; this file can't say which";

/// Fields of a descriptor that change nothing here where they are true.
const DROPPED: [(&str, &str); 4] = [
    (
        "detailed_metric",
        "is not carried over: no metric of weir has descriptors' values",
    ),
    (
        "value_to_metric",
        "is not carried over: no metric of weir has descriptors' values",
    ),
    (
        "share_threshold",
        "is not carried over: each value has a counter of its own",
    ),
    (
        "quota_mode",
        "is not carried over: a descriptor over its limit refuses the request",
    ),
];

/// Reads a file's text. `file_name` is only for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn ratelimit(text: &str, file_name: &str) -> Result<Imported, Problems> {
    let root =
        yaml::parse(text).map_err(|(place, text)| Problems::whole_file(file_name, place, text))?;
    let findings = Findings::default();
    match read(&Item::root(&root, &findings), &findings) {
        Some(mut imported) if !findings.has_problems() => {
            imported.notes = findings.into_warnings(file_name);
            Ok(imported)
        }
        _ => Err(findings.into_problems(file_name)),
    }
}

fn read(root: &Item, findings: &Findings) -> Option<Imported> {
    let fields = root.fields(&["domain", "descriptors"])?;
    let domain = fields.required("domain", "as Envoy's filters name it");
    let mut rules = Vec::new();
    let descriptors = fields.required("descriptors", "what is limited");
    if let Some(item) = &descriptors {
        read_list(item, &[], &mut rules, findings);
        if rules.iter().any(|rule| rule.limit.is_some()) {
            findings.warning(&item.at, ON_DONE);
        }
        if rules.is_empty() && !findings.has_problems() {
            findings.problem(&item.at, "must limit or exempt something");
        }
    }
    Some(Imported {
        domain: domain?.name()?.value,
        rules,
        notes: Vec::new(),
    })
}

/// One descriptor of a list.
struct Sibling {
    entry: ImportedEntry,
    at: At,
    goes_on: bool,
}

/// Adds the rules of a list of descriptors, below what stands above them.
/// Recursion is as deep as the tree, which `yaml::DEPTH_MAX` bounds.
fn read_list(
    list: &Item,
    above: &[ImportedEntry],
    rules: &mut Vec<ImportedRule>,
    findings: &Findings,
) {
    let mut siblings: Vec<Sibling> = Vec::new();
    let mut first_of: HashMap<ImportedEntry, usize> = HashMap::new();
    for item in list.list().unwrap_or_default() {
        let Some(sibling) = read_descriptor(&item, above, rules, findings) else {
            continue;
        };
        let first = *first_of
            .entry(sibling.entry.clone())
            .or_insert(siblings.len());
        if let Some(first) = siblings.get(first) {
            let text = format!("{} matches the same already", first.at.path);
            findings.problem(&sibling.at, text);
        }
        siblings.push(sibling);
    }
    note_looking_on(&siblings, findings);
    note_prefixes(&siblings, findings);
}

fn read_descriptor(
    item: &Item,
    above: &[ImportedEntry],
    rules: &mut Vec<ImportedRule>,
    findings: &Findings,
) -> Option<Sibling> {
    let fields = item.fields(&[
        "key",
        "value",
        "rate_limit",
        "descriptors",
        "shadow_mode",
        "detailed_metric",
        "value_to_metric",
        "share_threshold",
        "quota_mode",
        "metadata",
    ])?;
    let key = fields.required("key", "of the descriptor's entry");
    let entry = ImportedEntry {
        key: key?.name()?.value,
        value: value(&fields, findings)?,
    };
    note_dropped(&fields, findings);
    let entries = [above, std::slice::from_ref(&entry)].concat();
    let shadow = flag(&fields, "shadow_mode").is_some();
    let below = fields.optional("descriptors");
    match fields.optional("rate_limit") {
        Some(item) => rules.push(ImportedRule {
            limit: read_limit(&item, shadow, findings)?,
            entries: entries.clone(),
        }),
        // What is listed without a limit has none, though a rule that is less
        // specific would limit it.
        None if below.is_none() || entries.iter().any(|entry| entry.value.is_some()) => {
            rules.push(ImportedRule {
                limit: None,
                entries: entries.clone(),
            });
        }
        None => {}
    }
    if let Some(below) = &below {
        read_list(below, &entries, rules, findings);
    }
    Some(Sibling {
        entry,
        at: item.at.clone(),
        goes_on: below.is_some(),
    })
}

/// The outer `None` after a problem, the inner one where any value matches.
fn value(fields: &Fields, findings: &Findings) -> Option<Option<String>> {
    let Some(item) = fields.optional("value").filter(|item| !item.is_word("")) else {
        return Some(None);
    };
    let Located { value, at } = item.text()?;
    let start = value.strip_suffix('*').unwrap_or(&value);
    if start.contains('*') {
        let text = "has a * that is not at its end, which weir can't match literally";
        findings.problem(&at, text);
        return None;
    }
    Some((value != "*").then_some(value))
}

/// The outer `None` after a problem, the inner one where nothing limits.
fn read_limit(item: &Item, shadow: bool, findings: &Findings) -> Option<Option<ImportedLimit>> {
    let fields = item.fields(&["name", "unit", "requests_per_unit", "unlimited", "replaces"])?;
    if let Some(replaces) = fields.optional("replaces") {
        let text = "is not carried over: a request that matches several limits is held to all";
        findings.warning(&replaces.at, text);
    }
    if flag(&fields, "unlimited").is_some() {
        if let Some(unit) = fields.optional("unit") {
            return unit.report("has no meaning with unlimited: true");
        }
        return Some(None);
    }
    let unit = fields.required("unit", "second, minute, hour, day, week, month or year");
    let every = every(&unit?)?;
    let amount = match fields.optional("requests_per_unit") {
        Some(item) => requests_per_unit(&item)?,
        None => 0,
    };
    let (amount, every) = match amount {
        0 => {
            let text = "lets nothing pass; carried over as 1 request in 365 days, the least here";
            findings.warning(&item.at, text);
            ALMOST_NOTHING
        }
        amount => (amount, every),
    };
    let name = match fields.optional("name") {
        Some(item) => Some(item.name()?.value),
        None => None,
    };
    Some(Some(ImportedLimit {
        name,
        amount,
        every,
        shadow,
    }))
}

/// In the digits that both programs read alike: a 0 in front makes a number
/// octal there, and `1k` is none.
fn requests_per_unit(item: &Item) -> Option<u64> {
    let amount = item.amount(0..=u64::from(u32::MAX))?.value;
    match item.is_number(&amount.to_string()) {
        true => Some(amount),
        false => item.report(format!("must be written as {amount}, if that is meant")),
    }
}

fn every(item: &Item) -> Option<&'static str> {
    let unit = item.text()?.value;
    let known = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&unit));
    match known {
        Some((_, every)) => Some(every),
        None => {
            let names = UNITS.map(|(name, _)| name).join(", ");
            item.report(format!("must be one of {names} (got {})", shown(&unit)))
        }
    }
}

/// The place of a field that is true.
fn flag(fields: &Fields, name: &str) -> Option<At> {
    let flag = fields.optional(name)?.boolean()?;
    flag.value.then_some(flag.at)
}

fn note_dropped(fields: &Fields, findings: &Findings) {
    for (name, text) in DROPPED {
        if let Some(at) = flag(fields, name) {
            findings.warning(&at, text);
        }
    }
    if let Some(metadata) = fields.optional("metadata") {
        let text = "is not carried over: answers bring no metadata";
        findings.warning(&metadata.at, text);
    }
}

/// There, the most specific descriptor is gone into and no other is looked at;
/// here, the most specific rule that matches as a whole counts.
fn note_looking_on(siblings: &[Sibling], findings: &Findings) {
    let mut wide = Wide::default();
    for sibling in siblings.iter().filter(|sibling| sibling.goes_on) {
        wide.add(sibling);
    }
    for sibling in siblings {
        if let Some(other) = wide.any(sibling).or_else(|| wide.prefix(sibling)) {
            let text = format!(
                "descriptors that begin so and go on as only {} does are matched by that in weir; \
                 ratelimit lets them pass",
                other.at.path
            );
            findings.warning(&sibling.at, text);
        }
    }
}

/// There, the first prefix of a list that fits is taken; here, the longest.
fn note_prefixes(siblings: &[Sibling], findings: &Findings) {
    let mut before = Wide::default();
    for sibling in siblings.iter().filter(|sibling| sibling.prefix().is_some()) {
        if let Some(other) = before.prefix(sibling) {
            let text = format!(
                "counts in weir for what it matches, as the longer prefix; ratelimit takes the \
                 first that fits, {}",
                other.at.path
            );
            findings.warning(&sibling.at, text);
        }
        before.add(sibling);
    }
}

/// Descriptors that match many values, by key and by what values begin with;
/// without that, any value.
#[derive(Default)]
struct Wide<'s>(HashMap<(&'s str, Option<&'s str>), &'s Sibling>);

impl<'s> Wide<'s> {
    fn add(&mut self, sibling: &'s Sibling) {
        let prefix = sibling.prefix();
        if prefix.is_some() || sibling.entry.value.is_none() {
            let place = (&*sibling.entry.key, prefix);
            self.0.entry(place).or_insert(sibling);
        }
    }

    /// The one that matches any value, and so all that this one does.
    fn any(&self, sibling: &Sibling) -> Option<&'s Sibling> {
        sibling.entry.value.as_ref()?;
        self.0.get(&(&*sibling.entry.key, None)).copied()
    }

    /// One whose prefix begins this one's value or prefix.
    fn prefix(&self, sibling: &Sibling) -> Option<&'s Sibling> {
        let value = sibling.entry.value.as_deref()?;
        let (start, ends) = match sibling.prefix() {
            Some(prefix) => (prefix, prefix.len()),
            None => (value, value.len() + 1),
        };
        (1..ends)
            .filter_map(|end| start.get(..end))
            .find_map(|shorter| self.0.get(&(&*sibling.entry.key, Some(shorter))))
            .copied()
    }
}

impl Sibling {
    /// What its values begin with, where it is for more than one.
    fn prefix(&self) -> Option<&str> {
        self.entry.value.as_deref()?.strip_suffix('*')
    }
}
