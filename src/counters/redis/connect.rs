//! Opening the connection, checking the server, naming its errors.

use super::link::Link;
use super::scripts::Scripts;
use super::{RedisConfig, Servers};
use crate::counters::CounterError;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use ::redis::io::tcp::TcpSettings;
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, InfoDict, IntoConnectionInfo,
    RedisError, ServerErrorKind, TlsCertificates, TlsMode, Value,
};
use std::time::Duration;

/// Commands that may wait to be written. More callers than this wait their
/// turn, each no longer than its time-out.
const QUEUE_MAX: usize = 4_096;

/// The longest pause between attempts to reconnect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// After this long without an acknowledgement a connection is given up: a peer
/// that vanished without a word must not hold calls for minutes.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);

/// How often a Cluster's client asks again by itself, and after which pause. A
/// call that takes too long is given up before.
const CLUSTER_RETRIES: u32 = 3;
const CLUSTER_RETRY_MIN_MS: u64 = 2;
const CLUSTER_RETRY_MAX_MS: u64 = 50;

/// The most of a server's own words that an error repeats.
const DETAIL_CHARS_MAX: usize = 200;

/// How a server says, within a script, that it would refuse any other as well.
const REFUSES_ALL: [&str; 10] = [
    "READONLY",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "NOAUTH",
    "NOPERM",
    "The user executing the script",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "Script killed",
];

pub(super) async fn open(config: &RedisConfig) -> Result<Link, CounterError> {
    // Whoever asks first says which cryptography there is; all say the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match &config.servers {
        Servers::Single { url } => single(config, client(config, url)?).await,
        Servers::Cluster { urls } => cluster(config, urls).await,
        Servers::Sentinel { urls, master } => {
            let mut found = sentinels(config, urls, master)?;
            let found =
                tokio::time::timeout(config.connect_timeout.into(), found.async_get_client());
            let found = found
                .await
                .map_err(|_| CounterError::Timeout(config.connect_timeout))?;
            single(config, found.map_err(error)?).await
        }
    }
}

/// One server. A lost connection is opened anew in the background.
async fn single(config: &RedisConfig, client: Client) -> Result<Link, CounterError> {
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(config.connect_timeout.into()))
        // Every call has its own; a second timer for each would only cost.
        .set_response_timeout(None)
        .set_number_of_retries(1)
        .set_max_delay(RECONNECT_PAUSE_MAX)
        .set_pipeline_buffer_size(QUEUE_MAX);
    let connection = ConnectionManager::new_with_config(client, settings).await;
    connection.map(Link::Single).map_err(error)
}

fn client(config: &RedisConfig, url: &str) -> Result<Client, CounterError> {
    let info = address(url)?;
    let mut user = info.redis_settings().clone();
    if let Some(name) = &config.username {
        user = user.set_username(name);
    }
    if let Some(password) = &config.password {
        user = user.set_password(password);
    }
    let info = info
        .set_redis_settings(user)
        .set_tcp_settings(tcp_settings());
    let client = match certificates(config) {
        Some(certificates) if url.starts_with("rediss:") => {
            Client::build_with_tls(info, certificates)
        }
        _ => Client::open(info),
    };
    client.map_err(|_| unfit("the URL or the certificates"))
}

async fn cluster(config: &RedisConfig, urls: &[String]) -> Result<Link, CounterError> {
    let nodes: Vec<_> = urls
        .iter()
        .map(|url| address(url))
        .collect::<Result<_, _>>()?;
    let mut client = ClusterClient::builder(nodes)
        .connection_timeout(config.connect_timeout.into())
        .tcp_settings(tcp_settings())
        // A call that took too long is given up as a whole.
        .overall_response_timeout(None)
        .min_retry_wait(CLUSTER_RETRY_MIN_MS)
        .max_retry_wait(CLUSTER_RETRY_MAX_MS)
        .retries(CLUSTER_RETRIES);
    if let Some(name) = &config.username {
        client = client.username(name);
    }
    if let Some(password) = &config.password {
        client = client.password(password);
    }
    if let Some(certificates) = certificates(config) {
        client = client.certs(certificates);
    }
    let client = client
        .build()
        .map_err(|_| unfit("the URLs or the certificates"))?;
    let opened = client.get_async_connection();
    let opened = tokio::time::timeout(config.connect_timeout.into(), opened).await;
    let opened = opened.map_err(|_| CounterError::Timeout(config.connect_timeout))?;
    opened.map(Link::Cluster).map_err(error)
}

