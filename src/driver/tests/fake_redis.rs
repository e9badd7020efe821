//! A server that speaks Redis's protocol and is told how to answer scripts.

use crate::counters::Counters;
use crate::counters::redis::{Redis, RedisConfig};
use crate::units::Millis;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a server says that takes no writes.
pub const READONLY: &str = "READONLY You can't write against a read only replica.";

/// Scripts, told apart by how much they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    Reserve,
    Settle,
    Renew,
    Expire,
    Beat,
}

/// How the server answers, and what it was asked.
#[derive(Default)]
pub struct State {
    /// What it answers to every script instead.
    pub refusal: Option<&'static str>,
    /// Holds that were ended before it heard of them.
    pub ended: HashSet<String>,
    /// Holds that it refuses to hear of.
    pub deaf_to: HashSet<String>,
    /// How many sidecars it has heard of.
    pub sidecars: u64,
    /// Leases that are taken already, and how many there may be.
    pub taken: u64,
    pub slots: u64,
    /// What is used of a window.
    pub used: f64,
    /// How many scripts it was asked to run.
    pub asked: usize,
    /// Scripts that it ran.
    pub ran: Vec<Script>,
}

#[derive(Clone)]
pub struct FakeRedis {
    state: Arc<Mutex<State>>,
}

impl FakeRedis {
    #[expect(clippy::disallowed_methods, reason = "it serves beside the test")]
    pub async fn start() -> (Self, Counters) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self {
            state: Arc::default(),
        };
        fake.tell(|state| (state.sidecars, state.slots) = (1, u64::MAX));
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        let mut config = RedisConfig::new(format!("redis://127.0.0.1:{port}"));
        config.response_timeout = Millis::from_secs(10);
        let redis = Redis::connect(&config).await.unwrap();
        (fake, Counters::Redis(Box::new(redis)))
    }

    pub fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// How often it ran this script.
    pub fn ran(&self, script: Script) -> usize {
        self.tell(|state| state.ran.iter().filter(|ran| **ran == script).count())
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(command) = command(&mut stream).await {
            let answer = self.answer(&command);
            if stream.get_mut().write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, command: &[Vec<u8>]) -> Vec<u8> {
        match command[0].to_ascii_uppercase().as_slice() {
            b"EVALSHA" => self.run(command),
            b"CONFIG" => b"*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n".to_vec(),
            b"SCRIPT" => {
                let script = String::from_utf8_lossy(&command[2]);
                let hash = ::redis::Script::new(&script).get_hash().to_owned();
                format!("${}\r\n{hash}\r\n", hash.len()).into_bytes()
            }
            _ => b"+OK\r\n".to_vec(),
        }
    }

    fn run(&self, command: &[Vec<u8>]) -> Vec<u8> {
        let keys = usize::from(command[2][0] - b'0');
        let script = match (keys, command.len() - 3 - keys) {
            (2, 5) => Script::Reserve,
            (2, 8) => Script::Settle,
            (2, 4) => Script::Renew,
            (1, 3) => Script::Expire,
            (1, 2) => Script::Beat,
            other => panic!("{other:?}"),
        };
        self.tell(|state| {
            state.asked += 1;
            let hold = String::from_utf8_lossy(&command[3 + keys]);
            let deaf = state.deaf_to.contains(&*hold).then_some(READONLY);
            if let Some(refusal) = state.refusal.or(deaf) {
                return format!("-{refusal}\r\n").into_bytes();
            }
            state.ran.push(script);
            let status = match script {
                Script::Reserve if state.ended.contains(&*hold) => 2,
                Script::Reserve => return state.reserve(&command[3 + keys + 1]),
                Script::Expire => return b"*1\r\n:1\r\n".to_vec(),
                Script::Settle => {
                    state.taken = state.taken.saturating_sub(1);
                    1
                }
                Script::Renew => 1,
                Script::Beat => state.sidecars,
            };
            format!("*2\r\n:{status}\r\n:1\r\n").into_bytes()
        })
    }
}

impl State {
    /// Takes the one charge of a record: a lease, or an amount of a window that has
    /// been running for half of its time. What is in shadow mode isn't refused.
    fn reserve(&mut self, record: &[u8]) -> Vec<u8> {
        let number = |at| f64::from_le_bytes(*record[at..].first_chunk().unwrap());
        let shadow = record[7] >= 16;
        let state = match record[6] {
            b'c' if shadow || self.taken < self.slots => {
                self.taken += 1;
                vec![self.taken as f64]
            }
            b'f' => {
                self.used += number(8);
                vec![number(32) / 2.0, self.used, number(48)]
            }
            other => panic!("{other}"),
        };
        let bytes = 8 * state.len();
        let mut answer = format!("*3\r\n:1\r\n:1\r\n${bytes}\r\n").into_bytes();
        answer.extend(state.into_iter().flat_map(f64::to_le_bytes));
        answer.extend(b"\r\n");
        answer
    }
}

/// One command; `None` where the peer is gone.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<Vec<u8>>> {
    let parts = number(stream).await?;
    let mut command = Vec::new();
    for _ in 0..parts {
        let length = number(stream).await?;
        let mut part = vec![0; length + 2];
        stream.read_exact(&mut part).await.ok()?;
        part.truncate(length);
        command.push(part);
    }
    Some(command)
}

/// What follows a `*` or a `$`.
async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
