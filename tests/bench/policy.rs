//! What policy costs: a decision over ten limits, three budgets and twenty rules
//! beside the same without the rules, in memory; and what many tenants cost to read
//! and to keep.

use crate::counters::{median, resident_mib};
use anyhow::{bail, ensure};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use weir::config::{self, Config, Outside};
use weir::counters::memory::Memory;
use weir::exchange::{Effect, Event, Exchange, Learned, Reply, RequestHead, Role, Settings};
use weir::identity::Pepper;
use weir::limits::HoldId;
use weir::policy::Snapshot;
use weir::tokens::Counting;
use weir::units::{Millis, UnixMillis};

const PEPPER: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const KEY: &str = "a-key-of-the-bench";
const CALLS: u32 = 20_000;
const ROUNDS: usize = 9;
const NOW: u64 = 1_794_830_400_000;

struct Given;

impl Outside for Given {
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        Some(PEPPER.to_vec())
    }

    fn file(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

pub fn run(tenants: &[u32]) -> anyhow::Result<()> {
    decisions()?;
    for count in tenants {
        many(*count)?;
    }
    Ok(())
}

/// A configuration with so many tenants, of which one calls.
fn file(plan: &str, tenants: u32) -> String {
    let hash = Pepper::new(PEPPER).map(|pepper| pepper.digest(KEY.as_bytes()));
    let hash = hash.map(|hash| hash.to_string()).unwrap_or_default();
    let mut text = format!(
        "listen: {{ grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }}\ncounters: {{ memory: {{}} \
         }}\nidentity: {{ pepper: {{ env: P }}, keys: [ {{ id: k, hash: {hash}, tenant: t0, user: \
         ada, labels: {{ team: red }} }} ] }}\nmodels:\n  big: {{ tier: premium, provider: openai, \
         price: {{ input: 10, output: 30 }}, max_output_tokens: 4096 }}\n  small: {{ tier: standard, \
         provider: openai, price: {{ input: 1, output: 2 }}, max_output_tokens: 4096 }}\nplans:\n  \
         team:\n{plan}tenants:\n"
    );
    for tenant in 0..tenants {
        let _ = writeln!(text, "  t{tenant}: {{ plan: team }}");
    }
    text
}

/// Ten limits and three budgets; and so many rules, of which one warns.
fn plan(rules: usize) -> String {
    let mut text = "    limits:\n".to_owned();
    let units = [
        "requests",
        "tokens",
        "input_tokens",
        "output_tokens",
        "cost",
    ];
    for (n, unit) in units.iter().enumerate() {
        for per in ["tenant", "user"] {
            let every = if n % 2 == 0 { "1m" } else { "1h" };
            let amount = if *unit == "cost" { "900_000" } else { "900M" };
            let _ = writeln!(
                text,
                "      - {{ per: {per}, unit: {unit}, amount: {amount}, every: {every} }}"
            );
        }
    }
    text.push_str("    budgets:\n");
    for (name, every) in [("daily", "day"), ("weekly", "week"), ("monthly", "month")] {
        let _ = writeln!(
            text,
            "      - {{ name: {name}, amount: 1_000_000 USD, every: {every}, warn_at: [0.5, 0.8] }}"
        );
    }
    if rules > 0 {
        text.push_str("    policies:\n");
    }
    // None holds but the last.
    let conditions = [
        "model.tier == \"standard\" && request.cost_max > usd(5)",
        "budget.monthly.used > 0.8 && model.tier == \"premium\"",
        "budget.daily.used > 0.9 || budget.weekly.remaining < usd(1)",
        "principal.labels[\"team\"] == \"blue\" && request.stream",
        "request.input_tokens > 100000 || request.choices > 3",
        "time.hour >= 22 && time.weekday in [\"saturday\", \"sunday\"] && model.name == \"small\"",
        "request.task == \"batch\" && principal.user.startsWith(\"bot-\")",
        "limit[\"tenant-requests\"].used > 0.95",
        "request.messages > 50 && request.tokens > 200000",
        "principal.tenant in [\"x\", \"y\", \"z\"]",
    ];
    for n in 0..rules {
        let when = match n + 1 == rules {
            true => "model.tier == \"premium\"",
            false => conditions[n % conditions.len()],
        };
        let then = ["warn: true", "downgrade: small", "throttle: { delay: 1s }"][n % 3];
        let then = if n + 1 == rules { "warn: true" } else { then };
        let _ = writeln!(
            text,
            "      - {{ name: rule-{n}, when: '{when}', then: {{ {then} }} }}"
        );
    }
    text
}

fn load(text: &str) -> anyhow::Result<Config> {
    config::load(text, "bench.yaml", &Given).map_err(|problems| anyhow::anyhow!("{problems}"))
}

/// One kind of plan, and the counters that its calls are charged to.
struct Side {
    snapshot: Arc<Snapshot>,
    counters: Memory,
    /// Of the process, as in a server.
    learned: Learned,
    calls: u64,
}

impl Side {
    fn of(plan: &str) -> anyhow::Result<Self> {
        Ok(Self {
            snapshot: Arc::new(load(&file(plan, 1))?.snapshot),
            counters: Memory::default(),
            learned: Learned::default(),
            calls: 0,
        })
    }

    /// From a request's body to the reply that lets it through, in microseconds.
    fn round(&mut self) -> anyhow::Result<f64> {
        let mut spent = std::time::Duration::ZERO;
        for _ in 0..CALLS {
            self.calls += 1;
            let now = UnixMillis(NOW + self.calls / 100);
            let mut exchange = self.exchange(now);
            exchange.step(Event::RequestHeaders(head()), now);
            let body = br#"{"model":"big","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}"#;
            let event = Event::RequestBody {
                body: body.to_vec(),
                end: true,
            };
            let started = Instant::now();
            let step = exchange.step(event, now);
            let step = self.decided(&mut exchange, step.effects, now)?;
            spent += started.elapsed();
            ensure!(matches!(step, Some(Reply::RequestBody { .. })), "{step:?}");
            for effect in exchange.step(Event::Closed, now).effects {
                if let Effect::Settle(s) = effect {
                    self.counters.settle(&s.slot, s.hold, s.actual, now);
                }
            }
        }
        Ok(spent.as_secs_f64() * 1e6 / f64::from(CALLS))
    }

    fn decided(
        &self,
        exchange: &mut Exchange,
        effects: Vec<Effect>,
        now: UnixMillis,
    ) -> anyhow::Result<Option<Reply>> {
        let Some(Effect::Reserve(reservation)) = effects.first() else {
            bail!("{effects:?}")
        };
        let decision = self.counters.reserve(reservation, now)?;
        Ok(exchange.step(Event::Decided(Some(decision)), now).reply)
    }

    fn exchange(&self, now: UnixMillis) -> Exchange {
        let mut random = [1; 10];
        random[2..].copy_from_slice(&self.calls.to_be_bytes());
        let settings = Settings {
            body_bytes_max: 1 << 20,
            keep_authorization: false,
            trust_ext_authz: false,
            count_checks: false,
            ietf_rate_limit_headers: false,
            quota_status: None,
            hold_ttl: Millis::from_secs(60),
            lease_ttl: Millis::from_secs(15),
            handover_max: Millis::from_mins(10),
        };
        Exchange::new(
            Role::Full,
            settings,
            Arc::clone(&self.snapshot),
            self.learned.clone(),
            HoldId::new(now, &random),
            Counting::unbounded(),
        )
    }
}

fn head() -> RequestHead {
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("authorization", &*format!("Bearer {KEY}")),
        ("content-type", "application/json"),
    ];
    RequestHead {
        headers: headers
            .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
            .to_vec(),
        ..RequestHead::default()
    }
}

