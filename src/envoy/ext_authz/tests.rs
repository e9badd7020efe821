//! The service as Envoy sees it, over counters in memory.

use super::*;
use crate::driver::tests::door::{KEY, driver};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context;

const CHAT: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;

/// A check of a POST, in either form of its headers.
fn http(path: &str, headers: &[(&str, &str)], raw: bool) -> HttpRequest {
    let json = ("content-type", "application/json");
    let all = [&[json], headers].concat();
    let mut http = HttpRequest {
        method: "POST".to_owned(),
        path: path.to_owned(),
        ..HttpRequest::default()
    };
    match raw {
        true => {
            let pseudo = [(":method", "POST"), (":path", path)];
            let each = all.iter().chain(&pseudo).map(|(name, value)| HeaderValue {
                key: (*name).to_owned(),
                raw_value: value.as_bytes().to_vec(),
                ..HeaderValue::default()
            });
            let headers = each.collect();
            http.header_map = Some(HeaderMap { headers });
        }
        false => {
            let each = all.iter();
            let each = each.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            http.headers = each.collect();
        }
    }
    http
}

async fn answer(service: &ExtAuthz, http: HttpRequest) -> HttpResponse {
    answer_by(service, http, None).await
}

/// The same by a route of Envoy's that tells its name.
async fn answer_by(service: &ExtAuthz, http: HttpRequest, route: Option<&str>) -> HttpResponse {
    let request = attribute_context::Request {
        http: Some(http),
        ..Default::default()
    };
    let request = CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(request),
            context_extensions: route
                .map(|name| ("route".to_owned(), name.to_owned()))
                .into_iter()
                .collect(),
            ..AttributeContext::default()
        }),
    };
    let response = service.check(Request::new(request)).await.unwrap();
    response.into_inner().http_response.unwrap()
}

/// The status, and a refusal's headers and body.
async fn told(service: &ExtAuthz, http: HttpRequest) -> (i32, Vec<(String, String)>, String) {
    match answer(service, http).await {
        HttpResponse::OkResponse(ok) => (200, pairs(ok.response_headers_to_add), String::new()),
        HttpResponse::DeniedResponse(denied) => (
            denied.status.unwrap().code,
            pairs(denied.headers),
            denied.body,
        ),
        other => panic!("{other:?}"),
    }
}

fn pairs(
    options: Vec<envoy_types::pb::envoy::config::core::v3::HeaderValueOption>,
) -> Vec<(String, String)> {
    let headers = options.into_iter().map(|option| option.header.unwrap());
    headers.map(|header| (header.key, header.value)).collect()
}

fn service(count_checks: bool) -> ExtAuthz {
    ExtAuthz {
        driver: driver(count_checks),
        readiness: Arc::default(),
    }
}

#[tokio::test]
async fn a_body_is_judged_as_text_and_as_bytes_if_it_is_whole() {
    let service = service(false);
    let key = format!("Bearer {KEY}");
    let key = ("authorization", &*key);
    let whole = ("x-envoy-auth-partial-body", "false");
    let partial = ("x-envoy-auth-partial-body", "true");
    let length = BODY.len().to_string();
    let length = ("content-length", &*length);
    let other = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
    let doubled =
        r#"{"model":"gpt-4o","model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
    for (headers, body, expected) in [
        (&[key][..], "", 200),
        (&[key, whole, length], BODY, 200),
        (&[key, whole], BODY, 200),
        // Of an Envoy that doesn't say.
        (&[key], BODY, 200),
        (&[key, whole], other, 403),
        (&[key], other, 403),
        (&[key, whole], doubled, 400),
        (&[key, whole], "", 400),
        (&[key, whole, length], &BODY[..20], 413),
        (&[key, partial], BODY, 413),
        (&[key, partial], "", 413),
        (&[whole], other, 200),
    ] {
        for (raw_headers, raw_body) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let mut http = http(CHAT, headers, raw_headers);
            match raw_body {
                true => http.raw_body = body.as_bytes().to_vec(),
                false => http.body = body.to_owned(),
            }
            let (status, _, text) = told(&service, http).await;
            assert_eq!(status, expected, "{headers:?} {body} {text}");
        }
    }
    // A client that says so too can't make it whole.
    let twice = http(CHAT, &[key, whole, partial], true);
    let twice = HttpRequest {
        raw_body: BODY.into(),
        ..twice
    };
    assert_eq!(told(&service, twice).await.0, 413);
}

