//! What a key is for, from the command line: the same fields as in the
//! configuration, read by it.

use crate::config::keys::{KeyAttributes, OwnLimits, instant, key_attributes, span};
use crate::config::problem::{Problem, Problems};
use crate::identity::Attributes;
use crate::units::UnixMillis;
use anyhow::{anyhow, bail};
use serde_json::{Map, Value, json};

/// What a key is for.
#[derive(Debug, Default, clap::Args)]
pub(super) struct AttributeArgs {
    /// On whose account the key's calls go.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Whom to ask about the key.
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// A label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Only for this model, or models as in gpt-4*; may be repeated.
    #[arg(long = "model", value_name = "PATTERN")]
    pub models: Vec<String>,
    /// Only for this endpoint, as in /v1/chat/*; may be repeated.
    #[arg(long = "endpoint", value_name = "PATTERN")]
    pub endpoints: Vec<String>,
    /// Only from this address or network; may be repeated.
    #[arg(long = "address", value_name = "NETWORK")]
    pub addresses: Vec<String>,
    /// Only by routes of this environment; may be repeated.
    #[arg(long = "for-environment", value_name = "NAME")]
    pub environments: Vec<String>,
    /// Limits of the key's own besides its plan's, as in the configuration:
    /// '[{ per: key, unit: requests, amount: 100, every: 1h }]'.
    #[arg(long, value_name = "YAML")]
    pub limits: Option<String>,
    /// When it ends: a date, a time, or how long from now, as in 90d.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// A key's attributes and its end.
pub(super) type Read = (Attributes, Option<UnixMillis>);

impl AttributeArgs {
    pub fn read(&self, own_limits: &OwnLimits, now: UnixMillis) -> anyhow::Result<Read> {
        let mut fields = self.fields()?;
        let expires_at = self
            .expires
            .as_deref()
            .map(|text| end(text, now))
            .transpose()?;
        if let Some(limits) = &self.limits {
            let resolved = own_limits.resolve(limits);
            resolved.map_err(|problems| said("--limits", &problems))?;
        }
        // Limits are YAML as they are written: a key is a mapping around them.
        let limits = self
            .limits
            .as_ref()
            .map(|text| format!("\nlimits:\n{}", indented(text)));
        fields.retain(|_, value| !value.is_null());
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let text = format!("{}{}", fields.join("\n"), limits.unwrap_or_default());
        let text = if text.is_empty() { "{}" } else { &text };
        let read = key_attributes(text, "key", own_limits);
        let read = read.map_err(|problems| said("", &problems))?;
        let (attributes, _) = parts(read);
        Ok((attributes, expires_at))
    }

