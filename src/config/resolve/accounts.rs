//! Tenants and the keys that call on their account.

use super::plans::Policy;
use super::{ledger, own_limits, routes};
use crate::config::Outside;
use crate::config::problem::{At, Findings, did_you_mean, looks_like_key, shown};
use crate::config::raw::{self, Raw, RawKey, RawTenant};
use crate::config::reader::Located;
use crate::config::secret::{Secret, SecretSource, read_pepper};
use crate::identity::source::Source;
use crate::identity::table::{Account, Key};
use crate::identity::{KeyDigest, KeyRing, KeyTable, Peppers};
use crate::policy::{ByName, PlanLimit, Sources, Tenant};
use ahash::RandomState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Who is written, as far as that could be read.
#[derive(Default)]
pub struct Tenants {
    on_plans: ByName<Tenant>,
    /// Those that name no plan that exists.
    without: HashSet<Arc<str>>,
}

impl Tenants {
    fn is_empty(&self) -> bool {
        self.on_plans.is_empty() && self.without.is_empty()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.on_plans.keys().chain(&self.without);
        all.map(|name| &**name)
    }

    fn has(&self, name: &str) -> bool {
        self.on_plans.contains_key(name) || self.without.contains(name)
    }

    pub fn plan_of(&self, name: &str) -> Option<&Arc<str>> {
        self.on_plans.get(name).map(|tenant| &tenant.plan)
    }
}

/// The keys, and each tenant's plan.
pub struct Accounts {
    pub keys: KeyRing,
    pub sources: Sources,
    pub tenants: ByName<Tenant>,
    pub default_plan: Option<Arc<str>>,
    pub own_limits: ByName<Arc<[PlanLimit]>>,
}