fn decisions() -> anyhow::Result<()> {
    let (mut bare, mut ruled) = (Side::of(&plan(0))?, Side::of(&plan(20))?);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        // In turns, as machines drift.
        rounds.push((bare.round()?, ruled.round()?));
    }
    let without = median(rounds.iter().map(|(without, _)| *without));
    let with = median(rounds.iter().map(|(_, with)| *with));
    let more = median(rounds.iter().map(|(without, with)| with - without));
    println!(
        "a decision, from body to reply, 10 limits and 3 budgets: {without:.2} us; with 20 rules \
         {with:.2} us ({more:.2} us more, {:.2}x)",
        with / without
    );
    Ok(())
}

/// Reads a file of so many tenants.
fn many(count: u32) -> anyhow::Result<()> {
    let text = file(&plan(20), count);
    let few = file(&plan(20), 1);
    drop(load(&few)?);
    let before = resident_mib()?;
    let mut kept = None;
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let config = load(&text)?;
        seconds.push(started.elapsed().as_secs_f64());
        ensure!(config.tenants == count as usize, "all of them");
        // The first time alone: what is given back isn't always given back at once.
        let mib = resident_mib()? - before;
        kept.get_or_insert(mib * f64::from(1 << 20) / f64::from(count));
    }
    let kept = kept.unwrap_or_default();
    println!(
        "{count} tenants: read in {:.2} s ({} MiB of YAML), at most {kept:.0} bytes each",
        median(seconds.into_iter()),
        text.len() >> 20
    );
    Ok(())
}
