//! What is told of a call: who makes it, what applies to it with its values, and what
//! would become of it. Money is in nano-dollars, spans of time in milliseconds.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// All that is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The time that it was asked for, in Unix milliseconds.
    pub at_ms: u64,
    /// `None`: nobody is known by what was said.
    pub caller: Option<CallerTold>,
    /// Its plan, and what stands below it, the widest first.
    pub plans: Vec<String>,
    pub endpoint: Option<String>,
    pub dialect: Option<String>,
    pub model: Option<ModelTold>,
    /// `None` where the call can't be planned.
    pub estimate: Option<EstimateTold>,
    /// Of the plans, the key, and those that tenants share; budgets among them.
    pub limits: Vec<LimitTold>,
    pub rules: Vec<RuleTold>,
    pub guardrails: Vec<GuardrailTold>,
    pub verdict: VerdictTold,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerTold {
    pub tenant: String,
    pub project: Option<String>,
    pub environment: Option<String>,
    pub user: Option<String>,
    pub key: Option<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelTold {
    /// The name that the call has.
    pub asked: String,
    /// What it is before rules shape it.
    pub chosen: Option<String>,
    /// What it goes to.
    pub served: Option<String>,
    pub tier: Option<String>,
    pub provider: Option<String>,
    /// Why it isn't what was asked for.
    pub why: Vec<String>,
    /// Of a virtual model, each way, until the one that counts.
    pub ways: Vec<WayTold>,
}

/// A way of a virtual model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayTold {
    pub when: Option<String>,
    pub held: &'static str,
    /// With their weights.
    pub models: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EstimateTold {
    /// The best estimate of the input.
    pub input_tokens: u64,
    /// What is held for it.
    pub input_tokens_max: u64,
    /// The most that all answers together can have.
    pub output_tokens_max: u64,
    /// What is held for them: that, or what is expected.
    pub output_tokens_held: u64,
    /// The most tokens of one answer.
    pub max_tokens: u64,
    pub cost_max_nanos: Option<u64>,
    pub cost_held_nanos: Option<u64>,
    pub price_version: Option<String>,
}

/// A limit or a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitTold {
    pub name: String,
    pub kind: &'static str,
    /// The plan that it is of; `key`, `shared` or `grant` where it is of none.
    pub of: String,
    pub per: String,
    pub unit: &'static str,
    pub algorithm: &'static str,
    pub mode: &'static str,
    /// There must be room for the most that the call can use.
    pub hard: bool,
    /// With what was added to it.
    pub amount: u64,
    pub topped_up: u64,
    /// What is taken, what open calls hold included.
    pub used: Option<u64>,
    pub held: Option<u64>,
    /// What this call would take.
    pub takes: u64,
    /// What there must be room for.
    pub needs: u64,
    pub remaining: Option<u64>,
    /// When it is at rest, or its period of the calendar ends. `None`: nothing is used,
    /// and what is used later decides when.
    pub resets_in_ms: Option<u64>,
    /// `None`: how it stands isn't known.
    pub fits: Option<bool>,
    /// When the same call would pass: `after`, `when_one_ends` or `never`.
    pub retry: Option<&'static str>,
    pub retry_after_ms: Option<u64>,
    /// Thresholds of a budget, in thousandths of its amount.
    pub warn_at_per_mille: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleTold {
    pub name: String,
    pub plan: String,
    /// `None`: it always holds.
    pub when: Option<String>,
    /// The values of what its condition names; null where there is none.
    pub facts: BTreeMap<String, Value>,
    /// `yes`, `no`, `no_value`, or `waits` for counters that couldn't be looked at.
    pub held: &'static str,
    /// As a configuration would say it.
    pub then: Vec<String>,
    pub mode: &'static str,
}

/// A bound on what a call may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardrailTold {
    pub name: String,
    pub asked: Option<u64>,
    pub most: Option<u64>,
    /// Names that are forbidden or dropped.
    pub names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictTold {
    /// `allowed` or `refused`.
    pub decision: &'static str,
    /// What it is besides: `downgraded`, `clamped`, `delayed`, `blocked`,
    /// `needs_approval`, `limited` and the like.
    pub is: Vec<String>,
    /// The rule, limit or reason that refused it.
    pub by: Option<String>,
    /// What policy did, as the ledger has it.
    pub actions: Vec<String>,
    /// Limits in shadow mode that would have refused it.
    pub would_refuse: Vec<String>,
    pub delay_ms: u64,
    /// Thresholds of budgets that it passes: name, and percent.
    pub passed: BTreeMap<String, u64>,
    /// As it goes to the provider.
    pub sent: Option<SentTold>,
    /// What its client gets, where it is refused.
    pub answer: Option<AnswerTold>,
}

/// How a call goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentTold {
    /// Headers that the gateway routes by.
    pub headers: BTreeMap<String, String>,
    /// Fields of the body that change: each with what it was and what it becomes.
    pub edits: BTreeMap<String, EditTold>,
    /// Headers of the answer to come. When limits are at rest is told as of before
    /// the call.
    pub answer_headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EditTold {
    pub from: Value,
    pub to: Value,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerTold {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}
