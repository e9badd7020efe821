//! What a gateway asks about, from the request that asks.

use super::BODY_MAX;
use super::room::{Room, Taken};
use crate::exchange::RequestHead;
use crate::exchange::door::{Body, Check};
use crate::exchange::message::{Headers, Peer};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, header};

/// The `path_prefix` of Envoy's `http_service`.
const CHECK: &str = "/check";
const FORWARD: &str = "/forward";

/// In which header Envoy says whether it sends a part of the body alone.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// By which headers forward auth tells of a call: method, path and host, or where
/// that is not told, the request's own. Traefik's and nginx's.
const TOLD_BY: [[&str; 3]; 2] = [
    ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"],
    ["x-original-method", "x-original-uri", "host"],
];

/// Why a request asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error(
        "ask at /check and the call's own path (Envoy's path_prefix: /check), or at /forward (forward auth)"
    )]
    NoSuchPath,
    #[error(
        "forward auth needs one x-forwarded-method and one x-forwarded-uri, or one x-original-method and one x-original-uri, and not both pairs"
    )]
    NotTold,
    #[error("the body did not come")]
    NoBody,
    #[error("too many bodies are judged now: there is no room for another")]
    NoRoom,
}

/// What is asked, and the room that its body has.
///
/// # Errors
/// The request asks nothing, or its body can't be had.
pub(super) async fn check(
    request: Request<Incoming>,
    body_bytes_max: usize,
    room: &Room,
) -> Result<(Check, Option<Taken>), AskError> {
    let (parts, body) = request.into_parts();
    let headers = about(&parts)?;
    let (body, taken) = match parts.uri.path() {
        // Nobody sends the body of the call there.
        FORWARD => (Body::Unseen, None),
        _ => shown(&parts, body, body_bytes_max, room).await?,
    };
    let check = Check {
        head: RequestHead {
            answer_unseen: false,
            headers,
            // Of the caller nothing is known but what it sent.
            peer: Peer::default(),
            envoy_route: None,
            end: false,
            judged: None,
        },
        body,
        keeps_path: true,
    };
    Ok((check, taken))
}

/// The call's headers, pseudo-headers included.
fn about(parts: &Parts) -> Result<Headers, AskError> {
    let mut headers: Headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let (line, host) = match parts.uri.path() {
        FORWARD => told(&headers)?,
        _ => ([method(parts), path(parts)?], "host"),
    };
    if host != "host" {
        headers.retain(|(name, _)| name != "host");
    }
    for (name, _) in headers.iter_mut().filter(|(name, _)| name == host) {
        *name = ":authority".to_owned();
    }
    let names = [":method", ":path"].map(str::to_owned);
    headers.extend(names.into_iter().zip(line));
    Ok(headers)
}

fn method(parts: &Parts) -> Vec<u8> {
    parts.method.as_str().as_bytes().to_vec()
}

/// The path that comes behind the prefix.
fn path(parts: &Parts) -> Result<Vec<u8>, AskError> {
    let asked = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let path = asked.strip_prefix(CHECK).ok_or(AskError::NoSuchPath)?;
    match path.starts_with('/') {
        true => Ok(path.as_bytes().to_vec()),
        false => Err(AskError::NoSuchPath),
    }
}

