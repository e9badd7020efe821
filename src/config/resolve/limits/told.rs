//! What limits of a plan have to do with one another, and with its output.

use super::name;
use crate::config::problem::{At, Findings, shown};
use crate::config::raw::limits::RawLimit;
use crate::config::reader::Located;
use crate::limits::{Limit, Unit};
use std::collections::HashMap;
use std::sync::Arc;

/// Reports a name that an earlier limit of the plan has.
pub fn name_once<'r>(
    raw: &'r RawLimit,
    names: &mut HashMap<Arc<str>, &'r At>,
    findings: &Findings,
) {
    let Some(name) = name(raw) else { return };
    let at = raw.name.as_ref().map_or(&raw.at, |name| &name.at);
    match names.get(&name) {
        Some(first) => findings.problem(
            at,
            format!(
                "{} is named {} already; give one of them another name",
                first.path,
                shown(&name)
            ),
        ),
        None => {
            names.insert(name, &raw.at);
        }
    }
}

/// A call that sets no cap holds the plan's default: a limit below it refuses
/// every such call.
pub fn warn_of_small(
    raw: &RawLimit,
    limit: &Limit,
    default: Option<&Located<u64>>,
    findings: &Findings,
) {
    let most = limit.most();
    if matches!(limit.unit, Unit::Tokens | Unit::OutputTokens)
        && let Some(default) = default
        && most <= default.value
    {
        findings.warning(
            &raw.at,
            format!(
                "never holds more than {most}, but a call without a cap of its own asks for \
                 {} output tokens alone (output.max_tokens.default): it would always be refused",
                default.value
            ),
        );
    }
}