    fn fields(&self) -> anyhow::Result<Map<String, Value>> {
        let mut labels = Map::new();
        for label in &self.labels {
            let Some((name, value)) = label.split_once('=') else {
                bail!("--label: must be NAME=VALUE");
            };
            labels.insert(name.to_owned(), json!(value));
        }
        let mut scopes = Map::new();
        for (name, list) in [
            ("models", &self.models),
            ("endpoints", &self.endpoints),
            ("addresses", &self.addresses),
            ("environments", &self.environments),
        ] {
            if !list.is_empty() {
                scopes.insert(name.to_owned(), json!(list));
            }
        }
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("tenant", json!(self.tenant));
        put("project", json!(self.project));
        put("environment", json!(self.environment));
        put("user", json!(self.user));
        put("owner", json!(self.owner));
        if !labels.is_empty() {
            put("labels", Value::Object(labels));
        }
        if !scopes.is_empty() {
            put("scopes", Value::Object(scopes));
        }
        Ok(fields)
    }
}

/// As they are kept.
pub(super) fn parts(read: KeyAttributes) -> Read {
    (read.attributes, read.expires_at)
}

/// When a key ends.
pub(super) fn end(text: &str, now: UnixMillis) -> anyhow::Result<UnixMillis> {
    let end = span(text).map(|span| now + span).or_else(|| instant(text));
    let rule = "must be a date, as 2027-01-01, a time, as 2027-01-01T12:00:00Z, or how long from \
                now, as 90d";
    let end = end.ok_or_else(|| anyhow!("--expires: {rule}"))?;
    if end <= now {
        bail!("--expires: is over already");
    }
    Ok(end)
}

/// Problems without the place of a text that nobody wrote so.
pub(super) fn said(what: &str, problems: &Problems) -> anyhow::Error {
    let line = |Problem { path, text, .. }: &Problem| match (what, path.as_str()) {
        ("", "") => text.clone(),
        ("", path) => format!("{path}: {text}"),
        (what, "") => format!("{what}: {text}"),
        (what, path) => format!("{what}: {path}: {text}"),
    };
    let lines: Vec<String> = problems.list().iter().map(line).collect();
    anyhow!("{}", lines.join("\n"))
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn read(args: AttributeArgs) -> Result<Read, String> {
        let read = args.read(&OwnLimits::default(), NOW);
        read.map_err(|error| error.to_string())
    }

    fn args(tenant: &str) -> AttributeArgs {
        AttributeArgs {
            tenant: Some(tenant.to_owned()),
            ..AttributeArgs::default()
        }
    }

    #[test]
    fn what_is_said_of_a_key_is_read_as_the_configuration_does() {
        let (key, end) = read(AttributeArgs {
            user: Some("007".to_owned()),
            labels: vec!["team=a=b".to_owned(), "on: x=: y".to_owned()],
            models: vec!["gpt-*".to_owned()],
            limits: Some("- per: key\n  unit: requests\n  amount: 5\n  every: 1m".to_owned()),
            expires: Some("2d".to_owned()),
            ..args("true")
        })
        .unwrap();
        assert_eq!((&*key.tenant, key.user.as_deref()), ("true", Some("007")));
        assert_eq!(
            key.labels,
            [
                ("on: x".into(), ": y".into()),
                ("team".into(), "a=b".into())
            ]
        );
        assert!(key.scopes.allow_model("gpt-4o"));
        assert_eq!(end, Some(UnixMillis(1_000 + 2 * 86_400_000)));
        let limits: Value = serde_json::from_str(&key.limits.unwrap()).unwrap();
        assert_eq!(limits[0]["amount"], 5);
        let flow = "[{ per: key, unit: requests, amount: 5k, every: 1m }]";
        let (key, _) = read(AttributeArgs {
            limits: Some(flow.to_owned()),
            ..args("acme")
        })
        .unwrap();
        assert!(key.limits.unwrap().contains("\"5k\""));
    }

    #[test]
    fn what_is_wrong_is_said_by_its_option() {
        let long = "x".repeat(200);
        for (args, expected) in [
            (AttributeArgs::default(), "tenant: is required"),
            (args(&long), "tenant: must have 1 to 128 bytes"),
            (args("weir_live_abc"), "tenant: looks like an API key"),
            (
                args("a\nowner: b"),
                "tenant: must not hold control characters",
            ),
            (
                AttributeArgs {
                    labels: vec!["team".to_owned()],
                    ..args("a")
                },
                "--label: must be NAME=VALUE",
            ),
            (
                AttributeArgs {
                    models: vec!["a*b".to_owned()],
                    ..args("a")
                },
                "scopes.models",
            ),
            (
                AttributeArgs {
                    limits: Some(
                        "[{ per: user, unit: requests, amount: 1, every: 1m }]".to_owned(),
                    ),
                    ..args("a")
                },
                "--limits: [0].per: must be key",
            ),
            (
                AttributeArgs {
                    expires: Some("soon".to_owned()),
                    ..args("a")
                },
                "--expires: must be a date",
            ),
            (
                AttributeArgs {
                    expires: Some("1970-01-01".to_owned()),
                    ..args("a")
                },
                "--expires: is over already",
            ),
        ] {
            let error = read(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
