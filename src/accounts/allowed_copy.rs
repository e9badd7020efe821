//! Grants, denials and top-ups in a file beside the spool, so that a sidecar that
//! starts while the database is away knows them. They are few: it is one JSON
//! document, behind its checksum.
//!
//! Always holds: the file is written whole and then put in place of the old one; one
//! that isn't whole, by its checksum, or isn't understood counts as none; only its
//! owner may read it.

use super::top_ups::{whose_json, whose_of_json};
use crate::limits::Unit;
use crate::policy::grants::{Allowance, Denial, Grant, GrantChange, Grants};
use crate::policy::top_ups::{TopUp, TopUpChange, TopUps};
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file begins with, its version included; then come the checksum, as eight
/// hexadecimal digits, and the document.
const MAGIC: &str = "weir-allowed-1 ";

/// The largest file that is read: as many as the database may have. A hundred thousand
/// grants are some 1.4 KB each at most, and twice that if all their letters are escaped;
/// as many denials and top-ups are less.
const FILE_BYTES_MAX: u64 = 512 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    grants: Vec<GrantKept>,
    denials: Vec<DenialKept>,
    top_ups: Vec<TopUpKept>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantKept {
    id: Arc<str>,
    tenant: Arc<str>,
    project: Option<Arc<str>>,
    environment: Option<Arc<str>>,
    user: Option<Arc<str>>,
    key: Option<Arc<str>>,
    rule: Option<Arc<str>>,
    models: Vec<Arc<str>>,
    calls: Option<u64>,
    cost_nanos: Option<u64>,
    unlimited: bool,
    from_ms: u64,
    until_ms: u64,
    by: Arc<str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DenialKept {
    request: Arc<str>,
    tenant: Arc<str>,
    by: Arc<str>,
    until_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUpKept {
    id: Arc<str>,
    tenant: Arc<str>,
    budget: Arc<str>,
    /// JSON, as the database has it; `None`: the tenant's.
    whose: Option<String>,
    tokens: bool,
    amount: u64,
    from_ms: u64,
    until_ms: u64,
    by: Arc<str>,
    note: Option<Arc<str>>,
}

/// The file, of a folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("allowed")
}

/// Puts a file in the place of an old one.
///
/// # Errors
/// As the disk says.
pub fn write(path: &Path, grants: &Grants, top_ups: &TopUps) -> io::Result<()> {
    let mut document = Document {
        top_ups: top_ups.iter().map(TopUpKept::of).collect(),
        ..Document::default()
    };
    for change in grants.iter() {
        match change {
            GrantChange::Granted(grant) => document.grants.push(GrantKept::of(grant)),
            GrantChange::Denied(denial) => document.denials.push(DenialKept {
                request: denial.request,
                tenant: denial.tenant,
                by: denial.denied_by,
                until_ms: denial.until.0,
            }),
            GrantChange::Revoked(_) | GrantChange::Undenied(_) => {}
        }
    }
    let body = serde_json::to_string(&document)?;
    let mut new_path = path.as_os_str().to_owned();
    new_path.push(".new");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new_path)?;
    let crc = crc32fast::hash(body.as_bytes());
    file.write_all(format!("{MAGIC}{crc:08x}\n{body}").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new_path, path)
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// As the disk says; `InvalidData` where it isn't whole, or not understood.
pub fn read(path: &Path) -> io::Result<Option<(Grants, TopUps)>> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let text = io::read_to_string(io::Read::take(file, FILE_BYTES_MAX))?;
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "it isn't whole");
    let rest = text.strip_prefix(MAGIC).ok_or_else(odd)?;
    let (crc, body) = rest.split_once('\n').ok_or_else(odd)?;
    if crc != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(odd());
    }
    let document: Document = serde_json::from_str(body)?;
    let grants = document.grants.into_iter().map(GrantKept::change);
    let grants: Option<Vec<GrantChange>> = grants.collect();
    let denials = document.denials.into_iter().map(|denial| {
        GrantChange::Denied(Denial {
            request: denial.request,
            tenant: denial.tenant,
            denied_by: denial.by,
            until: UnixMillis(denial.until_ms),
        })
    });
    let top_ups = document.top_ups.into_iter().map(TopUpKept::change);
    let top_ups: Option<Vec<TopUpChange>> = top_ups.collect();
    let grants = grants.ok_or_else(odd)?.into_iter().chain(denials);
    let top_ups = TopUps::default().changed(top_ups.ok_or_else(odd)?);
    Ok(Some((Grants::default().changed(grants), top_ups)))
}

