//! One call: what it used, what that cost, how it was corrected, and where it
//! stands in its chain.

use super::block_on;
use super::format::table::{columns, printable};
use super::output::Output;
use crate::cli::source::Source;
use crate::exchange::UsageEvent;
use crate::ledger::reports::instant::told;
use crate::ledger::reports::money::{exact, grouped};
use crate::ledger::reports::tell;
use crate::ledger::store::{Shown, columns as stored};
use crate::limits::HoldId;
use crate::units::UnixMillis;
use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use std::io::Write;

/// What `weir usage show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    source: Source,
    /// The call's id, as weir's events, logs and exports have it: 32 hexadecimal
    /// digits.
    #[arg(value_name = "ID")]
    id: String,
    /// Whose clocks times are told by, as in Asia/Kolkata.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Print JSON. Costs are in billionths of a dollar there.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<()> {
    let id = id(&args.id)?;
    let zone = crate::ledger::reports::instant::zone(&args.time_zone).context("--time-zone")?;
    let shown = block_on(async {
        let store = args.source.open().await?;
        let shown = store.show(id).await?;
        store.close().await;
        Ok(shown)
    })?;
    let Some(shown) = shown else {
        bail!("{}", no_call(id));
    };
    let mut output = Output::to(None)?;
    let text = match args.json {
        true => format!("{:#}\n", tell::call(&shown)),
        false => text(&shown, &zone),
    };
    output.write_all(text.as_bytes())?;
    output.finish()
}

/// A call's id, with its dashes or without.
pub(in crate::cli) fn id(text: &str) -> anyhow::Result<HoldId> {
    HoldId::parse(&text.replace('-', "")).with_context(|| {
        format!(
            "{:?} is no id of a call: it has 32 hexadecimal digits",
            text.chars().take(64).collect::<String>()
        )
    })
}

pub(in crate::cli) fn no_call(id: HoldId) -> String {
    format!("the ledger has no call {id}: it may be older than rows are kept, or of another ledger")
}

/// For people.
fn text(shown: &Shown, zone: &TimeZone) -> String {
    let (event, link) = (&shown.row.event, &shown.row.link);
    let mut lines = facts(event, zone);
    lines.push(line(
        "chain",
        &format!("{}, row {}", link.chain.simple(), link.sequence),
    ));
    lines.push(line("hash", &tell::hex(&link.hash)));
    let mut text = columns(&lines, 2);
    let cost = |nanos: i128| format!("${}", exact(nanos));
    if event.cost_nanos.is_none() && event.outcome.as_str() != "refused" {
        text += "\nno cost: its model had no price, or nothing was used\n";
    }
    let mut charges = Vec::new();
    for part in &event.cost_parts {
        charges.push(vec![
            part.kind.as_str().to_owned(),
            grouped(part.units.into()),
            cost(part.cost_nanos.into()),
        ]);
    }
    for one in &shown.adjustments {
        let reason = printable(&one.reason);
        let at = told(one.at, zone);
        charges.push(vec![
            format!("corrected {at}: {reason}"),
            String::new(),
            cost(one.delta_nanos.into()),
        ]);
    }
    if let Some(net) = tell::net_nanos(shown) {
        charges.push(vec!["in all".to_owned(), String::new(), cost(net)]);
    }
    if !charges.is_empty() {
        text.push('\n');
        text += &columns(&charges, 1);
    }
    text
}

fn line(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), printable(value)]
}

/// What is known of the call, a line each.
fn facts(event: &UsageEvent, zone: &TimeZone) -> Vec<Vec<String>> {
    let at = |at: UnixMillis| told(at, zone);
    let mut lines = vec![
        line("id", &event.id.to_string()),
        line("outcome", event.outcome.as_str()),
        line("started", &at(event.started_at_ms)),
        line("ended", &at(event.ended_at_ms)),
    ];
    let texts = [
        ("tenant", event.tenant.as_deref()),
        ("project", event.project.as_deref()),
        ("environment", event.environment.as_deref()),
        ("user", event.user.as_deref()),
        ("key", event.key_id.as_deref()),
        ("plan", event.plan.as_deref()),
        (
            "endpoint",
            event.endpoint.map(crate::protocol::Endpoint::path),
        ),
        ("provider", event.provider.as_deref()),
        ("model", event.model.as_deref()),
        ("model asked for", event.model_asked.as_deref()),
        ("model served", event.model_served.as_deref()),
        ("service tier", event.service_tier.as_deref()),
        ("refusal", event.refusal.as_deref()),
        ("refused by", event.refused_by.as_deref()),
        ("finish reason", event.finish_reason.as_deref()),
        ("price version", event.price_version.as_deref()),
    ];
    lines.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| Some(line(name, text?))),
    );
    for (name, value) in event.labels.iter().flat_map(|labels| labels.iter()) {
        lines.push(line(&format!("label {name}"), value));
    }
    if let Some(status) = event.status {
        lines.push(line("status", &status.to_string()));
    }
    let known = [
        ("counts from", event.known),
        ("input from", event.input_known),
        ("output from", event.output_known),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, known)| Some(line(name, known?.as_str())));
    lines.extend(known);
    let cached = stored::cached_counts(event);
    for (count, name) in stored::counts(event).into_iter().chain(cached) {
        if let Some(count) = count {
            lines.push(line(&name.replace('_', " "), &grouped(count.into())));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::event;
    use super::*;
    use crate::ledger::row::{Link, Row};
    use crate::ledger::store::Adjustment;

    #[test]
    fn a_call_is_told_with_its_charges_and_corrections() {
        let mut event = event();
        event.model_served = Some("evil\u{1b}[31m".to_owned());
        let id = event.id;
        let link = Link {
            chain: uuid::Uuid::from_u128(7),
            sequence: 12,
            hash: [0xab; 32],
        };
        let shown = Shown {
            row: Row { event, link },
            adjustments: vec![Adjustment {
                event: id,
                run: uuid::Uuid::from_u128(9),
                at: UnixMillis(1_793_700_000_000),
                delta_nanos: -500,
                price_version: None,
                reason: "price was wrong".into(),
            }],
        };
        let text = text(&shown, &TimeZone::UTC);
        for expected in [
            "tenant         acme\n",
            "input tokens   1,000\n",
            "model served   evil?[31m\n",
            "chain          00000000000000000000000000000007, row 12\n",
            "1,000   $0.002500000\n",
            "corrected 2026-11-03T10:00:00Z: price was wrong",
            "-0.000000500\n",
            "$0.003499500\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
        assert_eq!(tell::call(&shown)["net_nanos"], 3_499_500);
    }
}
