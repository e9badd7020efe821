//! The same commands asked of a running weir, by its admin API: who has a token of it
//! needs neither its database nor its pepper.

use super::attributes::AttributeArgs;
use super::change::{CreateArgs, RevokeArgs, RotateArgs};
use super::look::{ListArgs, ShowArgs};
use super::stored::{Format, columns, hint, now, time};
use crate::accounts::StoredKey;
use crate::cli::server::{Server, path, query};
use crate::config::keys::{OwnLimits, span};
use crate::identity::KeyDigest;
use crate::pricing::date::Written;
use crate::units::UnixMillis;
use anyhow::{anyhow, bail};
use hyper::Method;
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};

/// The keys of one request.
const IMPORT_KEYS: usize = 500;

/// The longest line.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What a key is for, as the API reads it.
fn attributes(args: &AttributeArgs) -> anyhow::Result<Map<String, Value>> {
    let (attributes, expires_at) = args.read(&OwnLimits::default(), now())?;
    let key = StoredKey {
        id: "".into(),
        digest: KeyDigest([0; 32]),
        attributes,
        created_at: UnixMillis(0),
        created_by: "".into(),
        expires_at: None,
        revoked_at: None,
        replaced_by: None,
        last_used_hour: None,
        changed: 0,
    };
    let Value::Object(mut fields) = key.to_json() else {
        bail!("this is no key");
    };
    for own in ["id", "created_at_ms", "created_by"] {
        fields.remove(own);
    }
    if let Some(end) = expires_at {
        fields.insert("expires".to_owned(), Written(end).to_string().into());
    }
    Ok(fields)
}

pub fn create(server: &Server, args: &CreateArgs) -> anyhow::Result<()> {
    let wanted = json!({
        "id": args.id, "test": args.test, "key": attributes(&args.attributes)?,
    });
    let made = server.ask(Method::POST, "/v1/keys", Some(&wanted))?;
    shown_once(args.at.format, &made)
}

pub fn rotate(server: &Server, args: &RotateArgs) -> anyhow::Result<()> {
    let overlap = span(&args.overlap);
    let overlap = overlap.ok_or_else(|| anyhow!("--overlap: must be a span of time, as 1h"))?;
    let end = args
        .expires
        .as_deref()
        .map(|text| super::attributes::end(text, now()));
    let wanted = json!({
        "overlap_ms": overlap.0,
        "expires_at_ms": end.transpose()?.map(|at| at.0),
        "test": args.test,
    });
    let target = path("/v1/keys", &args.id, "/rotate");
    let made = server.ask(Method::POST, &target, Some(&wanted))?;
    shown_once(args.at.format, &made)
}

fn shown_once(format: Format, made: &Value) -> anyhow::Result<()> {
    let (secret, key) = (&made["secret"], &made["key"]);
    let Some(text) = secret.as_str() else {
        bail!("this is no answer of weir's");
    };
    let mut out = std::io::stdout();
    match format {
        Format::Table => writeln!(out, "{text}")?,
        Format::Json => writeln!(out, "{}", json!({ "key": secret, "stored": key }))?,
    }
    let word = |name: &str| key[name].as_str().unwrap_or_default();
    hint(&format!(
        "{} of {} is made; the key is shown this once: keep it where secrets are kept",
        word("id"),
        word("tenant")
    ));
    Ok(())
}

