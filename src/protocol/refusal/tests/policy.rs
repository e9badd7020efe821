//! What the operator's rules refuse, in every dialect.

use super::*;
use crate::protocol::denial::{PolicyDenial, PolicyKind};

fn policy(kind: PolicyKind, message: &str) -> Denial {
    Denial::Policy(Box::new(PolicyDenial {
        kind,
        rule: "no-weekends".into(),
        message: message.to_owned(),
    }))
}

pub(super) fn blocked(status: u16) -> Denial {
    policy(PolicyKind::Blocked { status, code: None }, "Not \"today\".")
}

pub(super) fn approval() -> Denial {
    let kind = PolicyKind::NeedsApproval {
        request_id: "apr_1".into(),
        approvers: Some("the owners of acme".into()),
        denied_by: None,
    };
    policy(kind, "This is dear.")
}

pub(super) fn throttled(retry_after_ms: u64) -> Denial {
    policy(PolicyKind::Throttled { retry_after_ms }, "Slow down.")
}

pub(super) fn guardrail() -> Denial {
    let param = Some("logit_bias".to_owned());
    policy(PolicyKind::Guardrail { param }, "It may not be set.")
}

pub(super) fn not_entitled(what: Entitlement) -> Denial {
    policy(PolicyKind::NotEntitled { what }, "")
}

/// What the dialect calls the error.
fn name(dialect: Dialect, rendered: &Rendered) -> String {
    let body = body(rendered);
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    match dialect {
        Dialect::OpenAi => {
            let error = &body["error"];
            format!("{} {}", text(&error["type"]), text(&error["code"]))
        }
        Dialect::Anthropic => text(&body["error"]["type"]),
        Dialect::Gemini => {
            assert_eq!(body["error"]["code"], rendered.status);
            text(&body["error"]["status"])
        }
        Dialect::Bedrock => header(rendered, "x-amzn-errortype").unwrap().to_owned(),
        Dialect::Cohere | Dialect::Ollama => String::new(),
    }
}

#[test]
fn each_kind_in_each_dialect() {
    // In the order of `DIALECTS`, of which the last two have no names.
    let rows: [(Denial, u16, [&str; 4], &str); 13] = [
        (
            blocked(403),
            403,
            [
                "permission_error blocked",
                "permission_error",
                "PERMISSION_DENIED",
                "AccessDeniedException",
            ],
            "blocked",
        ),
        (
            blocked(200),
            403,
            [
                "permission_error blocked",
                "permission_error",
                "PERMISSION_DENIED",
                "AccessDeniedException",
            ],
            "blocked",
        ),
        (
            blocked(400),
            400,
            [
                "invalid_request_error blocked",
                "invalid_request_error",
                "INVALID_ARGUMENT",
                "ValidationException",
            ],
            "blocked",
        ),
        (
            blocked(402),
            402,
            [
                "insufficient_quota blocked",
                "billing_error",
                "RESOURCE_EXHAUSTED",
                "ServiceQuotaExceededException",
            ],
            "blocked",
        ),
        (
            blocked(404),
            404,
            [
                "invalid_request_error blocked",
                "not_found_error",
                "NOT_FOUND",
                "ResourceNotFoundException",
            ],
            "blocked",
        ),
        (
            blocked(429),
            429,
            [
                "requests blocked",
                "rate_limit_error",
                "RESOURCE_EXHAUSTED",
                "ThrottlingException",
            ],
            "blocked",
        ),
        (
            blocked(451),
            451,
            [
                "invalid_request_error blocked",
                "invalid_request_error",
                "FAILED_PRECONDITION",
                "ValidationException",
            ],
            "blocked",
        ),
        (
            approval(),
            403,
            [
                "permission_error approval_required",
                "permission_error",
                "PERMISSION_DENIED",
                "AccessDeniedException",
            ],
            "approval_required",
        ),
        (
            throttled(1_574),
            429,
            [
                "requests rate_limit_exceeded",
                "rate_limit_error",
                "RESOURCE_EXHAUSTED",
                "ThrottlingException",
            ],
            "throttled",
        ),
        (
            throttled(HOUR_MS),
            429,
            [
                "requests rate_limit_exceeded",
                "rate_limit_error",
                "RESOURCE_EXHAUSTED",
                "ThrottlingException",
            ],
            "throttled",
        ),
        (
            guardrail(),
            400,
            [
                "invalid_request_error guardrail",
                "invalid_request_error",
                "INVALID_ARGUMENT",
                "ValidationException",
            ],
            "guardrail",
        ),
        (
            not_entitled(Entitlement::Model),
            403,
            [
                "invalid_request_error permission_denied",
                "permission_error",
                "PERMISSION_DENIED",
                "AccessDeniedException",
            ],
            "model_not_allowed",
        ),
        (
            not_entitled(Entitlement::Tool),
            403,
            [
                "invalid_request_error permission_denied",
                "permission_error",
                "PERMISSION_DENIED",
                "AccessDeniedException",
            ],
            "tool_not_allowed",
        ),
    ];
    for (denial, status, names, reason) in &rows {
        assert_eq!(denial.reason(), *reason);
        for (index, dialect) in DIALECTS.into_iter().enumerate() {
            let rendered = refuse(dialect, denial);
            assert_eq!(rendered.status, *status, "{dialect:?} {denial:?}");
            let expected = names.get(index).copied().unwrap_or_default();
            assert_eq!(name(dialect, &rendered), expected, "{denial:?}");
            assert!(!message(dialect, &rendered).is_empty());
            let waits = *denial == throttled(1_574);
            let retry = header(&rendered, "x-should-retry");
            assert_eq!(retry, Some(if waits { "true" } else { "false" }));
            assert_eq!(header(&rendered, "retry-after-ms"), waits.then_some("1574"));
            assert_eq!(header(&rendered, "retry-after"), waits.then_some("2"));
            let id = (*denial == approval()).then_some("apr_1");
            assert_eq!(header(&rendered, "x-weir-approval"), id);
        }
    }
    for (what, reason) in [
        (Entitlement::Endpoint, "endpoint_not_allowed"),
        (Entitlement::Tier, "tier_not_allowed"),
    ] {
        assert_eq!(not_entitled(what).reason(), reason);
    }
}

