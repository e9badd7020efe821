//! How much and for how long, from the command line; and lists that come in pages.

use super::keys::stored::{Format, columns, now};
use super::server::{Server, query};
use crate::config::keys::{count, dollars, instant, span};
use crate::limits::period::FOREVER;
use crate::units::UnixMillis;
use anyhow::{anyhow, bail};
use hyper::Method;
use serde_json::Value;
use std::io::Write;

/// Until when.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Lasting {
    /// For how long from now, as 4h or 7d.
    #[arg(long = "for", value_name = "SPAN", conflicts_with = "until")]
    span: Option<String>,
    /// Until when: a date, or a time as 2027-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// An amount of money or of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Nanos(u64),
    Tokens(u64),
}

impl Lasting {
    /// `None`: nothing was said.
    pub fn until(&self) -> anyhow::Result<Option<UnixMillis>> {
        match (&self.span, &self.until) {
            (None, None) => Ok(None),
            (Some(text), _) => match span(text) {
                Some(span) => Ok(Some(now() + span)),
                None => bail!("--for: must be a span of time, as 4h or 7d"),
            },
            (None, Some(text)) => match instant(text) {
                Some(at) => Ok(Some(at)),
                None => bail!("--until: must be a date or a time, as 2027-01-31"),
            },
        }
    }
}

/// `100USD`, `0.50 USD`.
pub(super) fn money(text: &str) -> anyhow::Result<u64> {
    dollars(text).ok_or_else(|| anyhow!("--amount: must be dollars, as 50USD or 0.50USD"))
}

/// `100USD` or `2M`.
pub(super) fn amount(text: &str) -> anyhow::Result<Amount> {
    let money = dollars(text).map(Amount::Nanos);
    let amount = money.or_else(|| count(text).map(Amount::Tokens));
    amount.ok_or_else(|| anyhow!("--amount: must be dollars or tokens, as 100USD or 2M"))
}

/// All of a list of a running weir, page by page.
pub(super) fn all(
    server: &Server,
    target: &str,
    list: &str,
    parameters: &[(&str, Option<&str>)],
) -> anyhow::Result<Vec<Value>> {
    let (mut rows, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut asked = vec![("limit", Some("999")), ("after", after.as_deref())];
        asked.extend_from_slice(parameters);
        let mut page = server.ask(Method::GET, &query(target, &asked), None)?;
        match page[list].take() {
            Value::Array(some) => rows.extend(some),
            _ => bail!("this is no answer of weir's"),
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(rows),
        }
    }
}

/// A list, for people or for programs.
pub(super) fn print<const N: usize>(
    format: Format,
    rows: &[Value],
    head: [&str; N],
    row: impl Fn(&Value) -> [String; N],
    none: &str,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match (format, rows.is_empty()) {
        (Format::Json, _) => writeln!(out, "{}", Value::Array(rows.to_vec()))?,
        (Format::Table, true) => writeln!(out, "{none}")?,
        (Format::Table, false) => {
            let rows: Vec<[String; N]> = rows.iter().map(row).collect();
            write!(out, "{}", columns(head, &rows))?;
        }
    }
    Ok(())
}

/// A text of an object; `-` where there is none.
pub(super) fn word(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or("-").to_owned()
}

/// What [`until`] says of what has no end.
pub(super) const FOR_EVER: &str = "for ever";

/// Until when something of an object lasts.
pub(super) fn until(of: &Value) -> String {
    match of["until_ms"].as_u64().map(UnixMillis) {
        Some(FOREVER) => FOR_EVER.to_owned(),
        until => super::keys::stored::time(until),
    }
}

/// A time of an object.
pub(super) fn at(of: &Value, name: &str) -> String {
    super::keys::stored::time(of[name].as_u64().map(UnixMillis))
}

/// An amount of nano-dollars, as dollars.
pub(super) fn usd(nanos: u64) -> String {
    format!("{} USD", crate::pricing::notation::Dollars(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_of_money_or_of_tokens() {
        for (text, expected) in [
            ("100USD", Some(Amount::Nanos(100_000_000_000))),
            ("0.5 USD", Some(Amount::Nanos(500_000_000))),
            ("2M", Some(Amount::Tokens(2_000_000))),
            ("500", Some(Amount::Tokens(500))),
            ("-5USD", None),
            ("5EUR", None),
            ("USD", None),
            ("", None),
        ] {
            assert_eq!(amount(text).ok(), expected, "{text}");
        }
        assert!(money("2M").is_err());
        assert_eq!(usd(1_500_000_000), "1.5 USD");
    }

    #[test]
    fn until_when_is_said_in_one_way() {
        let lasting = |span: Option<&str>, until: Option<&str>| Lasting {
            span: span.map(str::to_owned),
            until: until.map(str::to_owned),
        };
        let at = lasting(None, Some("2027-01-01")).until().unwrap();
        assert_eq!(at, Some(UnixMillis(1_798_761_600_000)));
        assert_eq!(lasting(None, None).until().unwrap(), None);
        assert!(lasting(Some("4h"), None).until().unwrap() > Some(now()));
        assert!(lasting(Some("soon"), None).until().is_err());
        assert!(lasting(None, Some("4h")).until().is_err());
    }
}
