//! A running weir, asked by its admin API: over TCP, TLS or a Unix socket.
//!
//! Always holds: a token comes from the environment or a file, never from the command
//! line; it is sent to nobody who isn't whom the address names (TLS), but to this
//! machine; an answer has a bound in time and in size.

use super::limits::reach::{Io, Reach};
use crate::config::{Outside, Process, Secret, SecretSource, read_token};
use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// From the connection's start to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A page of counters, keys or deeds takes far less.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The largest file of certificates.
const CA_BYTES_MAX: usize = 1 << 20;

/// Where the token is, if no file is named.
const TOKEN_ENV: &str = "WEIR_ADMIN_TOKEN";

/// Which weir is asked, and as whom.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServerArgs {
    /// The admin address of a running weir: http://HOST:PORT, https://HOST:PORT or
    /// unix:PATH. The token is in WEIR_ADMIN_TOKEN, or in --token-file.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A file that holds the token; one line end at its end doesn't count.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
    /// Who vouches for the server's certificate, as PEM; without it, whom the system
    /// believes.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub server_ca: Option<PathBuf>,
}

/// A running weir, and what it wants to hear.
pub(super) struct Server {
    link: Link,
    token: Secret,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Unix(PathBuf),
    /// The host as URLs write it, and its port.
    Tcp(String, u16),
    Tls(String, u16, Option<PathBuf>),
}

/// How it is known where it is.
enum Link {
    Named(Way),
    /// By the configuration that it serves with.
    Configured(Reach),
}

impl ServerArgs {
    /// The weir that is meant.
    pub fn named(&self) -> anyhow::Result<Server> {
        let Some(server) = self.opened()? else {
            bail!("which weir? Name its admin address with --server, as http://127.0.0.1:9090");
        };
        Ok(server)
    }

    /// `None`: none is named.
    pub fn opened(&self) -> anyhow::Result<Option<Server>> {
        let Some(url) = &self.server else {
            return Ok(None);
        };
        let (source, name) = match &self.token_file {
            Some(path) => (SecretSource::File(path.clone()), "--token-file"),
            None => (SecretSource::Env(TOKEN_ENV.to_owned()), TOKEN_ENV),
        };
        let token = read_token(&source, &Process);
        let token = token.map_err(|error| anyhow!("the token ({name}) {error}"))?;
        let way = way(url, self.server_ca.as_deref())?;
        let link = Link::Named(way);
        Ok(Some(Server { link, token }))
    }
}

fn way(url: &str, ca: Option<&Path>) -> anyhow::Result<Way> {
    let rule = "must be http://HOST:PORT, https://HOST:PORT or unix:PATH";
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Way::Unix(path.into()));
    }
    let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => bail!("--server: {rule}"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest
        .rsplit_once(':')
        .with_context(|| format!("--server: {rule}"))?;
    let port = port.parse().with_context(|| format!("--server: {rule}"))?;
    let bare = host.trim_matches(['[', ']']);
    if host.is_empty() || host.contains(['/', '@']) {
        bail!("--server: {rule}");
    }
    match tls {
        true => Ok(Way::Tls(host.to_owned(), port, ca.map(Path::to_owned))),
        // Whoever is in between would have the token.
        false if !is_here(bare) => {
            bail!("--server: http:// is for this machine only: use https://")
        }
        false => Ok(Way::Tcp(host.to_owned(), port)),
    }
}

fn is_here(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.link {
            Link::Configured(reach) => write!(f, "{reach}"),
            Link::Named(Way::Unix(path)) => write!(f, "unix:{}", path.display()),
            Link::Named(Way::Tcp(host, port) | Way::Tls(host, port, _)) => {
                write!(f, "{host}:{port}")
            }
        }
    }
}

impl Server {
    /// One that a configuration names.
    pub fn configured(reach: Reach, token: Secret) -> Self {
        Self {
            link: Link::Configured(reach),
            token,
        }
    }

