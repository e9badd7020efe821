//! `weir explain`: what would become of a call, and why; or what became of one that
//! the ledger has.
//!
//! | module | for |
//! |---|---|
//! | [`offline`] | a call judged by a configuration alone |
//! | [`text`] | an explanation for people |
//! | [`past`] | a call of the ledger |

pub(in crate::cli) mod offline;
mod past;
mod text;

use super::server::ServerArgs;
use super::source::{ByItself, policy};
use crate::config::cases::{State, load_state};
use crate::config::problem::looks_like_key;
use crate::config::{FILE_BYTES_MAX, Outside, Process};
use crate::exchange::explain::question::USUAL_PATH;
use crate::exchange::explain::{Question, Whom};
use anyhow::{Context, anyhow, bail};
use hyper::Method;
use offline::Offline;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The largest request that is read: more than any is let through.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// See what would become of a call, and why.
///
/// Nothing is charged. By a configuration, counters are unused but for what --state
/// says; a running weir tells of them as they stand.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir explain --config weir.yaml --tenant acme --user ada --request call.json
  weir explain --config weir.yaml --key ci --request call.json --state nearly-over.yaml
  weir explain --server http://127.0.0.1:9090 --key ci --request call.json
  weir explain --config weir.yaml --id 019a8b0c1d2e7f3a8b4c5d6e7f8a9b0c")]
pub struct ExplainArgs {
    /// The configuration that the call is judged by; with --id, its ledger is read.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    #[command(flatten)]
    caller: CallerArgs,
    /// The request's body, as JSON; - is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "id")]
    request: Option<PathBuf>,
    /// Where the request goes.
    #[arg(long, value_name = "PATH", default_value = USUAL_PATH)]
    path: String,
    /// A header of the request, as in "x-weir-task: classify"; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The name of the route that Envoy chooses for the request.
    #[arg(long, value_name = "NAME")]
    envoy_route: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// How limits and budgets stand, at which time, and what is granted, as YAML.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    state: Option<PathBuf>,
    /// A call of the ledger, in place of a request.
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "state", "server", "caller"])]
    id: Option<String>,
    #[command(flatten)]
    ledger: ByItself,
    #[command(flatten)]
    server: ServerArgs,
    /// How it is printed. In JSON money is in billionths of a dollar.
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

