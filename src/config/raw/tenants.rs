//! Tenants as they are written, with what stands below their plans.

use super::plans::{self, RawPlan};
use super::policy::Name;
use crate::config::reader::{Fields, Item, Located};

#[derive(Debug)]
pub struct RawTenant {
    pub name: Name,
    pub plan: Option<Name>,
    /// Most have nothing below their plan.
    pub below: Option<Box<RawBelow>>,
    /// All below that could be read.
    pub is_read: bool,
}

/// What stands below a tenant's plan.
#[derive(Debug, Default)]
pub struct RawBelow {
    pub own: Option<RawPlan>,
    pub projects: Vec<RawProject>,
    pub environments: Vec<RawNarrow>,
    pub users: Vec<RawNarrow>,
}

#[derive(Debug)]
pub struct RawProject {
    pub own: RawNarrow,
    pub environments: Vec<RawNarrow>,
}

/// A plan that stands below another one.
#[derive(Debug)]
pub struct RawNarrow {
    pub name: Name,
    /// One that is written elsewhere.
    pub plan: Option<Name>,
    /// What is written here.
    pub own: Option<RawPlan>,
}

pub fn tenants(top: &Fields) -> Option<Located<Vec<RawTenant>>> {
    let item = top.required("tenants", "who may call, and on which plan")?;
    let tenants = item.named()?.map(tenant).collect();
    Some(Located {
        value: tenants,
        at: item.at,
    })
}

fn tenant((name, item): (Name, Item)) -> RawTenant {
    const WITH_BELOW: &[&str] = &[
        "plan",
        "projects",
        "environments",
        "users",
        "limits",
        "budgets",
        "output",
        "allow",
        "guardrails",
        "policies",
        "time_zone",
    ];
    let mut tenant = RawTenant {
        name,
        plan: None,
        below: None,
        is_read: false,
    };
    let Some(fields) = item.fields(WITH_BELOW) else {
        return tenant;
    };
    tenant.is_read = true;
    let plan = fields.required("plan", "the name of one of the plans");
    tenant.plan = plan.and_then(|item| item.name());
    let has_more = WITH_BELOW
        .iter()
        .skip(1)
        .any(|name| fields.optional(name).is_some());
    if has_more {
        let below = below(&tenant.name, &fields);
        tenant.is_read = below.is_some();
        tenant.below = below.map(Box::new);
    }
    tenant
}

fn below(name: &Name, fields: &Fields) -> Option<RawBelow> {
    let projects = match fields.optional("projects") {
        None => Some(Vec::new()),
        Some(item) => {
            let named = item.named()?;
            named.map(project).collect::<Option<Vec<_>>>()
        }
    };
    let environments = narrows(fields, "environments");
    let users = narrows(fields, "users");
    Some(RawBelow {
        own: own(name, fields),
        projects: projects?,
        environments: environments?,
        users: users?,
    })
}

/// What is written for the tenant, project, ... itself.
fn own(name: &Name, fields: &Fields) -> Option<RawPlan> {
    let is_there = plans::FIELDS
        .iter()
        .any(|name| fields.optional(name).is_some());
    is_there.then(|| plans::terms(name.clone(), fields))
}

fn project((name, item): (Name, Item)) -> Option<RawProject> {
    const WITH_ENVIRONMENTS: &[&str] = &[
        "plan",
        "environments",
        "limits",
        "budgets",
        "output",
        "allow",
        "guardrails",
        "policies",
        "time_zone",
    ];
    let fields = item.fields(WITH_ENVIRONMENTS)?;
    let environments = narrows(&fields, "environments");
    Some(RawProject {
        own: narrow(name, &fields)?,
        environments: environments?,
    })
}

/// Several by name; or their names alone, of which nothing more is said.
fn narrows(fields: &Fields, name: &str) -> Option<Vec<RawNarrow>> {
    const FIELDS: &[&str] = &[
        "plan",
        "limits",
        "budgets",
        "output",
        "allow",
        "guardrails",
        "policies",
        "time_zone",
    ];
    let Some(item) = fields.optional(name) else {
        return Some(Vec::new());
    };
    if !item.is_mapping() {
        let names: Vec<Option<Name>> = item.list()?.iter().map(Item::name).collect();
        let names = names.into_iter().collect::<Option<Vec<Name>>>()?;
        let bare = names.into_iter().map(|name| RawNarrow {
            name,
            plan: None,
            own: None,
        });
        return Some(bare.collect());
    }
    let named = item.named()?;
    let all: Vec<Option<RawNarrow>> = named
        .map(|(name, item)| narrow(name, &item.fields(FIELDS)?))
        .collect();
    all.into_iter().collect()
}

fn narrow(name: Name, fields: &Fields) -> Option<RawNarrow> {
    let plan = match fields.optional("plan") {
        None => None,
        Some(item) => Some(item.name()?),
    };
    let own = own(&name, fields);
    Some(RawNarrow { name, plan, own })
}