pub fn revoke(server: &Server, args: &RevokeArgs) -> anyhow::Result<()> {
    let mut failed = 0;
    for id in &args.ids {
        match server.ask(Method::DELETE, &path("/v1/keys", id, ""), None) {
            Ok(answer) => {
                let before = answer["revoked"] == json!(false);
                let said = match answer["database_away"] == json!(true) {
                    true => "is revoked; its database is away and is told when it is back",
                    false if before => "was revoked before",
                    false => "is revoked",
                };
                writeln!(std::io::stdout(), "{id} {said}")?;
            }
            Err(error) => {
                failed += 1;
                hint(&format!("{id}: {error:#}"));
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => bail!("{failed} of {} weren't revoked", args.ids.len()),
    }
}

pub fn show(server: &Server, args: &ShowArgs) -> anyhow::Result<()> {
    let key = server.ask(Method::GET, &path("/v1/keys", &args.id, ""), None)?;
    let mut out = std::io::stdout();
    match args.at.format {
        Format::Json => writeln!(out, "{key}")?,
        Format::Table => write!(out, "{}", super::look::lines(&key))?,
    }
    Ok(())
}

pub fn list(server: &Server, args: &ListArgs) -> anyhow::Result<()> {
    let mut after: Option<String> = None;
    let mut rows = Vec::new();
    let mut all = Vec::new();
    loop {
        let revoked = args.all.then_some("true");
        let target = query(
            "/v1/keys",
            &[
                ("limit", Some("999")),
                ("tenant", args.tenant.as_deref()),
                ("user", args.user.as_deref()),
                ("owner", args.owner.as_deref()),
                ("revoked", revoked),
                ("after", after.as_deref()),
            ],
        );
        let page = server.ask(Method::GET, &target, None)?;
        for key in page["keys"].as_array().into_iter().flatten() {
            if args.all || key["state"] != json!("ended") {
                match args.at.format {
                    Format::Table => rows.push(row(key)),
                    Format::Json => all.push(key.clone()),
                }
            }
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    let head = [
        "ID", "TENANT", "PROJECT", "USER", "STATE", "EXPIRES", "OWNER",
    ];
    let mut out = std::io::stdout();
    match (args.at.format, rows.is_empty()) {
        (Format::Json, _) => writeln!(out, "{}", Value::Array(all))?,
        (Format::Table, true) => writeln!(out, "no keys")?,
        (Format::Table, false) => write!(out, "{}", columns(head, &rows))?,
    }
    Ok(())
}

fn row(key: &Value) -> [String; 7] {
    let word = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
    let end = key["expires_at_ms"].as_u64().map(UnixMillis);
    [
        word("id"),
        word("tenant"),
        word("project"),
        word("user"),
        word("state"),
        time(end),
        word("owner"),
    ]
}

/// Keys of standard input, a line each, as `weir keys import` reads them otherwise:
/// JSON with `key` or `hash`, or where the attributes are said for all, the key alone.
pub fn import(server: &Server, said: &AttributeArgs) -> anyhow::Result<()> {
    let said_for_all = said
        .tenant
        .is_some()
        .then(|| attributes(said))
        .transpose()?;
    let (mut keys, mut number) = (Vec::new(), 0);
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let mut some = std::io::Read::take(&mut input, LINE_BYTES_MAX);
        if some.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        let wanted = wanted(&line, said_for_all.as_ref());
        keys.extend(wanted.ok_or_else(|| anyhow!("line {number} is no key"))?);
    }
    let (mut added, mut passed) = (0, 0);
    for some in keys.chunks(IMPORT_KEYS) {
        let answer = server.ask(
            Method::POST,
            "/v1/keys/import",
            Some(&json!({ "keys": some })),
        )?;
        added += answer["added"].as_u64().unwrap_or_default();
        for id in answer["passed_over"].as_array().into_iter().flatten() {
            passed += 1;
            hint(&format!(
                "{}: passed over, as it is there already",
                id.as_str().unwrap_or("-")
            ));
        }
    }
    writeln!(std::io::stdout(), "{added} added, {passed} passed over")?;
    Ok(())
}

/// `None`: it is none; of an empty line nothing is wanted.
fn wanted(line: &[u8], said_for_all: Option<&Map<String, Value>>) -> Option<Option<Value>> {
    let text = std::str::from_utf8(line).ok()?.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.starts_with('{') {
        return Some(Some(json!({ "secret": text, "key": said_for_all? })));
    }
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let (id, key, hash) = (
        fields.remove("id"),
        fields.remove("key"),
        fields.remove("hash"),
    );
    let attributes = match (fields.is_empty(), said_for_all) {
        (true, Some(said)) => said.clone(),
        _ => fields,
    };
    Some(Some(
        json!({ "id": id, "hash": hash, "secret": key, "key": attributes }),
    ))
}
