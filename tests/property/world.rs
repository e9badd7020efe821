//! A configuration, counters in memory and a clock: calls made through exchanges as a
//! sidecar makes them.

use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use weir::config::{self, Outside};
use weir::counters::memory::Memory;
use weir::exchange::message::{Notice, Reply};
use weir::exchange::{
    Effect, Event, Exchange, Learned, Origin, RequestHead, ResponseHead, Role, UsageEvent,
};
use weir::identity::Pepper;
use weir::limits::{Decision, HoldId, Settled};
use weir::policy::Snapshot;
use weir::tokens::Counting;
use weir::units::{Millis, UnixMillis};

const PEPPER: &str = "0123456789abcdef0123456789abcdef";

/// 2026-11-16T12:00:00Z, a Monday.
pub const NOON: UnixMillis = UnixMillis(1_794_830_400_000);

/// Who calls: keys of these names are there, for these tenants and projects.
const CALLERS: [(&str, &str, &str); 4] = [
    ("ada", "acme", "project: bot, environment: prod, user: ada"),
    ("bob", "acme", "user: bob, labels: { team: red }"),
    ("eve", "globex", "user: eve"),
    ("dev", "acme", "project: lab, environment: dev"),
];

pub struct World {
    pub snapshot: Arc<Snapshot>,
    pub counters: Memory,
    pub now: UnixMillis,
    pub notices: Vec<Notice>,
    /// The rows of calls that are over.
    pub rows: Vec<UsageEvent>,
    pub learned: Learned,
    /// Refusals come as a sidecar remembers them.
    pub remembers_refusals: bool,
    /// What was asked of the store, in order.
    pub asked: Vec<weir::limits::Reservation>,
    /// How often it was asked to settle.
    pub settled: usize,
    calls: u64,
}

/// A call that was let through.
pub struct Sent {
    pub exchange: Exchange,
    /// The body as the provider gets it.
    pub body: Value,
    /// Headers that the gateway routes by.
    pub head: Vec<(&'static str, String)>,
    /// How long it was held back.
    pub waited: Millis,
}

/// A call that was not.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Refused {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.head.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }
}

struct Given;