/// Who makes the call.
#[derive(Debug, clap::Args)]
#[group(id = "caller", multiple = true)]
struct CallerArgs {
    /// The name of a key, never the key.
    #[arg(long, value_name = "NAME", conflicts_with = "tenant")]
    key: Option<String>,
    /// Somebody of this tenant, with no key.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[arg(long, value_name = "NAME", requires = "tenant")]
    project: Option<String>,
    #[arg(long, value_name = "NAME", requires = "tenant")]
    environment: Option<String>,
    #[arg(long, value_name = "NAME", requires = "tenant")]
    user: Option<String>,
    /// A label, as in team=red; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "tenant")]
    labels: Vec<String>,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Form {
    Text,
    Json,
}

/// Exit code 0 if it could be told, whatever the verdict; else 1.
pub fn run(args: &ExplainArgs) -> ExitCode {
    let told = match &args.id {
        Some(id) => past::explained(args.config.as_deref(), &args.ledger, id, args.format),
        None => explained(args, &Process),
    };
    match told {
        // Nobody is left to tell where the output is gone.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn explained(args: &ExplainArgs, outside: &dyn Outside) -> anyhow::Result<String> {
    let body = request(args.request.as_deref())?;
    let answer = match args.server.opened()? {
        Some(server) => {
            let asked = args.asked(&body)?;
            server.ask(Method::POST, "/v1/explain", Some(&asked))?
        }
        None => args.judged(body, outside)?,
    };
    match args.format {
        Form::Json => Ok(format!("{answer:#}\n")),
        Form::Text => Ok(text::of(&answer)),
    }
}

fn request(path: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let path = path.context("--request: which call?")?;
    if path != Path::new("-") {
        let place = || path.display().to_string();
        return Process.file(path, REQUEST_BYTES_MAX).with_context(place);
    }
    let mut bytes = Vec::new();
    let max = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::stdin().take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl ExplainArgs {
    /// By the configuration alone.
    fn judged(&self, body: Vec<u8>, outside: &dyn Outside) -> anyhow::Result<Value> {
        let Some(path) = &self.config else {
            bail!("by what? Name a configuration with --config, or a running weir with --server");
        };
        let state = match &self.state {
            Some(path) => state(path, outside)?,
            None => State::default(),
        };
        let by = self.caller.whom()?;
        let question = Question::new(by.clone(), &self.path, self.headers()?, self.address, body)
            .by_envoy_route(self.envoy_route.clone());
        let offline = Offline::of(policy(path, outside)?)?;
        let tenant = self.caller.tenant.as_deref();
        if let Some(unknown) = tenant.and_then(|tenant| offline.unknown(tenant)) {
            eprintln!("note: {unknown}");
        }
        let told = offline.explain(&by, question, &state)?;
        serde_json::to_value(&told).context("the explanation can't be written")
    }

    /// As a running weir is asked.
    fn asked(&self, body: &[u8]) -> anyhow::Result<Value> {
        // As it stands: JSON that was read would hide a field that is given twice.
        let request = std::str::from_utf8(body).context("--request: is not UTF-8")?;
        let headers: Map<String, Value> = self
            .headers()?
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        self.caller.check()?;
        let CallerArgs {
            key,
            tenant,
            project,
            environment,
            user,
            ..
        } = &self.caller;
        Ok(json!({
            "key": key, "tenant": tenant, "project": project, "environment": environment,
            "user": user, "labels": self.caller.labels()?, "path": self.path,
            "headers": headers, "envoy_route": self.envoy_route, "address": self.address, "request": request,
        }))
    }

    fn headers(&self) -> anyhow::Result<Vec<(String, String)>> {
        let header = |text: &String| {
            // A name may begin with a colon.
            let at = text.get(1..).and_then(|rest| rest.find(':'));
            let (name, value) = text.split_at_checked(at.map_or(0, |at| at + 1))?;
            let (name, value) = (name.trim(), value.strip_prefix(':')?.trim());
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        let headers = self.headers.iter().map(|text| {
            header(text)
                .with_context(|| format!("--header: {text:?} must be as in \"name: value\""))
        });
        headers.collect()
    }
}

impl CallerArgs {
    /// What is printed of an error may be kept by a CI.
    fn check(&self) -> anyhow::Result<()> {
        match self.key.as_deref().is_some_and(looks_like_key) {
            true => bail!("--key: wants the name of a key, never the key itself"),
            false => Ok(()),
        }
    }

    fn whom(&self) -> anyhow::Result<Whom> {
        self.check()?;
        match (&self.key, &self.tenant) {
            (Some(key), _) => Ok(Whom::Key(key.clone())),
            (None, Some(tenant)) => {
                let [project, environment, user] =
                    [&self.project, &self.environment, &self.user].map(Option::as_deref);
                let labels = self.labels()?.into_iter();
                let labels = labels.map(|(name, value)| (name.into(), value.into()));
                let labels = labels.collect();
                Ok(Whom::of_tenant(tenant, project, environment, user, labels))
            }
            (None, None) => bail!("who makes the call? Say so with --key or --tenant"),
        }
    }

    fn labels(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let label = |text: &String| {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("--label: {text:?} must be as in team=red"))?;
            anyhow::Ok((name.to_owned(), value.to_owned()))
        };
        self.labels.iter().map(label).collect()
    }
}

fn state(path: &Path, outside: &dyn Outside) -> anyhow::Result<State> {
    let name = path.display().to_string();
    let bytes = outside.file(path, FILE_BYTES_MAX);
    let bytes = bytes.with_context(|| name.clone())?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{name}: is not UTF-8"))?;
    load_state(&text, &name).map_err(|problems| anyhow!("{problems}"))
}

#[cfg(test)]
pub(in crate::cli) mod tests;
