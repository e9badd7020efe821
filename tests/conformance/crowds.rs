//! Many at once: what is let through is never more than the limits allow, and
//! nothing is left when all is over.

use crate::engine::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use weir::counters::redis::Redis;
use weir::limits::*;
use weir::units::Millis;

const TASKS: u16 = 1_000;
const CLIENTS: usize = 8;
const REQUESTS: u64 = 600;
const TOKENS: u64 = 33_000;
const SLOTS: u64 = 120;
/// Long against a call, short for a test.
const HOLD_TTL: Millis = Millis(3_000);

/// What is surely taken: counted after the store took it, and no longer before
/// it is told to give it back. So it is never more than the store's own count.
#[derive(Default)]
struct Surely {
    requests: AtomicU64,
    tokens: AtomicU64,
    slots: AtomicU64,
    /// By each limit.
    refused: [AtomicU64; 3],
    most: [AtomicU64; 3],
}

impl Surely {
    fn take(&self, tokens: u64) {
        let now = [
            self.requests.fetch_add(1, Ordering::SeqCst) + 1,
            self.tokens.fetch_add(tokens, Ordering::SeqCst) + tokens,
            self.slots.fetch_add(1, Ordering::SeqCst) + 1,
        ];
        for (most, now) in self.most.iter().zip(now) {
            most.fetch_max(now, Ordering::SeqCst);
        }
    }

    fn give_back(&self, requests: u64, tokens: u64) {
        self.slots.fetch_sub(1, Ordering::SeqCst);
        self.requests.fetch_sub(requests, Ordering::SeqCst);
        self.tokens.fetch_sub(tokens, Ordering::SeqCst);
    }
}

/// Asks until it is let through, a few times.
async fn admitted_in_time(client: &Redis, asked: &Reservation, surely: &Surely) -> bool {
    for _ in 0..12 {
        match client.reserve(asked, NOW).await.unwrap().answer {
            Decision::Admitted(_) => return true,
            Decision::Refused(refusal, _) => {
                surely.refused[refusal.charge].fetch_add(1, Ordering::SeqCst);
            }
            Decision::Ended => panic!("nobody ended it"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_on_eight_clients_never_pass_a_limit() {
    let server = Server::start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Arc::new(server.connect().await));
    }
    let day = Millis(86_400_000);
    let limits = [
        window("requests", Unit::Requests, REQUESTS, day),
        window("tokens", Unit::Tokens, TOKENS, day),
        slots("slots", SLOTS),
    ];
    let surely = Arc::new(Surely::default());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let client = Arc::clone(&clients[usize::from(task) % CLIENTS]);
            let (limits, surely) = (limits.clone(), Arc::clone(&surely));
            tokio::spawn(async move {
                // Three calls each, of sizes and ends that differ.
                for turn in 0..3_u16 {
                    let number = 3 * task + turn;
                    let tokens = 1 + u64::from(number.wrapping_mul(7_919) % 150);
                    let charges = vec![
                        charge(&limits[0], 1),
                        charge(&limits[1], tokens),
                        charge(&limits[2], 1),
                    ];
                    let mut asked = call(number + 1, charges);
                    (asked.hold_ttl, asked.lease_ttl) = (HOLD_TTL, HOLD_TTL);
                    if !admitted_in_time(&client, &asked, &surely).await {
                        continue;
                    }
                    surely.take(tokens);
                    tokio::time::sleep(std::time::Duration::from_millis(u64::from(number % 5)))
                        .await;
                    let used = match number % 4 {
                        // Nobody ends it.
                        0 if number % 40 == 0 => continue,
                        0 | 1 => Actual::VOID,
                        2 => actual(1, tokens / 2),
                        _ => actual(1, tokens),
                    };
                    surely.give_back(1 - used.requests, tokens - used.of(Unit::Tokens));
                    let settled = client.settle(SLOT, asked.hold, used).await;
                    assert_eq!(settled.unwrap().answer, Settled::Applied);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let most = surely
        .most
        .each_ref()
        .map(|most| most.load(Ordering::SeqCst));
    let refused = surely
        .refused
        .each_ref()
        .map(|refused| refused.load(Ordering::SeqCst));
    println!("at most {most:?} of {REQUESTS}, {TOKENS}, {SLOTS}; refused {refused:?}");
    assert!(
        refused.iter().all(|refused| *refused > 0),
        "each limit was met"
    );
    for (most, limit) in most.into_iter().zip([REQUESTS, TOKENS, SLOTS]) {
        assert!(most <= limit, "{most} of {limit}");
    }
    let mut raw = server.raw().await;
    server_passes(&mut raw, HOLD_TTL.0 + 100).await;
    let expired = clients[0].expire_due(10_000, CLAIM).await.unwrap().answer;
    let abandoned = surely.slots.load(Ordering::SeqCst);
    assert_eq!(expired.len() as u64, abandoned, "those that nobody ended");
    assert_eq!(clients[1].open_holds().await.unwrap(), 0);
    let sorted_sets: Vec<String> = redis::cmd("KEYS")
        .arg("weir:1:*}:c:*")
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(sorted_sets, Vec::<String>::new(), "no slot is left");
    // What is charged is what was let through and not given back, exactly.
    let look = call(
        u16::MAX,
        limits[..2].iter().map(|limit| charge(limit, 0)).collect(),
    );
    let left = clients[2].reserve(&look, NOW).await.unwrap().answer;
    let right = [&surely.requests, &surely.tokens].map(|sum| sum.load(Ordering::SeqCst));
    assert_eq!(used(&left), right);
}
