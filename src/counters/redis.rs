//! Counters in Redis or Valkey: one script call for each admission and each
//! settlement, whatever the number of limits.
//!
//! Time is the server's. A script is tried once, but by a Cluster's client, which
//! sends it again when a connection is lost; a time-out after the server applied
//! it is safe, because the same hold again changes nothing more, and the same
//! attempt to settle is answered alike. A lost script (`NOSCRIPT`) is loaded
//! again. Every other odd answer is an error, never an admission.
//!
//! One server, a master that Sentinels watch over, or a Cluster, whose
//! redirections (`MOVED`, `ASK`) are followed.
//!
//! Always holds: a call waits at most `response_timeout`, reconnecting
//! included; no error and no `Debug` output holds the address or a credential.

mod config;
mod connect;
mod epoch;
mod expiry;
mod inspect;
pub mod keys;
mod link;
mod packed;
mod scripts;
mod server_clock;

use super::CounterError;
use crate::limits::counter::{self, Counter, Rule};
use crate::limits::{Actual, Decision, HoldId, Paid, Reservation, Settled, Toll, toll};
use crate::units::{Millis, UnixMillis};
use ::redis::{Cmd, FromRedisValue, ScriptInvocation};
use arc_swap::ArcSwap;
pub use config::{RedisConfig, Servers};
use futures_util::{StreamExt, stream};
use keys::Bucket;
use link::Link;
use scripts::{Attempts, Parts, Remembered, Reserved, Scripts};
use server_clock::{ServerClock, jumping_clock};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Calls of one sweep that are on their way together.
const TOGETHER_MAX: usize = 64;

/// The upkeep's calls may wait this many times longer than an admission's: no
/// client waits for them, and what a lost answer handed over, nobody is handed
/// before its claim is over.
const UPKEEP_PATIENCE: u64 = 20;

/// An answer, and the server's time at which it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    pub answer: T,
    pub now: UnixMillis,
}

/// Counters in Redis.
pub struct Redis {
    config: Box<RedisConfig>,
    /// Replaced by [`Redis::reconnect`].
    link: ArcSwap<Link>,
    scripts: Box<Scripts>,
    clock: ServerClock,
    response_timeout: Millis,
    attempts: Attempts,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects, refuses a server that would evict counters, and loads the
    /// scripts. Later losses of the connection are mended in the background.
    pub async fn connect(config: &RedisConfig) -> Result<Self, CounterError> {
        let link = connect::open(config).await?;
        let redis = Self {
            config: Box::new(config.clone()),
            link: ArcSwap::from_pointee(link),
            scripts: Box::new(Scripts::new()),
            clock: ServerClock::default(),
            response_timeout: config.response_timeout,
            attempts: Attempts::default(),
        };
        redis
            .bounded(UPKEEP_PATIENCE, connect::refuse_eviction(redis.link()))
            .await?;
        // Now, so that no call has to wait for it and be overtaken by others.
        redis
            .bounded(UPKEEP_PATIENCE, connect::load(redis.link(), &redis.scripts))
            .await?;
        Ok(redis)
    }

    /// Opens another connection and uses it from now on: the one there is may
    /// wait for a peer that will never answer.
    pub async fn reconnect(&self) -> Result<(), CounterError> {
        let opened = connect::open(&self.config).await?;
        self.link.store(Arc::new(opened));
        Ok(())
    }

    /// Tells the server that this sidecar is alive for so long; how many are.
    pub async fn beat(
        &self,
        lane: usize,
        sidecar: &str,
        alive_for: Millis,
    ) -> Result<u64, CounterError> {
        let bucket = Bucket::all().nth(lane).unwrap_or(Bucket::of(""));
        let call = self.scripts.beat(bucket, sidecar, alive_for);
        scripts::counted(&self.run(1, &call).await?)
    }

    /// How many parts of the store can fail one without the other.
    pub fn lanes(&self) -> usize {
        match self.config.servers {
            Servers::Cluster { .. } => usize::from(keys::BUCKETS),
            Servers::Single { .. } | Servers::Sentinel { .. } => 1,
        }
    }

