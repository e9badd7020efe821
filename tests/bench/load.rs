//! The load: closed loop (each connection calls again as soon as it is
//! answered) and open loop (calls start at a fixed rate whatever happens, and a
//! latency counts from when its call *should* have started).
//!
//! A round is bounded in time and in calls, and ends between calls: none is
//! cut, so every call that was made can be found again in the usage log.

use crate::http::Connection;
use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// No round makes more.
const CALLS_MAX: u64 = 2_000_000;

/// What is still open when a round's time is up must end within this.
const LAST_CALLS_MAX: Duration = Duration::from_secs(30);

/// A backlog of the open loop above which the rate is plainly not sustained.
const BACKLOG_MAX: usize = 20_000;

/// Connections that share the open loop's calls.
const OPEN_LOOP_CONNECTIONS: usize = 64;

/// What to send, and where.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub request: Rc<[u8]>,
}

/// What a round saw.
pub struct Round {
    pub calls: u64,
    /// Answers other than 200.
    pub refused: u64,
    /// The last such answer's status, for people.
    pub refused_status: Option<u16>,
    /// From the first call's start to the last one's end.
    pub elapsed: Duration,
    /// Of whole calls, in microseconds.
    pub latency_us: Histogram<u64>,
    /// To the first byte of the body, in microseconds.
    pub first_byte_us: Histogram<u64>,
}

impl Round {
    fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3).context("histogram")?;
        Ok(Self {
            calls: 0,
            refused: 0,
            refused_status: None,
            elapsed: Duration::ZERO,
            latency_us: histogram.clone(),
            first_byte_us: histogram,
        })
    }

    pub fn per_second(&self) -> f64 {
        // A round has far fewer than 2^32 calls.
        f64::from(u32::try_from(self.calls).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }

    async fn call(
        round: &RefCell<Self>,
        connection: &mut Connection,
        request: &[u8],
        since: Instant,
    ) -> anyhow::Result<()> {
        let answer = connection.call(request).await?;
        let latency = since.elapsed();
        let mut round = round.borrow_mut();
        round.calls += 1;
        if answer.status != 200 {
            round.refused += 1;
            round.refused_status = Some(answer.status);
        }
        round.latency_us.saturating_record(micros(latency));
        if let Some(first_byte) = answer.first_byte {
            round
                .first_byte_us
                .saturating_record(micros(first_byte.duration_since(since)));
        }
        Ok(())
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// `connections` callers, each with one call open all the time, for `time`.
/// They begin `stagger` apart, so that long calls don't march in step.
pub async fn closed_loop(
    target: &Target,
    connections: usize,
    stagger: Duration,
    time: Duration,
) -> anyhow::Result<Round> {
    let round = Rc::new(RefCell::new(Round::new()?));
    let tasks = LocalSet::new();
    let open = connect(target, connections).await?;
    let start = Instant::now();
    let mut delay = Duration::ZERO;
    let callers: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (round, request) = (Rc::clone(&round), Rc::clone(&target.request));
            let first = delay;
            delay += stagger;
            tasks.spawn_local(async move {
                tokio::time::sleep(first).await;
                while start.elapsed() < time && round.borrow().calls < CALLS_MAX {
                    Round::call(&round, &mut connection, &request, Instant::now()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    finish(tasks, callers, time, start, round).await
}

/// Calls at `per_second`, evenly spaced, for `time`.
pub async fn open_loop(target: &Target, per_second: f64, time: Duration) -> anyhow::Result<Round> {
    let round = Rc::new(RefCell::new(Round::new()?));
    let due = Rc::new(Due::default());
    let tasks = LocalSet::new();
    let open = connect(target, OPEN_LOOP_CONNECTIONS).await?;
    let start = Instant::now();
    let mut callers: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (round, request) = (Rc::clone(&round), Rc::clone(&target.request));
            let due = Rc::clone(&due);
            tasks.spawn_local(async move {
                while let Some(since) = due.next().await {
                    Round::call(&round, &mut connection, &request, since).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let every = Duration::from_secs_f64(1.0 / per_second);
    callers.push(tasks.spawn_local(async move { pace(&due, start, every, time).await }));
    finish(tasks, callers, time, start, round).await
}

async fn connect(target: &Target, connections: usize) -> anyhow::Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(target.address).await?);
    }
    Ok(open)
}

async fn finish(
    tasks: LocalSet,
    callers: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
    time: Duration,
    start: Instant,
    round: Rc<RefCell<Round>>,
) -> anyhow::Result<Round> {
    let all = async {
        for caller in callers {
            caller.await??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(time + LAST_CALLS_MAX, tasks.run_until(all))
        .await
        .context("calls are still open long after the round's end")??;
    drop(tasks);
    let mut round = Rc::into_inner(round)
        .context("a caller is still running")?
        .into_inner();
    round.elapsed = start.elapsed();
    if round.calls == 0 {
        bail!("a round without a call");
    }
    Ok(round)
}

/// The open loop's calls that should have started by now.
#[derive(Default)]
struct Due {
    queue: RefCell<VecDeque<Instant>>,
    over: std::cell::Cell<bool>,
    changed: Notify,
}

impl Due {
    /// When the next call should have started; `None` when there are no more.
    async fn next(&self) -> Option<Instant> {
        loop {
            if let Some(since) = self.queue.borrow_mut().pop_front() {
                return Some(since);
            }
            if self.over.get() {
                self.changed.notify_waiters();
                return None;
            }
            self.changed.notified().await;
        }
    }
}

/// Makes calls due, by a kernel timer: tokio's own is no finer than 1 ms.
async fn pace(due: &Due, start: Instant, every: Duration, time: Duration) -> anyhow::Result<()> {
    let mut timer = Timer::new()?;
    let mut next = Duration::ZERO;
    let mut made = 0;
    while next < time && made < CALLS_MAX {
        let now = start.elapsed();
        while next <= now && next < time {
            due.queue.borrow_mut().push_back(start + next);
            due.changed.notify_one();
            next += every;
            made += 1;
        }
        if due.queue.borrow().len() > BACKLOG_MAX {
            bail!("the rate can't be sustained: more than {BACKLOG_MAX} calls are waiting");
        }
        timer.wait(next.saturating_sub(start.elapsed())).await?;
    }
    due.over.set(true);
    due.changed.notify_waiters();
    Ok(())
}

/// A kernel timer that tokio can wait for.
struct Timer {
    /// The end that the timer is set by.
    timer: OwnedFd,
    /// The end that it is read by. Not a pipe, but read in the same way: eight
    /// bytes once it has fired.
    fired: Receiver,
}

impl Timer {
    fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let fired = Receiver::from_owned_fd_unchecked(timer.try_clone()?)?;
        Ok(Self { timer, fired })
    }

    async fn wait(&mut self, span: Duration) -> anyhow::Result<()> {
        if span.is_zero() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval: once,
            it_value: Timespec {
                tv_sec: span.as_secs().try_into()?,
                tv_nsec: span.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        // Room for more than the eight bytes: a short read tells tokio that
        // there is nothing left, and saves it asking.
        let bytes = self.fired.read(&mut [0; 16]).await?;
        ensure!(bytes == 8, "the timer can't be read");
        Ok(())
    }
}
