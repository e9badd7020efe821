//! `weir limits`: how a tenant's limits stand in a running weir, and putting
//! them at rest. It asks the admin address of the configuration, with its token.

mod table;

use crate::config::{self, Config, Process, Secret};
use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpStream;

/// From the connection's start to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A thousand counters take some hundred KiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// See how a tenant's limits stand in a running weir, or reset them.
#[derive(Debug, clap::Args)]
pub struct LimitsArgs {
    #[command(subcommand)]
    command: LimitsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsCommand {
    /// Print each counter of the tenant's limits: what is used, held and left.
    Show {
        #[command(flatten)]
        asked: Asked,
        /// Print what weir answered, as JSON. Costs are in billionths of a
        /// dollar there.
        #[arg(long)]
        json: bool,
    },
    /// Put the tenant's counters at rest, but those of calls in flight. What
    /// tenants share stays as it is.
    Reset {
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// The configuration that weir serves with; listen.admin_token must be set.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Whose limits.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Only this limit.
    #[arg(long, value_name = "NAME")]
    limit: Option<String>,
    /// Where weir's admin port is reached, if not where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
}

/// Exit code 0 if weir answered as asked, else 1.
pub fn run(args: &LimitsArgs) -> ExitCode {
    let printed = match &args.command {
        LimitsCommand::Show { asked, json } => {
            ask(asked, Method::GET).and_then(|answer| match json {
                true => Ok(format!("{answer:#}\n")),
                false => table::of(&answer).context("weir's answer can't be read"),
            })
        }
        LimitsCommand::Reset { asked } => {
            ask(asked, Method::DELETE).and_then(|answer| told(&asked.tenant, &answer))
        }
    };
    match printed {
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

fn told(tenant: &str, answer: &Value) -> anyhow::Result<String> {
    let number = |name: &str| answer[name].as_u64().context("weir's answer can't be read");
    let counters = |count: u64| format!("{count} counter{}", if count == 1 { "" } else { "s" });
    let (reset, kept) = (number("reset")?, number("kept")?);
    if reset == 0 && kept == 0 {
        bail!(
            "{tenant}: nothing was reset: it has no counters of its own by that name; \
             `weir limits show` lists them"
        );
    }
    let mut text = format!("{tenant}: {} reset\n", counters(reset));
    if kept > 0 {
        text += &format!("{} of calls in flight stay as they are\n", counters(kept));
    }
    if answer["more"] == true {
        text += "there are more than can be reset at once: name a limit with --limit\n";
    }
    Ok(text)
}

/// weir's answer, where it is a good one.
fn ask(asked: &Asked, method: Method) -> anyhow::Result<Value> {
    let config = config::load_file(&asked.config, &Process).map_err(|e| anyhow!("{e}"))?;
    let Some(token) = &config.listen.admin_token else {
        bail!(
            "{}: listen.admin_token: is required to ask a running weir",
            asked.config.display()
        );
    };
    let address = address(asked, &config)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("tenant", &asked.tenant);
    if let Some(limit) = &asked.limit {
        query.append_pair("limit", limit);
    }
    let request = request(method, address, &query.finish(), token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answered = runtime.block_on(async {
        let answer = tokio::time::timeout(ANSWER_MAX, answer(address, request));
        answer.await.context("it takes too long")?
    });
    let (status, body) = answered.with_context(|| {
        format!("no answer from {address}: is weir serving with this configuration?")
    })?;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status != StatusCode::OK {
        let error = body["error"].as_str().unwrap_or("without saying why");
        bail!("weir at {address} answers {status}: {error}");
    }
    Ok(body)
}

fn address(asked: &Asked, config: &Config) -> anyhow::Result<SocketAddr> {
    let mut address = asked.admin.unwrap_or(config.listen.admin);
    if address.port() == 0 {
        bail!("listen.admin takes any free port: say which it is with --admin");
    }
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(address)
}

fn request(
    method: Method,
    address: SocketAddr,
    query: &str,
    token: &Secret,
) -> anyhow::Result<Request<Empty<Bytes>>> {
    Request::builder()
        .method(method)
        .uri(format!("/v1/limits?{query}"))
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(Empty::new())
        .context("this can't be asked")
}

async fn answer(
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| anyhow!("{error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    // The connection's own end tells nothing that the exchange doesn't.
    let (answered, _) = tokio::join!(exchange, connection);
    answered
}
