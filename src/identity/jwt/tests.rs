//! Genuine tokens and all the ways in which one isn't.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A provider with two keys.
pub(crate) struct Provider {
    ed: Ed25519KeyPair,
    p256: EcdsaKeyPair,
    random: SystemRandom,
}

impl Provider {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            p256: EcdsaKeyPair::from_pkcs8(kind, p256.as_ref(), &random).unwrap(),
            random,
        }
    }

    pub(crate) fn jwks(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": encoded(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "p256", "alg": "ES256",
              "x": encoded(&point[1..33]), "y": encoded(&point[33..]) },
            { "kty": "oct", "k": encoded("a shared secret that must never count"), "kid": "oct" },
        ] })
    }

    pub(crate) fn keys(&self) -> PublicKeys {
        PublicKeys::read(&self.jwks().to_string()).unwrap()
    }

    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let signature = match header["alg"].as_str().unwrap() {
            "EdDSA" => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            "ES256" => {
                let signature = self.p256.sign(&self.random, signed.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            "HS256" => {
                // With the public key as a secret: what confused verifiers accept.
                let secret =
                    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                ring::hmac::sign(&secret, signed.as_bytes())
                    .as_ref()
                    .to_vec()
            }
            _ => Vec::new(),
        };
        format!("{signed}.{}", encoded(signature))
    }
}

pub(crate) fn expected() -> Expected {
    Expected {
        issuer: "https://id.example".into(),
        audience: "weir".into(),
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "weir", "sub": "ada", "exp": 1_700_000_300 })
}

#[test]
fn a_genuine_token_says_its_claims() {
    let provider = Provider::new();
    let mut several = claims();
    several["aud"] = json!(["other", "weir"]);
    several["nbf"] = json!(1_700_000_000.5);
    for header in [
        json!({ "alg": "EdDSA", "kid": "ed" }),
        json!({ "alg": "EdDSA" }),
        json!({ "alg": "ES256", "kid": "p256" }),
    ] {
        for claims in [claims(), several.clone()] {
            let token = provider.token(&header, &claims);
            let told = provider.keys().claims(&token, &expected(), NOW);
            assert_eq!(told, Ok(claims), "{header}");
        }
    }
}

#[test]
fn what_isnt_genuine_doesnt_count() {
    let provider = Provider::new();
    let ed = json!({ "alg": "EdDSA", "kid": "ed" });
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let far = 1_700_000_061;
    for (header, claims, why) in [
        (json!({ "alg": "none" }), claims(), NotGenuine::Unknown),
        (
            json!({ "alg": "HS256", "kid": "oct" }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            json!({ "alg": "HS256", "kid": "ed" }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            json!({ "alg": "EdDSA", "kid": "p256" }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            json!({ "alg": "EdDSA", "kid": "nobody" }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            json!({ "alg": "EdDSA", "kid": "ed", "crit": ["exp"] }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": true }),
            claims(),
            NotGenuine::Unknown,
        ),
        (
            ed.clone(),
            with("iss", json!("https://id.example/")),
            NotGenuine::Elsewhere,
        ),
        (ed.clone(), with("iss", json!(null)), NotGenuine::Elsewhere),
        (
            ed.clone(),
            with("aud", json!("weir2")),
            NotGenuine::Elsewhere,
        ),
        (ed.clone(), with("aud", json!([])), NotGenuine::Elsewhere),
        (
            ed.clone(),
            with("aud", json!({ "weir": "weir" })),
            NotGenuine::Elsewhere,
        ),
        (ed.clone(), with("exp", json!(null)), NotGenuine::Time),
        (
            ed.clone(),
            with("exp", json!("1700000300")),
            NotGenuine::Time,
        ),
        (
            ed.clone(),
            with("exp", json!(1_699_999_940)),
            NotGenuine::Time,
        ),
        (ed.clone(), with("exp", json!(-1)), NotGenuine::Time),
        (ed.clone(), with("nbf", json!(far)), NotGenuine::Time),
        (ed.clone(), with("nbf", json!("soon")), NotGenuine::Time),
    ] {
        let token = provider.token(&header, &claims);
        let told = provider.keys().claims(&token, &expected(), NOW);
        assert_eq!(told, Err(why), "{header} {claims}");
    }
    let other = Provider::new();
    let token = other.token(&ed, &claims());
    assert_eq!(
        provider.keys().claims(&token, &expected(), NOW),
        Err(NotGenuine::Unknown)
    );
    let genuine = provider.token(&ed, &claims());
    for odd in [
        "",
        ".",
        "..",
        "a.b.c",
        &genuine[1..],
        &genuine[..genuine.len() - 8],
        &genuine.replacen('.', "..", 1),
        &format!("{genuine}.x"),
        &"a".repeat(100_000),
    ] {
        let told = provider.keys().claims(odd, &expected(), NOW);
        assert_eq!(told, Err(NotGenuine::Unknown));
    }
}

#[test]
fn only_keys_that_are_safe_count() {
    let provider = Provider::new();
    let mut jwks = provider.jwks();
    let short = encoded([0x81; 128]);
    for (keys, expected) in [
        (json!([]), NoKeys::NoneFits),
        (json!([jwks["keys"][2]]), NoKeys::NoneFits),
        (
            json!([{ "kty": "RSA", "n": short, "e": "AQAB" }]),
            NoKeys::NoneFits,
        ),
        (
            json!([{ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }]),
            NoKeys::NoneFits,
        ),
        (
            json!(vec![jwks["keys"][0].clone(); KEYS_MAX + 1]),
            NoKeys::TooMany,
        ),
        (json!("x"), NoKeys::NotJwks),
    ] {
        let read = PublicKeys::read(&json!({ "keys": keys }).to_string());
        assert_eq!(read.err(), Some(expected), "{keys}");
    }
    assert_eq!(PublicKeys::read("").err(), Some(NoKeys::NotJwks));
    jwks["keys"][0]["use"] = json!("enc");
    let keys = PublicKeys::read(&jwks.to_string()).unwrap();
    let token = provider.token(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims());
    assert_eq!(
        keys.claims(&token, &expected(), NOW),
        Err(NotGenuine::Unknown)
    );
}
