//! How a server and a client speak TLS.

use super::client::Named;
use super::{AllowedName, Authorities, CertificateError, Pair, provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// TLS 1.3 and 1.2, in the library's ciphers. With `client_ca` a client must
/// show a certificate that it vouches for, and one of the `allowed` names
/// where there are any. `alpn` is the one protocol spoken within.
///
/// No session is taken up again: connections are few and long, and each shows
/// its certificate anew to those who vouch for it now.
///
/// # Errors
/// [`CertificateError::Tls`], which says what the library doesn't take.
pub fn server_config(
    pair: &Pair,
    client_ca: Option<&Authorities>,
    allowed: &[AllowedName],
    alpn: &[u8],
) -> Result<ServerConfig, CertificateError> {
    let verifier = match client_ca {
        Some(ca) => verifier(ca, allowed)?,
        None => Arc::new(NoClientAuth),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| CertificateError::Tls(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&pair.key))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A client of its own kind: one that believes only `authorities`, and shows
/// `pair` where it is asked who it is.
///
/// # Errors
/// [`CertificateError::Tls`].
pub fn client_config(
    authorities: &Authorities,
    pair: Option<&Pair>,
    alpn: &[u8],
) -> Result<ClientConfig, CertificateError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| CertificateError::Tls(error.to_string()))?
        .with_root_certificates(Arc::clone(&authorities.roots));
    let mut config = match pair {
        Some(pair) => {
            let shown = SingleCertAndKey::from(Arc::clone(&pair.key));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

fn verifier(
    ca: &Authorities,
    allowed: &[AllowedName],
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&ca.roots), provider()).build();
    let verifier = verifier.map_err(|error| CertificateError::Tls(error.to_string()))?;
    if allowed.is_empty() {
        return Ok(verifier);
    }
    Ok(Arc::new(Named {
        verifier,
        allowed: allowed.to_vec(),
    }))
}
