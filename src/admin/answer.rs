//! What the pages answer with, and what is wrong where they don't.

use crate::config::Problems;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// What is wrong, and whose fault it is. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub status: StatusCode,
    pub error: String,
    pub parameter: Option<&'static str>,
    pub problems: Vec<WrongPlace>,
    pub retry_after_secs: Option<u64>,
}

/// Something that is wrong with a text, where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct WrongPlace {
    /// From 1; null where the whole text is meant.
    #[schema(minimum = 1)]
    pub line: Option<u32>,
    /// From 1.
    #[schema(minimum = 1)]
    pub column: Option<u32>,
    /// As plans.team.limits[0].amount; empty for the whole text.
    pub path: String,
    pub error: String,
}

/// What every refusal answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Error {
    /// What is wrong, and what would be right.
    error: String,
    /// Which parameter is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<&'static str>,
    /// Everything that is wrong with a text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<WrongPlace>,
}

/// Of rows that one more was asked for than a page has: cuts them to the page, and
/// says where the next one begins after; `None`: this is the last.
pub(super) fn next_after<T, P>(
    rows: &mut Vec<T>,
    limit: usize,
    place: impl Fn(&T) -> P,
) -> Option<P> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(place)
}

impl Wrong {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            parameter: None,
            problems: Vec::new(),
            retry_after_secs: None,
        }
    }

    pub fn parameter(parameter: &'static str, error: impl Into<String>) -> Self {
        Self {
            parameter: Some(parameter),
            ..Self::new(StatusCode::BAD_REQUEST, error)
        }
    }

    /// Another time it may be answered.
    pub fn busy(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// The same for what isn't there and what nobody may know to be there.
    pub fn nothing(what: &str) -> Self {
        Self {
            parameter: Some("id"),
            ..Self::new(
                StatusCode::NOT_FOUND,
                format!("there is no {what} of this name"),
            )
        }
    }

    pub fn problems(what: &str, problems: &Problems) -> Self {
        let place = |problem: &crate::config::Problem| WrongPlace {
            line: problem.place.map(|place| place.line),
            column: problem.place.map(|place| place.column),
            path: problem.path.clone(),
            error: problem.text.clone(),
        };
        Self {
            problems: problems.list().iter().map(place).collect(),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("{what} has {} problems", problems.count()),
            )
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let (status, wait) = (self.status, self.retry_after_secs);
        let body = Error {
            error: self.error,
            parameter: self.parameter,
            problems: self.problems,
        };
        let mut response = json(status, &body);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"weir\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, wait.into());
        }
        response
    }
}

/// What a page gives.
pub(super) type Answer<T> = Result<Told<T>, Wrong>;

/// Something to be told as JSON.
#[derive(Debug)]
pub(super) struct Told<T>(pub T);

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let kind = HeaderValue::from_static("application/json");
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, kind)], body).into_response(),
        // No answer has a map whose names aren't text.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Reads a body of JSON. What is wrong is said without what was sent: it may be a
/// secret in a wrong place.
pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Wrong> {
    is_json(headers)?;
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            Category::Data => "is JSON, but not of the form that /openapi.json describes",
            Category::Io | Category::Syntax | Category::Eof => "is no JSON",
        };
        Wrong::new(
            StatusCode::BAD_REQUEST,
            format!("the body {what}: line {line}, column {column}"),
        )
    })
}

/// Forms of a browser can't send this without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Wrong> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Wrong::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, with content-type: application/json",
        )),
    }
}

/// The parameters of a query, each there once at most.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    pub fn read(query: Option<&str>, known: &[&'static str]) -> Result<Self, Wrong> {
        let mut all = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let Some(name) = known.iter().find(|known| **known == name) else {
                let list = match known.is_empty() {
                    true => "nothing".to_owned(),
                    false => known.join(", "),
                };
                let error = format!("only {list} can be asked for");
                return Err(Wrong::new(StatusCode::BAD_REQUEST, error));
            };
            if all.get(name).is_some() {
                return Err(Wrong::parameter(name, format!("{name} is there twice")));
            }
            all.0.push((name, value.into_owned()));
        }
        Ok(all)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, Wrong> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Wrong::parameter(name, "must be true or false")),
        }
    }

    /// How many rows a page has at most.
    pub fn limit(&self, rows: usize, rows_max: usize) -> Result<usize, Wrong> {
        let Some(text) = self.get("limit") else {
            return Ok(rows);
        };
        let number = text
            .parse()
            .ok()
            .filter(|rows| (1..=rows_max).contains(rows));
        number.ok_or_else(|| Wrong::parameter("limit", format!("must be from 1 to {rows_max}")))
    }
}
