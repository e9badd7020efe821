//! Refusals as OpenAI's own API gives them, so that its SDKs do the right
//! thing: retry what will pass, at the right time, and nothing else.
//!
//! Source of the retry rules: openai-python and openai-node honour
//! `x-should-retry`, then `retry-after-ms`, then `retry-after`.

use super::rate_headers::seconds;
use crate::protocol::denial::{Credential, Denial, RateDenial, RateRetry, RateUnit, Rendered};
use serde_json::{Value, json};

/// The answer to a refused call.
pub fn render(denial: &Denial) -> Rendered {
    match denial {
        Denial::Rate(rate) => rate_limit(rate),
        Denial::Unmetered => Rendered {
            status: 500,
            headers: vec![("x-should-retry", "false".into())],
            body: error(
                "This gateway is set up wrongly: its request_body_mode must be BUFFERED, so that \
                 calls can be metered.",
                "server_error",
                Value::Null,
                "unmetered",
            ),
        },
        Denial::LimitsUnavailable => Rendered {
            status: 503,
            headers: vec![
                ("retry-after", "1".into()),
                ("x-should-retry", "true".into()),
            ],
            body: error(
                "The limits of this gateway can't be checked right now. Try again shortly.",
                "server_error",
                Value::Null,
                "limits_unavailable",
            ),
        },
        other => invalid_request(other),
    }
}

fn invalid_request(denial: &Denial) -> Rendered {
    let (status, message, param, code) = match denial {
        Denial::Unauthenticated(credential) => (
            401,
            credential_message(*credential),
            None,
            "invalid_api_key",
        ),
        Denial::BadHeader(what) => (
            400,
            format!("A header can't be read: {what}."),
            None,
            "invalid_header",
        ),
        Denial::UnknownEndpoint => (
            404,
            "Unknown request URL. This gateway serves POST /v1/chat/completions, \
             /v1/completions and /v1/embeddings."
                .into(),
            None,
            "unknown_url",
        ),
        Denial::MethodNotAllowed => (
            405,
            "Only POST is allowed here.".into(),
            None,
            "method_not_allowed",
        ),
        Denial::UnsupportedMediaType => (
            415,
            "The request needs exactly one Content-Type, which must be application/json.".into(),
            None,
            "unsupported_content_type",
        ),
        Denial::UnsupportedEncoding => (
            415,
            "The request body must be sent without Content-Encoding.".into(),
            None,
            "unsupported_content_encoding",
        ),
        Denial::BodyTooLarge { bytes_max } => (
            413,
            format!("The request body is larger than {bytes_max} bytes."),
            None,
            "request_too_large",
        ),
        Denial::Body(body) => (
            400,
            body.message.clone(),
            body.param.clone(),
            "invalid_request_body",
        ),
        Denial::UnknownModel => (
            404,
            "The model does not exist or is not available here.".into(),
            Some("model".into()),
            "model_not_found",
        ),
        // What `render` has answered already.
        Denial::Rate(_) | Denial::Unmetered | Denial::LimitsUnavailable => {
            (500, "Refused.".into(), None, "refused")
        }
    };
    Rendered {
        status,
        headers: vec![("x-should-retry", "false".into())],
        body: error(&message, "invalid_request_error", param.into(), code),
    }
}

fn credential_message(credential: Credential) -> String {
    let problem = match credential {
        Credential::Missing => "You didn't provide an API key.",
        Credential::Several => {
            "You provided more than one API key: send one Authorization header and no other key."
        }
        Credential::Malformed => "The Authorization header can't be read.",
        Credential::Unknown => "Incorrect API key provided.",
    };
    format!("{problem} Send it as one header: Authorization: Bearer YOUR_KEY.")
}

