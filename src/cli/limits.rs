//! `weir limits`: how a tenant's limits stand in a running weir, putting them at
//! rest, and rebuilding what its counter store lost. It asks the admin address of the configuration, with its token.

mod reach;
mod rebuilt;
mod table;

use crate::config::{self, Process, Secret};
use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use reach::{Reach, Where};
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// From the connection's start to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A thousand counters take some hundred KiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Pages of a reset: ten million counters.
const PAGES_MAX: usize = 10_000;

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
        /// Go on after this counter: what an earlier answer said is next.
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
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
    /// Rebuild from the ledger what the counter store lost, of all tenants. weir does
    /// so by itself; this says at once what came of it, and changes nothing where
    /// nothing was lost or all is rebuilt.
    Rebuild {
        #[command(flatten)]
        weir: Where,
    },
}

#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    weir: Where,
    /// Whose limits.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Only this limit.
    #[arg(long, value_name = "NAME")]
    limit: Option<String>,
}

/// Exit code 0 if weir answered as asked, else 1.
pub fn run(args: &LimitsArgs) -> ExitCode {
    let printed = match &args.command {
        LimitsCommand::Show { asked, after, json } => show(asked, after.as_deref(), *json),
        LimitsCommand::Reset { asked } => reset(asked),
        LimitsCommand::Rebuild { weir } => rebuild(weir),
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

fn show(asked: &Asked, after: Option<&str>, json: bool) -> anyhow::Result<String> {
    let answer = Weir::of(&asked.weir)?.of_tenant(asked, Method::GET, after)?;
    match json {
        true => Ok(format!("{answer:#}\n")),
        false => table::of(&answer).context("weir's answer can't be read"),
    }
}

/// Goes on until all are done, a page at a time.
fn reset(asked: &Asked) -> anyhow::Result<String> {
    let weir = Weir::of(&asked.weir)?;
    let mut done = Done::default();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let answer = weir.of_tenant(asked, Method::DELETE, after.as_deref());
        let answer = answer.with_context(|| done.so_far())?;
        done.add(&answer).context("weir's answer can't be read")?;
        match answer["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return done.told(&asked.tenant),
        }
    }
    bail!("{}: there is no end to them", done.so_far())
}

fn rebuild(weir: &Where) -> anyhow::Result<String> {
    let answer = Weir::of(weir)?.ask(Method::POST, "/v1/limits/rebuild")?;
    rebuilt::of(&answer).context("weir's answer can't be read")
}

/// Counters that a reset came to.
#[derive(Debug, Default)]
struct Done {
    reset: u64,
    /// Of calls in flight.
    kept: u64,
    /// Of calls in flight, of which there are none.
    idle: u64,
}

impl Done {
    /// `None` where the answer isn't one.
    fn add(&mut self, answer: &Value) -> Option<()> {
        self.reset += answer["reset"].as_u64()?;
        self.kept += answer["kept"].as_u64()?;
        self.idle += answer["idle"].as_u64()?;
        Some(())
    }

    fn so_far(&self) -> String {
        match self.reset {
            0 => "nothing was reset".to_owned(),
            reset => format!("only {} reset", counters(reset)),
        }
    }

    fn told(&self, tenant: &str) -> anyhow::Result<String> {
        if self.reset + self.kept + self.idle == 0 {
            bail!(
                "{tenant}: nothing was reset: it has no counters of its own by that name; \
                 `weir limits show` lists them"
            );
        }
        let mut text = format!("{tenant}: {} reset\n", counters(self.reset));
        if self.kept > 0 {
            text += &format!(
                "{} of calls in flight stay as they are\n",
                counters(self.kept)
            );
        } else if self.reset == 0 {
            text += "no call that they count is in flight\n";
        }
        Ok(text)
    }
}

fn counters(count: u64) -> String {
    format!("{count} counter{}", if count == 1 { "" } else { "s" })
}

/// A running weir, and what it wants to hear.
struct Weir {
    reach: Reach,
    token: Secret,
}

impl Weir {
    fn of(asked: &Where) -> anyhow::Result<Self> {
        let config = config::load_file(&asked.config, &Process).map_err(|e| anyhow!("{e}"))?;
        let reach = Reach::new(asked, &config, &Process);
        let Some(token) = config.listen.admin_token else {
            bail!(
                "{}: listen.admin_token: is required to ask a running weir",
                asked.config.display()
            );
        };
        Ok(Self {
            reach: reach?,
            token,
        })
    }

    /// What it answers about a tenant's limits.
    fn of_tenant(
        &self,
        asked: &Asked,
        method: Method,
        after: Option<&str>,
    ) -> anyhow::Result<Value> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("tenant", &asked.tenant);
        let optional = [("limit", asked.limit.as_deref()), ("after", after)];
        for (name, value) in optional {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        self.ask(method, &format!("/v1/limits?{}", query.finish()))
    }

    /// weir's answer, where it is a good one.
    fn ask(&self, method: Method, target: &str) -> anyhow::Result<Value> {
        let reach = &self.reach;
        let request = request(method, target, &self.token)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answered = runtime.block_on(async {
            let answer = tokio::time::timeout(ANSWER_MAX, answer(reach, request));
            answer.await.context("it takes too long")?
        });
        let (status, body) = answered.with_context(|| {
            format!("no answer from {reach}: is weir serving with this configuration?")
        })?;
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status != StatusCode::OK {
            let error = body["error"].as_str().unwrap_or("without saying why");
            bail!("weir at {reach} answers {status}: {error}");
        }
        Ok(body)
    }
}

fn request(method: Method, target: &str, token: &Secret) -> anyhow::Result<Request<Empty<Bytes>>> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "weir")
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(Empty::new())
        .context("this can't be asked")
}

async fn answer(
    reach: &Reach,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = reach.connect().await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
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