fn sentinels(
    config: &RedisConfig,
    urls: &[String],
    master: &str,
) -> Result<SentinelClient, CounterError> {
    let infos: Vec<_> = urls
        .iter()
        .map(|url| address(url))
        .collect::<Result<_, _>>()?;
    let addresses = infos.iter().map(|info| info.addr().clone());
    let builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master);
    let mut builder = builder.map_err(|_| unfit("the Sentinels"))?;
    let tcp = tcp_settings();
    builder = builder
        .set_client_to_redis_tcp_settings(tcp.clone())
        .set_client_to_sentinel_tcp_settings(tcp);
    if let Some(name) = &config.username {
        builder = builder.set_client_to_redis_username(name);
    }
    if let Some(password) = &config.password {
        builder = builder.set_client_to_redis_password(password);
    }
    // All Sentinels of a set are set up alike.
    if let Some(own) = infos.first().map(|info| info.redis_settings()) {
        if let Some(name) = own.username() {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = own.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
    }
    if urls.iter().any(|url| url.starts_with("rediss:")) {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        if let Some(certificates) = certificates(config) {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
    }
    builder.build().map_err(|_| unfit("the Sentinels"))
}

fn address(url: &str) -> Result<ConnectionInfo, CounterError> {
    // The parser's own words could repeat the address.
    url.into_connection_info().map_err(|_| unfit("the URL"))
}

fn certificates(config: &RedisConfig) -> Option<TlsCertificates> {
    let root_cert = config.ca_pem.clone()?;
    Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(root_cert),
    })
}

fn unfit(what: &str) -> CounterError {
    CounterError::Config(format!("{what} can't be used with Redis"))
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_MAX);
    settings
}

/// Evicted counters would let calls through that were already refused.
pub(super) async fn refuse_eviction(link: Link) -> Result<(), CounterError> {
    let policies = match link {
        Link::Cluster(cluster) => policies_of_masters(cluster).await,
        single @ Link::Single(_) => policy(single).await.map(|policy| vec![policy]),
    };
    for policy in policies.map_err(error)? {
        match policy.as_deref() {
            Some("noeviction") => {}
            Some(other) => return Err(CounterError::Eviction(other.chars().take(40).collect())),
            None => tracing::warn!(
                "the counter store doesn't tell its maxmemory-policy; it must be noeviction, \
                 or counters can be lost"
            ),
        }
    }
    Ok(())
}

/// `None` where the server doesn't tell.
async fn policy(mut link: Link) -> Result<Option<String>, RedisError> {
    let asked = ::redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async::<Vec<String>>(&mut link)
        .await;
    match asked {
        Ok(pair) => Ok(pair.into_iter().nth(1)),
        Err(lost) if is_connection_lost(&lost) => Err(lost),
        // A hosted server may forbid CONFIG; INFO tells the same.
        Err(_) => {
            let info = memory_info().query_async::<InfoDict>(&mut link).await;
            Ok(info.ok().and_then(|info| info.get("maxmemory_policy")))
        }
    }
}

/// One for each master of a Cluster.
async fn policies_of_masters(
    mut cluster: ClusterConnection,
) -> Result<Vec<Option<String>>, RedisError> {
    let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let Value::Map(infos) = cluster.route_command(memory_info(), masters).await? else {
        return Ok(vec![None]);
    };
    let policies = infos.into_iter().map(|(_, info)| {
        let info = InfoDict::from_redis_value(info).ok();
        info.and_then(|info| info.get("maxmemory_policy"))
    });
    Ok(policies.collect())
}

