//! Certificates as tests make them, and what is read of them.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use std::net::IpAddr;

/// An authority of a test's own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub(crate) struct Signed {
    pub cert: String,
    pub key: String,
}

type Day = (i32, u8, u8);

/// No test is so early or so late.
const EARLY: Day = (2000, 1, 1);
const LATE: Day = (4000, 1, 1);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self {
            issuer: issuer.unwrap(),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// `names` are URIs, addresses or DNS names.
    pub fn sign(&self, names: &[&str]) -> Signed {
        self.sign_between(names, EARLY, LATE)
    }

    pub fn sign_between(&self, names: &[&str], from: Day, to: Day) -> Signed {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().unwrap();
        Signed {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn alternative(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains("://") => SanType::URI(name.try_into().unwrap()),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Midnight of a day, days after 1970 began.
const fn days(count: u64) -> UnixMillis {
    UnixMillis(count * DAY)
}

/// 2030-01-01.
const NEW_YEAR_2030: u64 = 21_915;

#[test]
fn a_chain_is_valid_while_all_of_it_is() {
    let ca = Authority::new("ca");
    let long = ca.sign_between(&["a"], (2029, 12, 1), (2031, 1, 1));
    let short = ca.sign_between(&["b"], (2030, 1, 1), (2030, 2, 1));
    let alone = Chain::read(long.cert.as_bytes()).unwrap().validity;
    assert_eq!(
        (alone.not_before, alone.not_after),
        (days(NEW_YEAR_2030 - 31), days(NEW_YEAR_2030 + 365))
    );
    let both = Chain::read([long.cert, short.cert].concat().as_bytes());
    let both = both.unwrap().validity;
    assert_eq!(
        (both.not_before, both.not_after),
        (days(NEW_YEAR_2030), days(NEW_YEAR_2030 + 31))
    );
    // An authority's own is read like any other.
    assert!(Authorities::read(ca.pem().as_bytes()).is_ok());
}

#[test]
fn a_certificate_is_near_its_end_in_the_last_part_of_its_time() {
    let of_days = |from, to| Validity {
        not_before: days(from),
        not_after: days(to),
    };
    let year = of_days(100, 465);
    let day = of_days(100, 101);
    for (validity, now, age) in [
        (year, days(100) - Millis(1), Age::NotYet),
        (year, days(100), Age::Fine),
        (year, days(451), Age::Fine),
        (year, days(451) + Millis(1), Age::Ending),
        (year, days(465), Age::Ending),
        (year, days(465) + Millis(1), Age::Expired),
        (day, days(100), Age::Fine),
        (day, days(100) + Millis(DAY * 3 / 4), Age::Fine),
        (day, days(100) + Millis(DAY * 3 / 4 + 1), Age::Ending),
        // Made wrong, but no reason to fail.
        (of_days(9, 8), days(8), Age::NotYet),
        (of_days(9, 8), days(9), Age::Expired),
    ] {
        assert_eq!(validity.age(now), age, "{validity:?} {now:?}");
    }
}

#[test]
fn what_is_no_certificate_or_key_is_told_apart() {
    let ca = Authority::new("ca");
    let (one, other) = (ca.sign(&["a"]), ca.sign(&["a"]));
    let chain = |text: &str| Chain::read(text.as_bytes()).err();
    let key = |text: &str| Key::read(text.as_bytes()).err();
    assert_eq!(chain(""), Some(CertificateError::NoCertificate));
    assert_eq!(chain(&one.key), Some(CertificateError::NoCertificate));
    let cut = &one.cert[..one.cert.len() / 2];
    assert_eq!(chain(cut), Some(CertificateError::Pem));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let second = chain(&[one.cert.as_str(), nonsense].concat());
    assert!(
        matches!(second, Some(CertificateError::Unusable { number: 2, .. })),
        "{second:?}"
    );
    assert_eq!(key(&one.cert), Some(CertificateError::NoKey));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(key(encrypted), Some(CertificateError::EncryptedKey));
    let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(key(odd), Some(CertificateError::KeyKind));
    let pair = |cert: &str, key: &str| {
        let chain = Chain::read(cert.as_bytes()).unwrap();
        Pair::new(chain, Key::read(key.as_bytes()).unwrap())
    };
    assert_eq!(
        pair(&one.cert, &other.key).err(),
        Some(CertificateError::Misfit)
    );
    let pair = pair(&one.cert, &one.key).unwrap();
    assert!(!format!("{pair:?}").contains("key"), "{pair:?}");
}

#[test]
fn names_of_a_client_are_its_alternative_names() {
    let ca = Authority::new("ca");
    let names = ["spiffe://example.org/envoy", "Edge.example.org", "10.0.0.1"];
    let cert = ca.sign(&names).cert;
    let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
    let names = ClientNames::of(&cert).unwrap();
    assert_eq!(names.uris, ["spiffe://example.org/envoy"]);
    assert_eq!(names.dns, ["Edge.example.org"]);
    let has = |name| names.has(&AllowedName::read(name).unwrap());
    assert!(has("spiffe://example.org/envoy") && has("edge.EXAMPLE.org"));
    assert!(!has("spiffe://example.org/Envoy") && !has("spiffe://example.org"));
    assert!(!has("example.org") && !has("xedge.example.org"));
    assert_eq!(ClientNames::of(&CertificateDer::from(vec![0; 9])), None);
}

#[test]
fn a_name_that_may_connect_is_a_uri_or_a_dns_name() {
    for good in ["spiffe://a/b", "x-y+z.1://host", "envoy", "a.b.c"] {
        let name = AllowedName::read(good).unwrap();
        assert_eq!(name.to_string(), good);
    }
    for bad in [
        "",
        "://a",
        "1a://b",
        "spiffe://",
        "a://b c",
        "a b",
        "*.a.b",
        "a..b",
        "a/b",
    ] {
        assert_eq!(AllowedName::read(bad), None, "{bad}");
    }
}