    /// Its answer, where it is a good one.
    pub fn ask(&self, method: Method, target: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request = self.request(method, target, body)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answered = runtime.block_on(async {
            let answer = tokio::time::timeout(ANSWER_MAX, self.answer(request));
            answer.await.context("it takes too long")?
        });
        let (status, body) =
            answered.with_context(|| format!("no answer from {self}: is weir serving there?"))?;
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status != StatusCode::OK {
            bail!("weir at {self} answers {status}: {}", said(&body));
        }
        Ok(body)
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let host = match &self.link {
            // Where it is may be a name that nobody else knows it by.
            Link::Configured(_) | Link::Named(Way::Unix(_)) => "localhost".to_owned(),
            Link::Named(Way::Tcp(host, port) | Way::Tls(host, port, _)) => format!("{host}:{port}"),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", host)
            .header("authorization", format!("Bearer {}", self.token.expose()));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        request.body(Full::new(body)).context("this can't be asked")
    }

    async fn connect(&self) -> anyhow::Result<TokioIo<Box<dyn Io>>> {
        let way = match &self.link {
            Link::Configured(reach) => return reach.connect().await,
            Link::Named(way) => way,
        };
        Ok(TokioIo::new(match way {
            Way::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Way::Tcp(host, port) => Box::new(tcp(host, *port).await?),
            Way::Tls(host, port, ca) => {
                let tls = TlsConnector::from(Arc::new(tls(ca.as_deref())?));
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
                Box::new(tls.connect(name, tcp(host, *port).await?).await?)
            }
        }))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let io = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| anyhow!("{error}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        // The connection's own end tells nothing that the exchange doesn't.
        let (answered, _) = tokio::join!(exchange, connection);
        answered
    }
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((host.trim_matches(['[', ']']), port)).await
}

fn tls(ca: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let place = || format!("--server-ca {}", path.display());
            let pem = Process.file(path, CA_BYTES_MAX).with_context(place)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots
                    .add(certificate.with_context(place)?)
                    .with_context(place)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// What it says is wrong, all of it.
fn said(body: &Value) -> String {
    let mut text = body["error"]
        .as_str()
        .unwrap_or("without saying why")
        .to_owned();
    for problem in body["problems"].as_array().into_iter().flatten() {
        let path = problem["path"].as_str().unwrap_or_default();
        if let (Some(line), Some(column)) = (problem["line"].as_u64(), problem["column"].as_u64()) {
            text += &format!("\n{line}:{column}: ");
        } else {
            text += "\n";
        }
        let dots = if path.is_empty() { "" } else { ": " };
        let error = problem["error"].as_str().unwrap_or_default();
        text += &format!("{path}{dots}{error}");
    }
    text
}

/// A path with a name in it that may have any letters.
pub(super) fn path(before: &str, name: &str, after: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    format!("{before}/{encoded}{after}")
}

/// A path and the parameters that are given.
pub(super) fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_nobody_else() {
        let tcp = |host: &str, port| Some(Way::Tcp(host.to_owned(), port));
        for (url, expected) in [
            ("http://127.0.0.1:9090", tcp("127.0.0.1", 9090)),
            ("http://localhost:1/", tcp("localhost", 1)),
            ("http://[::1]:9090", tcp("[::1]", 9090)),
            (
                "https://weir.internal:443",
                Some(Way::Tls("weir.internal".to_owned(), 443, None)),
            ),
            ("unix:/run/w.sock", Some(Way::Unix("/run/w.sock".into()))),
            ("unix:///run/w.sock", Some(Way::Unix("/run/w.sock".into()))),
            ("http://weir.internal:9090", None),
            ("http://10.0.0.1:9090", None),
            ("http://localhost.evil.example:9090", None),
            ("http://127.0.0.1@evil.example:9090", None),
            ("http://127.0.0.1", None),
            ("http://127.0.0.1:x", None),
            ("https://a/b:1", None),
            ("127.0.0.1:9090", None),
        ] {
            assert_eq!(way(url, None).ok(), expected, "{url}");
        }
    }

    #[test]
    fn names_stay_one_part_of_a_path() {
        assert_eq!(
            path("/v1/keys", "a/../b?c d%", "/rotate"),
            "/v1/keys/a%2F%2E%2E%2Fb%3Fc%20d%25/rotate"
        );
        assert_eq!(
            query("/p", &[("a", Some("b&c")), ("d", None)]),
            "/p?a=b%26c"
        );
    }
}