impl GrantKept {
    fn of(grant: Grant) -> Self {
        let (calls, cost_nanos) = match grant.allowance {
            Allowance::Calls(calls) => (Some(calls), None),
            Allowance::CostNanos(nanos) => (None, Some(nanos)),
            Allowance::Unlimited => (None, None),
        };
        Self {
            unlimited: grant.allowance == Allowance::Unlimited,
            id: grant.id,
            tenant: grant.tenant,
            project: grant.project,
            environment: grant.environment,
            user: grant.user,
            key: grant.key_id,
            rule: grant.rule,
            models: grant.models,
            calls,
            cost_nanos,
            from_ms: grant.from.0,
            until_ms: grant.until.0,
            by: grant.granted_by,
        }
    }

    fn change(self) -> Option<GrantChange> {
        let allowance = match (self.calls, self.cost_nanos, self.unlimited) {
            (Some(calls), None, false) => Allowance::Calls(calls),
            (None, Some(nanos), false) => Allowance::CostNanos(nanos),
            (None, None, true) => Allowance::Unlimited,
            _ => return None,
        };
        Some(GrantChange::Granted(Grant {
            id: self.id,
            tenant: self.tenant,
            project: self.project,
            environment: self.environment,
            user: self.user,
            key_id: self.key,
            rule: self.rule,
            models: self.models,
            allowance,
            from: UnixMillis(self.from_ms),
            until: UnixMillis(self.until_ms),
            granted_by: self.by,
        }))
    }
}

impl TopUpKept {
    fn of(top_up: &TopUp) -> Self {
        Self {
            id: Arc::clone(&top_up.id),
            tenant: Arc::clone(&top_up.tenant),
            budget: Arc::clone(&top_up.budget),
            whose: whose_json(&top_up.of),
            tokens: top_up.unit != Unit::Cost,
            amount: top_up.amount,
            from_ms: top_up.from.0,
            until_ms: top_up.until.0,
            by: Arc::clone(&top_up.by),
            note: top_up.note.clone(),
        }
    }

    fn change(self) -> Option<TopUpChange> {
        let of = match self.whose {
            None => Vec::new(),
            Some(text) => whose_of_json(&text)?,
        };
        Some(TopUpChange::Added(TopUp {
            counter: TopUp::counter_of(&self.budget, &self.tenant, &of),
            id: self.id,
            tenant: self.tenant,
            budget: self.budget,
            of,
            unit: if self.tokens {
                Unit::Tokens
            } else {
                Unit::Cost
            },
            amount: self.amount,
            from: UnixMillis(self.from_ms),
            until: UnixMillis(self.until_ms),
            by: self.by,
            note: self.note,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Dimension;
    use std::os::unix::fs::PermissionsExt;

    fn known() -> (Grants, TopUps) {
        let grant = |id: &str, allowance| {
            GrantChange::Granted(Grant {
                id: id.into(),
                tenant: "acme".into(),
                project: Some("p".into()),
                environment: Some("prod".into()),
                user: Some("adá".into()),
                key_id: None,
                rule: Some("big".into()),
                models: vec!["m".into()],
                allowance,
                from: UnixMillis(1),
                until: UnixMillis(9),
                granted_by: "cli/ann".into(),
            })
        };
        let denial = GrantChange::Denied(Denial {
            request: "apr_x".into(),
            tenant: "globex".into(),
            denied_by: "cli/ann".into(),
            until: UnixMillis(7),
        });
        let top_up = |id: &str, of: Vec<(Dimension, Arc<str>)>, unit| {
            TopUpChange::Added(TopUp {
                id: id.into(),
                tenant: "acme".into(),
                budget: "monthly".into(),
                counter: TopUp::counter_of("monthly", "acme", &of),
                of,
                unit,
                amount: crate::limits::AMOUNT_MAX,
                from: UnixMillis(1),
                until: UnixMillis(9),
                by: "cli/ann".into(),
                note: Some("\"\n".into()),
            })
        };
        let grants = Grants::default().changed([
            grant("a", Allowance::Calls(1)),
            grant("b", Allowance::CostNanos(5)),
            grant("c", Allowance::Unlimited),
            denial,
        ]);
        let of = vec![(Dimension::User, Arc::from("ada"))];
        let top_ups = TopUps::default().changed([
            top_up("t", Vec::new(), Unit::Cost),
            top_up("u", of, Unit::Tokens),
        ]);
        (grants, top_ups)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        assert!(read(&path).unwrap().is_none());
        write(&path, &Grants::default(), &TopUps::default()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Default::default()));
        let (grants, top_ups) = known();
        write(&path, &grants, &top_ups).unwrap();
        assert_eq!(read(&path).unwrap(), Some((grants, top_ups)));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        let (grants, top_ups) = known();
        write(&path, &grants, &top_ups).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x01;
            std::fs::write(&path, &changed).unwrap();
            assert!(read(&path).is_err(), "changed at {at}");
        }
    }
}
