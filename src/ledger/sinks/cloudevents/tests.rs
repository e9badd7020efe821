//! The sink against receivers of all kinds.

use super::super::endpoint::Credential;
use super::super::tests::{id, ids, relay, row, row_with, rows};
use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const TOKEN: &str = "t0ken-of-the-meter";

/// A request as the receiver got it.
#[derive(Debug, Clone)]
struct Got {
    target: String,
    headers: HeaderMap,
    body: Value,
}

impl Got {
    fn ids(&self) -> Vec<String> {
        let named = |event: &Value| event["id"].as_str().unwrap().to_owned();
        match &self.body {
            Value::Array(events) => events.iter().map(named).collect(),
            event => vec![named(event)],
        }
    }
}

type Answered = Response<Full<Bytes>>;

/// A receiver that answers as it is told to.
struct Meter {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

fn status(status: u16) -> Answered {
    let words = format!("status {status}");
    let body = Full::new(Bytes::from(words));
    Response::builder().status(status).body(body).unwrap()
}

impl Meter {
    async fn start(answer: impl Fn(usize, &Got) -> Answered + Send + Sync + 'static) -> Self {
        Self::start_tls(None, answer).await
    }

    async fn start_tls(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(usize, &Got) -> Answered + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let (seen, counted, answer) = (got.clone(), connections.clone(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, seen, answer) = (tls.clone(), seen.clone(), answer.clone());
                serving.spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen, answer).await;
                            }
                        }
                        None => serve(stream, seen, answer).await,
                    }
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

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<Vec<String>> {
        self.got().iter().map(Got::ids).collect()
    }
}

async fn serve<S, A>(stream: S, seen: Arc<Mutex<Vec<Got>>>, answer: Arc<A>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    A: Fn(usize, &Got) -> Answered + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let got = Got {
                target: head.uri.to_string(),
                headers: head.headers,
                body: serde_json::from_slice(&body).unwrap(),
            };
            let nth = {
                let mut seen = seen.lock().unwrap();
                seen.push(got.clone());
                seen.len() - 1
            };
            Ok::<_, Infallible>(answer(nth, &got))
        }
    });
    let server = hyper::server::conn::http1::Builder::new();
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self, url: String) -> CloudEventsConfig {
        CloudEventsConfig {
            endpoint: EndpointConfig {
                url,
                ca_pem: None,
                credential: Some(Credential::bearer(TOKEN).unwrap()),
            },
            mode: Mode::Batch,
            source: None,
            subject: Subject::Tenant,
            subject_otherwise: None,
            request_rows_max: 500,
            request_bytes_max: 1024 * 1024,
            timeout: Duration::from_secs(20),
            dead_letters_folder: self.0.path().to_owned(),
        }
    }

    fn sink(&self, address: SocketAddr) -> CloudEventsSink {
        CloudEventsSink::new(self.config(format!("http://{address}/in"))).unwrap()
    }

    fn letters(&self) -> usize {
        let path = self.0.path().join("dead-letters-cloudevents.jsonl");
        std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }
}

