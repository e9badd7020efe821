//! Over real connections: what is answered, and to how many at a time.

use super::*;
use crate::config::Process;
use crate::config::{Address, TcpSocket};
use crate::telemetry::metrics::{Listener, Metrics};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

const SOON: Duration = Duration::from_secs(10);

async fn start() -> (SocketAddr, Arc<Readiness>) {
    let address = Address::Tcp(TcpSocket {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: None,
    });
    let metrics = Arc::new(Metrics::new());
    let opened = Incoming::open(&address, Listener::Health, &Process, &metrics).await;
    let incoming = opened.unwrap();
    let address = incoming.tcp_address().unwrap().unwrap();
    let readiness = Arc::<Readiness>::default();
    tokio::spawn(serve_alone(incoming, Arc::clone(&readiness)));
    (address, readiness)
}

fn client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect_lazy())
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn check(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let answer = timeout(SOON, client.check(of(service))).await.unwrap();
    let answer = answer.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn each_service_says_its_own() {
    let (address, readiness) = start().await;
    let mut client = client(address);
    let (serving, not_serving) = (Ok(ServingStatus::Serving), Ok(ServingStatus::NotServing));
    assert_eq!(check(&mut client, "").await, not_serving);
    assert_eq!(check(&mut client, "live").await, serving);
    readiness.set_started();
    assert_eq!(check(&mut client, "").await, serving);
    readiness.set_counters(false);
    assert_eq!(check(&mut client, "").await, serving);
    readiness.set_leaving();
    assert_eq!(check(&mut client, "").await, not_serving);
    assert_eq!(check(&mut client, "live").await, serving);
    for unknown in ["readiness", "grpc.health.v1.Health", "Live"] {
        assert_eq!(check(&mut client, unknown).await, Err(Code::NotFound));
    }
    let long = check(&mut client, &"x".repeat(REQUEST_BYTES_MAX)).await;
    assert_eq!(long, Err(Code::OutOfRange));
}

#[tokio::test]
async fn who_watches_is_told_of_changes() {
    let (address, readiness) = start().await;
    let mut client = client(address);
    let mut watch = async |service: &str| client.watch(of(service)).await.unwrap().into_inner();
    let mut all = watch("").await;
    let mut live = watch("live").await;
    let mut unknown = watch("nobody").await;
    let mut next = async || {
        let told = timeout(SOON, all.message()).await.unwrap();
        told.unwrap().unwrap().status()
    };
    assert_eq!(next().await, ServingStatus::NotServing);
    readiness.set_started();
    assert_eq!(next().await, ServingStatus::Serving);
    readiness.set_ledger(false);
    assert_eq!(next().await, ServingStatus::NotServing);
    readiness.set_ledger(true);
    assert_eq!(next().await, ServingStatus::Serving);
    readiness.set_leaving();
    assert_eq!(next().await, ServingStatus::NotServing);
    for (stream, expected) in [
        (&mut live, ServingStatus::Serving),
        (&mut unknown, ServingStatus::ServiceUnknown),
    ] {
        let told = timeout(SOON, stream.message()).await.unwrap();
        assert_eq!(told.unwrap().unwrap().status(), expected);
        // It stays so, and the stream with it.
        let more = timeout(Duration::from_millis(50), stream.message()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

/// Whoever keeps connections open keeps no probe from its answer.
#[tokio::test]
async fn the_oldest_gives_way() {
    let (address, _) = start().await;
    let mut first = client(address);
    assert_eq!(check(&mut first, "live").await, Ok(ServingStatus::Serving));
    let mut silent = Vec::new();
    for _ in 0..OF_ONE_PEER_MAX + 10 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut last = client(address);
    assert_eq!(check(&mut last, "live").await, Ok(ServingStatus::Serving));
    // The first ones were let go of, and the last are still there.
    let ended = async |stream: &mut TcpStream, within: Duration| {
        use tokio::io::AsyncReadExt;
        let mut bytes = Vec::new();
        timeout(within, stream.read_to_end(&mut bytes))
            .await
            .is_ok()
    };
    assert!(ended(&mut silent[0], SOON).await);
    let newest = silent.last_mut().unwrap();
    assert!(!ended(newest, Duration::from_millis(50)).await);
}

/// One that floods loses its own connections, and nobody else any.
#[tokio::test]
async fn nobody_takes_the_place_of_another() {
    let mut open = OpenConnections::default();
    let mut connections = JoinSet::new();
    let peer = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
    let mut come = |open: &mut OpenConnections, last| {
        open.make_room(peer(last));
        let connection = connections.spawn(std::future::pending::<()>());
        open.0.push_back((peer(last), connection));
    };
    come(&mut open, 1);
    for _ in 0..1000 {
        come(&mut open, 2);
    }
    let of = |open: &OpenConnections, last| {
        let all = open.0.iter();
        all.filter(|(other, _)| *other == peer(last)).count()
    };
    assert_eq!((of(&open, 1), of(&open, 2)), (1, OF_ONE_PEER_MAX));
    // And from many addresses: who has fewest stays.
    for last in 3..200 {
        for _ in 0..3 {
            come(&mut open, last);
        }
    }
    assert_eq!(open.0.len(), CONNECTIONS_MAX);
    assert_eq!(of(&open, 1), 1);
}