fn memory_info() -> Cmd {
    let mut info = ::redis::cmd("INFO");
    info.arg("memory");
    info
}

/// Loads the scripts.
pub(super) async fn load(mut connection: Link, scripts: &Scripts) -> Result<(), CounterError> {
    let Scripts {
        reserve,
        settle,
        renew,
        expire,
        told,
        beat,
        reset,
    } = scripts;
    for script in [reserve, settle, renew, expire, told, beat, reset] {
        script.load_async(&mut connection).await.map_err(error)?;
    }
    Ok(())
}

fn is_connection_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout()
}

/// Sorts an error of the client or the server by who must act.
pub(super) fn error(error: RedisError) -> CounterError {
    match error.kind() {
        ErrorKind::Server(kind) => server_error(kind, &error),
        ErrorKind::Extension => refused_or_corrupt(&error),
        ErrorKind::AuthenticationFailed => CounterError::Refused("the credentials".into()),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            CounterError::Corrupt("an answer of an unexpected type".into())
        }
        _ => CounterError::Unavailable(bounded(&error.to_string())),
    }
}

fn server_error(kind: ServerErrorKind, error: &RedisError) -> CounterError {
    match kind {
        ServerErrorKind::BusyLoading
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ClusterDown => {
            CounterError::Unavailable(bounded(error.code().unwrap_or("LOADING")))
        }
        _ => refused_or_corrupt(error),
    }
}

fn refused_or_corrupt(error: &RedisError) -> CounterError {
    let detail = error.detail().unwrap_or_default();
    if detail.contains("WEIRCORRUPT") {
        return CounterError::Corrupt("a stored counter or hold".into());
    }
    let code = error.code().unwrap_or("ERR");
    if is_of_its_keys(code, detail) {
        return CounterError::Corrupt(
            "a key of another type, or what can't be computed with".into(),
        );
    }
    CounterError::Refused(bounded(&format!("{code} {detail}")))
}

/// Whether a script stumbled over the keys it was given: whoever asks for others
/// is answered. A server of before 7.0 wraps what it refuses to every script in
/// the same words.
fn is_of_its_keys(code: &str, detail: &str) -> bool {
    match code {
        "WRONGTYPE" => true,
        "ERR" => {
            detail.contains("user_script") && !REFUSES_ALL.iter().any(|word| detail.contains(word))
        }
        _ => false,
    }
}

fn bounded(words: &str) -> String {
    words.chars().take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of Redis 6.2, 7 and later.
    #[test]
    fn a_key_that_is_odd_is_told_from_a_server_that_refuses_everybody() {
        let wrong = "Operation against a key holding the wrong kind of value";
        let script = "script: 1f, on @user_script:7.";
        let before_7 = "Error running script (call to f_1f): @user_script:7:";
        for (code, detail, of_its_keys) in [
            ("WRONGTYPE", format!("{wrong} {script}"), true),
            ("ERR", format!("{before_7} WRONGTYPE {wrong}"), true),
            (
                "ERR",
                format!("user_script:7: attempt to compare nil {script}"),
                true,
            ),
            (
                "ERR",
                format!("{before_7} @user_script: 7: -READONLY You can't"),
                false,
            ),
            (
                "ERR",
                format!("{before_7} @user_script: 7: -OOM command not"),
                false,
            ),
            ("OOM", format!("command not allowed {script}"), false),
            ("READONLY", format!("You can't write {script}"), false),
            ("NOPERM", "User weir has no permissions".to_owned(), false),
            ("ERR", "max number of clients reached".to_owned(), false),
        ] {
            assert_eq!(
                is_of_its_keys(code, &detail),
                of_its_keys,
                "{code} {detail}"
            );
        }
    }
}
