//! What a name may be.

use super::problem::looks_like_key;

/// The longest name of a tenant, plan, key, user, project, tier, limit or
/// model. Names are part of counter names, events and refusals.
pub const NAME_BYTES_MAX: usize = 128;

/// What is wrong with a name.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let len = name.len();
        return Some(format!("must have 1 to {NAME_BYTES_MAX} bytes (got {len})"));
    }
    if name.contains(char::is_control) {
        return Some("must not hold control characters".to_owned());
    }
    if name.trim() != name {
        return Some("must not begin or end with white space".to_owned());
    }
    if looks_like_key(name) {
        return Some("looks like an API key; a name stands in logs and events".to_owned());
    }
    None
}
