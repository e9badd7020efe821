//! Between Envoy's messages and the exchange's: moved, never judged.

use super::phase::Kind;
use crate::envoy::headers::{header_map, set};
use crate::envoy::structs::{nested, number, number_of, object, text, text_of};
use crate::envoy::{METADATA_NAMESPACE, peer};
use crate::exchange::message::{Headers, Peer, ROUTING_HEADERS};
use crate::exchange::{Event, HeaderEdits, Metadata, Origin, Reply, RequestHead, ResponseHead};
use crate::protocol::denial::Rendered;
use crate::units::Millis;
use envoy_types::pb::envoy::config::core::v3::Metadata as EnvoyMetadata;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpHeaders,
    ImmediateResponse, ProcessingRequest, ProcessingResponse, TrailersResponse, body_mutation,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::{Duration, Struct, value::Kind as ValueKind};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Where Envoy puts the attributes that the filter's configuration asks for.
const ATTRIBUTES_NAMESPACE: &str = "envoy.filters.http.ext_proc";

/// Whether request bodies come whole, in one message; told in a stream's first
/// message alone. Such a body isn't the end of a request that has trailers.
pub(super) fn sends_whole_bodies(request: &ProcessingRequest) -> Option<bool> {
    let modes = request.protocol_config.as_ref()?;
    Some(modes.request_body_mode() == BodySendMode::Buffered)
}

/// Whether the first message's stream is shown nothing of the answer's body: right for
/// the door of the split profile alone. What older gateways don't tell is not known.
fn answer_unseen(request: &ProcessingRequest) -> bool {
    let modes = request.protocol_config.as_ref();
    modes.is_some_and(|modes| modes.response_body_mode() == BodySendMode::None)
}

/// The event of a message, and its kind. `None`: it carries none (flow control
/// alone).
pub(super) fn event(request: ProcessingRequest, whole_bodies: bool) -> Option<(Kind, Event)> {
    let answer_unseen = answer_unseen(&request);
    let ProcessingRequest {
        metadata_context,
        mut attributes,
        request,
        ..
    } = request;
    Some(match request? {
        Request::RequestHeaders(message) => {
            let head = RequestHead {
                peer: peer(&attributes, metadata_context.as_ref()),
                envoy_route: envoy_route(&mut attributes),
                judged: peer::judged(metadata_context.as_ref()),
                answer_unseen,
                end: message.end_of_stream,
                headers: headers(message),
            };
            (
                Kind::RequestHeaders { end: head.end },
                Event::RequestHeaders(head),
            )
        }
        Request::RequestBody(message) => {
            let end = message.end_of_stream || whole_bodies;
            let body = message.body;
            (Kind::RequestBody { end }, Event::RequestBody { body, end })
        }
        Request::RequestTrailers(_) => (Kind::RequestTrailers, Event::RequestTrailers),
        Request::ResponseHeaders(message) => {
            let head = ResponseHead {
                handed_over: metadata_text(
                    metadata_context.as_ref(),
                    METADATA_NAMESPACE,
                    "handover",
                ),
                origin: origin(&attributes),
                end: message.end_of_stream,
                headers: headers(message),
            };
            (
                Kind::ResponseHeaders { end: head.end },
                Event::ResponseHeaders(head),
            )
        }
        Request::ResponseBody(message) => {
            let end = message.end_of_stream;
            let body = message.body;
            (
                Kind::ResponseBody { end },
                Event::ResponseBody { body, end },
            )
        }
        Request::ResponseTrailers(_) => (Kind::ResponseTrailers, Event::ResponseTrailers),
    })
}

/// Who called, as far as the configuration asks for it: by `source.address`
/// (`address:port`) and `connection.uri_san_peer_certificate`.
fn peer(attributes: &HashMap<String, Struct>, metadata: Option<&EnvoyMetadata>) -> Peer {
    let object = attributes.get(ATTRIBUTES_NAMESPACE);
    let attribute = |name| object.and_then(|object| text_of(object, name));
    let address = attribute("source.address").and_then(|text| text.parse().ok());
    let name = attribute("connection.uri_san_peer_certificate");
    Peer {
        address: address.map(|address: SocketAddr| address.ip()),
        name: name.filter(|name| !name.is_empty()).map(str::to_owned),
        tokens: peer::tokens(metadata),
    }
}

/// The name of the route that Envoy chose, moved out of `xds.route_name` where the
/// configuration asks for that.
fn envoy_route(attributes: &mut HashMap<String, Struct>) -> Option<String> {
    let object = attributes.get_mut(ATTRIBUTES_NAMESPACE)?;
    match object.fields.remove("xds.route_name")?.kind? {
        ValueKind::StringValue(name) => Some(name),
        _ => None,
    }
}

fn headers(message: HttpHeaders) -> Headers {
    header_map(message.headers.unwrap_or_default())
}