/// An entitlement reads as the same lack of a key's does.
#[test]
fn what_a_plan_lacks_is_told_as_what_a_key_lacks() {
    for dialect in DIALECTS {
        let of_plan = refuse(dialect, &not_entitled(Entitlement::Model));
        let of_key = refuse(
            dialect,
            &Denial::OutOfScope(crate::protocol::denial::Scope::Model),
        );
        assert_eq!(
            (of_plan.status, of_plan.headers.clone()),
            (of_key.status, of_key.headers.clone())
        );
        assert_eq!(name(dialect, &of_plan), name(dialect, &of_key));
    }
}

#[test]
fn a_rule_has_its_own_words() {
    for dialect in DIALECTS {
        let told = |denial: &Denial| message(dialect, &refuse(dialect, denial));
        assert_eq!(told(&blocked(403)), "Not \"today\".");
        assert_eq!(
            told(&approval()),
            "This is dear. Approval request apr_1 can be granted by the owners of acme."
        );
        let again = match dialect {
            Dialect::Gemini => "Slow down. Please retry in 1.574s.",
            _ => "Slow down. Please try again in 1.574s.",
        };
        assert_eq!(told(&throttled(1_574)), again);
        assert_eq!(told(&guardrail()), "It may not be set.");
        let kind = |denied_by: Option<&str>| PolicyKind::NeedsApproval {
            request_id: "apr_1".into(),
            approvers: None,
            denied_by: denied_by.map(Into::into),
        };
        assert_eq!(
            told(&policy(kind(None), "")),
            "This call needs an approval. It waits as approval request apr_1."
        );
        assert_eq!(
            told(&policy(kind(Some("ann")), "")),
            "This call needs an approval. Approval request apr_1 was denied by ann."
        );
    }
}

#[test]
fn the_field_and_the_code_are_where_clients_look() {
    let openai = |denial: &Denial| body(&refuse(Dialect::OpenAi, denial))["error"].clone();
    assert_eq!(openai(&guardrail())["param"], "logit_bias");
    assert_eq!(openai(&blocked(403))["param"], Value::Null);
    let kind = PolicyKind::Blocked {
        status: 409,
        code: Some("weekend".into()),
    };
    assert_eq!(openai(&policy(kind, ""))["code"], "weekend");
    let gemini = body(&refuse(Dialect::Gemini, &guardrail()));
    assert_eq!(
        gemini["error"]["details"][0]["fieldViolations"][0]["field"],
        "logit_bias"
    );
    let gemini = body(&refuse(Dialect::Gemini, &throttled(1_574)));
    assert_eq!(gemini["error"]["details"][0]["retryDelay"], "2s");
    let unfit = PolicyKind::NeedsApproval {
        request_id: "a\r\nb".into(),
        approvers: None,
        denied_by: None,
    };
    let rendered = refuse(Dialect::OpenAi, &policy(unfit, ""));
    assert_eq!(header(&rendered, "x-weir-approval"), None);
}

/// As long as it may be, and beyond.
#[test]
fn a_throttled_call_waits_no_longer_than_an_sdk_may() {
    for dialect in DIALECTS {
        for (ms, told) in [
            (0, true),
            (WAIT_MAX_MS, true),
            (WAIT_MAX_MS + 1, false),
            (u64::MAX, false),
        ] {
            let rendered = refuse(dialect, &throttled(ms));
            let wait = header(&rendered, "retry-after-ms").map(str::to_owned);
            assert_eq!(wait, told.then(|| ms.to_string()), "{dialect:?}");
        }
    }
}
