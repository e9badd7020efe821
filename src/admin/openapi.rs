//! `/openapi.json`: the pages as an OpenAPI 3.1 document, made of the same list as
//! the router, once.

use super::access::CHANGE_HEADER;
use super::answer::json;
use super::endpoints::endpoints;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::LazyLock;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder,
};

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(made);

/// All of this, as an OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Response {
    // Nothing in it is of this process, so anybody may see it.
    json(StatusCode::OK, &*DOCUMENT)
}

/// The document.
pub(super) fn made() -> OpenApi {
    let (mut paths, mut components) = (PathsBuilder::new(), ComponentsBuilder::new());
    for endpoint in endpoints() {
        let item = PathItem::from_http_methods(endpoint.methods, endpoint.operation);
        paths = paths.path(endpoint.path, item);
        components = components.schemas_from_iter(endpoint.schemas);
    }
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("listen.admin_token, an admin token, or one of admin.oidc".to_owned());
    let certificate = SecurityScheme::MutualTls {
        description: Some(format!(
            "Of a name in admin.clients. Whatever changes something must send {CHANGE_HEADER}."
        )),
        deprecated: None,
        extensions: None,
    };
    let components = components
        .security_scheme("token", SecurityScheme::Http(token))
        .security_scheme("certificate", certificate);
    let mut licence = LicenseBuilder::new().name("Apache-2.0");
    licence = licence.identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title("weir's admin port")
        .version("1")
        .description(Some(
            "Health, metrics, limits, reports, keys, tokens, approvals, budgets, alerts, and who did what.",
        ))
        .license(Some(licence.build()));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}
