//! The program around the calls: health, reflection, drain, traces, check.

use super::calls::hello;
use crate::support::client;
use crate::support::stack::{KEY, Setup, Stack, weir_binary};
use crate::support::until;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use weir::exchange::event::Outcome;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn admin_pages_answer() {
    let stack = Stack::start(Setup::default()).await;
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/other", 404),
    ] {
        assert_eq!(
            client::get(stack.admin, path).await.status,
            status,
            "{path}"
        );
    }
    stack.send(stack.chat(&hello(), &[])).await;
    stack.wait_for_events(1).await;
    let exact = r#"weir_calls_total{endpoint="/v1/chat/completions",outcome="exact"}"#;
    assert_eq!(stack.metric(exact).await, 1.0);
    stack.settle_the_books().await;
}

/// What gRPC health says of a service at an address.
pub async fn check(address: SocketAddr, service: &str) -> Result<ServingStatus, tonic::Code> {
    let endpoint = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await;
    let answer = answer.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn grpc_health_and_reflection_answer() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let stack = Stack::start(Setup::default()).await;
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", stack.grpc)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    assert_eq!(check(stack.grpc, "").await, Ok(ServingStatus::Serving));

    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            "envoy.service.ext_proc.v3.ExternalProcessor".into(),
        )),
    ]);
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let services = format!("{:?}", answers.message().await.unwrap().unwrap());
    for service in [
        "envoy.service.ext_proc.v3.ExternalProcessor",
        "envoy.service.auth.v3.Authorization",
        "envoy.service.ratelimit.v3.RateLimitService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.contains(service), "{services}");
    }
    let file = answers.message().await.unwrap().unwrap();
    assert!(format!("{file:?}").contains("FileDescriptorResponse"));
    stack.settle_the_books().await;
}

