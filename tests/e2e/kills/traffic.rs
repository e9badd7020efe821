//! Calls of every kind, each with a `traceparent` of its own, that don't mind who
//! dies.

use crate::support::client;
use crate::support::dice::Dice;
use crate::support::stack::{FOREIGN_KEY, KEY, OTHER_KEY};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How many call at the same time, each one call after the other.
pub const CALLERS: u64 = 12;

pub struct Traffic {
    over: Arc<AtomicBool>,
    callers: JoinSet<u64>,
}

impl Traffic {
    pub fn start(seed: u64, front: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for number in 1..=CALLERS {
            let caller = Caller {
                front,
                dice: Dice(seed ^ (number << 48)),
                number,
                calls: 0,
            };
            callers.spawn(caller.call_until(Arc::clone(&over)));
        }
        Self { over, callers }
    }

    /// Waits for the calls that are open; how many there were.
    pub async fn stop(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().sum()
    }
}

struct Caller {
    front: SocketAddr,
    dice: Dice,
    number: u64,
    calls: u64,
}

impl Caller {
    async fn call_until(mut self, over: Arc<AtomicBool>) -> u64 {
        while !over.load(Ordering::Relaxed) {
            self.calls += 1;
            let answered = self.call().await;
            // Refused ones are many and soon over.
            self.dice.rest(if answered { 0..20 } else { 10..60 }).await;
        }
        self.calls
    }

    /// Whether it was let through.
    async fn call(&mut self) -> bool {
        let mut headers = vec![("x-fake-output", (1 + self.dice.roll(20)).to_string())];
        let mut body = json!({"model": self.dice.pick(&["gpt-4o", "gpt-4o-mini"]),
            "messages": [{"role": "user", "content": "word ".repeat(self.dice.roll(30) as usize)}]});
        let mut path = "/v1/chat/completions";
        let mut patience = Duration::from_secs(30);
        match self.dice.roll(16) {
            0..5 => {}
            5..9 => self.stream(&mut body, &mut headers),
            // The client leaves, often midway.
            9 | 10 => {
                self.stream(&mut body, &mut headers);
                patience = Duration::from_millis(self.dice.roll(80));
            }
            11 => headers.push((
                "x-fake-status",
                self.dice.pick(&["500", "503", "400", "429"]).into(),
            )),
            12 => {
                self.stream(&mut body, &mut headers);
                headers.push(("x-fake-hang-up", self.dice.roll(3).to_string()));
            }
            13 => headers.push(("x-fake-no-usage", "1".into())),
            14 => {
                path = "/v1/messages";
                body["model"] = "claude-haiku-4-5".into();
                body["max_tokens"] = 50.into();
                self.stream(&mut body, &mut headers);
            }
            // Refused for what it is.
            _ => body["model"] = "no-such-model".into(),
        }
        let request = self.request(path, &body, &headers);
        let answer = tokio::time::timeout(patience, self.answer(request)).await;
        answer.unwrap_or(true)
    }

    fn stream(&mut self, body: &mut Value, headers: &mut Vec<(&str, String)>) {
        body["stream"] = true.into();
        headers.push(("x-fake-delay-ms", self.dice.roll(15).to_string()));
    }

    fn request(
        &mut self,
        path: &str,
        body: &Value,
        headers: &[(&str, String)],
    ) -> Request<Full<Bytes>> {
        let key = self.dice.pick(&[KEY, KEY, OTHER_KEY, FOREIGN_KEY]);
        let traceparent = format!(
            "00-{:016x}{:016x}-{:016x}-01",
            self.number, self.calls, self.number
        );
        let mut request = Request::post(path)
            .header("host", "gateway")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("traceparent", traceparent);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(body.to_string().into())).unwrap()
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> bool {
        match client::try_open(self.front, request).await {
            Ok(mut open) => {
                open.rest().await;
                open.status == 200
            }
            Err(_) => false,
        }
    }
}
