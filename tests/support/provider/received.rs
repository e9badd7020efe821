//! A call as the provider saw it.

use bytes::Bytes;
use hyper::http::request::Parts;
use serde_json::Value;
use std::time::Instant;

/// One call as the provider saw it.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    /// What followed the path, without its `?`.
    pub query: String,
    pub headers: Vec<(String, String)>,
    /// Of a form its fields, as texts; its files are left out.
    pub body: Value,
    pub raw_body: Bytes,
    /// What it bills if the answer is whole: input and output.
    pub bills: (u64, u64),
    /// Pieces of a stream that were handed to the connection, one a token.
    pub chunks_sent: u64,
    /// The answer's bytes that were handed to the connection.
    pub sent: Vec<u8>,
    /// The whole answer was handed to the connection.
    pub finished: bool,
    /// When it came, and when that was so.
    pub came_at: Instant,
    pub finished_at: Option<Instant>,
    pub status: u16,
}

impl Received {
    pub(super) fn new(head: &Parts, raw_body: Bytes) -> Self {
        let headers = head.headers.iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        Self {
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or("").to_owned(),
            headers: headers.collect(),
            body: match boundary(head) {
                Some(boundary) => form(&boundary, &raw_body),
                None => serde_json::from_slice(&raw_body).unwrap_or_default(),
            },
            raw_body,
            bills: (0, 0),
            chunks_sent: 0,
            sent: Vec::new(),
            finished: false,
            came_at: Instant::now(),
            finished_at: None,
            status: 200,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name).and_then(|text| text.parse().ok())
    }

    /// Whether the answer says what was used.
    pub(super) fn says_usage(&self) -> bool {
        self.header("x-fake-no-usage").is_none()
    }
}

/// What stands between the parts of a form.
fn boundary(head: &Parts) -> Option<String> {
    let content_type = head.headers.get("content-type")?.to_str().ok()?;
    let (_, boundary) = content_type.split_once("multipart/form-data; boundary=")?;
    Some(boundary.to_owned())
}

fn form(boundary: &str, bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let between = format!("--{boundary}\r\n");
    let parts = text.split(&between).skip(1);
    let fields = parts.filter_map(|part| {
        let (head, content) = part.split_once("\r\n\r\n")?;
        let (_, name) = head.split_once("name=\"")?;
        let (name, rest) = name.split_once('"')?;
        // Of the last part, up to where the form ends.
        let content = content.split(&format!("\r\n--{boundary}--")).next()?;
        let content = content.strip_suffix("\r\n").unwrap_or(content);
        let is_file = rest.contains("filename=");
        (!is_file).then(|| (name.to_owned(), Value::from(content)))
    });
    Value::Object(fields.collect())
}
