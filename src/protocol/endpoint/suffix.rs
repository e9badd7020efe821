//! How the paths of an endpoint end, and which paths all parsers read alike.

use std::borrow::Cow;

/// What stands before a model's name at Azure.
const DEPLOYMENTS: &str = "/deployments/";

pub(super) enum Suffix {
    /// With this.
    Plain(&'static str),
    /// No path has it.
    None,
    /// With a model, and then this: `/models/NAME` and `:verb`.
    Model {
        before: &'static str,
        after: &'static str,
    },
}

impl Suffix {
    /// What all its paths end with.
    pub(super) fn tail(&self) -> Option<&'static str> {
        match self {
            Suffix::Plain(tail) | Suffix::Model { after: tail, .. } => Some(tail),
            Suffix::None => None,
        }
    }

    /// The model in a path that ends so, if it names one.
    pub(super) fn model<'p>(&self, path: &'p str) -> Option<Option<Cow<'p, str>>> {
        match self {
            Suffix::None => None,
            Suffix::Plain(suffix) => {
                let before = path.strip_suffix(suffix)?;
                let deployment = before.rsplit_once(DEPLOYMENTS);
                let name = deployment.map(|(_, name)| name);
                let name = name.filter(|name| !name.contains('/'));
                // Whoever names a model so takes no other.
                if name.is_none() && (deployment.is_some() || before.contains("/engines/")) {
                    return None;
                }
                let versioned = suffix.starts_with("/v") || suffix.starts_with("/api/");
                (versioned || name.is_some() || is_base(before)).then(|| name.and_then(decoded))
            }
            Suffix::Model { before, after } => {
                let path = path.strip_suffix(after)?;
                let (_, name) = path.rsplit_once(before)?;
                let model = decoded(name).filter(|_| !name.is_empty() && !name.contains('/'))?;
                Some(Some(model))
            }
        }
    }
}

/// A path that ends so, with another model in place of the one that it names.
impl Suffix {
    pub(super) fn with_model(&self, path: &str, model: &str) -> Option<String> {
        // Whatever is wrong with the old path is found here.
        self.model(path)??;
        let (before, after) = match self {
            Suffix::None => return None,
            Suffix::Plain(suffix) => (&DEPLOYMENTS, suffix),
            Suffix::Model { before, after } => (before, after),
        };
        let (front, _) = path.strip_suffix(after)?.rsplit_once(before)?;
        Some(format!("{front}{before}{}{after}", encoded(model)))
    }
}

/// A segment of a path that is read as this text by whoever decodes it once: all
/// but RFC 3986's unreserved characters is encoded, as AWS's and Google's own
/// clients do it. `@`, which splits Vertex's names of models from their versions,
/// stands there as it is.
fn encoded(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Whether an endpoint may follow: `/v1`, `/openai/v1`, `/beta`, or nothing.
/// Elsewhere a path that ends alike asks for another thing
/// (`/v1/fim/completions`).
fn is_base(before: &str) -> bool {
    let last = before.rsplit('/').next().unwrap_or_default();
    let version = last.strip_prefix('v').unwrap_or_default();
    let plain = version.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_version = plain && version.starts_with(|digit: char| digit.is_ascii_digit());
    is_version || matches!(last, "" | "beta" | "openai")
}

/// Whether all parsers read a path alike: no empty or dotted segments, no
/// parameters, nothing encoded but in a model's name.
pub(super) fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let mut before = "";
    rest.split('/').all(|segment| {
        let names_model = matches!(before, "model" | "models" | "deployments");
        before = segment;
        let plain = !matches!(segment, "" | "." | "..") && !segment.contains([';', '#', '\\', '?']);
        plain && (!segment.contains('%') || names_model)
    })
}

/// A path's segment without its percent-encoding; `None` where that is wrong.
pub(super) fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    let mut bytes = Vec::new();
    let mut rest = segment;
    while let Some((before, behind)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = behind.get(..2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind.get(2..)?;
    }
    if bytes.is_empty() && rest.len() == segment.len() {
        return Some(Cow::Borrowed(segment));
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