    /// The part that a slot's counters are in; less than [`Redis::lanes`].
    pub fn lane(&self, slot: &str) -> usize {
        Bucket::of(slot).number() % self.lanes()
    }

    fn link(&self) -> Link {
        Link::clone(&self.link.load())
    }

    /// `now` is this process's time; the server's decides.
    pub async fn reserve(
        &self,
        reservation: &Reservation,
        now: UnixMillis,
    ) -> Result<At<Decision>, CounterError> {
        let rules = counter::rules(reservation)?;
        let script = |there| self.scripts.reserve(reservation, &rules, there);
        let (reserved, now) = self.take(&rules, now, script).await?;
        let answer = match reserved {
            Reserved::Outdated => return Err(jumping_clock()),
            Reserved::Ended => Decision::Ended,
            Reserved::Admitted(counters) => Decision::Admitted(counter::standings(&counters, now)),
            Reserved::Refused(counters) => refusal(reservation, &counters, now)?,
        };
        Ok(At { answer, now })
    }

    /// `now` is this process's time; the server's decides.
    pub async fn charge(&self, toll: &Toll, now: UnixMillis) -> Result<At<Paid>, CounterError> {
        let rules = toll::rules(toll)?;
        let script = |there| self.scripts.charge(toll, &rules, there);
        let (reserved, now) = self.take(&rules, now, script).await?;
        let (taken, counters) = match reserved {
            Reserved::Admitted(counters) => (true, counters),
            Reserved::Refused(counters) => (false, counters),
            Reserved::Outdated => return Err(jumping_clock()),
            Reserved::Ended => return Err(CounterError::Corrupt("a hold of a toll".into())),
        };
        if !taken && toll::passes(&toll.charges, &counters, now) {
            return Err(unreasoned());
        }
        let answer = toll::paid(taken, &toll.charges, &counters, now);
        Ok(At { answer, now })
    }

