//! Each dialect's status, names and body for each denial.

use super::*;
use serde_json::json;

/// One row for each denial: status, and the name that the dialect gives it.
fn check(dialect: Dialect, name: impl Fn(&Rendered) -> String, rows: &[(Denial, u16, &str)]) {
    for (denial, status, expected) in rows {
        let rendered = refuse(dialect, denial);
        assert_eq!(rendered.status, *status, "{denial:?}");
        assert_eq!(name(&rendered), *expected, "{denial:?}");
        assert!(!message(dialect, &rendered).is_empty());
    }
}

fn key(credential: Credential) -> Denial {
    Denial::Unauthenticated(credential)
}

#[test]
fn openai() {
    let name = |rendered: &Rendered| {
        let body = body(rendered);
        let error = &body["error"];
        format!("{} {}", error["type"], error["code"]).replace('"', "")
    };
    let bytes_max = 10;
    let rows = [
        (
            key(Credential::Unknown),
            401,
            "invalid_request_error invalid_api_key",
        ),
        (
            Denial::BadHeader("NUL"),
            400,
            "invalid_request_error invalid_header",
        ),
        (
            Denial::UnknownEndpoint,
            404,
            "invalid_request_error unknown_url",
        ),
        (
            Denial::MethodNotAllowed,
            405,
            "invalid_request_error method_not_allowed",
        ),
        (
            Denial::UnsupportedMediaType { form: false },
            415,
            "invalid_request_error unsupported_content_type",
        ),
        (
            Denial::Encoding(EncodingFault::Unsupported),
            415,
            "invalid_request_error unsupported_content_encoding",
        ),
        (
            Denial::Encoding(EncodingFault::Malformed),
            400,
            "invalid_request_error invalid_request_body",
        ),
        (
            Denial::Encoding(EncodingFault::Expands),
            413,
            "invalid_request_error request_too_large",
        ),
        (
            Denial::BodyTooLarge { bytes_max },
            413,
            "invalid_request_error request_too_large",
        ),
        (
            bad_field(),
            400,
            "invalid_request_error invalid_request_body",
        ),
        (
            Denial::UnknownModel,
            404,
            "invalid_request_error model_not_found",
        ),
        (Denial::Unmetered, 500, "server_error unmetered"),
        (
            Denial::LimitsUnavailable,
            503,
            "server_error limits_unavailable",
        ),
        (soon(), 429, "tokens rate_limit_exceeded"),
        (slots(), 429, "requests rate_limit_exceeded"),
        (later(), 429, "requests rate_limit_exceeded"),
        (quota(), 429, "insufficient_quota insufficient_quota"),
        (budget(), 429, "insufficient_quota insufficient_quota"),
        (never_fits(), 429, "tokens rate_limit_exceeded"),
    ];
    check(Dialect::OpenAi, name, &rows);
    let param = |denial: &Denial| {
        let body = body(&refuse(Dialect::OpenAi, denial));
        body["error"]["param"].clone()
    };
    assert_eq!(param(&bad_field()), "max_tokens");
    assert_eq!(param(&Denial::UnknownModel), "model");
    assert_eq!(param(&soon()), Value::Null);
}

#[test]
fn anthropic() {
    let name = |rendered: &Rendered| {
        let body = body(rendered);
        assert_eq!(body["type"], "error");
        assert_eq!(body["request_id"], ID);
        assert_eq!(header(rendered, "request-id"), Some(ID));
        body["error"]["type"].as_str().unwrap().to_owned()
    };
    let rows = [
        (key(Credential::Unknown), 401, "authentication_error"),
        (Denial::BadHeader("NUL"), 400, "invalid_request_error"),
        (Denial::UnknownEndpoint, 404, "not_found_error"),
        (Denial::MethodNotAllowed, 405, "invalid_request_error"),
        (
            Denial::UnsupportedMediaType { form: false },
            415,
            "invalid_request_error",
        ),
        (
            Denial::Encoding(EncodingFault::Unsupported),
            415,
            "invalid_request_error",
        ),
        (
            Denial::BodyTooLarge { bytes_max: 10 },
            413,
            "request_too_large",
        ),
        (bad_field(), 400, "invalid_request_error"),
        (Denial::UnknownModel, 404, "not_found_error"),
        (Denial::Unmetered, 500, "api_error"),
        (Denial::LimitsUnavailable, 503, "overloaded_error"),
        (soon(), 429, "rate_limit_error"),
        (slots(), 429, "rate_limit_error"),
        (later(), 429, "rate_limit_error"),
        (quota(), 402, "billing_error"),
        (budget(), 402, "billing_error"),
        (never_fits(), 400, "invalid_request_error"),
    ];
    check(Dialect::Anthropic, name, &rows);
}

