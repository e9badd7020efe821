//! An HTTP/1.1 client that costs next to nothing: one connection, one call at a
//! time, the request's bytes made beforehand, the answer's read and dropped.

use anyhow::{Context, bail};
use memchr::memmem;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any head of an answer here.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 32 * 1024;

/// A request's bytes.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    head.into_bytes()
}

/// What came back.
pub struct Answer {
    pub status: u16,
    /// When the first byte of the body was here.
    pub first_byte: Option<Instant>,
}

/// One kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    read: Box<[u8]>,
    head: Vec<u8>,
    /// The body of the last answer; kept only by [`Connection::fetch`].
    body: Option<Vec<u8>>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("can't connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: vec![0; READ_BYTES].into_boxed_slice(),
            head: Vec::with_capacity(1024),
            body: None,
        })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn call(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        self.head.clear();
        let body_at = loop {
            let count = self.stream.read(&mut self.read).await?;
            if count == 0 {
                bail!("the connection was closed before an answer");
            }
            self.head.extend(self.read.iter().take(count));
            if let Some(at) = memmem::find(&self.head, b"\r\n\r\n") {
                break at + 4;
            }
            if self.head.len() > HEAD_BYTES_MAX {
                bail!("the answer's head is too long");
            }
        };
        let (head, rest) = self.head.split_at(body_at);
        let status = status(head)?;
        let mut framing = Framing::of(head)?;
        let mut first_byte = (!rest.is_empty()).then(Instant::now);
        let mut done = framing.feed(rest, self.body.as_mut())?;
        while !done {
            let count = self.stream.read(&mut self.read).await?;
            if count == 0 {
                bail!("the connection was closed within an answer");
            }
            first_byte.get_or_insert_with(Instant::now);
            let (bytes, _) = self.read.split_at(count);
            done = framing.feed(bytes, self.body.as_mut())?;
        }
        Ok(Answer { status, first_byte })
    }

    /// The same, keeping the body.
    pub async fn fetch(&mut self, request: &[u8]) -> anyhow::Result<(u16, String)> {
        self.body = Some(Vec::new());
        let answer = self.call(request).await?;
        let body = self.body.take().unwrap_or_default();
        Ok((answer.status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn status(head: &[u8]) -> anyhow::Result<u16> {
    let digits = head.get(9..12).context("the answer has no status")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}

/// Where an answer's body ends.
enum Framing {
    Length(usize),
    /// In a chunk's data, with its line end: this many bytes to go.
    Data(usize),
    /// In a chunk's size line.
    Size(usize),
    /// After the last chunk's size: bytes of the closing empty line to go.
    Closing(usize),
}

impl Framing {
    fn of(head: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(head)?;
        for line in text.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                return Ok(Self::Length(value.trim().parse()?));
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return Ok(Self::Size(0));
            }
        }
        bail!("the answer has neither a length nor chunks")
    }

    /// Takes `bytes` in; true when the body is whole.
    fn feed(&mut self, mut bytes: &[u8], mut body: Option<&mut Vec<u8>>) -> anyhow::Result<bool> {
        loop {
            match self {
                Self::Length(left) => {
                    if let Some(body) = body.as_mut() {
                        body.extend(bytes.iter().take(*left));
                    }
                    *left = left.saturating_sub(bytes.len());
                    return Ok(*left == 0);
                }
                Self::Data(left) => {
                    let taken = bytes.len().min(*left);
                    let (data, rest) = bytes.split_at(taken);
                    if let Some(body) = body.as_mut() {
                        // The line end stays in: nothing read here minds it.
                        body.extend(data);
                    }
                    bytes = rest;
                    *left -= taken;
                    if *left > 0 {
                        return Ok(false);
                    }
                    *self = Self::Size(0);
                }
                Self::Size(size) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(false);
                    };
                    bytes = rest;
                    match (byte, char::from(*byte).to_digit(16)) {
                        (b'\r', _) => {}
                        (b'\n', _) if *size == 0 => *self = Self::Closing(2),
                        (b'\n', _) => *self = Self::Data(*size + 2),
                        (_, Some(digit)) => *size = (*size << 4) | usize::try_from(digit)?,
                        _ => bail!("a chunk's size can't be read"),
                    }
                }
                Self::Closing(left) => {
                    *left = left.saturating_sub(bytes.len());
                    return Ok(*left == 0);
                }
            }
        }
    }
}
