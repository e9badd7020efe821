//! Webhooks against receivers of all kinds.

use super::*;
use crate::alerts::{Form, Kind, SigningKey};
use crate::units::Millis;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: UnixMillis = UnixMillis(1_795_773_600_000);

/// A request as a receiver got it.
#[derive(Debug, Clone)]
pub struct Got {
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn id(&self) -> String {
        self.headers[ID_HEADER].to_str().unwrap().to_owned()
    }
}

/// A receiver that answers with the status it is told to.
pub struct Receiver {
    pub address: SocketAddr,
    pub got: Arc<Mutex<Vec<Got>>>,
    pub connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub async fn start(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (seen, counted, answer) = (got.clone(), connections.clone(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (seen.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, answer) = (seen.clone(), answer.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let nth = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(Got {
                                target: head.uri.to_string(),
                                headers: head.headers,
                                body,
                            });
                            seen.len() - 1
                        };
                        let answered = Response::builder().status(answer(nth));
                        let answered = answered.header("location", "/elsewhere");
                        let words = Full::new(Bytes::from("words of the receiver"));
                        Ok::<_, Infallible>(answered.body(words).unwrap())
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                serving.spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            got,
            connections,
            _tasks: tasks,
        }
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

pub fn settings(name: &str, url: String) -> WebhookSettings {
    WebhookSettings {
        name: name.into(),
        url: Secret::new(url),
        form: Form::Json,
        signing_key: SigningKey::parse(SECRET),
        routing_key: None,
        on: Kind::ALL.to_vec(),
        tenants: None,
        allow_private: true,
        ca_pem: None,
        timeout: Millis(5_000),
    }
}

fn at(address: SocketAddr) -> WebhookSettings {
    settings("ops", format!("http://{address}/hook?key=k3y-in-the-url"))
}

async fn send(settings: &WebhookSettings) -> Result<(), NotSent> {
    let alert = Alert::test("ops", NOW);
    let sent = Webhook::new(settings).unwrap().send(&alert, NOW).await;
    if let Err(error) = &sent {
        assert!(!error.why.contains("k3y-in-the-url"), "{error}");
        assert!(!error.why.contains("words of the receiver"), "{error}");
    }
    sent
}

#[tokio::test]
async fn what_is_sent_is_signed_as_receivers_check_it() {
    let receiver = Receiver::start(|_| 204).await;
    send(&at(receiver.address)).await.unwrap();
    let [got] = receiver.got().try_into().unwrap();
    assert_eq!(got.target, "/hook?key=k3y-in-the-url");
    assert_eq!(got.headers[CONTENT_TYPE], "application/json");
    assert_eq!(got.id(), *Alert::test("ops", NOW).id);
    assert_eq!(got.headers[TIMESTAMP_HEADER], "1795773600");
    let key = SigningKey::parse(SECRET).unwrap();
    let signed = key.sign(&got.id(), 1_795_773_600, &got.body);
    assert_eq!(got.headers[SIGNATURE_HEADER], *signed);
    let body: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(body["type"], "test");
}

#[tokio::test]
async fn forms_of_others_have_their_own_keys() {
    let receiver = Receiver::start(|_| 200).await;
    let pagerduty = WebhookSettings {
        form: Form::PagerDuty,
        signing_key: None,
        routing_key: Some(Secret::new("R0UT1NG".into())),
        ..at(receiver.address)
    };
    send(&pagerduty).await.unwrap();
    let slack = WebhookSettings {
        form: Form::Slack,
        routing_key: None,
        ..pagerduty
    };
    send(&slack).await.unwrap();
    let [pagerduty, slack] = receiver.got().try_into().unwrap();
    for got in [&pagerduty, &slack] {
        assert!(!got.headers.contains_key(SIGNATURE_HEADER));
    }
    let body: serde_json::Value = serde_json::from_slice(&pagerduty.body).unwrap();
    assert_eq!(body["routing_key"], "R0UT1NG");
    let body: serde_json::Value = serde_json::from_slice(&slack.body).unwrap();
    assert_eq!(body["text"], "weir sends alerts here");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_answers_mean_what_they_say() {
    for (status, for_good) in [
        (301, false),
        (302, false),
        (307, false),
        (400, true),
        (401, false),
        (404, false),
        (410, true),
        (422, true),
        (429, false),
        (500, false),
        (503, false),
    ] {
        let receiver = Receiver::start(move |_| status).await;
        let error = send(&at(receiver.address)).await.unwrap_err();
        assert!(error.why.contains(&status.to_string()), "{error}");
        assert_eq!(error.for_good, for_good, "{status}");
        assert_eq!(
            receiver.got().len(),
            1,
            "{status}: one request, nothing more"
        );
    }
}

/// Addresses, names of them, and ways to write them: none is connected to.
#[tokio::test]
async fn what_is_private_is_not_connected_to() {
    let receiver = Receiver::start(|_| 200).await;
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let settings = WebhookSettings {
            allow_private: false,
            ..settings("ops", format!("https://{host}:{port}/k3y-in-the-url"))
        };
        let error = send(&settings).await.unwrap_err();
        assert!(error.why.contains("private or reserved"), "{host}: {error}");
    }
    // Nobody's webhook, allowed or not.
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "100.100.100.200",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "224.0.0.1",
    ] {
        let settings = settings("ops", format!("http://{host}:{port}/k3y-in-the-url"));
        let error = send(&settings).await.unwrap_err();
        assert!(error.why.contains("private or reserved"), "{host}: {error}");
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
    let plain = WebhookSettings {
        allow_private: false,
        ..settings("ops", "http://example.com/".into())
    };
    assert_eq!(Webhook::new(&plain).unwrap_err(), EndpointError::Plain);
}

#[tokio::test]
async fn an_answer_without_end_is_no_wait_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
            while stream.write_all(&[b'a'; 1024]).await.is_ok() {}
        }
    });
    let settings = WebhookSettings {
        timeout: Millis(2_000),
        ..at(address)
    };
    let error = send(&settings).await.unwrap_err();
    assert!(
        !error.for_good && error.why.chars().count() < 400,
        "{error}"
    );
}