fn rate_limit(rate: &RateDenial) -> Rendered {
    let (kind, what) = match rate.unit {
        RateUnit::Requests => ("requests", "requests"),
        RateUnit::InputTokens => ("tokens", "input tokens"),
        RateUnit::OutputTokens => ("tokens", "output tokens"),
        RateUnit::Tokens => ("tokens", "tokens"),
        RateUnit::Cost => ("cost", "cost"),
        RateUnit::Concurrency => ("requests", "concurrent requests"),
    };
    let headers = match rate.retry {
        RateRetry::Never => vec![("x-should-retry", "false".into())],
        RateRetry::AfterMillis(ms) => retry_headers(ms),
        RateRetry::WhenOneEnds { hint_ms } => retry_headers(hint_ms),
    };
    let (kind, code) = match (rate.unit, is_short(rate.retry)) {
        (RateUnit::Cost, false) => ("insufficient_quota", "insufficient_quota"),
        _ => (kind, "rate_limit_exceeded"),
    };
    let message = rate_limit_message(rate, what);
    Rendered {
        status: 429,
        headers,
        body: error(&message, kind, Value::Null, code),
    }
}

/// In OpenAI's words, which clients look for.
fn rate_limit_message(rate: &RateDenial, what: &str) -> String {
    let amount = |amount: u64| match rate.unit {
        RateUnit::Cost => dollars(amount),
        _ => amount.to_string(),
    };
    let (limit, used) = (amount(rate.limit), amount(rate.used));
    let (requested, left) = (amount(rate.requested), amount(rate.remaining));
    let (name, scope) = (&rate.limit_name, &rate.scope);
    let of_whom = format!("{} in organization {} on {what}", rate.model, rate.tenant);
    match rate.retry {
        RateRetry::Never => format!(
            "Request too large for {of_whom} ({name}, per {scope}): Limit {limit}, Requested \
             {requested}. The input or output tokens must be reduced in order to run successfully."
        ),
        RateRetry::AfterMillis(ms) => format!(
            "Rate limit reached for {of_whom} ({name}, per {scope}, {left} left): Limit {limit}, \
             Used {used}, Requested {requested}. Please try again in {}s.",
            seconds(ms)
        ),
        RateRetry::WhenOneEnds { .. } => format!(
            "Rate limit reached for {of_whom} ({name}, per {scope}, {left} left): Limit {limit}, \
             Used {used}, Requested {requested}. Please try again when another request has ended."
        ),
    }
}

/// Whether waiting it out is a matter of an SDK's patience.
fn is_short(retry: RateRetry) -> bool {
    match retry {
        RateRetry::AfterMillis(ms) => ms <= WAIT_BY_ITSELF_MAX_MS,
        RateRetry::WhenOneEnds { .. } => true,
        RateRetry::Never => false,
    }
}

/// Nano-dollars with as many decimals as they need, at least two.
fn dollars(nanos: u64) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let decimals = format!("{rest:09}");
    let (cents, finer) = decimals.split_at(2);
    format!("${whole}.{cents}{}", finer.trim_end_matches('0'))
}

/// The longest that an SDK is told to wait by itself. openai-python waits no
/// longer than this; openai-node would sleep through an hour.
const WAIT_BY_ITSELF_MAX_MS: u64 = 120_000;

/// `retry-after` counts whole seconds, so it is rounded up; the exact time is
/// in `retry-after-ms`, which the SDKs prefer.
fn retry_headers(ms: u64) -> Vec<(&'static str, String)> {
    vec![
        ("retry-after-ms", ms.to_string()),
        ("retry-after", ms.div_ceil(1_000).to_string()),
        ("x-should-retry", (ms <= WAIT_BY_ITSELF_MAX_MS).to_string()),
    ]
}

