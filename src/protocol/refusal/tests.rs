//! Every denial in every dialect, as a caller's SDK would read it.

mod dialects;
mod policy;

use super::*;
use crate::protocol::BodyError;
use crate::protocol::denial::{
    Credential, EncodingFault, Entitlement, RateDenial, RateRetry, RateUnit,
};
use serde_json::Value;

const ID: &str = "0190c0ffee";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAi,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Bedrock,
    Dialect::Cohere,
    Dialect::Ollama,
];

fn rate(unit: RateUnit, window_ms: Option<u64>, retry: RateRetry) -> Denial {
    Denial::Rate(Box::new(RateDenial {
        unit,
        limit_name: "tenant-tokens".into(),
        scope: "tenant".into(),
        tenant: "acme".into(),
        model: "m-1".into(),
        limit: 200_000,
        used: 162_960,
        requested: 42_288,
        remaining: 37_040,
        window_ms,
        retry,
    }))
}

/// A limit on tokens per minute that has room again in a moment.
fn soon() -> Denial {
    let retry = RateRetry::AfterMillis(1_574);
    rate(RateUnit::Tokens, Some(60_000), retry)
}

/// A limit on requests per hour that was just reached.
fn later() -> Denial {
    let retry = RateRetry::AfterMillis(HOUR_MS);
    rate(RateUnit::Requests, Some(HOUR_MS), retry)
}

/// A day's quota that was used up in the morning.
fn quota() -> Denial {
    let retry = RateRetry::AfterMillis(10 * HOUR_MS);
    rate(RateUnit::Tokens, Some(DAY_MS), retry)
}

/// A budget that was used up.
fn budget() -> Denial {
    let retry = RateRetry::AfterMillis(10 * HOUR_MS);
    rate(RateUnit::Cost, Some(HOUR_MS), retry)
}

fn slots() -> Denial {
    let retry = RateRetry::WhenOneEnds { hint_ms: 1_000 };
    rate(RateUnit::Concurrency, None, retry)
}

fn never_fits() -> Denial {
    rate(RateUnit::Tokens, Some(60_000), RateRetry::Never)
}

fn bad_field() -> Denial {
    Denial::Body(BodyError {
        message: "`max_tokens` must be a whole number.".into(),
        param: Some("max_tokens".into()),
    })
}

/// Every way to be refused, and whether an SDK is to try again.
fn all() -> Vec<(Denial, bool)> {
    vec![
        (Denial::Unauthenticated(Credential::Missing), false),
        (Denial::Unauthenticated(Credential::Several), false),
        (Denial::Unauthenticated(Credential::Malformed), false),
        (Denial::Unauthenticated(Credential::Unknown), false),
        (Denial::BadHeader("NUL"), false),
        (Denial::UnknownEndpoint, false),
        (Denial::MethodNotAllowed, false),
        (Denial::UnsupportedMediaType { form: false }, false),
        (Denial::Encoding(EncodingFault::Unsupported), false),
        (Denial::Encoding(EncodingFault::Malformed), false),
        (Denial::Encoding(EncodingFault::Expands), false),
        (Denial::BodyTooLarge { bytes_max: 10 }, false),
        (bad_field(), false),
        (Denial::UnknownModel, false),
        (Denial::Unmetered, false),
        (Denial::KeysUnavailable, true),
        (Denial::LimitsUnavailable, true),
        (soon(), true),
        (slots(), true),
        (later(), false),
        (quota(), false),
        (budget(), false),
        (never_fits(), false),
        (policy::blocked(403), false),
        (policy::approval(), false),
        (policy::throttled(1_574), true),
        (policy::throttled(HOUR_MS), false),
        (policy::guardrail(), false),
        (policy::not_entitled(Entitlement::Endpoint), false),
    ]
}

fn refuse(dialect: Dialect, denial: &Denial) -> Rendered {
    let form = Form {
        dialect,
        ..Form::default()
    };
    render(form, denial, ID)
}

