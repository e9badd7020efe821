//! An alert: what happened, of which tenant, and a name by which it is known
//! wherever it was made.

use crate::limits::Unit;
use crate::limits::reservation::parts_of_counter_id;
use crate::policy::budget::Passed;
use crate::policy::grants::ApprovalRequest;
use crate::units::{Millis, UnixMillis};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Ends of periods as sidecars know them differ by what their clocks do; periods of
/// budgets are a minute at least.
const END_STEP: Millis = Millis::from_secs(10);

/// The bytes of an id: 128 bits of a hash, so that no two alerts share one by
/// chance.
const ID_BYTES: usize = 16;

/// What alerts are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A budget passed a threshold.
    Budget,
    /// A call waits for consent.
    Approval,
    /// A tenant is refused often.
    Refusals,
    /// Somebody tries whether alerts arrive.
    Test,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// `alr_` and a hash of what it is of, in which period.
    pub id: Arc<str>,
    /// `None`: of none, as of a test.
    pub tenant: Option<Arc<str>>,
    pub at: UnixMillis,
    /// What it is of, whatever the period.
    pub series: Arc<str>,
    /// How far it went: of one series and period, what is no further than what was
    /// told is not told.
    pub level: u64,
    /// When its period ends, about.
    pub ends_at: UnixMillis,
    pub facts: Facts,
}

/// What is said of it. Also how it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    Budget {
        name: Arc<str>,
        /// Whose within the tenant: names by dimension.
        of: BTreeMap<String, String>,
        unit: Arc<str>,
        threshold_per_mille: u64,
        /// Nano-dollars or tokens, what is held included.
        used: u64,
        amount: u64,
        /// It refuses calls.
        refused: bool,
        period_ends_at_ms: Option<u64>,
    },
    Approval {
        /// The request's id.
        request: Arc<str>,
        rule: Arc<str>,
        model: Arc<str>,
        project: Option<Arc<str>>,
        environment: Option<Arc<str>>,
        user: Option<Arc<str>>,
        cost_max_nanos: u64,
        approvers: Option<Arc<str>>,
        expires_at_ms: u64,
    },
    Refusals {
        /// By one sidecar, until it was told.
        count: u64,
        above: u64,
        every_ms: u64,
        window_ends_at_ms: u64,
    },
    Test {},
}

impl Kind {
    /// Those that webhooks may be for.
    pub const ALL: [Kind; 3] = [Kind::Budget, Kind::Approval, Kind::Refusals];

    /// As configurations say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Budget => "budget",
            Kind::Approval => "approval",
            Kind::Refusals => "refusals",
            Kind::Test => "test",
        }
    }

    /// As receivers are told it.
    pub fn event_type(self) -> &'static str {
        match self {
            Kind::Budget => "budget.threshold",
            Kind::Approval => "approval.waiting",
            Kind::Refusals => "refusals.rate",
            Kind::Test => "test",
        }
    }
}

impl Facts {
    pub fn kind(&self) -> Kind {
        match self {
            Facts::Budget { .. } => Kind::Budget,
            Facts::Approval { .. } => Kind::Approval,
            Facts::Refusals { .. } => Kind::Refusals,
            Facts::Test {} => Kind::Test,
        }
    }
}

impl Alert {
    pub fn kind(&self) -> Kind {
        self.facts.kind()
    }

    /// A budget passed a threshold, or refused a call, which is all of it.
    pub fn budget(tenant: &Arc<str>, passed: &Passed, refused: bool, now: UnixMillis) -> Self {
        let ends_at = passed.resets_in_ms.map(|ms| now + Millis(ms));
        // Without an end it is as good as endless, and told once.
        let end = ends_at.map_or(0, |at| to_step(at).0);
        let level = match refused {
            true => 1_000,
            false => passed.threshold_per_mille,
        };
        // Once something is added to it, its thresholds are others.
        let amount = passed.amount.to_string();
        let series = named("ser_", &["budget", tenant, &passed.counter, &amount]);
        let of = parts_of_counter_id(&passed.counter).map(|(_, values)| values);
        let of = passed.scope.dimensions().zip(of.unwrap_or_default());
        // The tenant stands beside it.
        let of = of.filter(|(dimension, _)| dimension.as_str() != "tenant");
        Self {
            id: named("alr_", &[&series, &level.to_string(), &end.to_string()]),
            tenant: Some(Arc::clone(tenant)),
            at: now,
            series,
            level,
            ends_at: ends_at.unwrap_or(UnixMillis(0)),
            facts: Facts::Budget {
                name: Arc::clone(&passed.budget),
                of: of
                    .map(|(dimension, name)| (dimension.as_str().to_owned(), name.to_owned()))
                    .collect(),
                unit: Unit::as_str(passed.unit).into(),
                threshold_per_mille: level,
                used: passed.used,
                amount: passed.amount,
                refused,
                period_ends_at_ms: ends_at.map(|at| to_step(at).0),
            },
        }
    }

    /// A call waits for consent since `waits_since`: each wait is told once, as after
    /// an answer that is used up or over somebody has to answer again.
    pub fn approval(request: &ApprovalRequest, waits_since: UnixMillis) -> Self {
        let series = named("ser_", &["approval", &request.id]);
        Self {
            id: named("alr_", &[&series, &waits_since.0.to_string()]),
            tenant: Some(Arc::clone(&request.tenant)),
            at: request.asked_at,
            series,
            level: 0,
            // A wait ends with its answer, which nobody knows before: it is told from
            // others by its beginning.
            ends_at: waits_since,
            facts: Facts::Approval {
                request: Arc::clone(&request.id),
                rule: Arc::clone(&request.rule),
                model: Arc::clone(&request.model),
                project: request.project.clone(),
                environment: request.environment.clone(),
                user: request.user.clone(),
                cost_max_nanos: request.cost_max_nanos,
                approvers: request.approvers.clone(),
                expires_at_ms: request.expires_at.0,
            },
        }
    }

