//! The description, the router and the table of roles speak of the same operations.

use super::super::endpoints::router;
use super::super::openapi::made;
use super::roles::{ROLES, rows, with_roles};
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// Methods and paths.
type Operations = BTreeSet<(String, String)>;

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// What a request to the path of an operation is for.
fn filled(path: &str) -> String {
    path.replace("{id}", "none").replace("{tenant}", "acme")
}

/// As the document says it, which is what its readers go by.
fn described() -> Operations {
    let document = serde_json::to_value(made()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        let path = path.clone();
        let methods = methods.map(move |method| (method.to_uppercase(), path.clone()));
        methods.collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// The rows, each by the path that it is a request to.
fn rowed(described: &Operations) -> Operations {
    let fits = |path: &str, row: &str| {
        let parts = (path.split('/'), row.split('/'));
        path.split('/').count() == row.split('/').count()
            && parts
                .0
                .zip(parts.1)
                .all(|(part, of_row)| part == of_row || part.starts_with('{'))
    };
    let of_row = |row: super::roles::Row| {
        let asked = row.path.split('?').next().unwrap();
        let whole = |path: &&(String, String)| path.1 == asked;
        let known = described.iter().find(whole);
        let known = known.or_else(|| described.iter().find(|(_, path)| fits(path, asked)));
        let path = known.map_or(asked, |(_, path)| path);
        (row.method.to_owned(), path.to_owned())
    };
    rows().into_iter().map(of_row).collect()
}

/// Every operation is described and has a row of roles; there are as many of each.
#[test]
fn what_is_described_has_its_roles_and_the_other_way_round() {
    let described = described();
    assert_eq!(rowed(&described), described);
    assert_eq!(rows().len(), described.len(), "no operation has two rows");
}

/// Each path answers the methods that are described of it and no others, and nothing
/// else is answered.
#[tokio::test]
async fn what_is_described_is_what_the_router_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let owner = tokens[ROLES.len() - 1].as_deref();
    let described = described();
    let paths: BTreeSet<&str> = described.iter().map(|(_, path)| path.as_str()).collect();
    let mut answered = Operations::new();
    for path in paths {
        for method in METHODS {
            let filled = filled(path);
            let mut ask = Ask::new(method, &filled).json(&json!({}));
            if let Some(owner) = owner {
                ask = ask.token(owner);
            }
            let (status, ..) = ask.of(&state).await;
            if status != 405 {
                answered.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    // HTTP has it that whatever can be got can be asked for its head, so it needs no
    // description of its own (RFC 9110, 9.3.2).
    let heads = described.iter().filter(|(method, _)| method == "GET");
    let heads = heads.map(|(_, path)| ("HEAD".to_owned(), path.clone()));
    let expected: Operations = described.iter().cloned().chain(heads).collect();
    assert_eq!(answered, expected);
    // The router says itself which paths it holds: these and no others, but for where
    // it keeps what answers all that it doesn't hold.
    const ELSEWHERE: [&str; 2] = ["/", "/{*__private__axum_fallback}"];
    for path in ["/", "/v1", "/v1/none"] {
        let (status, ..) = Ask::new("GET", path).of(&state).await;
        assert_eq!(status, 404, "{path}");
    }
    let held = format!("{:?}", router(state));
    let quoted = held.split('"').skip(1).step_by(2);
    let held: BTreeSet<&str> = quoted.filter(|text| text.starts_with('/')).collect();
    let held = &held - &BTreeSet::from(ELSEWHERE);
    let paths: BTreeSet<&str> = described.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(held, paths);
}
