//! What end-to-end tests, the demo and the bench stand on: a fake provider that
//! keeps its own log, and real processes (Envoy, Redis, weir) on free ports,
//! stopped when they go out of scope.
#![allow(dead_code, reason = "each user needs a part of it")]

pub mod authority;
pub mod authorizer;
pub mod books;
pub mod canaries;
pub mod client;
pub mod dice;
pub mod image;
pub mod link;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod replicas;
pub mod stack;

use std::future::Future;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Waits until `ready` gives something, and says what was waited for if it
/// doesn't within `deadline`.
pub async fn until<T, F>(what: &str, deadline: Duration, mut ready: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(
            start.elapsed() < deadline,
            "waited {deadline:?} for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The ports that tests use: below those that systems hand out to outgoing
/// connections, one of which could take a server's port while it restarts.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A port that nobody listens on now, and that this process gives out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Programs that run at the same time begin at different places.
    let first = std::process::id().wrapping_mul(101) % count;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < count, "no port of {PORTS:?} is free");
        let port = PORTS.start + u16::try_from((first + step) % count).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