#[test]
fn gemini() {
    let name = |rendered: &Rendered| {
        let body = body(rendered);
        let error = &body["error"];
        assert_eq!(error["code"], rendered.status);
        error["status"].as_str().unwrap().to_owned()
    };
    let rows = [
        (key(Credential::Unknown), 401, "UNAUTHENTICATED"),
        (Denial::BadHeader("NUL"), 400, "INVALID_ARGUMENT"),
        (Denial::UnknownEndpoint, 404, "NOT_FOUND"),
        (Denial::MethodNotAllowed, 405, "INVALID_ARGUMENT"),
        (
            Denial::UnsupportedMediaType { form: false },
            415,
            "INVALID_ARGUMENT",
        ),
        (
            Denial::Encoding(EncodingFault::Unsupported),
            415,
            "INVALID_ARGUMENT",
        ),
        (
            Denial::BodyTooLarge { bytes_max: 10 },
            413,
            "INVALID_ARGUMENT",
        ),
        (bad_field(), 400, "INVALID_ARGUMENT"),
        (Denial::UnknownModel, 404, "NOT_FOUND"),
        (Denial::Unmetered, 500, "INTERNAL"),
        (Denial::LimitsUnavailable, 503, "UNAVAILABLE"),
        (soon(), 429, "RESOURCE_EXHAUSTED"),
        (slots(), 429, "RESOURCE_EXHAUSTED"),
        (later(), 429, "RESOURCE_EXHAUSTED"),
        (quota(), 429, "RESOURCE_EXHAUSTED"),
        (budget(), 429, "RESOURCE_EXHAUSTED"),
        (never_fits(), 400, "INVALID_ARGUMENT"),
    ];
    check(Dialect::Gemini, name, &rows);
}

#[test]
fn gemini_tells_the_quota_and_the_delay() {
    let details = |denial: &Denial| {
        let body = body(&refuse(Dialect::Gemini, denial));
        body["error"].get("details").cloned()
    };
    assert_eq!(
        details(&soon()),
        Some(json!([
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{
                    "quotaMetric": "weir/tenant-tokens",
                    "quotaId": "GenerateTokensPerMinutePerProject",
                    "quotaDimensions": {"model": "m-1"},
                    "quotaValue": "200000",
                }],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"},
        ]))
    );
    let quota_id = |denial: &Denial| {
        let details = details(denial).unwrap();
        details[0]["violations"][0]["quotaId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let after = |unit, window_ms| rate(unit, window_ms, RateRetry::AfterMillis(5));
    for (denial, expected) in [
        (quota(), "GenerateTokensPerDayPerProject"),
        (later(), "GenerateRequestsPerHourPerProject"),
        (slots(), "GenerateConcurrentRequestsPerProject"),
        (
            after(RateUnit::Requests, Some(60_000)),
            "GenerateRequestsPerMinutePerProject",
        ),
        (
            after(RateUnit::InputTokens, Some(60_001)),
            "GenerateInputTokensPerHourPerProject",
        ),
        (
            after(RateUnit::OutputTokens, Some(DAY_MS)),
            "GenerateOutputTokensPerDayPerProject",
        ),
        (
            after(RateUnit::Cost, Some(30 * DAY_MS)),
            "GenerateCostPerDayPerProject",
        ),
    ] {
        assert_eq!(quota_id(&denial), expected);
    }
    assert_eq!(
        details(&bad_field()),
        Some(json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{
                "field": "max_tokens",
                "description": "`max_tokens` must be a whole number.",
            }],
        }]))
    );
    let of_key = details(&key(Credential::Unknown)).unwrap();
    assert_eq!(of_key[0]["reason"], "API_KEY_INVALID");
    assert_eq!(details(&never_fits()), None);
}

