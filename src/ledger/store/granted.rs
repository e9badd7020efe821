//! What was used of grants: of each, the calls that its rows tell it let through.

use super::Store;
use super::error::StoreError;
use super::measure::{Dimension, Measure, Sums};
use super::query::Condition;
use super::usage::{kept, push_conditions, push_span};
use super::value::{Type, Value};
use crate::policy::grants::grant_of_action;
use crate::units::UnixMillis;
use std::collections::{BTreeSet, HashMap};

/// The most lists of actions that calls of some tenants are told apart by: a tenant
/// has so many grants and rules, and more than these are nobody's.
const GROUPS_MAX: usize = 500_000;

const TYPES: [Type; 4] = [Type::Text, Type::Text, Type::Int, Type::Int];

/// What was used of each grant, by its tenant and its id.
pub type Granted = HashMap<(String, String), Sums>;

impl Store {
    /// Calls, and what they cost, by tenant and by the grant that let them through: those of some
    /// tenants in a span of time that ended before a time, void ones aside. Beside
    /// them the time from which rows are kept: what was before it isn't in there.
    ///
    /// # Errors
    /// [`StoreError::Large`], [`StoreError::Away`].
    pub async fn sums_of_granted(
        &self,
        tenants: &[&str],
        (since, until): (UnixMillis, UnixMillis),
        ended_before: UnixMillis,
    ) -> Result<(Granted, UnixMillis), StoreError> {
        let wide = |at: UnixMillis| i64::try_from(at.0).unwrap_or(i64::MAX);
        let of_tenants = Condition {
            dimension: Dimension::Tenant,
            among: true,
            names: tenants.iter().map(|name| Some((*name).into())).collect(),
        };
        let not_void = Condition::is_not(Dimension::Outcome, "void");
        let mut tx = self.pool.read().await?;
        let kept_from = kept(&mut tx).await?.rows_from;
        let mut sql = tx.sql(
            "SELECT c.tenant, c.actions, COUNT(*), CAST(COALESCE(SUM(c.cost_nanos), 0) AS BIGINT) \
             FROM calls c WHERE ",
        );
        push_span(&mut sql, "c", wide(since), wide(until));
        push_conditions(&mut sql, "c", &[of_tenants, not_void]);
        sql.push(" AND c.actions LIKE '%:grant=%' AND c.ended_at_ms < ");
        sql.push_value(Value::Int(wide(ended_before)));
        sql.push(&format!(
            " GROUP BY c.tenant, c.actions LIMIT {}",
            GROUPS_MAX + 1
        ));
        let rows = tx.fetch(sql, &TYPES).await?;
        tx.rollback().await?;
        if rows.len() > GROUPS_MAX {
            return Err(StoreError::Large);
        }
        let mut used: Granted = HashMap::new();
        for row in rows {
            let [
                Value::Text(tenant),
                Value::Text(actions),
                Value::Int(calls),
                Value::Int(nanos),
            ] = row.as_slice()
            else {
                continue;
            };
            // What isn't understood was never written.
            let actions: Vec<String> = serde_json::from_str(actions).unwrap_or_default();
            // One that answers several rules was used once.
            let granted: BTreeSet<&str> = actions
                .iter()
                .filter_map(|action| grant_of_action(action))
                .collect();
            for grant in granted {
                let of = used.entry((tenant.clone(), grant.to_owned())).or_default();
                of.add(Measure::Calls, i128::from(*calls));
                of.add(Measure::CostNanos, i128::from(*nanos));
            }
        }
        Ok((used, kept_from))
    }
}
