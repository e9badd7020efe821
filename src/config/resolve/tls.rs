//! TLS of a listener: its files hold what they should, and fit each other.

use crate::certificates::{
    Age, AllowedName, Authorities, CertificateError, Chain, Key, Pair, Validity,
};
use crate::config::problem::{Findings, shown};
use crate::config::raw::listen::RawTls;
use crate::config::reader::Located;
use crate::config::secret::SecretError;
use crate::config::{Outside, TLS_FILE_BYTES_MAX, TlsSettings};
use crate::units::UnixMillis;
use std::path::Path;

/// The most names that may connect: each is compared at each handshake.
const CLIENT_NAMES_MAX: usize = 256;

/// Nothing that is read stays: whoever listens reads the files again.
pub(super) fn tls(raw: &RawTls, outside: &dyn Outside, findings: &Findings) -> Option<TlsSettings> {
    let files = Files { outside, findings };
    let chain = raw.cert.as_ref();
    let chain = chain.and_then(|path| files.read(path, Chain::read));
    let key = raw.key.as_ref();
    let key = key.and_then(|path| files.read(path, Key::read));
    let ca = raw.client_ca.as_ref();
    let ca = ca.map(|path| files.read(path, Authorities::read));
    if let (Some(path), Some(chain)) = (&raw.cert, &chain) {
        files.warn_of_age(path, chain.validity);
    }
    if let (Some(path), Some(Some(ca))) = (&raw.client_ca, &ca) {
        files.warn_of_age(path, ca.validity);
    }
    let names = client_names(raw, findings);
    let (cert, key_path) = (raw.cert.as_ref()?, raw.key.as_ref()?);
    if let Err(error) = Pair::new(chain?, key?) {
        findings.problem(&key_path.at, error.to_string());
        return None;
    }
    super::where_set(ca)?;
    if raw.has_client_ca && raw.client_ca.is_none() {
        return None;
    }
    Some(TlsSettings {
        cert: cert.value.clone().into(),
        key: key_path.value.clone().into(),
        client_ca: raw.client_ca.as_ref().map(|path| path.value.clone().into()),
        client_names: names?,
    })
}

fn client_names(raw: &RawTls, findings: &Findings) -> Option<Vec<AllowedName>> {
    let Some(names) = &raw.client_names else {
        return Some(Vec::new());
    };
    let count = names.value.len();
    let fault = match count {
        _ if !raw.has_client_ca => {
            Some("needs client_ca beside it: only a verified client has names".to_owned())
        }
        // It would let in everybody, and reads as if nobody.
        0 => Some(
            "must have at least one name; leave it out to let in whom client_ca vouches for"
                .to_owned(),
        ),
        _ if count > CLIENT_NAMES_MAX => Some(format!(
            "must have at most {CLIENT_NAMES_MAX} names (got {count})"
        )),
        _ => None,
    };
    if let Some(fault) = fault {
        findings.problem(&names.at, fault);
        return None;
    }
    let read = names.value.iter().filter_map(|text| {
        let name = AllowedName::read(&text.value);
        if name.is_none() {
            let rule = "must be a URI as spiffe://example.org/envoy or a DNS name as \
                        envoy.example.org, whole, without a wildcard";
            let got = shown(&text.value);
            findings.problem(&text.at, format!("{rule} (got {got})"));
        }
        name
    });
    Some(read.collect())
}

struct Files<'a> {
    outside: &'a dyn Outside,
    findings: &'a Findings,
}

impl Files<'_> {
    fn read<T>(
        &self,
        path: &Located<String>,
        meaning: fn(&[u8]) -> Result<T, CertificateError>,
    ) -> Option<T> {
        let bytes = self
            .outside
            .file(Path::new(&path.value), TLS_FILE_BYTES_MAX)
            .map_err(|error| SecretError::Unreadable(error.kind()).to_string());
        let read = bytes.and_then(|bytes| meaning(&bytes).map_err(|error| error.to_string()));
        read.map_err(|fault| self.findings.problem(&path.at, fault))
            .ok()
    }

    fn warn_of_age(&self, path: &Located<String>, validity: Validity) {
        let (what, when) = match validity.age(self.outside.now()) {
            Age::Fine => return,
            Age::NotYet => ("is not valid yet, but from", validity.not_before),
            Age::Ending => ("expires soon, at", validity.not_after),
            Age::Expired => ("has expired, at", validity.not_after),
        };
        let text = format!("the certificate {what} {}", moment(when));
        self.findings.warning(&path.at, text);
    }
}

fn moment(time: UnixMillis) -> String {
    let seconds = i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    moment.to_string()
}
