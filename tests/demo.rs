//! The tour without a person: everything on free ports, each step shown and
//! checked, everything stopped at the end. Exits 0 if all was as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

mod support;

use serde_json::{Value, json};
use std::process::ExitCode;
use support::client::Answer;
use support::stack::{Setup, Stack};

/// Small enough to be reached by hand.
const LIMITS: &str = "
      - { per: tenant, unit: requests, amount: 4, every: 1h }
      - { per: user, unit: tokens, amount: 600, every: 1h, burst: 600 }
      - { per: tenant, unit: concurrency, amount: 1 }";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut tour = Tour { failed: 0 };
    tour.say("Starting a fake provider, Envoy and weir (counters in memory) on free ports.");
    let stack = Stack::start(Setup {
        limits: LIMITS.to_owned(),
        ..Setup::default()
    })
    .await;
    println!(
        "    Envoy listens on http://{}, weir's admin on http://{}",
        stack.front, stack.admin
    );
    tour.walk(&stack).await;
    drop(stack);
    if tour.failed == 0 {
        println!("\nAll as it should be. Everything is stopped.");
        return ExitCode::SUCCESS;
    }
    println!("\n{} checks failed.", tour.failed);
    ExitCode::FAILURE
}

struct Tour {
    failed: usize,
}

fn chat(content: &str, max_tokens: u64) -> Value {
    json!({"model": "gpt-4o", "max_tokens": max_tokens, "messages": [{"role": "user", "content": content}]})
}

impl Tour {
    async fn walk(&mut self, stack: &Stack) {
        self.say("1. An allowed call. The 50 tokens it may produce are reserved, the 5 it did are charged.");
        let answer = stack
            .send(stack.chat(&chat("hello out there", 50), &[]))
            .await;
        self.show(&answer);
        self.check("status 200", answer.status == 200);
        self.check(
            "3 requests left",
            answer.header("x-ratelimit-remaining-requests") == Some("3"),
        );

        self.say("2. A stream, passed on chunk by chunk. Its slot is taken until its end.");
        let mut body = chat("hello", 50);
        body["stream"] = true.into();
        let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "2")];
        let mut open = stack.open(stack.chat(&body, &gate)).await;
        let first = open.chunk().await.unwrap().unwrap();
        println!("    {}", String::from_utf8_lossy(&first).trim());

        self.say("3. Meanwhile a second call: refused by the limit on calls in flight.");
        let answer = stack.send(stack.chat(&chat("hello", 5), &[])).await;
        self.refused(&answer, "tenant-concurrency");
        stack.provider.open_gate("rest");
        let (rest, whole) = open.rest().await;
        self.check(
            "the stream ends whole",
            whole && rest.ends_with("data: [DONE]\n\n"),
        );

        self.say(
            "4. A call that could produce more tokens than are left: refused before it is sent.",
        );
        let answer = stack.send(stack.chat(&chat("hello", 590), &[])).await;
        self.refused(&answer, "user-tokens");

        self.say("5. Two more calls, and the third is one too many this hour.");
        for _ in 0..2 {
            let answer = stack.send(stack.chat(&chat("hello", 5), &[])).await;
            self.check("status 200", answer.status == 200);
        }
        let answer = stack.send(stack.chat(&chat("hello", 5), &[])).await;
        self.refused(&answer, "tenant-requests");

        self.say("6. A wrong key.");
        let answer = stack
            .send(stack.chat(&chat("hello", 5), &[("authorization", "Bearer wrong")]))
            .await;
        self.show(&answer);
        self.check("status 401", answer.status == 401);

        self.say("7. What was metered, and what the provider billed.");
        self.books(stack).await;
    }

    async fn books(&mut self, stack: &Stack) {
        let events = stack.wait_for_events(8).await;
        println!(
            "    {:<10} {:<20} {:>6} {:>6}",
            "outcome", "refused by", "input", "output"
        );
        for event in &events {
            println!(
                "    {:<10} {:<20} {:>6} {:>6}",
                event.outcome.as_str(),
                event.refused_by.as_deref().unwrap_or("-"),
                event.input_tokens.map_or("-".into(), |n| n.to_string()),
                event.output_tokens.map_or("-".into(), |n| n.to_string()),
            );
        }
        let metered: u64 = events.iter().map(|event| event.total_tokens()).sum();
        let log = stack.provider.log();
        let billed: u64 = log.iter().map(|call| call.bills.0 + call.bills.1).sum();
        println!(
            "    metered {metered} tokens in {} calls; the provider billed {billed} in {}",
            events.len() - 4,
            log.len()
        );
        self.check(
            "they agree",
            metered == billed && log.len() == 4 && events.len() == 8,
        );
    }

    fn refused(&mut self, answer: &Answer, limit: &str) {
        self.show(answer);
        self.check("status 429", answer.status == 429);
        self.check(
            &format!("refused by {limit}"),
            answer.header("x-weir-decision") == Some(limit),
        );
    }

    fn show(&self, answer: &Answer) {
        println!("    HTTP {}", answer.status);
        for (name, value) in &answer.headers {
            if [
                "x-ratelimit",
                "retry-after",
                "x-should-retry",
                "x-weir-decision",
            ]
            .iter()
            .any(|p| name.starts_with(p))
            {
                println!("    {name}: {value}");
            }
        }
        println!("    {}", answer.text());
    }

    fn say(&self, text: &str) {
        println!("\n{text}");
    }

    fn check(&mut self, what: &str, holds: bool) {
        println!("    [{}] {what}", if holds { "ok" } else { "FAILED" });
        self.failed += usize::from(!holds);
    }
}