    /// A tenant was refused more than `above` times in a window.
    pub fn refusals(
        tenant: &Arc<str>,
        count: u64,
        above: u64,
        (every, ends_at): (Millis, UnixMillis),
        now: UnixMillis,
    ) -> Self {
        let series = named("ser_", &["refusals", tenant]);
        Self {
            id: named("alr_", &[&series, &ends_at.0.to_string()]),
            tenant: Some(Arc::clone(tenant)),
            at: now,
            series,
            level: 0,
            ends_at,
            facts: Facts::Refusals {
                count,
                above,
                every_ms: every.0,
                window_ends_at_ms: ends_at.0,
            },
        }
    }

    /// Somebody tries whether alerts arrive at a webhook.
    pub fn test(webhook: &str, now: UnixMillis) -> Self {
        let series = named("ser_", &["test", webhook]);
        Self {
            id: named("alr_", &[&series, &now.0.to_string()]),
            tenant: None,
            at: now,
            series,
            level: 0,
            ends_at: now,
            facts: Facts::Test {},
        }
    }
}

fn to_step(at: UnixMillis) -> UnixMillis {
    let steps = at.0.saturating_add(END_STEP.0 / 2) / END_STEP.0;
    UnixMillis(steps.saturating_mul(END_STEP.0))
}

/// A hash of parts, each with its length before it.
fn named(prefix: &str, parts: &[&str]) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut name = prefix.to_owned();
    for byte in hash.finalize().iter().take(ID_BYTES) {
        // Writing to a string can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::limits::Scope;
    use crate::limits::reservation::counter_id;
    use crate::policy::grants::Approver;

    pub fn passed(per_mille: u64, resets_in_ms: u64) -> Passed {
        Passed {
            budget: "monthly".into(),
            counter: counter_id("monthly", &["acme", "ada"]).into(),
            scope: Scope::USER,
            unit: Unit::Cost,
            threshold_per_mille: per_mille,
            used: 81_234_000_000,
            amount: 100_000_000_000,
            resets_in_ms: Some(resets_in_ms),
        }
    }

    pub fn request(asked_at: u64) -> ApprovalRequest {
        ApprovalRequest {
            id: "apr_1".into(),
            asked_at: UnixMillis(asked_at),
            tenant: "acme".into(),
            project: Some("search".into()),
            environment: None,
            user: Some("ada".into()),
            key_id: "k1".into(),
            plan: "team".into(),
            rule: "big".into(),
            model: "gpt".into(),
            endpoint: "/v1/chat/completions".into(),
            cost_max_nanos: 5_250_000_000,
            valid_for: Millis(3_600_000),
            approvers: Some("finance@acme.com".into()),
            approver: Approver::Operator,
            expires_at: UnixMillis(asked_at + 1_000_000),
        }
    }

    #[test]
    fn sidecars_give_an_alert_one_name_for_a_period_and_threshold() {
        let tenant: Arc<str> = "acme".into();
        let id = |per_mille, resets_in, now| {
            Alert::budget(
                &tenant,
                &passed(per_mille, resets_in),
                false,
                UnixMillis(now),
            )
            .id
        };
        let first = id(500, 100_000, 1_000_000);
        // Another clock, a moment later.
        assert_eq!(first, id(500, 99_000, 1_001_004));
        assert_ne!(first, id(800, 100_000, 1_000_000));
        assert_ne!(first, id(500, 160_000, 1_000_000), "the period after");
        assert!(first.starts_with("alr_") && first.len() == 36 && !first.contains('.'));
        let other = Alert::budget(
            &"globex".into(),
            &passed(500, 100_000),
            false,
            UnixMillis(1_000_000),
        );
        assert_ne!(first, other.id);
        // Something was added to it.
        let topped_up = Passed {
            amount: 150_000_000_000,
            ..passed(500, 100_000)
        };
        let more = Alert::budget(&tenant, &topped_up, false, UnixMillis(1_000_000));
        assert!(more.id != first && more.series != other.series);
        // A refusal is all of it.
        let refused = Alert::budget(&tenant, &passed(800, 100_000), true, UnixMillis(1_000_000));
        assert_eq!(refused.id, id(1_000, 100_000, 1_000_000));
        let Facts::Budget { of, .. } = refused.facts else {
            panic!()
        };
        assert_eq!(of, BTreeMap::from([("user".to_owned(), "ada".to_owned())]));
    }

    #[test]
    fn what_waits_for_approval_is_told_once_a_wait() {
        let id = |at, since| Alert::approval(&request(at), UnixMillis(since)).id;
        assert_eq!(id(5_000, 5_000), id(90_000_000, 5_000));
        assert_ne!(id(5_000, 5_000), id(25_000, 25_000), "the wait after");
    }

    #[test]
    fn facts_come_back_as_they_were() {
        let tenant: Arc<str> = "acme".into();
        for alert in [
            Alert::budget(&tenant, &passed(800, 100_000), false, UnixMillis(5)),
            Alert::approval(&request(7), UnixMillis(7)),
            Alert::refusals(
                &tenant,
                51,
                50,
                (Millis(60_000), UnixMillis(60_000)),
                UnixMillis(9),
            ),
            Alert::test("ops", UnixMillis(1)),
        ] {
            let text = serde_json::to_string(&alert.facts).unwrap();
            assert_eq!(
                serde_json::from_str::<Facts>(&text).unwrap(),
                alert.facts,
                "{text}"
            );
        }
    }
}
