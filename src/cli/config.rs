//! `weir config`: what a configuration may say, files to start with, and a running
//! weir that reads its own anew.

use super::server::ServerArgs;
use super::tokens::told;
use crate::config::{examples, reference};
use anyhow::Context;
use clap::builder::PossibleValuesParser;
use hyper::Method;
use serde_json::Value;
use std::process::ExitCode;

/// See what a configuration may say, start from an example, or have a running weir
/// read its own anew.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Read the configuration's file, and those that it names, now. weir does so by
    /// itself within seconds of a change; this says at once what came of it: what
    /// changed, or all that is wrong with the file, which then changes nothing.
    Reload {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print every field, its form, its default and what it means, as Markdown.
    Reference,
    /// Print the same as a JSON Schema (draft 2020-12), for editors: in the first line
    /// of a file, # yaml-language-server: $schema=weir.schema.json
    Schema,
    /// Print a whole file to start with, which `weir check` takes.
    Example {
        /// What it is for.
        #[arg(value_parser = PossibleValuesParser::new(examples::ALL.iter().map(|(name, _)| *name)))]
        name: String,
    },
}

/// Exit code 0, or 1 if a file wasn't taken.
pub fn run(args: &ConfigArgs) -> ExitCode {
    let printed = match &args.command {
        ConfigCommand::Reload { server } => reload(server),
        ConfigCommand::Reference => Ok(reference::markdown::text()),
        ConfigCommand::Schema => Ok(reference::schema::text()),
        ConfigCommand::Example { name } => {
            let text = examples::example(name).context("there is no such example");
            text.map(str::to_owned)
        }
    };
    told("weir config", printed)
}

fn reload(server: &ServerArgs) -> anyhow::Result<String> {
    let answer = server
        .named()?
        .ask(Method::POST, "/v1/config/reload", None)?;
    text(&answer).context("weir's answer can't be read")
}

/// `None` where the answer isn't one.
fn text(answer: &Value) -> Option<String> {
    let mut text = String::new();
    for warning in answer["warnings"].as_array()? {
        text += &format!("warning: {}\n", warning.as_str()?);
    }
    let differences = answer["differences"].as_array()?;
    for difference in differences {
        let (before, after) = (&difference["before"], &difference["after"]);
        text += &format!("{}: {before} -> {after}\n", difference["path"].as_str()?);
    }
    if answer["more"].as_bool()? {
        text += "... and more\n";
    }
    for field in answer["at_next_start"].as_array()? {
        text += &format!("{}: takes effect at the next start\n", field.as_str()?);
    }
    text += match differences.is_empty() {
        true => "the configuration was read anew; of what is shown of it nothing changed\n",
        false => "the configuration was read anew and counts from now on\n",
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_and_what_waits_is_told_a_line_each() {
        let answer = json!({
            "differences": [
                { "path": "plans.team.limits[0].amount", "before": 5, "after": 7 },
                { "path": "models.m", "before": null, "after": { "tier": "large" } },
            ],
            "more": true,
            "warnings": ["weir.yaml: ledger: is not set"],
            "at_next_start": ["holds.ttl_ms"],
        });
        let expected = "warning: weir.yaml: ledger: is not set\n\
             plans.team.limits[0].amount: 5 -> 7\n\
             models.m: null -> {\"tier\":\"large\"}\n\
             ... and more\n\
             holds.ttl_ms: takes effect at the next start\n\
             the configuration was read anew and counts from now on\n";
        assert_eq!(text(&answer).as_deref(), Some(expected));
        assert_eq!(text(&json!({ "differences": [] })), None);
    }
}
