//! What became of a tenant's calls, and the report of all.

use crate::cli::usage::format::table::{columns, printable};
use crate::ledger::reports::money::{grouped, rounded};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How calls are refused that need somebody's consent.
const NEEDS_APPROVAL: &str = "approval_required";

/// What became of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub refused: bool,
    pub refusal: Option<Arc<str>>,
    /// The limit, rule or reason.
    pub refused_by: Option<Arc<str>>,
    pub downgraded: bool,
    pub clamped: bool,
    pub delayed: bool,
}

/// Of a tenant's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub calls: u64,
    /// Of which weir has read nothing, so nothing is told.
    pub unread: u64,
    pub refused: u64,
    pub refused_by: BTreeMap<Arc<str>, u64>,
    pub needs_approval: u64,
    pub downgraded: u64,
    pub clamped: u64,
    pub delayed: u64,
    /// Calls that were refused then, beside the others; and those of them that the draft
    /// would let through.
    pub refused_then: u64,
    pub would_pass: u64,
    /// Let through, at a model without a price.
    pub unpriced: u64,
    pub cost_then_nanos: u128,
    pub cost_draft_nanos: u128,
}

/// Of all calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub calls: u64,
    pub tenants: BTreeMap<Arc<str>, Tally>,
    /// Rules that speak of what rows don't tell.
    pub blind: BTreeSet<String>,
}

/// What holds for every replay.
const FOOTER: &str = "Not told by the ledger, so without a value here: headers, metadata and \
                      tools, numbers of messages, images and answers. Calls that were refused \
                      then are judged as if they had no input and asked for all that their model \
                      can answer, and take nothing; grants count as they held; waiting takes no \
                      time; the most that a call could produce is what was held for it.\n";

impl Tally {
    pub fn add(&mut self, fate: &Fate) {
        let approval = fate.refusal.as_deref() == Some(NEEDS_APPROVAL);
        if fate.refused && approval {
            self.needs_approval += 1;
        } else if fate.refused {
            self.refused += 1;
            let by = fate.refused_by.clone().unwrap_or_else(|| "unknown".into());
            *self.refused_by.entry(by).or_default() += 1;
        }
        self.downgraded += u64::from(fate.downgraded);
        self.clamped += u64::from(fate.clamped);
        self.delayed += u64::from(fate.delayed);
    }

    fn saved_nanos(&self) -> i128 {
        let wide = |nanos: u128| i128::try_from(nanos).unwrap_or(i128::MAX);
        wide(self.cost_then_nanos).saturating_sub(wide(self.cost_draft_nanos))
    }

    fn json(&self) -> Value {
        let number = |nanos: u128| u64::try_from(nanos).unwrap_or(u64::MAX);
        let saved = i64::try_from(self.saved_nanos()).unwrap_or(i64::MAX);
        let by = self.refused_by.iter();
        let by: Map<String, Value> = by.map(|(by, n)| (by.to_string(), (*n).into())).collect();
        json!({
            "calls": self.calls, "unread": self.unread, "refused": self.refused,
            "refused_by": by, "needs_approval": self.needs_approval,
            "downgraded": self.downgraded, "clamped": self.clamped, "delayed": self.delayed,
            "refused_then": self.refused_then, "would_pass": self.would_pass,
            "unpriced": self.unpriced, "cost_then_nanos": number(self.cost_then_nanos),
            "cost_draft_nanos": number(self.cost_draft_nanos), "saved_nanos": saved,
        })
    }

    fn line(&self, name: &str) -> Vec<String> {
        let counts = [
            self.calls,
            self.refused,
            self.needs_approval,
            self.downgraded,
            self.clamped,
            self.delayed,
        ];
        let money = |nanos: u128| rounded(i128::try_from(nanos).unwrap_or(i128::MAX));
        let mut line = vec![printable(name)];
        line.extend(counts.map(|count| grouped(count.into())));
        line.push(money(self.cost_then_nanos));
        line.push(money(self.cost_draft_nanos));
        line.push(rounded(self.saved_nanos()));
        line
    }

    fn plus(mut self, other: &Self) -> Self {
        self.calls += other.calls;
        self.unread += other.unread;
        self.refused += other.refused;
        for (by, count) in &other.refused_by {
            *self.refused_by.entry(Arc::clone(by)).or_default() += count;
        }
        self.needs_approval += other.needs_approval;
        self.downgraded += other.downgraded;
        self.clamped += other.clamped;
        self.delayed += other.delayed;
        self.refused_then += other.refused_then;
        self.would_pass += other.would_pass;
        self.unpriced += other.unpriced;
        self.cost_then_nanos += other.cost_then_nanos;
        self.cost_draft_nanos += other.cost_draft_nanos;
        self
    }
}

impl Report {
    fn all(&self) -> Tally {
        let tallies = self.tenants.values();
        tallies.fold(Tally::default(), Tally::plus)
    }

    pub fn json(&self) -> Value {
        let tenants = self.tenants.iter();
        let tenants: Map<String, Value> = tenants
            .map(|(name, tally)| (name.to_string(), tally.json()))
            .collect();
        json!({
            "calls": self.calls, "tenants": tenants, "all": self.all().json(),
            "rules_without_values": self.blind, "note": FOOTER.trim_end(),
        })
    }

    /// Of those that were refused then, by tenant.
    fn refused_then(&self) -> String {
        let then = self.tenants.iter();
        let then = then.filter(|(_, tally)| tally.refused_then > 0);
        let then = then.map(|(tenant, tally)| {
            let counts = [tally.refused_then, tally.would_pass];
            let counts = counts.map(|count| grouped(count.into()));
            [vec![printable(tenant)], counts.to_vec()].concat()
        });
        let then: Vec<Vec<String>> = then.collect();
        if then.is_empty() {
            return String::new();
        }
        let head = ["TENANT", "REFUSED THEN", "WOULD PASS"];
        let head = head.map(str::to_owned).to_vec();
        format!("\n{}", columns(&[vec![head], then].concat(), 1))
    }

    pub fn text(&self) -> String {
        const HEAD: [&str; 10] = [
            "TENANT",
            "CALLS",
            "REFUSED",
            "APPROVAL",
            "DOWNGRADED",
            "CLAMPED",
            "DELAYED",
            "COST THEN $",
            "WITH DRAFT $",
            "SAVED $",
        ];
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        lines.extend(self.tenants.iter().map(|(name, tally)| tally.line(name)));
        let all = self.all();
        if self.tenants.len() > 1 {
            lines.push(all.line("all"));
        }
        let mut text = columns(&lines, 1);
        let by = self.tenants.iter().flat_map(|(tenant, tally)| {
            let by = tally.refused_by.iter();
            by.map(|(by, count)| vec![printable(tenant), printable(by), grouped((*count).into())])
        });
        let by: Vec<Vec<String>> = by.collect();
        if !by.is_empty() {
            let head = ["TENANT", "REFUSED BY", "CALLS"]
                .map(str::to_owned)
                .to_vec();
            text.push('\n');
            text += &columns(&[vec![head], by].concat(), 2);
        }
        text += &self.refused_then();
        text.push('\n');
        if all.unread > 0 {
            text += &format!(
                "{} calls that weir had not read are left out.\n",
                all.unread
            );
        }
        if all.unpriced > 0 {
            text += &format!(
                "{} calls would go to a model without a price, and count as 0.\n",
                all.unpriced
            );
        }
        text += FOOTER;
        for rule in &self.blind {
            text += &format!("Speaks of what isn't told: {}\n", printable(rule));
        }
        text
    }
}