    /// Runs the script that takes charges: `script` makes it for the server's
    /// time, as far as that is known.
    async fn take<'l, 's>(
        &'s self,
        rules: &[Rule<'l>],
        now: UnixMillis,
        script: impl Fn(UnixMillis) -> ScriptInvocation<'s>,
    ) -> Result<(Reserved<'l>, UnixMillis), CounterError> {
        if !rules.iter().any(Rule::goes_by_the_clock) {
            return self.ask(&script(self.clock.server(now)), rules, now).await;
        }
        // Maybe more than one question, but no more time than for one.
        self.bounded(1, async {
            if !self.clock.is_known() {
                let server = self.time(1).await?;
                self.clock.learn(server, now);
            }
            let asked = script(self.clock.server(now));
            match self.ask(&asked, rules, now).await? {
                // The server's clock jumped; now it is known.
                (Reserved::Outdated, _) => {
                    self.ask(&script(self.clock.server(now)), rules, now).await
                }
                answered => Ok(answered),
            }
        })
        .await
    }

    async fn ask<'l>(
        &self,
        call: &ScriptInvocation<'_>,
        rules: &[Rule<'l>],
        now: UnixMillis,
    ) -> Result<(Reserved<'l>, UnixMillis), CounterError> {
        let parts = self.run(1, call).await?;
        let answered = scripts::reserved(&parts, rules)?;
        self.clock.learn(answered.1, now);
        Ok(answered)
    }

    pub async fn settle(
        &self,
        slot: &str,
        hold: HoldId,
        actual: Actual,
    ) -> Result<At<Settled>, CounterError> {
        let attempt = (self.attempts.next(), Remembered::Shortly);
        let call = self.scripts.settle(slot, hold, actual, attempt);
        let parts = self.run(1, &call).await?;
        let (answer, now) = scripts::settled(&parts)?;
        Ok(At { answer, now })
    }

    pub async fn renew(
        &self,
        slot: &str,
        hold: HoldId,
        hold_ttl: Millis,
        lease_ttl: Millis,
    ) -> Result<At<bool>, CounterError> {
        let call = self.scripts.renew(slot, hold, hold_ttl, lease_ttl);
        let parts = self.run(UPKEEP_PATIENCE, &call).await?;
        let (answer, now) = scripts::flag(&parts)?;
        Ok(At { answer, now })
    }

    pub async fn renew_all(
        &self,
        holds: &[(HoldId, Arc<str>)],
        hold_ttl: Millis,
        lease_ttl: Millis,
    ) -> Vec<Result<bool, CounterError>> {
        // Owned, so that the future asks nothing of its borrower's lifetime.
        stream::iter(holds.to_vec())
            .map(|(hold, slot)| async move {
                let renewed = self.renew(&slot, hold, hold_ttl, lease_ttl).await;
                renewed.map(|at| at.answer)
            })
            .buffered(TOGETHER_MAX)
            .collect()
            .await
    }

    pub async fn open_holds(&self) -> Result<u64, CounterError> {
        let counts = self.each_bucket(|bucket| {
            let mut count = ::redis::cmd("ZCARD");
            count.arg(bucket.open());
            count
        });
        let counts: Vec<(Bucket, u64)> = counts.await?;
        Ok(counts.iter().map(|(_, count)| count).sum())
    }

    pub async fn check(&self) -> Result<(), CounterError> {
        let _: ::redis::Value = self.query(1, ::redis::cmd("PING")).await?;
        Ok(())
    }

    async fn time(&self, patience: u64) -> Result<UnixMillis, CounterError> {
        let (secs, micros): (u64, u64) = self.query(patience, ::redis::cmd("TIME")).await?;
        let ms = secs.saturating_mul(1_000).saturating_add(micros / 1_000);
        Ok(UnixMillis(ms))
    }

    async fn each_bucket(
        &self,
        command: impl Fn(Bucket) -> Cmd,
    ) -> Result<Vec<(Bucket, u64)>, CounterError> {
        let commands: Vec<(Bucket, Cmd)> = Bucket::all().map(|b| (b, command(b))).collect();
        let answers = stream::iter(commands)
            .map(|(bucket, command)| async move {
                let count: u64 = self.query(UPKEEP_PATIENCE, command).await?;
                Ok((bucket, count))
            })
            .buffered(TOGETHER_MAX)
            .collect::<Vec<Result<_, CounterError>>>()
            .await;
        answers.into_iter().collect()
    }

    async fn run(&self, patience: u64, call: &ScriptInvocation<'_>) -> Result<Parts, CounterError> {
        let mut connection = self.link();
        // Loads the script and asks again if the server doesn't know it.
        self.bounded(patience, async move {
            call.invoke_async(&mut connection)
                .await
                .map_err(connect::error)
        })
        .await
    }

    async fn query<T: FromRedisValue>(&self, patience: u64, cmd: Cmd) -> Result<T, CounterError> {
        let mut connection = self.link();
        self.bounded(patience, async move {
            cmd.query_async(&mut connection)
                .await
                .map_err(connect::error)
        })
        .await
    }

    async fn bounded<T>(
        &self,
        patience: u64,
        work: impl Future<Output = Result<T, CounterError>>,
    ) -> Result<T, CounterError> {
        let limit = Millis(self.response_timeout.0.saturating_mul(patience));
        match tokio::time::timeout(limit.into(), work).await {
            Ok(answer) => answer,
            Err(_) => Err(CounterError::Timeout(limit)),
        }
    }
}

/// The script decided; the pure rules say why, from the state that it saw.
fn refusal(
    reservation: &Reservation,
    counters: &[Counter],
    now: UnixMillis,
) -> Result<Decision, CounterError> {
    let refusal = counter::judge(&reservation.charges, counters, now).ok_or_else(unreasoned)?;
    let standings = counter::standings(counters, now);
    Ok(Decision::Refused(refusal, standings))
}

fn unreasoned() -> CounterError {
    CounterError::Corrupt("a refusal without a reason".into())
}
