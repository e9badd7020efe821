//! A TCP link to a server that a test can let fall, as networks do.

use std::net::SocketAddr;
use std::sync::Arc;
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
}

/// The link, on a port of its own.
#[derive(Clone)]
pub struct Link {
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    /// Starts a link to `server`, on the current runtime.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(watch::Sender::new(State::Whole)),
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

    /// Takes connections again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    async fn carry(&self, client: TcpStream, server: TcpStream) {
        let mut state = self.state.subscribe();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = state.wait_for(|state| *state == State::Down) => {}
            () = self.requests(from_client, to_server) => {}
            () = self.answers(from_server, to_client) => {}
        }
    }

    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..count];
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

    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if *self.state.borrow() == State::Falling {
                self.fall();
                return;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}
