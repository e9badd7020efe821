//! What Redis does when something is wrong with it: an error with a name, in
//! bounded time, and never an admission.

use crate::engine::*;
use std::time::{Duration, Instant};
use weir::counters::CounterError;
use weir::counters::redis::{Redis, RedisConfig};
use weir::limits::*;
use weir::units::Millis;

fn take(n: u16) -> Reservation {
    let charges = vec![
        charge(&window("rpm", Unit::Requests, 100, DAY), 1),
        charge(&bucket("tpm", 100, DAY, 100), 1),
        charge(&slots("slots", 100), 1),
    ];
    call(n, charges)
}

async fn keys(server: &Server) -> Vec<String> {
    let mut raw = server.raw().await;
    redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut raw)
        .await
        .unwrap()
}

async fn set_config(server: &Server, name: &str, value: &str) {
    let mut raw = server.raw().await;
    let set = redis::cmd("CONFIG")
        .arg("SET")
        .arg(name)
        .arg(value)
        .exec_async(&mut raw)
        .await;
    set.unwrap();
}

#[tokio::test]
async fn every_key_has_an_end_and_one_hash_tag() {
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    redis.reserve(&take(1), NOW).await.unwrap();
    redis.reserve(&take(2), NOW).await.unwrap();
    redis.settle(SLOT, hold(2), actual(1, 50)).await.unwrap();
    redis
        .renew(SLOT, hold(1), Millis(90_000), Millis(90_000))
        .await
        .unwrap();
    let keys = keys(&server).await;
    assert_eq!(keys.len(), 6, "{keys:?}");
    let mut raw = server.raw().await;
    for key in &keys {
        assert!(key.starts_with("weir:1:{weir12}:"), "{key}");
        let ttl: i64 = redis::cmd("PTTL")
            .arg(key)
            .query_async(&mut raw)
            .await
            .unwrap();
        assert!(ttl > 0, "{key} never ends");
    }
}