/// In each dialect: who doesn't know the key, and for whom there is no room.
#[tokio::test]
async fn a_call_is_refused_in_its_callers_dialect() {
    let counting = service(true);
    let key = format!("Bearer {KEY}");
    let paths = [
        ("/v1/chat/completions", "/error/code"),
        ("/v1/messages", "/error/type"),
        ("/v1beta/models/gpt-4o:generateContent", "/error/status"),
        ("/model/gpt-4o/converse", "/message"),
        ("/v2/chat", "/message"),
        ("/api/chat", "/error"),
    ];
    for _ in 0..3 {
        let http = http(CHAT, &[("authorization", &*key)], true);
        assert_eq!(told(&counting, http).await.0, 200);
    }
    for (path, pointer) in paths {
        for (key, statuses, decided) in [
            ("Bearer no", &[401, 400, 403][..], "unauthenticated"),
            (&*key, &[429, 402, 400], "tenant-requests"),
        ] {
            let http = http(path, &[("authorization", key)], true);
            let (status, headers, body) = told(&counting, http).await;
            assert!(statuses.contains(&status), "{path} {key}: {status} {body}");
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            let text = json.pointer(pointer).and_then(|value| value.as_str());
            assert!(text.is_some(), "{path}: {body}");
            let header = |name: &str| {
                let mut found = headers.iter().filter(|(n, _)| n == name);
                let value = found.next().map(|(_, value)| &**value);
                assert!(found.next().is_none(), "{headers:?}");
                value
            };
            assert_eq!(header("content-type"), Some("application/json"));
            assert_eq!(header("x-weir-decision"), Some(decided), "{path}");
            assert!(header("x-weir-decision-id").is_some());
            assert!(!body.contains(KEY));
        }
    }
}

#[tokio::test]
async fn a_check_that_is_counted_is_told_how_its_limits_stand() {
    let (counting, service) = (service(true), service(false));
    let key = format!("Bearer {KEY}");
    let http = || http(CHAT, &[("authorization", &*key)], true);
    let (status, headers, _) = told(&counting, http()).await;
    assert_eq!(status, 200);
    let remaining = headers
        .iter()
        .find(|(name, _)| name == "x-ratelimit-remaining-requests");
    assert_eq!(remaining.unwrap().1, "2");
    let (status, headers, _) = told(&service, http()).await;
    assert_eq!((status, headers), (200, Vec::new()));
    // At the same time too: no more than there is room for.
    let checks = (0..10).map(|_| told(&counting, http()));
    let answers = futures_util::future::join_all(checks).await;
    let passed = answers.iter().filter(|(status, ..)| *status == 200);
    assert_eq!(passed.count(), 2);
}

#[tokio::test]
async fn keys_in_the_query_are_removed_by_the_names_that_they_have() {
    let service = service(false);
    let path = format!("/v1beta/models/gpt-4o:generateContent?alt=sse&key={KEY}");
    match answer(&service, http(&path, &[], true)).await {
        HttpResponse::OkResponse(ok) => assert_eq!(ok.query_parameters_to_remove, ["key"]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_name_of_envoys_route_comes_in_the_context_and_in_no_header() {
    let service = service(false);
    let key = format!("Bearer {KEY}");
    let key = ("authorization", &*key);
    let forged = [key, ("route", "other"), ("x-route", "other")];
    // Only the route `other` knows the endpoints of Anthropic alone: see the driver.
    for (route, headers, status) in [
        (None, &[key][..], 200),
        (None, &forged, 200),
        (Some("llm"), &forged, 200),
        (Some("other"), &[key], 404),
        (Some("other"), &forged, 404),
    ] {
        for raw in [true, false] {
            let told = match answer_by(&service, http(CHAT, headers, raw), route).await {
                HttpResponse::OkResponse(_) => 200,
                HttpResponse::DeniedResponse(denied) => denied.status.unwrap().code,
                other => panic!("{other:?}"),
            };
            assert_eq!(told, status, "{route:?} {headers:?}");
        }
    }
}
