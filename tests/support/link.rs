//! A TCP link to a server that a test can let fall, as networks do.
#![allow(dead_code, reason = "each user needs a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Carries the next request that holds the word, swallows its answer, and is
    /// down from then on.
    FallsAfter(&'static str),
    /// The request with the word is on its way.
    Falling,
    /// Connections end, and new ones are closed at once.
    Down,
    /// Everything takes so much longer, either way.
    Slow(Duration),
    /// New connections open, and nothing ever comes back.
    Silent,
}

/// The link, on a port of its own.
#[derive(Clone)]
pub struct Link {
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    /// Connections of before are silent for good: were they to go on, answers
    /// would meet the wrong questions, which no network does.
    silent_before: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl Link {
    /// Starts a link to `server`, on the current runtime.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(watch::Sender::new(State::Whole)),
            silent_before: Arc::default(),
            opened: Arc::default(),
        };
        let accepting = link.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let link = accepting.clone();
                if link.is_down() {
                    continue;
                }
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        link.carry(client, server).await;
                    }
                });
            }
        });
        link
    }

    pub fn is_down(&self) -> bool {
        *self.state.borrow() == State::Down
    }

    /// Ends all connections, and takes none.
    pub fn fall(&self) {
        self.state.send_replace(State::Down);
    }

    /// Falls once the server has got, and answered, a request with this word;
    /// the answer is lost.
    pub fn fall_after(&self, word: &'static str) {
        self.state.send_replace(State::FallsAfter(word));
    }

    /// Carries everything late.
    pub fn slow_down(&self, late: Duration) {
        self.state.send_replace(State::Slow(late));
    }

    /// Swallows everything, as where packets are dropped.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
        self.forget_connections();
    }

    /// The server's side of each connection is gone without a word; new ones
    /// are whole.
    pub fn forget_connections(&self) {
        let opened = self.opened.load(Ordering::SeqCst);
        self.silent_before.store(opened, Ordering::SeqCst);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        if *self.state.borrow() == State::Silent {
            self.forget_connections();
        }
        self.state.send_replace(State::Whole);
    }

    async fn carry(&self, client: TcpStream, server: TcpStream) {
        let mut state = self.state.subscribe();
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = state.wait_for(|state| *state == State::Down) => {}
            () = self.requests(number, from_client, to_server) => {}
            () = self.answers(number, from_server, to_client) => {}
        }
    }

    async fn requests(&self, number: u64, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..count];
            if self.swallows(number).await {
                continue;
            }
            self.state.send_if_modified(|state| match *state {
                State::FallsAfter(word) if holds(bytes, word) => {
                    *state = State::Falling;
                    true
                }
                _ => false,
            });
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answers(&self, number: u64, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if *self.state.borrow() == State::Falling {
                self.fall();
                return;
            }
            if self.swallows(number).await {
                continue;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

impl Link {
    /// Takes its time, where it is slow; whether the connection is silent.
    async fn swallows(&self, number: u64) -> bool {
        let state = *self.state.borrow();
        if let State::Slow(late) = state {
            tokio::time::sleep(late).await;
        }
        state == State::Silent || number < self.silent_before.load(Ordering::SeqCst)
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}