fn metadata_text(metadata: Option<&EnvoyMetadata>, namespace: &str, name: &str) -> Option<String> {
    let object = metadata?.filter_metadata.get(namespace)?;
    text_of(object, name).map(str::to_owned)
}

/// Where an answer came from. The provider's says `via_upstream`. Of Envoy's
/// own, those without an upstream's address chose none (a direct response,
/// another filter's refusal, no host, a full breaker), and a failed connection
/// took no byte; but after a retry an earlier attempt may have reached the
/// provider.
fn origin(attributes: &HashMap<String, Struct>) -> Origin {
    let Some(object) = attributes.get(ATTRIBUTES_NAMESPACE) else {
        return Origin::Unknown;
    };
    let attempts = number_of(object, "upstream.request_attempt_count");
    let address = text_of(object, "upstream.address");
    match text_of(object, "response.code_details") {
        None => Origin::Unknown,
        Some("via_upstream") => Origin::Upstream,
        Some(_) if attempts.is_some_and(|attempts| attempts > 1.0) => Origin::Lost,
        // Only where the count came too is an absent address a sign.
        Some(_) if attempts.is_some() && address.is_none() => Origin::NeverSent,
        Some(details) if never_reached(details) => Origin::NeverSent,
        Some(_) => Origin::Lost,
    }
}

/// Envoy's words for an upstream that no byte of the request was sent to.
/// Source: Envoy's documentation, "Response code details".
fn never_reached(details: &str) -> bool {
    const WORDS: [&str; 7] = [
        "connection_failure",
        "connection_timeout",
        "no_healthy_upstream",
        "cluster_not_found",
        "route_not_found",
        "maintenance_mode",
        "upstream_reset_before_response_started{overflow",
    ];
    WORDS.iter().any(|word| details.contains(word))
}

/// Envoy's form of a reply.
pub(super) fn reply(reply: Reply) -> ProcessingResponse {
    let mut mode_override = None;
    let (response, metadata) = match reply {
        Reply::RequestHeaders {
            edits,
            metadata,
            without_bodies,
        } => {
            mode_override = without_bodies.then(headers_alone);
            (Response::RequestHeaders(headers_response(edits)), metadata)
        }
        Reply::RequestBody {
            body,
            head,
            metadata,
        } => (Response::RequestBody(sent_on(body, head)), metadata),
        Reply::RequestTrailers => (Response::RequestTrailers(TrailersResponse::default()), None),
        Reply::Refuse { rendered, metadata } => {
            let details = format!("weir_{}", metadata.decision);
            (
                Response::ImmediateResponse(immediate(rendered, details)),
                Some(metadata),
            )
        }
        Reply::ResponseHeaders { edits, metadata } => {
            (Response::ResponseHeaders(headers_response(edits)), metadata)
        }
        Reply::ResponseBody {
            replacement,
            metadata,
        } => (Response::ResponseBody(body_response(replacement)), metadata),
        Reply::ResponseTrailers { metadata } => (
            Response::ResponseTrailers(TrailersResponse::default()),
            metadata,
        ),
    };
    ProcessingResponse {
        dynamic_metadata: metadata
            .map(|metadata| object([(METADATA_NAMESPACE, nested(fields(metadata)))])),
        response: Some(response),
        mode_override,
        ..ProcessingResponse::default()
    }
}

/// A request's body, and where its head is changed, a new choice of where it goes.
fn sent_on(body: Option<Vec<u8>>, head: HeaderEdits) -> BodyResponse {
    // Envoy answers 500 where the length that stays isn't the new one.
    let length = body
        .as_ref()
        .map(|body| set("content-length", body.len().to_string()));
    let is_routed_anew = !head.set.is_empty();
    let mut response = body_response(body);
    if length.is_none() && !is_routed_anew {
        return response;
    }
    let mut mutation = mutation(head);
    mutation.set_headers.extend(length);
    let common = response.response.get_or_insert_default();
    common.header_mutation = Some(mutation);
    common.clear_route_cache = is_routed_anew;
    response
}

/// How much longer than usual the next reply may take.
const PATIENCE: Millis = Millis(2_000);

/// Asks Envoy to wait for the reply that is due. It does where
/// `max_message_timeout` is no less.
pub(super) fn patience(most: Millis) -> ProcessingResponse {
    let millis = most.0.saturating_add(PATIENCE.0);
    ProcessingResponse {
        override_message_timeout: Some(Duration {
            seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(millis % 1_000 * 1_000_000).unwrap_or_default(),
        }),
        ..ProcessingResponse::default()
    }
}

/// Both heads and no body: Envoy takes it where `allow_mode_override` is set.
///
/// The answer's trailers, which never come, are asked for: with nothing left to
/// wait for, Envoy would end the stream behind the answer's head, and the call
/// would be settled while its connection is open.
fn headers_alone() -> ProcessingMode {
    ProcessingMode {
        request_header_mode: HeaderSendMode::Send.into(),
        response_header_mode: HeaderSendMode::Send.into(),
        request_body_mode: BodySendMode::None.into(),
        response_body_mode: BodySendMode::None.into(),
        request_trailer_mode: HeaderSendMode::Skip.into(),
        response_trailer_mode: HeaderSendMode::Send.into(),
    }
}