impl Outside for Given {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        (name == "WEIR_PEPPER").then(|| PEPPER.as_bytes().to_vec())
    }

    fn file(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The whole file: these plans, tenants and whatever else.
pub fn file(policy: &str) -> String {
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let keys = CALLERS.map(|(name, tenant, more)| {
        let hash = pepper.digest(key(name).as_bytes());
        format!("    - {{ id: {name}, hash: {hash}, tenant: {tenant}, {more} }}\n")
    });
    let keys = keys.concat();
    let usual = "models:\n  big: { tier: premium, provider: openai, price: { input: 10, output: 30 }, \
                 max_output_tokens: 4096 }\n  small: { tier: standard, provider: openai, price: \
                 { input: 1, output: 2 }, max_output_tokens: 4096 }\n  claude: { tier: premium, \
                 provider: anthropic, price: { input: 3, output: 15 }, max_output_tokens: 4096 }\n";
    let models = if policy.contains("\nmodels:") || policy.starts_with("models:") {
        ""
    } else {
        usual
    };
    format!(
        "listen: {{ grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }}\ncounters: {{ memory: {{}} \
         }}\nidentity:\n  pepper: {{ env: WEIR_PEPPER }}\n  keys:\n{keys}{models}{policy}"
    )
}

pub fn key(name: &str) -> String {
    format!("a-key-of-{name}-for-the-tests")
}

/// What is wrong with a file.
pub fn problems(policy: &str) -> Vec<String> {
    match config::load(&file(policy), "weir.yaml", &Given) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

impl World {
    pub fn of(policy: &str) -> Self {
        let config = config::load(&file(policy), "weir.yaml", &Given);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            snapshot: Arc::new(config.snapshot),
            counters: Memory::default(),
            now: NOON,
            notices: Vec::new(),
            rows: Vec::new(),
            learned: Learned::default(),
            remembers_refusals: false,
            asked: Vec::new(),
            settled: 0,
            calls: 0,
        }
    }

    /// Changes what configuration, or whoever grants, has said.
    pub fn change(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.snapshot);
        change(&mut snapshot);
        self.snapshot = Arc::new(snapshot);
    }

    /// A chat with a model, for this caller.
    pub fn chat(&mut self, who: &str, model: &str) -> Result<Sent, Refused> {
        self.call(
            who,
            &json!({ "model": model, "max_tokens": 1000, "messages": [
                { "role": "user", "content": "hello" }
            ]}),
        )
    }

    pub fn call(&mut self, who: &str, body: &Value) -> Result<Sent, Refused> {
        self.call_with(who, "/v1/chat/completions", &[], body)
    }

    /// A chat as it stands, which need not be what a JSON value can be.
    pub fn call_text(&mut self, who: &str, text: &str) -> Result<Sent, Refused> {
        let body = serde_json::from_str(text).unwrap_or_default();
        let text = text.as_bytes().to_vec();
        self.call_as(who, "/v1/chat/completions", &[], (text, &body))
    }

    pub fn call_with(
        &mut self,
        who: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Sent, Refused> {
        let text = serde_json::to_vec(body).unwrap();
        self.call_as(who, path, headers, (text, body))
    }

    fn call_as(
        &mut self,
        who: &str,
        path: &str,
        headers: &[(&str, &str)],
        (text, body): (Vec<u8>, &Value),
    ) -> Result<Sent, Refused> {
        self.calls += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.calls.to_be_bytes());
        let exchange = Exchange::new(
            Role::Full,
            super::settings(),
            Arc::clone(&self.snapshot),
            self.learned.clone(),
            HoldId::new(self.now, &random),
            Counting::unbounded(),
        );
        let bearer = format!("Bearer {}", key(who));
        let usual = [
            (":method", "POST"),
            (":path", path),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        let all = usual.iter().chain(headers);
        let head = RequestHead {
            headers: all
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            ..RequestHead::default()
        };
        self.send(exchange, head, text, body)
    }

    /// What comes of a head that nothing follows.
    pub fn head(&mut self, who: &str, method: &str, path: &str) -> Option<Reply> {
        let (mut exchange, mut head) = self.begun(who, method, path);
        head.end = true;
        self.step(&mut exchange, Event::RequestHeaders(head)).0
    }

    fn begun(&mut self, who: &str, method: &str, path: &str) -> (Exchange, RequestHead) {
        self.calls += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.calls.to_be_bytes());
        let exchange = Exchange::new(
            Role::Full,
            super::settings(),
            Arc::clone(&self.snapshot),
            self.learned.clone(),
            HoldId::new(self.now, &random),
            Counting::unbounded(),
        );
        let bearer = format!("Bearer {}", key(who));
        let all = [
            (":method", method),
            (":path", path),
            (":authority", "host"),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        let head = RequestHead {
            headers: all
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            ..RequestHead::default()
        };
        (exchange, head)
    }

    fn send(
        &mut self,
        mut exchange: Exchange,
        head: RequestHead,
        text: Vec<u8>,
        body: &Value,
    ) -> Result<Sent, Refused> {
        let (reply, _) = self.step(&mut exchange, Event::RequestHeaders(head));
        if let Some(Reply::Refuse { rendered, .. }) = reply {
            return Err(refused(rendered));
        }
        let event = Event::RequestBody {
            body: text,
            end: true,
        };
        let (reply, waited) = self.step(&mut exchange, event);
        match reply {
            Some(Reply::Refuse { rendered, .. }) => Err(refused(rendered)),
            Some(Reply::RequestBody {
                body: edited, head, ..
            }) => Ok(Sent {
                exchange,
                body: edited.map_or_else(
                    || body.clone(),
                    |edited| serde_json::from_slice(&edited).unwrap(),
                ),
                head: head.set,
                waited,
            }),
            other => panic!("{other:?}"),
        }
    }

    /// The call's answer, which used so much; gives its headers.
    pub fn answer(&mut self, sent: &mut Sent, input: u64, output: u64) -> Vec<(String, String)> {
        let head = ResponseHead {
            headers: [(":status", "200"), ("content-type", "application/json")]
                .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
                .to_vec(),
            origin: Origin::Upstream,
            ..ResponseHead::default()
        };
        let (reply, _) = self.step(&mut sent.exchange, Event::ResponseHeaders(head));
        let Some(Reply::ResponseHeaders { edits, .. }) = reply else {
            panic!("{reply:?}")
        };
        let body = json!({
            "model": "served", "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "hi" } }],
            "usage": { "prompt_tokens": input, "completion_tokens": output,
                "total_tokens": input + output }
        });
        let event = Event::ResponseBody {
            body: serde_json::to_vec(&body).unwrap(),
            end: true,
        };
        self.step(&mut sent.exchange, event);
        let set = edits.set.into_iter();
        set.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A chat that is answered with so much.
    pub fn used(&mut self, who: &str, model: &str, output: u64) -> Vec<(String, String)> {
        let mut sent = self
            .chat(who, model)
            .unwrap_or_else(|refused| panic!("{refused:?}"));
        self.answer(&mut sent, 10, output)
    }

    fn step(&mut self, exchange: &mut Exchange, event: Event) -> (Option<Reply>, Millis) {
        let mut waited = Millis(0);
        let mut event = event;
        loop {
            let step = exchange.step(event, self.now);
            let mut next = None;
            for effect in step.effects {
                match effect {
                    Effect::Reserve(reservation) => {
                        let decision = self.counters.reserve(&reservation, self.now).unwrap();
                        self.asked.push(reservation);
                        let decision = match decision {
                            Decision::Refused(refusal, _) if self.remembers_refusals => {
                                Decision::Refused(refusal, Vec::new())
                            }
                            other => other,
                        };
                        next = Some(Event::Decided(Some(decision)));
                    }
                    Effect::Settle(s) => {
                        self.settled += 1;
                        let settled = self.counters.settle(&s.slot, s.hold, s.actual, self.now);
                        if let (Settled::Applied, Some(event)) = (settled, s.event) {
                            self.rows.push(event);
                        }
                    }
                    Effect::Record(event) => self.rows.push(*event),
                    Effect::Wait { span, .. } => {
                        self.now = self.now + span;
                        waited = Millis(waited.0 + span.0);
                        next = Some(Event::Waited(true));
                    }
                    Effect::Notice(notice) => self.notices.push(notice),
                    Effect::Adopt { .. } => panic!("no meter here"),
                }
            }
            match next {
                Some(then) => event = then,
                None => return (step.reply, waited),
            }
        }
    }

    pub fn last_row(&self) -> &UsageEvent {
        self.rows.last().unwrap()
    }
}

fn refused(rendered: weir::protocol::denial::Rendered) -> Refused {
    Refused {
        status: rendered.status,
        headers: rendered.headers,
        body: serde_json::from_slice(&rendered.body).unwrap(),
    }
}