/// `None` after a problem. `policy` is `None` after one of its own.
pub fn accounts(
    raw: &Raw,
    policy: Option<&Policy>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Accounts> {
    let peppers = peppers(raw, outside, findings);
    let tenants = tenants(raw, policy, findings);
    let default_plan = default_plan(raw, findings);
    let may_be_stored = ledger::has_database(raw);
    let keys = match (&raw.keys, &raw.keys_are_missing) {
        (Some(keys), _) => {
            let none_is_there = keys.value.is_empty() && raw.sources.is_none();
            none(none_is_there, &keys.at, may_be_stored, findings);
            keys.value.as_slice()
        }
        (None, Some(at)) => {
            none(true, at, may_be_stored, findings);
            &[]
        }
        (None, None) => return None,
    };
    let sources = sources(raw, &tenants, findings);
    let written = all(keys, &tenants, findings);
    let routes = routes::names(raw);
    let asked = (raw.condition_headers.as_deref(), routes.as_ref());
    let own_limits = own_limits::of_keys(keys, policy, &tenants, asked, findings);
    if !may_be_stored {
        warn_of_idle_tenants(raw, keys, findings);
    }
    let peppers = peppers?;
    // Doubles have been reported, with the place of the first.
    let table = KeyTable::of(written?).ok()?;
    Some(Accounts {
        sources: sources?,
        keys: KeyRing {
            peppers: Some(peppers),
            configured: Arc::new(table),
            ..KeyRing::default()
        },
        default_plan: default_plan?,
        own_limits: own_limits?,
        tenants: tenants.without.is_empty().then_some(tenants.on_plans)?,
    })
}

/// Reports that there is no key, be it for ever or as yet.
fn none(there_is_none: bool, at: &At, may_be_stored: bool, findings: &Findings) {
    match (there_is_none, may_be_stored) {
        (false, _) => {}
        (true, true) => findings.warning(
            at,
            "there is no key: nobody can call until `weir keys create` has made one",
        ),
        (true, false) => findings.problem(
            at,
            "must have at least one key, or nobody can call: keys can also be kept in the \
             ledger's database, where there is one",
        ),
    }
}

/// `None` after a problem.
fn default_plan(raw: &Raw, findings: &Findings) -> Option<Option<Arc<str>>> {
    let Some(named) = &raw.default_plan else {
        return Some(None);
    };
    // Plans that couldn't be read have been reported.
    let plans = raw.plans.as_ref()?;
    let mut names = plans.value.iter().map(|plan| &plan.name.value);
    let plan = names.find(|name| **name == named.value);
    if plan.is_none() {
        let known = plans.value.iter().map(|plan| &*plan.name.value);
        unknown("plan", named, known, findings);
    }
    Some(Some(Arc::clone(plan?)))
}

fn sources(raw: &Raw, tenants: &Tenants, findings: &Findings) -> Option<Sources> {
    let Some(written) = &raw.sources else {
        return Some(Sources::default());
    };
    let written = written.as_ref()?;
    raw::sources::warn(written, findings);
    for source in &written.value {
        if let Source::Anonymous(caller) = source
            && !tenants.is_empty()
            && !tenants.has(&caller.account.tenant)
        {
            let tenant = Located {
                value: Arc::clone(&caller.account.tenant),
                at: written.at.clone(),
            };
            unknown("tenant", &tenant, tenants.names(), findings);
            return None;
        }
    }
    Some(Sources(written.value.clone().into()))
}

fn peppers(raw: &Raw, outside: &dyn Outside, findings: &Findings) -> Option<Peppers> {
    let read = |source: &Located<SecretSource>| {
        read_pepper(&source.value, outside)
            .map_err(|error| findings.problem(&source.at, error.to_string()))
            .ok()
    };
    let now = raw.pepper.as_ref().and_then(read);
    let before = match &raw.previous_pepper {
        None => Some(None),
        Some(source) => source.as_ref().and_then(read).map(Some),
    };
    Some(Peppers {
        now: now?,
        before: before?,
    })
}

fn tenants(raw: &Raw, policy: Option<&Policy>, findings: &Findings) -> Tenants {
    let Some(tenants) = &raw.tenants else {
        return Tenants::default();
    };
    if tenants.value.is_empty() {
        findings.problem(&tenants.at, "must have at least one tenant");
    }
    let plans: Option<HashMap<&str, &Arc<str>>> = raw.plans.as_ref().map(|plans| {
        let names = plans.value.iter().map(|plan| &plan.name.value);
        names.map(|name| (&**name, name)).collect()
    });
    let plan = |tenant: &RawTenant| {
        let named = tenant.plan.as_ref()?;
        // Plans that couldn't be read have been reported.
        let known = plans.as_ref()?;
        let plan = known.get(&*named.value).map(|name| Arc::clone(name));
        if plan.is_none() {
            unknown("plan", named, known.keys().copied(), findings);
        }
        plan
    };
    let mut found = Tenants {
        // Room for all at once: there may be a million.
        on_plans: ByName::with_capacity_and_hasher(tenants.value.len(), RandomState::new()),
        without: HashSet::new(),
    };
    for tenant in &tenants.value {
        let name = &tenant.name.value;
        let below = policy.and_then(|policy| policy.narrower.get(name));
        match plan(tenant) {
            Some(plan) => {
                let narrower = below.cloned();
                let tenant = Tenant { plan, narrower };
                found.on_plans.insert(Arc::clone(name), tenant);
            }
            None => {
                found.without.insert(Arc::clone(name));
            }
        }
    }
    found
}

/// All keys; `None` where one of them has a problem.
fn all(keys: &[RawKey], tenants: &Tenants, findings: &Findings) -> Option<Vec<Key>> {
    let mut ids = HashMap::new();
    let mut digests = HashMap::new();
    let mut all = Some(Vec::with_capacity(keys.len()));
    for key in keys {
        if let Some(id) = &key.id {
            once(id, Arc::clone(&id.value), &mut ids, "id", findings);
        }
        let digest = key.hash.as_ref().and_then(|hash| {
            let digest = digest(hash, findings)?;
            once(hash, digest, &mut digests, "hash", findings);
            Some(digest)
        });
        let has_plan = key.attributes.tenant.as_ref().is_some_and(|tenant| {
            // A file without readable tenants has been reported as that.
            if !tenants.is_empty() && !tenants.has(&tenant.value) {
                unknown("tenant", tenant, tenants.names(), findings);
            }
            tenants.plan_of(&tenant.value).is_some()
        });
        match (digest.and_then(|digest| read(key, digest)), &mut all) {
            (Some(key), Some(all)) if has_plan => all.push(key),
            _ => all = None,
        }
    }
    all
}

fn read(key: &RawKey, digest: KeyDigest) -> Option<Key> {
    let value =
        |name: &Option<Located<Arc<str>>>| name.as_ref().map(|name| Arc::clone(&name.value));
    let written = &key.attributes;
    if !written.is_read {
        return None;
    }
    let scopes = written.scopes.clone();
    let id = value(&key.id)?;
    Some(Key {
        digest,
        user: value(&written.user),
        account: Account {
            tenant: value(&written.tenant)?,
            project: value(&written.project),
            environment: value(&written.environment),
            labels: (!written.labels.is_empty()).then(|| written.labels.clone().into()),
            scopes: scopes
                .filter(|scopes| !scopes.is_everything())
                .map(Arc::new),
            limits: written.limits.as_ref().map(|_| own_limits::name(&id)),
        },
        id,
        ends_at: written.ends_at,
        replaced: false,
    })
}

/// Reports a value that an earlier key has already.
fn once<T, V: std::hash::Hash + Eq>(
    written: &Located<T>,
    value: V,
    lines: &mut HashMap<V, u32>,
    what: &str,
    findings: &Findings,
) {
    let line = written.at.place.map_or(0, |place| place.line);
    match lines.get(&value) {
        Some(first) => findings.problem(
            &written.at,
            format!("another key has this {what} (in line {first})"),
        ),
        None => {
            lines.insert(value, line);
        }
    }
}

fn digest(hash: &Located<Secret>, findings: &Findings) -> Option<KeyDigest> {
    let text = hash.value.expose();
    let digest = KeyDigest::from_hex(text);
    if digest.is_none() {
        findings.problem(
            &hash.at,
            if looks_like_key(text) {
                "is a key itself, not its hash: it must be replaced by a new one, of which \
                 `weir keys hash` prints the hash"
                    .to_owned()
            } else {
                let len = text.chars().count();
                format!(
                    "must be 64 hexadecimal digits, as `weir keys hash` prints them (got {len} \
                     characters)"
                )
            },
        );
    }
    digest
}

fn unknown<'c>(
    what: &str,
    named: &Located<Arc<str>>,
    known: impl Iterator<Item = &'c str>,
    findings: &Findings,
) {
    let hint = match findings.is_full() {
        true => String::new(),
        false => did_you_mean(&named.value, known),
    };
    let text = format!("there is no {what} {}{hint}", shown(&named.value));
    findings.problem(&named.at, text);
}

fn warn_of_idle_tenants(raw: &Raw, keys: &[RawKey], findings: &Findings) {
    let called: HashSet<&str> = keys
        .iter()
        .filter_map(|key| Some(&*key.attributes.tenant.as_ref()?.value))
        .collect();
    for tenant in raw.tenants.iter().flat_map(|tenants| &tenants.value) {
        if !called.contains(&*tenant.name.value) {
            findings.warning(&tenant.name.at, "no key belongs to this tenant");
        }
    }
}