#[tokio::test]
async fn a_drain_lets_open_calls_end_and_takes_no_new_ones() {
    let mut stack = Stack::start(Setup::default()).await;
    let mut body = hello();
    body["stream"] = true.into();
    let request = stack.chat(
        &body,
        &[("x-fake-gate", "rest"), ("x-fake-gate-after", "1")],
    );
    let mut open = stack.open(request).await;
    open.chunk().await.unwrap().unwrap();
    stack.weir.terminate();
    let admin = stack.admin;
    until("readiness to turn", SOON, || async move {
        (client::get(admin, "/readyz").await.status == 503).then_some(())
    })
    .await;
    let refused = stack.send(stack.chat(&hello(), &[])).await;
    assert!(matches!(refused.status, 500 | 503), "{refused:?}");
    assert!(stack.weir.is_running(), "an open call is waited for");
    stack.provider.open_gate("rest");
    let (text, whole) = open.rest().await;
    assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    stack.weir.wait_for_end(SOON).await;
    let events = std::fs::read_to_string(stack.dir.path().join("usage.jsonl")).unwrap();
    assert_eq!(events.lines().count(), 1);
    assert!(events.contains(r#""outcome":"exact""#), "{events}");
    stack.restart_weir().await;
    stack.settle_the_books().await;
}

#[tokio::test]
async fn a_drain_that_takes_too_long_settles_and_cuts() {
    let more = "server: { drain_timeout: 300ms }".to_owned();
    let mut stack = Stack::start(Setup {
        more,
        ..Setup::default()
    })
    .await;
    let mut body = hello();
    body["stream"] = true.into();
    let request = stack.chat(
        &body,
        &[("x-fake-gate", "never"), ("x-fake-gate-after", "2")],
    );
    let mut open = stack.open(request).await;
    open.chunk().await.unwrap().unwrap();
    stack.weir.terminate();
    let (text, whole) = open.rest().await;
    assert!(
        !whole,
        "an unsettled stream is never ended as if it were whole: {text}"
    );
    stack.weir.wait_for_end(SOON).await;
    let events = stack.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, Outcome::Estimated);
    stack.provider.open_gate("never");
    stack.restart_weir().await;
    stack.settle_the_books().await;
}

#[test]
fn a_wrong_configuration_is_refused_by_check_and_serve_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.yaml");
    std::fs::write(&path, "listen: { grcp: \"unix:/x\" }\nplans: { team: { limits: [ { per: tenant, unit: requests, amount: -5, every: 1m } ] } }\n").unwrap();
    let run = |command: &str| {
        let output = Command::new(weir_binary())
            .args([command, "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let checked = run("check");
    assert!(
        checked.contains(r#"listen.grcp: unknown field; did you mean "grpc"?"#),
        "{checked}"
    );
    assert!(checked.contains("plans.team.limits[0].amount"), "{checked}");
    assert_eq!(checked, run("serve"));
}

/// A stream that ends cleanly would let the rest of its call pass unseen.
#[tokio::test]
async fn a_message_that_cant_be_read_ends_its_stream_with_an_error() {
    use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingResponse;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let stack = Stack::start(Setup::default()).await;
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", stack.grpc)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    // A text where ext_proc has the answer's head.
    let odd = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileByFilename("zzzz".into())),
    };
    let path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
    let codec = tonic_prost::ProstCodec::<ServerReflectionRequest, ProcessingResponse>::default();
    let answer = client
        .streaming(
            tonic::Request::new(tokio_stream::iter([odd])),
            path.parse().unwrap(),
            codec,
        )
        .await;
    let ended = match answer {
        Ok(answer) => answer.into_inner().message().await.map(|_| ()),
        Err(status) => Err(status),
    };
    assert!(ended.is_err(), "ended cleanly");
    stack.settle_the_books().await;
}

/// Only where Envoy says that bodies come whole is one the end of its request:
/// else a prefix could be judged in place of it.
#[tokio::test]
async fn a_bodys_beginning_is_never_judged() {
    use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
    use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode;
    use envoy_types::pb::envoy::service::ext_proc::v3 as ext_proc;
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request;
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;

    let stack = Stack::start(Setup::default()).await;
    let header = |key: &str, value: &str| HeaderValue {
        key: key.into(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    for (mode, passes) in [
        (None, false),
        (Some(BodySendMode::BufferedPartial), false),
        (Some(BodySendMode::Streamed), false),
        (Some(BodySendMode::Buffered), true),
    ] {
        let head = ext_proc::HttpHeaders {
            headers: Some(HeaderMap {
                headers: vec![
                    header(":method", "POST"),
                    header(":path", "/v1/chat/completions"),
                    header("content-type", "application/json"),
                    header("authorization", &format!("Bearer {KEY}")),
                ],
            }),
            ..ext_proc::HttpHeaders::default()
        };
        let body = ext_proc::HttpBody {
            body: hello().to_string().into_bytes(),
            end_of_stream: false,
            ..ext_proc::HttpBody::default()
        };
        let messages = [Request::RequestHeaders(head), Request::RequestBody(body)].map(|request| {
            ext_proc::ProcessingRequest {
                protocol_config: mode.map(|mode| ext_proc::ProtocolConfiguration {
                    request_body_mode: mode.into(),
                    response_body_mode: BodySendMode::Streamed.into(),
                    ..ext_proc::ProtocolConfiguration::default()
                }),
                request: Some(request),
                ..ext_proc::ProcessingRequest::default()
            }
        });
        let mut client = ext_proc::external_processor_client::ExternalProcessorClient::connect(
            format!("http://{}", stack.grpc),
        )
        .await
        .unwrap();
        let sent = client.process(tokio_stream::iter(messages)).await.unwrap();
        let mut answers = sent.into_inner();
        answers.message().await.unwrap().unwrap();
        let answer = answers.message().await.unwrap().unwrap().response.unwrap();
        match answer {
            Response::RequestBody(_) => assert!(passes, "{mode:?}"),
            Response::ImmediateResponse(refusal) => {
                assert_eq!((refusal.status.unwrap().code, passes), (413, false));
            }
            other => panic!("{mode:?}: {other:?}"),
        }
    }
    until("what passed to be told of", SOON, || async {
        (stack.events().len() == 4).then_some(())
    })
    .await;
}
