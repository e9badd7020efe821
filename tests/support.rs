//! What end-to-end tests, the demo and the bench stand on: a fake provider that
//! keeps its own log, and real processes (Envoy, Redis, weir) on free ports,
//! stopped when they go out of scope.
#![allow(dead_code, reason = "each user needs a part of it")]

pub mod client;
pub mod process;
pub mod provider;
pub mod stack;

use std::future::Future;
use std::net::TcpListener;
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

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
