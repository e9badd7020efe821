//! What may be a receiver, and what none of its errors show.

use super::*;

fn config(url: &str) -> EndpointConfig {
    EndpointConfig {
        url: url.to_owned(),
        ca_pem: Some(
            rcgen::generate_simple_self_signed(vec!["localhost".into()])
                .unwrap()
                .cert
                .pem()
                .into_bytes(),
        ),
        credential: None,
    }
}

fn new(config: EndpointConfig, plain: Plain) -> Result<String, EndpointError> {
    Endpoint::new(config, b"h2", plain).map(|endpoint| endpoint.to_string())
}

#[test]
fn urls() {
    for (url, expected) in [
        ("https://meter.example/api?k=v", Ok("meter.example:443")),
        ("https://meter.example:8443", Ok("meter.example:8443")),
        ("https://10.0.0.1/", Ok("10.0.0.1:443")),
        ("http://localhost:8888/x", Ok("localhost:8888")),
        ("http://LOCALHOST/x", Ok("LOCALHOST:80")),
        ("http://127.0.0.9", Ok("127.0.0.9:80")),
        ("http://[::1]:80/", Ok("::1:80")),
        ("http://meter.example/", Err(EndpointError::Plain)),
        ("http://169.254.169.254/", Err(EndpointError::Plain)),
        ("http://localhost.example/", Err(EndpointError::Plain)),
        (
            "https://me:pw@meter.example/",
            Err(EndpointError::UserInUrl),
        ),
        ("ftp://meter.example/", Err(EndpointError::Url)),
        ("meter.example:80", Err(EndpointError::Url)),
        ("/api", Err(EndpointError::Url)),
        ("", Err(EndpointError::Url)),
        ("https://", Err(EndpointError::Url)),
        ("https://a b/", Err(EndpointError::Url)),
    ] {
        let got = new(config(url), Plain::ThisMachine);
        assert_eq!(got.as_deref().map_err(Clone::clone), expected, "{url}");
    }
}

#[test]
fn a_credential_never_goes_over_a_network_in_the_clear() {
    let collector = "http://collector:4317";
    assert!(new(config(collector), Plain::WithoutCredential).is_ok());
    let mut with = config(collector);
    with.credential = Some(Credential::bearer("t0ken").unwrap());
    assert_eq!(
        new(with, Plain::WithoutCredential),
        Err(EndpointError::PlainWithCredential)
    );
    let mut here = config("http://127.0.0.1:4317");
    here.credential = Some(Credential::header("api-key", "t0ken").unwrap());
    assert!(new(here, Plain::WithoutCredential).is_ok());
}

#[test]
fn credentials_that_do_not_fit_into_a_header() {
    for odd in ["", "two words", "line\nend", "ümlaut", "\u{7f}"] {
        assert_eq!(Credential::bearer(odd), Err(EndpointError::Credential));
        assert_eq!(
            Credential::header("api-key", odd),
            Err(EndpointError::Credential)
        );
    }
    assert_eq!(
        Credential::header("api key", "t0ken"),
        Err(EndpointError::Credential)
    );
}

#[test]
fn certificates_that_are_none() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let mut config = config("https://localhost");
        config.ca_pem = Some(pem.into());
        let got = new(config, Plain::ThisMachine);
        assert!(
            matches!(got, Err(EndpointError::Certificates(_))),
            "{got:?}"
        );
    }
}

#[test]
fn nothing_shows_a_secret() {
    let mut config = config("https://meter.example/in?key=qu3ry");
    config.credential = Some(Credential::bearer("t0ken").unwrap());
    let shown = format!("{config:?} {:?}", config.credential);
    let endpoint = Endpoint::new(config, b"h2", Plain::ThisMachine).unwrap();
    let shown = format!(
        "{shown} {endpoint:?} {endpoint} {:?}",
        endpoint.credential_header()
    );
    for secret in ["t0ken", "qu3ry"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(endpoint.quoted("bad t0ken!"), "(it repeats the credential)");
    assert_eq!(endpoint.quoted("bad\r\nrow"), "bad  row");
    assert_eq!(endpoint.quoted(&"é".repeat(900)).chars().count(), 200);
}

/// A name whose owner lets it lead elsewhere between two looks at it: whatever it
/// leads to, only an address that was judged is connected to.
#[tokio::test]
async fn a_name_that_leads_elsewhere_a_moment_later_leads_nowhere() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::net::TcpListener;
    let outside = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = outside.local_addr().unwrap().port();
    let inside = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let [public, private] =
        ["127.0.0.2", "127.0.0.1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    let looks = Arc::new(AtomicUsize::new(0));
    // What each look finds, the last one for good.
    let endpoint = |found: Vec<Vec<SocketAddr>>| {
        let (looks, url) = (
            Arc::clone(&looks),
            format!("http://rebound.example:{port}/"),
        );
        looks.store(0, Ordering::SeqCst);
        let endpoint = Endpoint::new(config(&url), b"http/1.1", Plain::WithoutCredential);
        let mut endpoint = endpoint.unwrap().guarded(move |ip| ip == public.ip());
        endpoint.names = Some(Arc::new(move || {
            let nth = looks.fetch_add(1, Ordering::SeqCst);
            found[nth.min(found.len() - 1)].clone()
        }));
        endpoint
    };
    // Public when it is judged, private at any later look.
    let rebound = endpoint(vec![vec![public], vec![private]]);
    assert!(rebound.connect().await.is_ok());
    assert_eq!(
        looks.load(Ordering::SeqCst),
        1,
        "judged and connected to by one look"
    );
    let (_, from) = outside.accept().await.unwrap();
    assert!(from.ip().is_loopback());
    // The next connection is judged anew.
    let error = rebound.connect().await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    // One of several is private, whichever comes first: the other one counts.
    for found in [vec![private, public], vec![public, private]] {
        assert!(endpoint(vec![found]).connect().await.is_ok());
        outside.accept().await.unwrap();
    }
    let none = endpoint(vec![vec![private, private]]).connect().await;
    assert_eq!(none.err().unwrap().to_string(), NOT_ALLOWED);
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(100), inside.accept());
    assert!(nobody.await.is_err(), "nothing came inside");
}
