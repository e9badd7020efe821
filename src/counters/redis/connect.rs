//! Opening the connection, checking the server, naming its errors.

use super::RedisConfig;
use super::scripts::Scripts;
use crate::counters::CounterError;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, ErrorKind, InfoDict, IntoConnectionInfo, RedisError, ServerErrorKind};
use std::time::Duration;

/// Commands that may wait to be written. More callers than this wait their
/// turn, each no longer than its time-out.
const QUEUE_MAX: usize = 4_096;

/// The longest pause between attempts to reconnect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// After this long without an acknowledgement a connection is given up: a peer
/// that vanished without a word must not hold calls for minutes.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);

/// The most of a server's own words that an error repeats.
const DETAIL_CHARS_MAX: usize = 200;

pub(super) async fn open(config: &RedisConfig) -> Result<ConnectionManager, CounterError> {
    // The parser's own words could repeat the address.
    let info = config.url.as_str().into_connection_info();
    let info = info.map_err(|_| CounterError::Config("the URL is not one of Redis".into()))?;
    let info = info.set_tcp_settings(tcp_settings());
    let client = Client::open(info);
    let client = client.map_err(|_| CounterError::Config("the URL is not one of Redis".into()))?;
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(config.connect_timeout.into()))
        // Every call has its own; a second timer for each would only cost.
        .set_response_timeout(None)
        .set_number_of_retries(1)
        .set_max_delay(RECONNECT_PAUSE_MAX)
        .set_pipeline_buffer_size(QUEUE_MAX);
    ConnectionManager::new_with_config(client, settings)
        .await
        .map_err(error)
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_MAX);
    settings
}

/// Evicted counters would let calls through that were already refused.
pub(super) async fn refuse_eviction(mut connection: ConnectionManager) -> Result<(), CounterError> {
    let asked = ::redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async::<Vec<String>>(&mut connection)
        .await;
    let policy = match asked {
        Ok(pair) => pair.into_iter().nth(1),
        // A hosted server may forbid CONFIG; INFO tells the same.
        Err(refused) if !is_connection_lost(&refused) => {
            let mut info = ::redis::cmd("INFO");
            let info = info
                .arg("memory")
                .query_async::<InfoDict>(&mut connection)
                .await;
            info.ok().and_then(|info| info.get("maxmemory_policy"))
        }
        Err(lost) => return Err(error(lost)),
    };
    match policy.as_deref() {
        Some("noeviction") => Ok(()),
        Some(other) => Err(CounterError::Eviction(other.chars().take(40).collect())),
        None => {
            tracing::warn!(
                "the counter store doesn't tell its maxmemory-policy; it must be noeviction, \
                 or counters can be lost"
            );
            Ok(())
        }
    }
}

/// Loads the scripts.
pub(super) async fn load(
    mut connection: ConnectionManager,
    scripts: &Scripts,
) -> Result<(), CounterError> {
    let Scripts {
        reserve,
        charge,
        settle,
        renew,
        expire,
    } = scripts;
    for script in [reserve, charge, settle, renew, expire] {
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
    CounterError::Refused(bounded(&format!("{code} {detail}")))
}

fn bounded(words: &str) -> String {
    words.chars().take(DETAIL_CHARS_MAX).collect()
}