fn headers_response(edits: HeaderEdits) -> HeadersResponse {
    let unchanged = edits.remove.is_empty() && edits.set.is_empty();
    // Envoy may have chosen its route by them.
    let is_own = |name: &String| ROUTING_HEADERS.contains(&name.as_str());
    let is_routed_anew = edits.remove.iter().any(is_own);
    HeadersResponse {
        response: (!unchanged).then(|| CommonResponse {
            clear_route_cache: is_routed_anew,
            header_mutation: Some(mutation(edits)),
            ..CommonResponse::default()
        }),
    }
}

fn body_response(replacement: Option<Vec<u8>>) -> BodyResponse {
    BodyResponse {
        response: replacement.map(|body| CommonResponse {
            body_mutation: Some(BodyMutation {
                mutation: Some(body_mutation::Mutation::Body(body)),
            }),
            ..CommonResponse::default()
        }),
    }
}

fn mutation(edits: HeaderEdits) -> HeaderMutation {
    HeaderMutation {
        remove_headers: edits.remove,
        set_headers: edits
            .set
            .into_iter()
            .map(|(name, value)| set(name, value))
            .collect(),
    }
}

fn immediate(rendered: Rendered, details: String) -> ImmediateResponse {
    let set_headers = rendered
        .headers
        .into_iter()
        .map(|(name, value)| set(name, value))
        .collect();
    ImmediateResponse {
        status: Some(HttpStatus {
            code: i32::from(rendered.status),
        }),
        headers: Some(HeaderMutation {
            set_headers,
            ..HeaderMutation::default()
        }),
        body: rendered.body,
        details,
        ..ImmediateResponse::default()
    }
}

/// The fields of the namespace `weir`, as access logs name them.
fn fields(metadata: Metadata) -> Struct {
    let mut usage = Vec::new();
    if let (Some(input), Some(output)) = (metadata.input_tokens, metadata.output_tokens.or(Some(0)))
    {
        usage.push(("input_tokens", number(input)));
        usage.push(("output_tokens", number(output)));
        usage.push(("total_tokens", number(input.saturating_add(output))));
    }
    let optional = [
        ("tenant", metadata.tenant.map(|name| text(&*name))),
        ("model", metadata.model.map(|name| text(&*name))),
        ("outcome", metadata.outcome.map(text)),
        ("handover", metadata.handover.map(text)),
        ("usage", (!usage.is_empty()).then(|| nested(object(usage)))),
    ];
    let always = [
        ("decision", text(&*metadata.decision)),
        ("id", text(metadata.id.to_string())),
    ];
    let optional = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    object(always.into_iter().chain(optional))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::structs::double;

    fn origin_of(details: Option<&str>, address: bool, attempts: Option<f64>) -> Origin {
        let mut fields = Vec::new();
        fields.extend(details.map(|details| ("response.code_details", text(details))));
        fields.extend(address.then(|| ("upstream.address", text("127.0.0.1:1"))));
        fields.extend(attempts.map(|count| ("upstream.request_attempt_count", double(count))));
        let attributes = [(ATTRIBUTES_NAMESPACE.to_owned(), object(fields))];
        origin(&attributes.into_iter().collect())
    }

    /// As Envoy 1.40 was seen to say it.
    #[test]
    fn where_an_answer_came_from() {
        let refused = "upstream_reset_before_response_started{remote_connection_failure|\
                       delayed_connect_error:_Connection_refused}";
        let closed = "upstream_reset_before_response_started{connection_termination}";
        let overflow = "upstream_reset_before_response_started{overflow}";
        for (details, address, attempts, expected) in [
            ("via_upstream", true, 1.0, Origin::Upstream),
            ("via_upstream", true, 3.0, Origin::Upstream),
            (refused, true, 1.0, Origin::NeverSent),
            // An attempt before the last one was sent.
            (refused, true, 2.0, Origin::Lost),
            (closed, true, 1.0, Origin::Lost),
            ("response_timeout", true, 1.0, Origin::Lost),
            ("no_healthy_upstream", false, 1.0, Origin::NeverSent),
            (overflow, false, 1.0, Origin::NeverSent),
            ("cluster_not_found", false, 0.0, Origin::NeverSent),
            ("direct_response", false, 0.0, Origin::NeverSent),
        ] {
            let got = origin_of(Some(details), address, Some(attempts));
            assert_eq!(got, expected, "{details} {attempts}");
        }
        // Configured without the other attributes.
        assert_eq!(origin_of(Some(refused), false, None), Origin::NeverSent);
        assert_eq!(origin_of(Some(closed), false, None), Origin::Lost);
        assert_eq!(origin_of(None, false, None), Origin::Unknown);
        assert_eq!(origin(&HashMap::new()), Origin::Unknown);
    }
}