fn away(outcome: Result<(), SinkError>) -> String {
    let Err(SinkError::Away(why)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(!why.contains(TOKEN), "{why}");
    why
}

#[tokio::test]
async fn a_list_of_events_as_the_specification_has_it() {
    let meter = Meter::start(|_, _| status(204)).await;
    let place = Place::new();
    let mut sink = place.sink(meter.address);
    let batch = [row(1), row_with(2, json!({ "tenant": null }))];
    sink.deliver(&batch).await.unwrap();
    let [got] = meter.got().try_into().unwrap();
    assert_eq!(got.target, "/in");
    assert_eq!(
        got.headers[CONTENT_TYPE],
        "application/cloudevents-batch+json"
    );
    assert_eq!(got.headers[AUTHORIZATION], format!("Bearer {TOKEN}"));
    let data = |row: &Row| serde_json::to_value(&row.event).unwrap();
    let mut expected = json!({
        "specversion": "1.0",
        "id": id(1).to_string(),
        "source": format!("weir/{}", batch[0].link.chain),
        "type": "weir.usage.v1",
        "subject": "acme",
        "time": "2023-11-14T22:13:22Z",
        "datacontenttype": "application/json",
        "data": data(&batch[0]),
    });
    assert_eq!(got.body[0], expected);
    expected["id"] = json!(id(2).to_string());
    expected["data"] = data(&batch[1]);
    expected.as_object_mut().unwrap().remove("subject");
    assert_eq!(got.body[1], expected);
}

#[tokio::test]
async fn single_events_over_one_connection_in_order() {
    let meter = Meter::start(|_, _| status(202)).await;
    let place = Place::new();
    let mut config = place.config(format!("http://{}/v1?key=k", meter.address));
    config.mode = Mode::Single;
    config.source = Some("urn:weir:eu".into());
    config.subject = Subject::Project;
    config.subject_otherwise = Some("nobody".into());
    let mut sink = CloudEventsSink::new(config).unwrap();
    sink.deliver(&rows(0..20)).await.unwrap();
    let expected: Vec<_> = ids(0..20).into_iter().map(|id| vec![id]).collect();
    assert_eq!(meter.ids(), expected);
    let got = &meter.got()[0];
    assert_eq!(got.headers[CONTENT_TYPE], "application/cloudevents+json");
    assert_eq!(got.target, "/v1?key=k");
    assert_eq!(got.body["source"], "urn:weir:eu");
    assert_eq!(got.body["subject"], "nobody");
    assert_eq!(meter.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_away_is_offered_again_with_the_same_ids() {
    for code in [
        408, 425, 429, 500, 503, 504, 401, 403, 404, 415, 301, 307, 308,
    ] {
        let redirect = move |nth: usize, _: &Got| {
            let mut answer = status(if nth == 0 { code } else { 200 });
            answer
                .headers_mut()
                .insert(LOCATION, "/elsewhere".parse().unwrap());
            answer
        };
        let meter = Meter::start(redirect).await;
        let place = Place::new();
        let mut sink = place.sink(meter.address);
        let why = away(sink.deliver(&rows(0..5)).await);
        assert!(why.contains(&code.to_string()), "{why}");
        assert_eq!(meter.ids(), [ids(0..5)], "{code}");
        sink.deliver(&rows(0..5)).await.unwrap();
        assert_eq!(meter.ids(), [ids(0..5), ids(0..5)], "{code}");
        assert!(meter.got().iter().all(|got| got.target == "/in"));
        assert_eq!(place.letters(), 0);
    }
}

#[tokio::test]
async fn poison_rows_are_found_and_the_rest_is_taken_once() {
    for code in [400, 409, 422] {
        let poison = ids([3, 4, 11]);
        let refuse = move |_: usize, got: &Got| {
            let refused = got.ids().iter().any(|id| poison.contains(id));
            status(if refused { code } else { 200 })
        };
        let meter = Meter::start(refuse).await;
        let place = Place::new();
        let mut sink = place.sink(meter.address);
        let aside = relay(&mut sink, &rows(0..16)).await;
        assert_eq!(aside, [id(3), id(4), id(11)]);
        assert_eq!(place.letters(), 3);
        let poison = ids([3, 4, 11]);
        let taken = meter.ids().into_iter();
        let taken = taken.filter(|ids| !ids.iter().any(|id| poison.contains(id)));
        let expected = ids((0..16).filter(|n| ![3, 4, 11].contains(n)));
        assert_eq!(taken.flatten().collect::<Vec<_>>(), expected);
        // A single row that is refused is the one.
        let outcome = sink.deliver(&rows(3..4)).await;
        let Err(SinkError::Poison { index: 0, why }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains(&code.to_string()), "{why}");
    }
}

#[tokio::test]
async fn a_request_too_large_is_made_smaller_and_stays_so() {
    let small = |_: usize, got: &Got| status(if got.ids().len() > 3 { 413 } else { 200 });
    let meter = Meter::start(small).await;
    let place = Place::new();
    let mut sink = place.sink(meter.address);
    sink.deliver(&rows(0..16)).await.unwrap();
    let before = meter.got().len();
    sink.deliver(&rows(16..32)).await.unwrap();
    let after = &meter.ids()[before..];
    assert!(after.iter().all(|ids| ids.len() <= 3), "{after:?}");
    assert_eq!(after.concat(), ids(16..32));
    // A row that is too large by itself.
    let meter = Meter::start(|_, _| status(413)).await;
    let mut sink = place.sink(meter.address);
    let outcome = sink.deliver(&rows(0..4)).await;
    assert!(
        matches!(outcome, Err(SinkError::Poison { index: 0, .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn requests_keep_within_their_bounds() {
    let meter = Meter::start(|_, _| status(200)).await;
    let place = Place::new();
    let mut config = place.config(format!("http://{}/in", meter.address));
    config.request_rows_max = 7;
    config.request_bytes_max = 4_000;
    let mut sink = CloudEventsSink::new(config).unwrap();
    sink.deliver(&rows(0..50)).await.unwrap();
    assert_eq!(meter.ids().concat(), ids(0..50));
    for got in meter.got() {
        let bytes: usize = got.headers["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(got.ids().len() <= 7 && bytes <= 4_000, "{bytes}");
    }
}

/// Answers a connection with bytes, and keeps it open.
async fn raw(answer: impl Fn(usize) -> Vec<u8> + Send + 'static) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open: Vec<TcpStream> = Vec::new();
        for nth in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer(nth)).await;
            open.push(stream);
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn silence_and_half_an_answer_end_in_time() {
    for half in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let (address, _tasks) = raw(move |_| half.into()).await;
        let place = Place::new();
        let mut config = place.config(format!("http://{address}/in"));
        config.timeout = Duration::from_millis(60);
        let mut sink = CloudEventsSink::new(config).unwrap();
        let why = away(sink.deliver(&rows(0..2)).await);
        assert!(why.contains("no answer within 60ms"), "{why}");
    }
}

/// The status says what became of the rows; no more is read of what follows
/// than is good.
#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = |_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + 2 * 64 * 1024, b'x');
        bytes
    };
    let (address, _tasks) = raw(endless).await;
    let place = Place::new();
    let mut sink = place.sink(address);
    sink.deliver(&rows(0..2)).await.unwrap();
    sink.deliver(&rows(2..4)).await.unwrap();
    // A head without end is no answer.
    let (address, _tasks) = raw(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        bytes.resize(256 * 1024, b'x');
        bytes
    })
    .await;
    away(place.sink(address).deliver(&rows(0..2)).await);
}

#[tokio::test]
async fn a_connection_closed_meanwhile_is_opened_anew() {
    let close = |_| b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&close(0)).await;
            // Said nothing of it, and goes.
        }
    });
    let place = Place::new();
    let mut sink = place.sink(address);
    for n in 0..20 {
        sink.deliver(&rows(n..n + 1)).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let place = Place::new();
    let why = away(place.sink(address).deliver(&rows(0..2)).await);
    assert!(why.contains(&address.to_string()), "{why}");
}

#[tokio::test]
async fn a_receiver_that_repeats_the_token_is_not_quoted() {
    for code in [400, 503] {
        let echo = move |_: usize, got: &Got| {
            let mut answer = status(code);
            let said = got.headers[AUTHORIZATION].to_str().unwrap();
            *answer.body_mut() = Full::new(Bytes::from(format!("what is {said}?\r\n\u{7}")));
            answer
        };
        let meter = Meter::start(echo).await;
        let place = Place::new();
        let outcome = place.sink(meter.address).deliver(&rows(0..1)).await;
        let why = outcome.unwrap_err().to_string();
        assert!(!why.contains(TOKEN), "{why}");
        assert!(why.contains("repeats the credential"), "{why}");
    }
}

fn acceptor(signed: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(signed.cert.pem().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(signed.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own_and_no_other() {
    let signed = |name: &str| rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
    let (own, other, elsewhere) = (signed("localhost"), signed("localhost"), signed("meter"));
    for (shown, trusted, is_taken) in [
        (&own, &own, true),
        (&own, &other, false),
        (&elsewhere, &elsewhere, false),
    ] {
        let meter = Meter::start_tls(Some(acceptor(shown)), |_, _| status(200)).await;
        let place = Place::new();
        let url = format!("https://localhost:{}/in", meter.address.port());
        let mut config = place.config(url);
        config.endpoint.ca_pem = Some(trusted.cert.pem().into_bytes());
        let mut sink = CloudEventsSink::new(config).unwrap();
        let outcome = sink.deliver(&rows(0..3)).await;
        if is_taken {
            outcome.unwrap();
            assert_eq!(meter.ids(), [ids(0..3)]);
        } else {
            let why = away(outcome);
            assert!(why.contains("certificate"), "{why}");
            assert_eq!(meter.got().len(), 0);
        }
    }
}

#[test]
fn sources_that_are_none() {
    let place = Place::new();
    for source in ["", "two words", "line\nend"] {
        let mut config = place.config("http://localhost/".into());
        config.source = Some(source.into());
        let outcome = CloudEventsSink::new(config).map(drop);
        assert_eq!(outcome, Err(CloudEventsError::Source));
    }
}
