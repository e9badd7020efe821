//! Redis as it is run: a Cluster that loses a master, Sentinels that fail over,
//! TLS, and an ACL user who may do no more than weir needs.

use crate::engine::*;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use weir::counters::CounterError;
use weir::counters::redis::{Redis, RedisConfig, Servers};
use weir::limits::*;
use weir::units::Millis;

/// Failing over takes a while.
const FAILOVER_MAX: Duration = Duration::from_secs(40);

/// What README says that the ACL user needs.
const ACL: &str = "~weir:* resetchannels -@all +eval +evalsha +script|load +ping +time +info +get +set \
                   +del +zadd +zrem +zcard +zcount +zscore +zrangebyscore +zremrangebyscore +pexpire \
                   +client +zrange +mget +unlink";

/// A server with a port of its own, stopped with its owner.
struct Node {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Node {
    fn start(options: &[&str]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = serve(folder.path(), &port.to_string(), options);
        Self {
            child,
            port,
            folder,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it by itself, until it answers.
    async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        let until = Instant::now() + DEADLINE;
        loop {
            let client = redis::Client::open(self.url()).unwrap();
            let error = match client.get_multiplexed_async_connection().await {
                Ok(mut connection) => match asked.query_async(&mut connection).await {
                    Ok(answer) => return answer,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            assert!(Instant::now() < until, "{command:?}: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Cluster's own port is 10,000 above, so it must be low enough.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port() % 20_000 + 20_000;
        let both = [port, port + 10_000].map(|port| TcpListener::bind(("127.0.0.1", port)));
        if both.iter().all(Result::is_ok) {
            return port;
        }
    }
}

fn serve(folder: &Path, port: &str, options: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--port", port, "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "no", "--dir"])
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server must be on the PATH: install the package redis-server")
}

async fn connect(config: &RedisConfig) -> Redis {
    let mut config = config.clone();
    config.response_timeout = Millis(500);
    config.connect_timeout = Millis(2_000);
    let until = Instant::now() + FAILOVER_MAX;
    loop {
        match Redis::connect(&config).await {
            Ok(redis) => return redis,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A tenant's call on one slot of two, and one request of three an hour.
fn tenants_call(tenant: usize, number: u64) -> Reservation {
    let hour = Millis(3_600_000);
    let mut call = call(
        100 * u16::try_from(tenant).unwrap() + u16::try_from(number).unwrap(),
        vec![
            charge(&window("rpm", Unit::Requests, 3, hour), 1),
            charge(&slots("slots", 2), 1),
        ],
    );
    call.slot = format!("tenant-{tenant}").into();
    // A failover on a busy machine may take longer than a lease usually lives.
    (call.hold_ttl, call.lease_ttl) = (hour, hour);
    call
}

async fn admitted_or_not(redis: &Redis, call: &Reservation) -> Result<bool, String> {
    match redis.reserve(call, NOW).await {
        Ok(at) => Ok(matches!(at.answer, Decision::Admitted(_))),
        Err(error) => Err(error.to_string()),
    }
}

/// Until the store takes it again, as weir's own look for it does.
async fn admitted_in_time(redis: &Redis, call: &Reservation) -> bool {
    let until = Instant::now() + FAILOVER_MAX;
    loop {
        match admitted_or_not(redis, call).await {
            Ok(admitted) => return admitted,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        let _ = redis.reconnect().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const TENANTS: usize = 60;

/// Three masters, and a replica of the first.
async fn cluster() -> Vec<Node> {
    let options = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "800",
        "--cluster-require-full-coverage",
        "no",
    ];
    let nodes: Vec<Node> = (0..4).map(|_| Node::start(&options)).collect();
    for (master, slots) in nodes
        .iter()
        .zip([(0, 5_460), (5_461, 10_922), (10_923, 16_383)])
    {
        let (first, last) = (slots.0.to_string(), slots.1.to_string());
        let () = master
            .ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
            .await;
    }
    for node in &nodes[1..] {
        let port = node.port.to_string();
        let () = nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    }
    let first: String = nodes[0].ask(&["CLUSTER", "MYID"]).await;
    let until = Instant::now() + DEADLINE;
    for node in &nodes {
        loop {
            let info: String = node.ask(&["CLUSTER", "INFO"]).await;
            if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4") {
                break;
            }
            assert!(Instant::now() < until, "{info}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let () = nodes[3].ask(&["CLUSTER", "REPLICATE", &first]).await;
    follows(&nodes[3]).await;
    nodes
}

/// The replica has what its master has. A Sentinel that comes before hears of
/// it 10 s later.
async fn follows(replica: &Node) {
    let until = Instant::now() + DEADLINE;
    loop {
        let info: String = replica.ask(&["INFO", "replication"]).await;
        if info.contains("master_link_status:up") {
            return;
        }
        assert!(Instant::now() < until, "{info}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cluster_admits_as_one_server_does_and_survives_a_master() {
    let mut nodes = cluster().await;
    let urls = nodes.iter().map(Node::url).collect();
    let config = RedisConfig::of(Servers::Cluster { urls });
    let evicts = |policy| ["CONFIG", "SET", "maxmemory-policy", policy];
    let () = nodes[2].ask(&evicts("allkeys-lru")).await;
    let refused = Redis::connect(&config).await.unwrap_err();
    assert_eq!(
        refused,
        CounterError::Eviction("allkeys-lru".into()),
        "one of three masters"
    );
    let () = nodes[2].ask(&evicts("noeviction")).await;
    let redis = connect(&config).await;
    assert_eq!(redis.lanes(), 64);
    for tenant in 0..TENANTS {
        for number in 1..=2 {
            assert_eq!(
                admitted_or_not(&redis, &tenants_call(tenant, number)).await,
                Ok(true)
            );
        }
        assert_eq!(
            admitted_or_not(&redis, &tenants_call(tenant, 3)).await,
            Ok(false),
            "two slots"
        );
    }
    assert_eq!(redis.open_holds().await.unwrap(), 2 * TENANTS as u64);
    let spread = [&nodes[0], &nodes[1], &nodes[2]];
    for node in spread {
        let keys: u64 = node.ask(&["DBSIZE"]).await;
        assert!(keys > 0, "a master without keys");
    }
    // What the replica has not got yet would be lost with its master.
    let copies: u64 = nodes[0].ask(&["WAIT", "1", "30000"]).await;
    assert_eq!(copies, 1, "the replica keeps up");
    nodes[0].kill();
    // The other masters serve on meanwhile, and nobody is let through twice.
    let mut away = 0;
    for tenant in 0..TENANTS {
        match admitted_or_not(&redis, &tenants_call(tenant, 4)).await {
            Ok(admitted) => assert!(!admitted, "a third call on two slots"),
            Err(_) => away += 1,
        }
    }
    assert!(0 < away && away < TENANTS, "{away} of {TENANTS} were away");
    println!("{away} of {TENANTS} tenants were on the master that died");
    for tenant in 0..TENANTS {
        assert!(
            !admitted_in_time(&redis, &tenants_call(tenant, 5)).await,
            "the slots are kept"
        );
        let first = tenants_call(tenant, 1);
        let settled = redis.settle(&first.slot, first.hold, Actual::VOID);
        assert_eq!(settled.await.unwrap().answer, Settled::Applied);
        assert!(admitted_in_time(&redis, &tenants_call(tenant, 6)).await);
    }
}

#[tokio::test]
async fn sentinels_lead_to_the_new_master() {
    let mut master = Node::start(&[]);
    let () = master.ask(&["PING"]).await;
    let port = master.port.to_string();
    let replica = Node::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    follows(&replica).await;
    let sentinel_port = free_port();
    let conf = replica.folder.path().join("sentinel.conf");
    let lines = [
        format!("port {sentinel_port}"),
        "bind 127.0.0.1".into(),
        format!("sentinel monitor limits 127.0.0.1 {port} 1"),
        "sentinel down-after-milliseconds limits 500".into(),
        "sentinel failover-timeout limits 3000".into(),
    ];
    std::fs::write(&conf, lines.join("\n")).unwrap();
    let child = Command::new("redis-server")
        .arg(&conf)
        .arg("--sentinel")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sentinel = Node {
        child,
        port: sentinel_port,
        folder: tempfile::tempdir().unwrap(),
    };
    let until = Instant::now() + FAILOVER_MAX;
    loop {
        let replicas: Vec<redis::Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "limits"]).await;
        if !replicas.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "the replica was not found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let redis = connect(&RedisConfig::of(Servers::Sentinel {
        urls: vec![sentinel.url()],
        master: "limits".into(),
    }))
    .await;
    for number in 1..=2 {
        assert_eq!(
            admitted_or_not(&redis, &tenants_call(0, number)).await,
            Ok(true)
        );
    }
    let () = master.ask(&["WAIT", "1", "2000"]).await;
    master.kill();
    assert!(
        !admitted_in_time(&redis, &tenants_call(0, 3)).await,
        "the slots are kept"
    );
    let settled = redis
        .settle("tenant-0", tenants_call(0, 1).hold, Actual::VOID)
        .await;
    assert_eq!(settled.unwrap().answer, Settled::Applied);
    assert!(admitted_in_time(&redis, &tenants_call(0, 4)).await);
}

#[tokio::test]
async fn tls_and_an_acl_user() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(file("cert.pem"), signed.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), signed.signing_key.serialize_pem()).unwrap();
    let tls_port = free_port();
    let node = Node::start(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-ca-cert-file",
        &file("cert.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let mut set_user: Vec<&str> = vec!["ACL", "SETUSER", "weir", "on", ">its password"];
    set_user.extend(ACL.split_whitespace());
    let () = node.ask(&set_user).await;
    let mut config = RedisConfig::new(format!("rediss://localhost:{tls_port}"));
    config.username = Some("weir".into());
    config.password = Some("its password".into());
    config.ca_pem = Some(signed.cert.pem().into_bytes());
    let redis = connect(&config).await;
    let call = tenants_call(0, 1);
    assert_eq!(admitted_or_not(&redis, &call).await, Ok(true));
    assert!(
        redis
            .renew("tenant-0", call.hold, Millis(1_000), Millis(1_000))
            .await
            .unwrap()
            .answer
    );
    assert_eq!(redis.beat(0, "one", Millis(1_000)).await, Ok(1));
    assert!(redis.expire_due(10, CLAIM).await.unwrap().answer.is_empty());
    let looks: Vec<Charge> = call.charges.iter().map(|c| charge(&c.limit, 0)).collect();
    let held = redis.held("tenant-0", &looks).await.unwrap();
    assert_eq!(held.map(|held| held.len()), Some(looks.len()));
    redis.reset("tenant-0", &looks).await.unwrap();
    let settled = redis.settle("tenant-0", call.hold, Actual::VOID).await;
    assert_eq!(settled.unwrap().answer, Settled::Applied);
    // Someone else's certificate, a wrong password, and none at all.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let mut doubtful = config.clone();
    doubtful.ca_pem = Some(other.cert.pem().into_bytes());
    let mut wrong = config.clone();
    wrong.password = Some("hunter2".into());
    for refused in [doubtful, wrong] {
        let error = Redis::connect(&refused).await.unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

/// A slot of hashes is moved to another master while calls come: they are
/// answered or fail, and what is counted is neither lost nor counted twice.
#[tokio::test]
async fn counters_that_move_to_another_master_are_counted_on() {
    let nodes = cluster().await;
    let urls = nodes.iter().map(Node::url).collect();
    let redis = connect(&RedisConfig::of(Servers::Cluster { urls })).await;
    for tenant in 0..TENANTS {
        let first = admitted_or_not(&redis, &tenants_call(tenant, 1)).await;
        assert_eq!(first, Ok(true));
    }
    // A tenant of the second master, and all that shares its hash tag.
    let (from, to) = (&nodes[1], &nodes[2]);
    let keys: Vec<String> = from.ask(&["KEYS", "weir:1:{*}:c:*"]).await;
    let tenant = keys[0].split("tenant-").nth(1).unwrap();
    let tenant: usize = tenant.split(',').next().unwrap().parse().unwrap();
    let slot: u64 = from.ask(&["CLUSTER", "KEYSLOT", &keys[0]]).await;
    let slot = slot.to_string();
    let (from_id, to_id): (String, String) = (
        from.ask(&["CLUSTER", "MYID"]).await,
        to.ask(&["CLUSTER", "MYID"]).await,
    );
    let () = to
        .ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])
        .await;
    let () = from
        .ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])
        .await;
    let (mut half_moved, port) = (Vec::new(), to.port.to_string());
    for turn in 0.. {
        let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "2"]).await;
        if keys.is_empty() {
            break;
        }
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(String::as_str));
        let () = from.ask(&migrate).await;
        // Some of its keys are here, some there.
        if turn < 3 {
            half_moved.push(admitted_or_not(&redis, &tenants_call(tenant, 2)).await);
        }
    }
    for node in [to, from] {
        let () = node
            .ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id])
            .await;
    }
    println!("while it moved: {half_moved:?}");
    // The same call again, whatever came of it before.
    assert!(admitted_in_time(&redis, &tenants_call(tenant, 2)).await);
    assert!(
        !admitted_in_time(&redis, &tenants_call(tenant, 3)).await,
        "two slots"
    );
    for number in [1, 2] {
        let (call, used) = (tenants_call(tenant, number), actual(1, 0));
        let settled = redis.settle(&call.slot, call.hold, used).await;
        assert_eq!(settled.unwrap().answer, Settled::Applied);
    }
    assert!(admitted_in_time(&redis, &tenants_call(tenant, 4)).await);
    assert!(
        !admitted_in_time(&redis, &tenants_call(tenant, 5)).await,
        "three requests"
    );
    for other in (0..TENANTS).filter(|other| *other != tenant) {
        let second = admitted_or_not(&redis, &tenants_call(other, 2)).await;
        assert_eq!(second, Ok(true), "the others never noticed");
    }
}
