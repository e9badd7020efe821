//! `weir tokens`: who may use a running weir's admin API.

use super::server::{ServerArgs, path};
use crate::config::keys::{instant, span};
use crate::driver::clock::Clock;
use anyhow::{anyhow, bail};
use hyper::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

/// Make, list and withdraw tokens for the admin API of a running weir.
#[derive(Debug, clap::Args)]
pub struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TokensCommand {
    /// Make a token; it is printed once. It may do no more than the one it is asked
    /// with.
    Create {
        #[command(flatten)]
        server: ServerArgs,
        /// viewer, tenant-admin, operator or owner.
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// A tenant-admin's tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// When it ends: a date, a time, or how long from now, as in 90d.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Print all tokens, one JSON object a line.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Withdraw a token: it counts no more at once.
    Revoke {
        /// The token's name.
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Exit code 0 if weir answered as asked, else 1.
pub fn run(args: &TokensArgs) -> ExitCode {
    let printed = match &args.command {
        TokensCommand::Create {
            server,
            role,
            tenant,
            expires,
        } => create(server, role, tenant.as_deref(), expires.as_deref()),
        TokensCommand::List { server } => list(server),
        TokensCommand::Revoke { id, server } => revoke(server, id),
    };
    told("weir tokens", printed)
}

/// Prints what came of a command.
pub(super) fn told(command: &str, printed: anyhow::Result<String>) -> ExitCode {
    match printed {
        // Nobody is left to tell where the output is gone.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn create(
    server: &ServerArgs,
    role: &str,
    tenant: Option<&str>,
    expires: Option<&str>,
) -> anyhow::Result<String> {
    let now = Clock::start().now();
    let end = match expires {
        None => None,
        Some(text) => {
            let end = span(text).map(|span| now + span).or_else(|| instant(text));
            Some(end.ok_or_else(|| anyhow!("--expires: must be a date, a time, or a span as 90d"))?)
        }
    };
    let wanted = json!({ "role": role, "tenant": tenant, "expires_at_ms": end.map(|at| at.0) });
    let made = server
        .named()?
        .ask(Method::POST, "/v1/tokens", Some(&wanted))?;
    let (secret, id) = (made["secret"].as_str(), made["token"]["id"].as_str());
    let (Some(secret), Some(id)) = (secret, id) else {
        bail!("this is no answer of weir's");
    };
    let _ = writeln!(
        std::io::stderr(),
        "{id} is made; the token is shown this once: keep it where secrets are kept"
    );
    Ok(format!("{secret}\n"))
}

fn list(server: &ServerArgs) -> anyhow::Result<String> {
    let answer = server.named()?.ask(Method::GET, "/v1/tokens", None)?;
    Ok(lines(&answer["tokens"]))
}

/// A list, a line each.
pub(super) fn lines(list: &Value) -> String {
    let each = list.as_array().into_iter().flatten();
    each.map(|one| format!("{one}\n")).collect()
}

fn revoke(server: &ServerArgs, id: &str) -> anyhow::Result<String> {
    let answer = server
        .named()?
        .ask(Method::DELETE, &path("/v1/tokens", id, ""), None)?;
    Ok(match answer["revoked"].as_bool() {
        Some(true) => format!("{id} is revoked\n"),
        _ => format!("{id} was revoked before\n"),
    })
}
