//! Every endpoint: its page, and what it needs of who asks. The router and the
//! OpenAPI document are both made of this list.

use super::access::{Access, enter};
use super::answer::{Error, Wrong};
use super::caller::Needs;
use super::guard::guard;
use super::{
    AdminState, alerts, approvals, audit, configuration, explain, grants, health, keys, limits,
    openapi, reload, tenants, tokens, top_ups, usage,
};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use std::sync::Arc;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, Path, ToSchema};

/// What a request's body may take; a configuration has a bound of its own.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// An endpoint.
pub(super) struct Endpoint {
    pub path: String,
    pub methods: Vec<HttpMethod>,
    pub needs: Needs,
    pub operation: Operation,
    pub schemas: Vec<(String, RefOr<Schema>)>,
    page: MethodRouter<AdminState>,
}

/// All of them.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Needs::{Change, ChangeAll, Nothing, See, SeeAll};
    vec![
        of::<health::__path_healthz>(Nothing, get(health::healthz)),
        of::<health::__path_readyz>(Nothing, get(health::readyz)),
        of::<health::__path_scrape>(Nothing, get(health::scrape)),
        of::<openapi::__path_document>(Nothing, get(openapi::document)),
        of::<limits::__path_show>(See, get(limits::show)),
        of::<limits::__path_reset>(ChangeAll, delete(limits::reset)),
        of::<limits::__path_rebuild>(ChangeAll, post(limits::rebuild)),
        of::<explain::__path_explain>(See, post(explain::explain)),
        of::<usage::__path_report>(See, get(usage::report)),
        of::<usage::__path_top>(See, get(usage::top)),
        of::<usage::__path_call>(See, get(usage::call)),
        of::<tenants::__path_list>(See, get(tenants::list)),
        of::<tenants::__path_show>(See, get(tenants::show)),
        of::<keys::__path_list>(See, get(keys::list)),
        of::<keys::__path_create>(Change, post(keys::create)),
        of::<keys::__path_import>(ChangeAll, post(keys::import)),
        of::<keys::__path_show>(See, get(keys::show)),
        of::<keys::__path_revoke>(Change, delete(keys::revoke)),
        of::<keys::__path_rotate>(Change, post(keys::rotate)),
        of::<tokens::__path_list>(See, get(tokens::list)),
        of::<tokens::__path_create>(Change, post(tokens::create)),
        of::<tokens::__path_revoke>(Change, delete(tokens::revoke)),
        of::<approvals::__path_list>(See, get(approvals::list)),
        of::<approvals::__path_show>(See, get(approvals::show)),
        of::<approvals::__path_grant>(Change, post(approvals::grant)),
        of::<approvals::__path_deny>(Change, post(approvals::deny)),
        of::<grants::__path_list>(See, get(grants::list)),
        of::<grants::__path_create>(ChangeAll, post(grants::create)),
        of::<grants::__path_show>(See, get(grants::show)),
        of::<grants::__path_revoke>(Change, delete(grants::revoke)),
        of::<top_ups::__path_list>(See, get(top_ups::list)),
        of::<top_ups::__path_create>(ChangeAll, post(top_ups::create)),
        of::<top_ups::__path_show>(See, get(top_ups::show)),
        of::<top_ups::__path_revoke>(ChangeAll, delete(top_ups::revoke)),
        of::<alerts::__path_list>(See, get(alerts::list)),
        of::<alerts::__path_test>(ChangeAll, post(alerts::test)),
        of::<audit::__path_list>(See, get(audit::list)),
        of::<configuration::__path_show>(SeeAll, get(configuration::show)),
        of::<configuration::__path_diff>(
            ChangeAll,
            post(configuration::diff).layer(DefaultBodyLimit::max(configuration::TEXT_BYTES_MAX)),
        ),
        of::<reload::__path_reload>(ChangeAll, post(reload::reload)),
    ]
}

fn of<P: Path + utoipa::__dev::SchemaReferences>(
    needs: Needs,
    page: MethodRouter<AdminState>,
) -> Endpoint {
    let mut schemas = Vec::new();
    P::schemas(&mut schemas);
    let mut operation = P::operation();
    operation.operation_id = None;
    if needs != Needs::Nothing {
        describe_access(&mut operation);
        schemas.push((Error::name().into_owned(), Error::schema()));
        Error::schemas(&mut schemas);
    }
    Endpoint {
        path: P::path(),
        methods: P::methods(),
        needs,
        operation,
        schemas,
        page,
    }
}

/// How one is known, and how all of these may refuse.
fn describe_access(operation: &mut Operation) {
    let none: [&str; 0] = [];
    operation.security = Some(vec![
        SecurityRequirement::new("token", none),
        SecurityRequirement::new("certificate", none),
    ]);
    for (status, what) in [
        ("400", "Something that was asked is wrong"),
        ("401", "Nobody is known by what was brought"),
        ("403", "Who asks may not"),
        ("404", "There is no such thing, or nowhere to keep it"),
        ("409", "As things stand it can't be done"),
        ("413", "The body is too large"),
        ("415", "The body must be JSON"),
        ("421", "The request is for another host"),
        ("422", "A text has problems, all of which are told"),
        (
            "429",
            "Too many requests, or wrong credentials, came from there",
        ),
        ("503", "It can't be done now"),
    ] {
        let error = Ref::from_schema_name(Error::name());
        let content = ContentBuilder::new().schema(Some(error)).build();
        let response = ResponseBuilder::new().description(what);
        let response = response.content("application/json", content).build();
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_owned())
            .or_insert(response.into());
    }
}

/// The pages.
pub(super) fn router(state: AdminState) -> Router {
    let access: Arc<Access> = Arc::clone(&state.access);
    let mut router = Router::new();
    for endpoint in endpoints() {
        let page = match endpoint.needs {
            Needs::Nothing => endpoint.page,
            needs => endpoint
                .page
                .route_layer(from_fn_with_state((Arc::clone(&access), needs), enter)),
        };
        router = router.route(&endpoint.path, page);
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(in_json))
        .layer(from_fn_with_state(access, guard))
        .with_state(state)
}

/// What axum itself refuses, as everything else is refused.
async fn in_json(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let response = next.run(request).await;
    let error = match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
        StatusCode::BAD_REQUEST if !is_json(&response) => "the request can't be read",
        _ => return response,
    };
    Wrong::new(response.status(), error).into_response()
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(axum::http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "application/json")
}

async fn not_found() -> Wrong {
    Wrong::new(
        StatusCode::NOT_FOUND,
        "no such page: /openapi.json describes all",
    )
}

async fn method_not_allowed() -> Wrong {
    Wrong::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this method is not allowed here",
    )
}
