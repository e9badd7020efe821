//! `/openapi.json`: the pages as an OpenAPI 3.1 document.
//!
//! Written by hand, beside the pages: deriving it takes procedural macros over
//! every type that is answered, while most answers here are built as JSON. A test
//! holds it against the router and the parameters that are read.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`. Nothing in it is of this process, so anybody may see it.
pub(super) async fn document() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], DOCUMENT).into_response()
}