#[test]
fn a_stream_that_is_an_array_is_refused_in_one() {
    let form = Form {
        dialect: Dialect::Gemini,
        array: true,
        ..Form::default()
    };
    for (denial, _) in all() {
        let alone = refuse(Dialect::Gemini, &denial);
        let item = render(form, &denial, ID);
        assert_eq!(body(&item), json!([body(&alone)]));
        assert_eq!((item.status, item.headers), (alone.status, alone.headers));
    }
}

#[test]
fn bedrock() {
    let name = |rendered: &Rendered| {
        assert_eq!(header(rendered, "x-amzn-requestid"), Some(ID));
        let wait = header(rendered, "x-amz-retry-after");
        assert_eq!(wait, header(rendered, "retry-after-ms"));
        header(rendered, "x-amzn-errortype").unwrap().to_owned()
    };
    let rows = [
        (key(Credential::Unknown), 403, "UnrecognizedClientException"),
        (
            key(Credential::Missing),
            403,
            "MissingAuthenticationTokenException",
        ),
        (Denial::BadHeader("NUL"), 400, "ValidationException"),
        (Denial::UnknownEndpoint, 404, "UnknownOperationException"),
        (Denial::MethodNotAllowed, 400, "ValidationException"),
        (
            Denial::UnsupportedMediaType { form: false },
            400,
            "ValidationException",
        ),
        (
            Denial::Encoding(EncodingFault::Unsupported),
            400,
            "ValidationException",
        ),
        (
            Denial::BodyTooLarge { bytes_max: 10 },
            413,
            "RequestEntityTooLargeException",
        ),
        (bad_field(), 400, "ValidationException"),
        (Denial::UnknownModel, 404, "ResourceNotFoundException"),
        (Denial::Unmetered, 500, "InternalServerException"),
        (
            Denial::LimitsUnavailable,
            503,
            "ServiceUnavailableException",
        ),
        (soon(), 429, "ThrottlingException"),
        (slots(), 429, "ThrottlingException"),
        (later(), 429, "ThrottlingException"),
        (quota(), 400, "ServiceQuotaExceededException"),
        (budget(), 400, "ServiceQuotaExceededException"),
        (never_fits(), 400, "ValidationException"),
    ];
    check(Dialect::Bedrock, name, &rows);
}

/// Cohere and Ollama tell by the status alone.
fn by_status() -> Vec<(Denial, u16, &'static str)> {
    vec![
        (key(Credential::Unknown), 401, ""),
        (Denial::BadHeader("NUL"), 400, ""),
        (Denial::UnknownEndpoint, 404, ""),
        (Denial::MethodNotAllowed, 405, ""),
        (Denial::UnsupportedMediaType { form: false }, 415, ""),
        (Denial::Encoding(EncodingFault::Unsupported), 415, ""),
        (Denial::BodyTooLarge { bytes_max: 10 }, 413, ""),
        (bad_field(), 400, ""),
        (Denial::UnknownModel, 404, ""),
        (Denial::Unmetered, 500, ""),
        (Denial::LimitsUnavailable, 503, ""),
        (soon(), 429, ""),
        (slots(), 429, ""),
        (later(), 429, ""),
        (quota(), 402, ""),
        (budget(), 402, ""),
        (never_fits(), 400, ""),
    ]
}

#[test]
fn cohere() {
    let name = |rendered: &Rendered| {
        assert_eq!(body(rendered)["id"], ID);
        String::new()
    };
    check(Dialect::Cohere, name, &by_status());
}

#[test]
fn ollama() {
    let name = |rendered: &Rendered| {
        assert_eq!(body(rendered).as_object().unwrap().len(), 1);
        String::new()
    };
    check(Dialect::Ollama, name, &by_status());
}