/// A server that reads what it saved answers LOADING to everything, for as long
/// as it takes; nobody is let through on that, and nothing is lost.
#[tokio::test]
async fn a_server_that_is_loading_is_away() {
    // Slow by the millisecond a key, and talking all the while.
    let slowly = [
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let mut server = Server::start(&slowly).await;
    let client = server.connect().await;
    admitted(&client.reserve(&take(1), NOW).await.unwrap().answer);
    let mut raw = server.raw().await;
    let mut fill = redis::pipe();
    for n in 0..1_000 {
        fill.cmd("SET")
            .arg(format!("filler{n}"))
            .arg("x".repeat(100))
            .ignore();
    }
    fill.exec_async(&mut raw).await.unwrap();
    redis::cmd("SAVE").exec_async(&mut raw).await.unwrap();
    server.restart_unready();
    let (mut loading, begun) = (0, Instant::now());
    let decision = loop {
        assert!(begun.elapsed() < DEADLINE, "it never came back");
        match client.reserve(&take(2), NOW).await {
            Ok(at) => break at.answer,
            Err(CounterError::Unavailable(why)) if why.contains("LOADING") => loading += 1,
            Err(CounterError::Unavailable(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(loading > 0, "it was never seen loading");
    println!("refused {loading} times while it was loading");
    assert_eq!(used(&decision)[0], 2, "the first is counted still");
}

/// A Cluster's client sends a script again when the connection was lost before the
/// answer: who settled must hear that it was they.
#[tokio::test]
async fn a_settlement_that_is_sent_twice_is_answered_alike() {
    let server = Server::start(&["--slowlog-log-slower-than", "0"]).await;
    let redis = server.connect().await;
    redis.reserve(&take(1), NOW).await.unwrap();
    let mut raw = server.raw().await;
    for (n, settled, status) in [(1, Settled::Applied, 1), (2, Settled::Unknown, 3)] {
        let first = redis.settle(SLOT, hold(n), actual(1, 1)).await.unwrap();
        assert_eq!(first.answer, settled);
        let again = last_script(&mut raw).await;
        for _ in 0..2 {
            let (told, _): (i64, u64) = again.query_async(&mut raw).await.unwrap();
            assert_eq!(told, status);
        }
        // Another attempt is another's.
        let other = redis.settle(SLOT, hold(n), actual(1, 1)).await.unwrap();
        assert_eq!(other.answer, Settled::Already);
        let (told, _): (i64, u64) = again.query_async(&mut raw).await.unwrap();
        assert_eq!(told, status);
    }
    let stands = redis.reserve(&take(3), NOW).await.unwrap().answer;
    assert_eq!(used(&stands), [2, 2, 1], "settled once");
}

/// The script that the server ran last, word for word.
async fn last_script(raw: &mut redis::aio::MultiplexedConnection) -> redis::Cmd {
    type Entry = (u64, u64, u64, Vec<Vec<u8>>, redis::Value, redis::Value);
    let log: Vec<Entry> = redis::cmd("SLOWLOG")
        .arg("GET")
        .arg(8)
        .query_async(raw)
        .await
        .unwrap();
    let mut words = log.into_iter().map(|(_, _, _, words, ..)| words);
    let words = words.find(|words| words[0] == b"EVALSHA").unwrap();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

#[tokio::test]
async fn lost_scripts_are_loaded_again() {
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    for n in 0..3 {
        let flush = || async {
            let mut raw = server.raw().await;
            redis::cmd("SCRIPT")
                .arg("FLUSH")
                .exec_async(&mut raw)
                .await
                .unwrap();
        };
        flush().await;
        let mut call = take(n);
        call.hold_ttl = Millis(1);
        admitted(&redis.reserve(&call, NOW).await.unwrap().answer);
        flush().await;
        assert!(
            redis
                .renew(SLOT, hold(n), Millis(2), Millis(2))
                .await
                .unwrap()
                .answer
        );
        server_passes(&mut server.raw().await, 3).await;
        flush().await;
        assert_eq!(redis.expire_due(5, CLAIM).await.unwrap().answer.len(), 1);
        flush().await;
        let settled = redis.settle(SLOT, hold(n), Actual::VOID).await.unwrap();
        assert_eq!(settled.answer, Settled::Expired);
    }
}

/// Each key in turn holds what it never should; then both an admission and a
/// settlement that need it must fail by name and leave everything as it was.
#[tokio::test]
async fn odd_keys_refuse_and_change_nothing() {
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    redis.reserve(&take(2), NOW).await.unwrap();
    let mut raw = server.raw().await;
    let keys = keys(&server).await;
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in &keys {
        // The hold's own record is read when the same hold asks again.
        let asks = take(if key.contains(":h:") { 2 } else { 3 });
        let odd_values: [&[&str]; 4] = [
            &["HSET", "a", "b"],
            &["SET", "rubbish"],
            &["SET", "\u{1}"],
            &["SET", ""],
        ];
        for odd in odd_values {
            let stash = redis::cmd("RENAME")
                .arg(key)
                .arg("stash")
                .exec_async(&mut raw)
                .await;
            stash.unwrap();
            redis::cmd(odd[0])
                .arg(key)
                .arg(&odd[1..])
                .exec_async(&mut raw)
                .await
                .unwrap();
            let before = contents(&server).await;
            let reserved = redis.reserve(&asks, NOW).await.map(|at| at.answer);
            let settled = redis
                .settle(SLOT, hold(2), Actual::VOID)
                .await
                .map(|at| at.answer);
            for error in [reserved.unwrap_err(), settled.unwrap_err()] {
                // Of these keys alone: who asks for others is answered.
                let named = matches!(error, CounterError::Corrupt(_));
                assert!(named, "{key} {odd:?}: {error:?}");
            }
            assert_eq!(
                contents(&server).await,
                before,
                "{key} {odd:?}: something was written"
            );
            redis::cmd("RENAME")
                .arg("stash")
                .arg(key)
                .exec_async(&mut raw)
                .await
                .unwrap();
        }
    }
    let mut other = take(9);
    other.hold_ttl = Millis(1);
    assert_eq!(
        used(&redis.reserve(&other, NOW).await.unwrap().answer),
        [2, 2, 2]
    );
    // A hold whose record is lost is still handed out, to be seen.
    let record = format!("weir:1:{{weir12}}:h:{}", hold(9));
    redis::cmd("SET")
        .arg(&record)
        .arg("rubbish")
        .exec_async(&mut raw)
        .await
        .unwrap();
    server_passes(&mut raw, 2).await;
    let expired = redis.expire_due(9, CLAIM).await.unwrap().answer;
    assert_eq!(
        (expired.len(), expired[0].hold, &*expired[0].context),
        (1, hold(9), "")
    );
}

async fn contents(server: &Server) -> Vec<(String, Vec<u8>)> {
    let mut raw = server.raw().await;
    let mut contents = Vec::new();
    for key in keys(server).await {
        let dump = redis::cmd("DUMP")
            .arg(&key)
            .query_async(&mut raw)
            .await
            .unwrap();
        contents.push((key, dump));
    }
    contents.sort();
    contents
}

#[tokio::test]
async fn a_replica_and_a_full_server_refuse() {
    let server = Server::start(&[]).await;
    let redis = server.connect().await;
    redis.reserve(&take(1), NOW).await.unwrap();
    redis.beat(0, "one", Millis(60_000)).await.unwrap();
    set_config(&server, "maxmemory", "1").await;
    let refused = redis.reserve(&take(2), NOW).await;
    assert!(
        matches!(&refused, Err(CounterError::Refused(why)) if why.contains("OOM")),
        "{refused:?}"
    );
    // Nor does a sign of life, by which a server that is back is known.
    redis.beat(0, "one", Millis(1)).await.unwrap_err();
    // What frees memory still passes.
    let settled = redis.settle(SLOT, hold(1), Actual::VOID).await.unwrap();
    assert_eq!(settled.answer, Settled::Applied);
    set_config(&server, "maxmemory", "0").await;
    let mut raw = server.raw().await;
    let replica = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg("1")
        .exec_async(&mut raw)
        .await;
    replica.unwrap();
    let refused = redis.reserve(&take(2), NOW).await;
    let named = matches!(&refused, Err(CounterError::Refused(why)) if why.contains("READONLY"));
    assert!(named, "{refused:?}");
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_at_start() {
    for options in [&[][..], &["--rename-command", "CONFIG", ""]] {
        let mut options = options.to_vec();
        options.extend(["--maxmemory-policy", "allkeys-lru"]);
        let server = Server::start(&options).await;
        let refused = Redis::connect(&RedisConfig::new(server.url())).await;
        assert_eq!(
            refused.unwrap_err(),
            CounterError::Eviction("allkeys-lru".into())
        );
    }
    let server = Server::start(&["--rename-command", "CONFIG", ""]).await;
    server.connect().await.check().await.unwrap();
}

#[tokio::test]
async fn a_slow_server_times_out_and_the_same_hold_again_is_safe() {
    let server = Server::start(&[]).await;
    let mut config = RedisConfig::new(server.url());
    config.response_timeout = Millis(50);
    let redis = Redis::connect(&config).await.unwrap();
    let mut raw = server.raw().await;
    let pause = redis::cmd("CLIENT")
        .arg("PAUSE")
        .arg(400)
        .exec_async(&mut raw)
        .await;
    pause.unwrap();
    let asked = Instant::now();
    let late = redis.reserve(&take(1), NOW).await;
    assert_eq!(late.unwrap_err(), CounterError::Timeout(Millis(50)));
    assert!(asked.elapsed().as_millis() < 300, "{:?}", asked.elapsed());
    // The server applies it when it goes on; the same hold changes nothing more.
    let until = Instant::now() + DEADLINE;
    let again = loop {
        match redis.reserve(&take(1), NOW).await {
            Ok(again) => break again.answer,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(used(&again), [1, 1, 1]);
    assert_eq!(redis.open_holds().await.unwrap(), 1);
}

#[tokio::test]
async fn a_dead_server_fails_fast_and_is_found_again() {
    let mut server = Server::start(&[]).await;
    let redis = server.connect().await;
    admitted(&redis.reserve(&take(1), NOW).await.unwrap().answer);
    server.stop();
    for _ in 0..5 {
        let asked = Instant::now();
        let failed = redis.reserve(&take(2), NOW).await;
        assert!(
            matches!(failed, Err(CounterError::Unavailable(_))),
            "{failed:?}"
        );
        assert!(asked.elapsed().as_secs() < 3);
    }
    assert!(redis.check().await.is_err());
    server.restart().await;
    let until = Instant::now() + DEADLINE;
    while redis.check().await.is_err() {
        assert!(Instant::now() < until, "the server was not found again");
    }
    assert_eq!(
        used(&redis.reserve(&take(3), NOW).await.unwrap().answer),
        [1, 1, 1]
    );
}

#[tokio::test]
async fn no_secret_in_any_words() {
    let server = Server::start(&["--requirepass", "right"]).await;
    for url in [
        server.url().replace("unix://", "redis+unix://") + "?pass=hunter2",
        "redis://:hunter2@h:notaport/".to_owned(),
        "redis://:hunter2@127.0.0.1:1/".to_owned(),
    ] {
        let config = RedisConfig::new(url);
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = Redis::connect(&config).await.unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}