/// Method and path by one pair of headers, and which holds the host: of two, a
/// caller could have sent one.
fn told(headers: &Headers) -> Result<([Vec<u8>; 2], &'static str), AskError> {
    let values = |wanted: &str| {
        let of_name = headers.iter().filter(move |(name, _)| name == wanted);
        of_name.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let mut found = None;
    for [method, path, host] in TOLD_BY {
        match (&*values(method), &*values(path)) {
            ([], []) => {}
            ([method], [path]) if found.is_none() => {
                found = Some(([(*method).clone(), (*path).clone()], host));
            }
            _ => return Err(AskError::NotTold),
        }
    }
    found.ok_or(AskError::NotTold)
}

/// The body as far as it is sent along. What Envoy sends no body for has the
/// length 0 here, whatever the call has.
async fn shown(
    parts: &Parts,
    body: Incoming,
    bytes_max: usize,
    room: &Room,
) -> Result<(Body, Option<Taken>), AskError> {
    let mut partial = parts.headers.get_all(PARTIAL_BODY).iter();
    if partial.any(|value| value.as_bytes() != b"false") {
        return Ok((Body::Cut, None));
    }
    if body.is_end_stream() {
        let body = match parts.headers.contains_key(PARTIAL_BODY) {
            true => Body::Whole(Vec::new()),
            false => Body::Unseen,
        };
        return Ok((body, None));
    }
    // Whoever asks has the body at hand, and knows its length.
    let told = body.size_hint().exact();
    let told = told.filter(|_| !parts.headers.contains_key(header::TRANSFER_ENCODING));
    let fits = told.and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = fits.filter(|bytes| *bytes <= bytes_max) else {
        return Ok((Body::Cut, None));
    };
    let taken = room.take(bytes).await.ok_or(AskError::NoRoom)?;
    let whole = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(BODY_MAX, whole).await {
        Ok(Ok(body)) => Ok((Body::Whole(body.to_bytes().into()), Some(taken))),
        Ok(Err(_)) | Err(_) => Err(AskError::NoBody),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Result<Vec<String>, AskError> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let headers = about(&parts)?;
        let of = |wanted: &str| {
            let mut values = headers.iter().filter(|(name, _)| name == wanted);
            let value = values
                .next()
                .map(|(_, value)| String::from_utf8_lossy(value));
            assert!(values.next().is_none(), "{headers:?}");
            value.unwrap_or_default().into_owned()
        };
        Ok([":method", ":path", ":authority"].map(of).to_vec())
    }

    #[test]
    fn a_call_is_told_by_the_request_or_by_one_pair_of_its_headers() {
        const TRAEFIK: [(&str, &str); 3] = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/v1/x?a=1"),
            ("x-forwarded-host", "llm"),
        ];
        const NGINX: [(&str, &str); 2] =
            [("x-original-method", "POST"), ("x-original-uri", "/v1/y#z")];
        let host = ("host", "weir");
        let all = |more: &[(&'static str, &'static str)]| [&[host], more].concat();
        let told = |texts: [&str; 3]| Ok(texts.map(str::to_owned).to_vec());
        for (uri, headers, expected) in [
            (
                "/check/v1/x?a=1",
                all(&[]),
                told(["GET", "/v1/x?a=1", "weir"]),
            ),
            ("/check//v1/x", all(&[]), told(["GET", "//v1/x", "weir"])),
            // A caller's own headers say nothing there.
            (
                "/check/forward",
                all(&TRAEFIK),
                told(["GET", "/forward", "weir"]),
            ),
            ("/check", all(&[]), Err(AskError::NoSuchPath)),
            ("/checks/v1/x", all(&[]), Err(AskError::NoSuchPath)),
            ("/v1/x", all(&[]), Err(AskError::NoSuchPath)),
            ("/forward/v1/x", all(&TRAEFIK), Err(AskError::NoSuchPath)),
            (
                "/forward?x",
                all(&TRAEFIK),
                told(["POST", "/v1/x?a=1", "llm"]),
            ),
            ("/forward", all(&NGINX), told(["POST", "/v1/y#z", "weir"])),
            ("/forward", all(&[]), Err(AskError::NotTold)),
            ("/forward", all(&TRAEFIK[..1]), Err(AskError::NotTold)),
            (
                "/forward",
                all(&[TRAEFIK[0], NGINX[1]]),
                Err(AskError::NotTold),
            ),
            (
                "/forward",
                [&TRAEFIK[..], &NGINX].concat(),
                Err(AskError::NotTold),
            ),
            (
                "/forward",
                [&TRAEFIK[..], &TRAEFIK].concat(),
                Err(AskError::NotTold),
            ),
        ] {
            assert_eq!(asked(uri, &headers), expected, "{uri} {headers:?}");
        }
    }
}