fn error(message: &str, kind: &str, param: Value, code: &str) -> Vec<u8> {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(unit: RateUnit, retry: RateRetry) -> Denial {
        Denial::Rate(Box::new(RateDenial {
            unit,
            limit_name: "tenant-tokens".into(),
            scope: "tenant".into(),
            tenant: "acme".into(),
            model: "gpt-4o".into(),
            limit: 200_000,
            used: 162_960,
            requested: 42_288,
            remaining: 37_040,
            retry,
        }))
    }

    fn header<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a str> {
        rendered
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    }

    fn body(rendered: &Rendered) -> Value {
        serde_json::from_slice(&rendered.body).unwrap()
    }

    #[test]
    fn a_rate_limit_tells_the_sdk_when_to_come_back() {
        let rendered = render(&rate(RateUnit::Tokens, RateRetry::AfterMillis(1_574)));
        assert_eq!(rendered.status, 429);
        assert_eq!(header(&rendered, "retry-after-ms"), Some("1574"));
        assert_eq!(header(&rendered, "retry-after"), Some("2"));
        assert_eq!(header(&rendered, "x-should-retry"), Some("true"));
        let error = &body(&rendered)["error"];
        assert_eq!(error["type"], "tokens");
        assert_eq!(error["code"], "rate_limit_exceeded");
        assert_eq!(
            error["message"],
            "Rate limit reached for gpt-4o in organization acme on tokens (tenant-tokens, per tenant, 37040 left): \
             Limit 200000, Used 162960, Requested 42288. Please try again in 1.574s."
        );
    }

    #[test]
    fn no_sdk_is_sent_to_sleep_for_long() {
        for (ms, retry) in [(120_000, "true"), (120_001, "false")] {
            let rendered = render(&rate(RateUnit::Requests, RateRetry::AfterMillis(ms)));
            assert_eq!(header(&rendered, "x-should-retry"), Some(retry));
            assert_eq!(
                header(&rendered, "retry-after-ms"),
                Some(ms.to_string().as_str())
            );
        }
    }

    #[test]
    fn cost_is_told_in_dollars_and_as_a_quota_where_waiting_is_long() {
        for (ms, code) in [
            (60_000, "rate_limit_exceeded"),
            (86_400_000, "insufficient_quota"),
        ] {
            let rendered = render(&rate(RateUnit::Cost, RateRetry::AfterMillis(ms)));
            assert_eq!(rendered.status, 429);
            let error = &body(&rendered)["error"];
            assert_eq!(error["code"], code);
            let message = error["message"].as_str().unwrap();
            let amounts = "Limit $0.0002, Used $0.00016296, Requested $0.000042288.";
            assert!(message.contains(amounts), "{message}");
        }
        assert_eq!(dollars(12_300_000_000), "$12.30");
        assert_eq!(dollars(1), "$0.000000001");
    }

    #[test]
    fn a_call_that_can_never_pass_is_not_retried() {
        let rendered = render(&rate(RateUnit::Tokens, RateRetry::Never));
        assert_eq!(rendered.status, 429);
        assert_eq!(header(&rendered, "x-should-retry"), Some("false"));
        assert_eq!(header(&rendered, "retry-after"), None);
        assert!(
            body(&rendered)["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with("Request too large")
        );
    }

    #[test]
    fn every_refusal_is_a_whole_openai_error() {
        let denials = [
            (Denial::Unauthenticated(Credential::Unknown), 401),
            (Denial::BadHeader("NUL"), 400),
            (Denial::UnknownEndpoint, 404),
            (Denial::MethodNotAllowed, 405),
            (Denial::UnsupportedMediaType, 415),
            (Denial::UnsupportedEncoding, 415),
            (Denial::BodyTooLarge { bytes_max: 10 }, 413),
            (Denial::UnknownModel, 404),
            (Denial::Unmetered, 500),
            (Denial::LimitsUnavailable, 503),
            (
                rate(
                    RateUnit::Concurrency,
                    RateRetry::WhenOneEnds { hint_ms: 1_000 },
                ),
                429,
            ),
        ];
        for (denial, status) in denials {
            let rendered = render(&denial);
            assert_eq!(rendered.status, status, "{denial:?}");
            let body = body(&rendered);
            assert!(body["error"]["message"].is_string());
            assert!(body["error"]["type"].is_string());
            assert!(body["error"]["code"].is_string());
            assert!(header(&rendered, "x-should-retry").is_some());
        }
    }
}