fn header<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a str> {
    let mut values = rendered.headers.iter().filter(|(n, _)| *n == name);
    let value = values.next().map(|(_, value)| value.as_str());
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

fn body(rendered: &Rendered) -> Value {
    serde_json::from_slice(&rendered.body).unwrap()
}

/// The text that the dialect's SDK shows.
fn message(dialect: Dialect, rendered: &Rendered) -> String {
    let body = body(rendered);
    let text = match dialect {
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Gemini => &body["error"]["message"],
        Dialect::Bedrock | Dialect::Cohere => &body["message"],
        Dialect::Ollama => &body["error"],
    };
    text.as_str().unwrap().to_owned()
}

#[test]
fn every_refusal_says_whether_to_retry_and_when() {
    for dialect in DIALECTS {
        for (denial, retried) in all() {
            let rendered = refuse(dialect, &denial);
            let retry = header(&rendered, "x-should-retry");
            assert_eq!(retry, Some(if retried { "true" } else { "false" }));
            for name in ["retry-after", "retry-after-ms"] {
                let told = header(&rendered, name).is_some();
                assert_eq!(told, retried, "{dialect:?} {denial:?} {name}");
            }
        }
    }
}

#[test]
fn no_sdk_is_sent_to_sleep_for_long() {
    let waits = [0, 1, 999, 120_000, 120_001, HOUR_MS, DAY_MS, u64::MAX];
    let windows = [
        None,
        Some(1_000),
        Some(60_000),
        Some(DAY_MS),
        Some(u64::MAX),
    ];
    let units = [RateUnit::Requests, RateUnit::Tokens, RateUnit::Cost];
    for dialect in DIALECTS {
        for ms in waits {
            for retry in [
                RateRetry::AfterMillis(ms),
                RateRetry::WhenOneEnds { hint_ms: ms },
            ] {
                for (window_ms, unit) in windows.iter().flat_map(|w| units.map(|u| (*w, u))) {
                    let rendered = refuse(dialect, &rate(unit, window_ms, retry));
                    let at_most = |name: &str, most: u64| {
                        let wait = header(&rendered, name).map(|text| text.parse::<u64>().unwrap());
                        assert!(wait <= Some(most), "{dialect:?} {retry:?} {name} {wait:?}");
                    };
                    at_most("retry-after", 120);
                    at_most("retry-after-ms", 120_000);
                    at_most("x-amz-retry-after", 120_000);
                    let is_soon = ms <= 120_000 || matches!(retry, RateRetry::WhenOneEnds { .. });
                    let told = header(&rendered, "retry-after").is_some();
                    assert_eq!(told, is_soon, "{dialect:?} {retry:?}");
                    let text = String::from_utf8(rendered.body.clone()).unwrap();
                    assert!(is_soon || !text.contains("retryDelay"), "{text}");
                }
            }
        }
    }
}

/// What is configured changes the status of quotas, and nothing else.
#[test]
fn a_quotas_status_may_be_configured() {
    for dialect in DIALECTS {
        for status in [
            QuotaStatus::PaymentRequired,
            QuotaStatus::Forbidden,
            QuotaStatus::TooManyRequests,
        ] {
            let form = Form {
                dialect,
                quota_status: Some(status),
                ..Form::default()
            };
            for (denial, _) in all() {
                let is_quota = denial == quota() || denial == budget();
                let (own, mut told) = (refuse(dialect, &denial), render(form, &denial, ID));
                let expected = if is_quota { status.code() } else { own.status };
                assert_eq!(told.status, expected, "{dialect:?} {denial:?}");
                let mut body = body(&told);
                if dialect == Dialect::Gemini {
                    assert_eq!(body["error"]["code"], expected);
                    body["error"]["code"] = own.status.into();
                    told.body = body.to_string().into_bytes();
                }
                told.status = own.status;
                assert_eq!(told, own, "{dialect:?} {denial:?}");
            }
        }
    }
}

#[test]
fn the_exact_wait_is_told_beside_whole_seconds() {
    for dialect in DIALECTS {
        let rendered = refuse(dialect, &soon());
        assert_eq!(header(&rendered, "retry-after-ms"), Some("1574"));
        assert_eq!(header(&rendered, "retry-after"), Some("2"));
    }
}

#[test]
fn a_limit_is_told_with_its_numbers() {
    for dialect in DIALECTS {
        let told = |denial: &Denial| message(dialect, &refuse(dialect, denial));
        let again = match dialect {
            Dialect::Gemini => "Please retry in 1.574s.",
            _ => "Please try again in 1.574s.",
        };
        let of_whom = "m-1 in organization acme on";
        let numbers = "Limit 200000, Used 162960, Requested 42288.";
        assert_eq!(
            told(&soon()),
            format!(
                "Rate limit reached for {of_whom} tokens (tenant-tokens, per tenant, 37040 left): \
                 {numbers} {again}"
            )
        );
        assert_eq!(
            told(&later()),
            format!(
                "Rate limit reached for {of_whom} requests (tenant-tokens, per tenant, 37040 \
                 left): {numbers} Please try again in 1h0m0s."
            )
        );
        assert_eq!(
            told(&budget()),
            format!(
                "Quota exceeded for {of_whom} cost (tenant-tokens, per tenant, $0.00003704 left): \
                 Limit $0.0002, Used $0.00016296, Requested $0.000042288. It has room for this \
                 call in 10h0m0s."
            )
        );
        assert_eq!(
            told(&never_fits()),
            format!(
                "Request too large for {of_whom} tokens (tenant-tokens, per tenant): Limit \
                 200000, Requested 42288. The input or output tokens must be reduced in order to \
                 run successfully."
            )
        );
    }
}

/// As RFC 7694 has it.
#[test]
fn who_sent_an_unknown_coding_is_told_of_those_that_are_known() {
    for dialect in DIALECTS {
        let told = |denial| {
            let rendered = refuse(dialect, &denial);
            header(&rendered, "accept-encoding").map(str::to_owned)
        };
        let codings = told(Denial::Encoding(EncodingFault::Unsupported)).unwrap();
        for coding in codings.split(", ") {
            let known = crate::protocol::inflate::Encoding::from_header(coding);
            assert!(known.is_some(), "{coding}");
        }
        assert_eq!(told(Denial::Encoding(EncodingFault::Malformed)), None);
    }
}

#[test]
fn no_dialect_is_told_of_anothers_ways() {
    let of_openai = ["bearer", "/v1/chat/completions", "openai"];
    for dialect in [Dialect::Anthropic, Dialect::Gemini] {
        for (denial, _) in all() {
            let text = message(dialect, &refuse(dialect, &denial)).to_lowercase();
            for word in of_openai {
                assert!(!text.contains(word), "{dialect:?} {text}");
            }
        }
    }
    let key = |dialect| {
        let denial = Denial::Unauthenticated(Credential::Missing);
        message(dialect, &refuse(dialect, &denial))
    };
    assert!(key(Dialect::Anthropic).ends_with("no other key: x-api-key: YOUR_KEY."));
    assert!(key(Dialect::Gemini).ends_with("no other key: x-goog-api-key: YOUR_KEY."));
    assert!(key(Dialect::Cohere).ends_with("no other key: Authorization: Bearer YOUR_KEY."));
    // What is served is told of the dialect's own endpoints, each of them.
    for dialect in DIALECTS {
        let text = message(dialect, &refuse(dialect, &Denial::UnknownEndpoint));
        for endpoint in Endpoint::all() {
            if endpoint.dialect() != dialect || endpoint == Endpoint::Other {
                continue;
            }
            assert!(text.contains(endpoint.path()), "{text}");
        }
        let of_others = Endpoint::all().filter(|endpoint| endpoint.dialect() != dialect);
        for endpoint in of_others {
            let named = text.split([' ', ',']).any(|word| {
                let word = word.trim_end_matches('.');
                word == endpoint.path()
            });
            assert!(!named, "{dialect:?} {text}");
        }
    }
}

#[test]
fn a_known_endpoint_says_the_dialect() {
    let guessed = Form {
        dialect: Dialect::Anthropic,
        array: true,
        quota_status: Some(QuotaStatus::Forbidden),
    };
    assert_eq!(guessed.at(None), guessed);
    let known = guessed.at(Some(Endpoint::StreamGenerateContent));
    assert_eq!(known.dialect, Dialect::Gemini);
    assert_eq!(
        (known.array, known.quota_status),
        (true, guessed.quota_status)
    );
    assert_eq!(guessed.at(Some(Endpoint::Other)), guessed, "of no dialect");
    assert_eq!(Form::default().dialect, Dialect::OpenAi);
}
