//! What stands below the plans of tenants.

use super::named;
use super::plans::of_plan;
use crate::policy::terms::{Narrower, Project};
use crate::policy::{ByName, Plan, Snapshot};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The most tenants that are told of, by name.
const TENANTS_MAX: usize = 1_000;

/// The first tenants that have something there.
pub(super) fn of_tenants(snapshot: &Snapshot) -> Value {
    let tenants = snapshot.tenants.iter();
    let below = tenants.filter_map(|(name, tenant)| Some((&**name, tenant.narrower.as_ref()?)));
    let mut below: Vec<(&str, &Arc<Narrower>)> = below.collect();
    below.sort_unstable_by_key(|(name, _)| *name);
    below.truncate(TENANTS_MAX);
    named(
        below
            .into_iter()
            .map(|(name, below)| (name, of_narrower(below))),
    )
}

fn of_narrower(narrower: &Narrower) -> Value {
    let mut shown = own(narrower.tenant.as_ref());
    let projects = narrower.projects.iter();
    let projects = projects.map(|(name, project)| (&**name, of_project(project)));
    for (field, value) in [
        ("projects", named(projects)),
        ("environments", of_plans(&narrower.environments)),
        ("users", of_plans(&narrower.users)),
    ] {
        shown.insert(field.to_owned(), value);
    }
    Value::Object(shown)
}

fn of_project(project: &Project) -> Value {
    let mut shown = own(project.plan.as_ref());
    let environments = of_plans(&project.environments);
    shown.insert("environments".to_owned(), environments);
    Value::Object(shown)
}

fn own(plan: Option<&Arc<Plan>>) -> Map<String, Value> {
    match plan.map(|plan| of_plan(plan)) {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    }
}

fn of_plans(plans: &ByName<Arc<Plan>>) -> Value {
    named(plans.iter().map(|(name, plan)| (&**name, of_plan(plan))))
}
