//! What the configuration lets through the sinks take, and neither shows it.

use super::*;
use crate::config::{LedgerConfig, Outside};
use crate::config::{Secret, load};
use std::io;

const TOKEN: &str = "t0ken-of-the-receiver";

/// A token, and an authority's certificate.
struct Given(String);

impl Outside for Given {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "TOKEN" => Some(TOKEN.into()),
            "PEPPER" => Some(b"a pepper that only tests know".to_vec()),
            _ => None,
        }
    }

    fn file(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }
}

fn ledger(fields: &str) -> Result<LedgerConfig, String> {
    let text = format!(
        "listen: {{ grpc: '127.0.0.1:0' }}\n\
         identity: {{ pepper: {{ env: PEPPER }}, keys: [ {{ id: k, tenant: t, hash: {} }} ] }}\n\
         models: {{ gpt-4o: }}\n\
         plans: {{ p: {{ output: {{ max_tokens: {{ default: 100 }} }} }} }}\n\
         tenants: {{ t: {{ plan: p }} }}\n\
         ledger: {{ {fields} }}\n",
        "0".repeat(64)
    );
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::generate_simple_self_signed(names).unwrap();
    let outside = Given(certificate.cert.pem());
    let config = load(&text, "weir.yaml", &outside).map_err(|problems| problems.to_string())?;
    Ok(config.ledger.unwrap())
}

const URLS: [&str; 27] = [
    "https://meter.example/api?k=s3cret",
    "https://meter.example:8443",
    "https://meter.example:99999",
    "https://meter.example:",
    "https://meter.example:x/",
    "https://10.0.0.1/",
    "https://[::1]:1/",
    "https://[::1",
    "https://a_b.example/",
    "https://-a.example/",
    "https://a..example/",
    "http://localhost:8888",
    "http://localhost:8888/x",
    "http://LOCALHOST/",
    "http://127.0.0.9",
    "http://[::1]:80/",
    "http://collector:4317",
    "http://169.254.169.254/",
    "http://localhost.example/",
    "https://me:s3cret@meter.example/",
    "ftp://meter.example/",
    "meter.example:80",
    "/s3cret",
    "https://",
    "https://a b/",
    "https://meter.example/#s3cret",
    "https://é.example/",
];

#[test]
fn a_receiver_that_configuration_lets_through_is_one_for_its_sink() {
    let folder = Path::new("dead-letters");
    let mut through = 0;
    for url in URLS {
        for token in [
            "",
            ", token: { env: TOKEN }",
            ", token: { env: TOKEN }, token_header: api-key",
        ] {
            let ca = if url.starts_with("https") {
                ", ca_file: /ca.pem"
            } else {
                ""
            };
            for (sink, field) in [("otlp", "endpoint"), ("cloudevents", "url")] {
                let fields = format!("{sink}: {{ {field}: '{url}'{token}{ca} }}");
                let config = match ledger(&fields) {
                    Ok(config) => config,
                    Err(problems) => {
                        assert!(!problems.contains("s3cret"), "{problems}");
                        assert!(problems.contains("ledger."), "{problems}");
                        continue;
                    }
                };
                through += 1;
                let debug = format!("{config:?}");
                assert!(
                    !debug.contains("s3cret") && !debug.contains(TOKEN),
                    "{debug}"
                );
                assert_eq!(config.sinks(), [sink]);
                if let Some(settings) = &config.otlp {
                    otlp(settings, folder).unwrap_or_else(|error| panic!("{fields}: {error}"));
                }
                if let Some(settings) = &config.cloudevents {
                    let sink = cloudevents(settings, folder);
                    sink.unwrap_or_else(|error| panic!("{fields}: {error}"));
                }
            }
        }
    }
    assert!(through > 40, "{through}");
}

/// The sinks look at it again: whatever else makes their settings.
#[test]
fn what_configuration_refuses_the_sinks_refuse() {
    let config = ledger("cloudevents: { url: 'https://meter.example/', ca_file: /ca.pem }");
    let mut settings = config.unwrap().cloudevents.unwrap();
    settings.receiver.url = Secret::new("http://meter.example/".to_owned());
    let refused = cloudevents(&settings, Path::new("dead-letters"));
    let plain = CloudEventsError::Endpoint(EndpointError::Plain);
    assert_eq!(refused.err(), Some(plain));
}
