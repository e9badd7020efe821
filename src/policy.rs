//! What applies to a call: plans, models and tenants, resolved and immutable.
//!
//! A [`Snapshot`] is built whole by configuration and swapped whole; a call
//! keeps the one it began with. [`terms`] says what of it applies to a caller,
//! [`rule`] what becomes of a call then. [`descriptors`] stands apart: what applies
//! to requests that are no calls.

pub mod budget;
pub mod charged;
pub mod choice;
pub mod descriptors;
pub mod expected;
pub mod facts;
pub mod failures;
pub mod grants;
mod limit;
pub mod plan;
pub mod route;
pub mod rule;
pub mod standing;
pub mod terms;
pub mod token_ratios;
pub mod top_ups;

pub use crate::tokens::Vocabulary;
pub use crate::tokens::ratios::{ModelRatio, Ratio};
pub use limit::{Call, PlanLimit, When, charges, charges_of};
pub use plan::{Entitlements, Guardrails, Hold, OutputRule, Over, Plan};
pub use terms::{Tenant, Terms};

use charged::Charged;

use crate::identity::source::{Places, Source};
use crate::identity::table::{Account, Entry};
use crate::identity::{KeyRing, Principal};
use crate::limits::{AMOUNT_MAX, CHARGES_MAX, Charge, Limit, Unit};
use crate::pricing::{ModelPrice, PinnedPrice, ServiceTier, total_nanos};
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;

/// What has a name that the operator chose. Each call looks several of them up.
pub type ByName<T> = HashMap<Arc<str>, T, ahash::RandomState>;

/// Everything that judging a call needs, besides the call.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub keys: KeyRing,
    /// How callers are known; the first that knows one counts.
    pub sources: Sources,
    /// The plan that each tenant is on, and what stands below it.
    pub tenants: Arc<ByName<Tenant>>,
    /// That of tenants that aren't among them.
    pub default_plan: Option<Arc<str>>,
    /// Limits that keys have besides their plan's, by the name that the keys know
    /// them by. A key whose limits aren't here may not call.
    pub own_limits: Arc<ByName<Arc<[PlanLimit]>>>,
    pub models: Arc<ByName<Arc<Model>>>,
    /// Names behind which a model is chosen; none is a model's own.
    pub virtual_models: Arc<ByName<Arc<choice::VirtualModel>>>,
    /// Headers of requests that conditions see, in lower case.
    pub condition_headers: Arc<[Arc<str>]>,
    /// Limits whose counters tenants share.
    pub shared: Arc<[PlanLimit]>,
    /// Every plan that a principal may name.
    pub plans: Arc<ByName<Arc<Plan>>>,
    /// What holds for calls by where they go; the first that fits counts.
    pub routes: Arc<[route::Route]>,
    /// The rules of the rate limit service, which know nothing of the above.
    pub domains: Arc<descriptors::Domains>,
    /// What people have allowed beyond rules, and denied.
    pub grants: Arc<grants::Grants>,
    /// What was added to budgets.
    pub top_ups: Arc<top_ups::TopUps>,
}

/// The ways in which callers may be known, in order: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(pub Arc<[Source]>);

impl Default for Sources {
    /// By keys, wherever a provider's clients put them.
    fn default() -> Self {
        Self([Source::Key(Places::default())].into())
    }
}

impl Snapshot {
    /// Whose calls a key's are; `None` where its tenant is on no plan.
    pub fn principal(&self, key: &Entry) -> Option<Principal> {
        self.principal_of(key.account(), key.user(), key.id())
    }

    /// The same of one who is known otherwise, by the name of the source.
    pub fn principal_of(
        &self,
        account: &Account,
        user: Option<&Arc<str>>,
        id: &Arc<str>,
    ) -> Option<Principal> {
        let plan = self.plan_of(&account.tenant)?;
        Some(Principal {
            tenant: Arc::clone(&account.tenant),
            project: account.project.clone(),
            environment: account.environment.clone(),
            user: user.cloned(),
            key_id: Arc::clone(id),
            plan: Arc::clone(plan),
            labels: account.labels.clone(),
            scopes: account.scopes.clone(),
            limits: account.limits.clone(),
        })
    }

    /// The name of the plan that a tenant is on.
    pub fn plan_of(&self, tenant: &str) -> Option<&Arc<str>> {
        let own = self.tenants.get(tenant).map(|tenant| &tenant.plan);
        own.or(self.default_plan.as_ref())
    }

    /// Adds to a charge's limit what was added to that budget.
    pub fn top_up(&self, charge: &mut Charge, tenant: &str, now: UnixMillis) {
        let limit = &charge.limit;
        let extra = self.top_ups.extra(tenant, &charge.counter, limit, now);
        if extra > 0 {
            charge.limit = Arc::new(Limit {
                amount: limit.amount.saturating_add(extra).min(AMOUNT_MAX),
                ..Limit::clone(limit)
            });
        }
    }

    /// The limits of a caller's key; `None` where they aren't known, or with all
    /// others would be more than a call may be charged to.
    pub fn own_limits(&self, principal: &Principal) -> Option<&[PlanLimit]> {
        let Some(name) = &principal.limits else {
            return Some(&[]);
        };
        let own = self.own_limits.get(name)?;
        let terms = self.terms(principal);
        let others = terms.map_or(Charged::default(), Terms::charged);
        let all = others
            .and(Charged::of(&*self.shared))
            .and(Charged::of(&**own));
        (all.most() <= CHARGES_MAX).then_some(own)
    }

    /// Of each of a tenant's keys, in no order; looks at every key.
    pub fn principals_of(&self, tenant: &str) -> impl Iterator<Item = Principal> {
        let keys = self.keys.iter();
        let of_tenant = keys.filter(move |key| *key.account().tenant == *tenant);
        of_tenant.filter_map(|key| self.principal(key))
    }
}

/// Which field of a chat request caps its output for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputField {
    MaxTokens,
    MaxCompletionTokens,
    /// Both are known; the older one is written.
    Either,
}

impl OutputField {
    pub fn as_str(self) -> &'static str {
        match self {
            OutputField::MaxTokens | OutputField::Either => "max_tokens",
            OutputField::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A model that calls may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub name: Arc<str>,
    pub tier: Option<Arc<str>>,
    /// Who serves it.
    pub provider: Option<Arc<str>>,
    /// `None`: what a call costs isn't known.
    pub price: Option<Arc<ModelPrice>>,
    /// The tier of service of calls that ask for none; `None`: the provider
    /// chooses.
    pub service_tier: Option<ServiceTier>,
    pub vocabulary: Vocabulary,
    /// The most input tokens of a call: what is held for input that weir isn't
    /// shown (files, recordings, earlier answers). `None`: such calls are
    /// refused.
    pub max_input_tokens: Option<u64>,
    /// The model's own tokens for each of the vocabulary's.
    pub token_ratio: ModelRatio,
    /// The most output tokens of one answer; bounds a call that sets no cap.
    pub max_output_tokens: Option<u64>,
    pub output_field: OutputField,
    /// What one image of a prompt is held at; `None`: calls with images are
    /// refused, as nothing that can't be bounded is let through.
    pub image_tokens: Option<u64>,
    /// Whether `stream_options.include_usage` may be written into its streams
    /// (some servers reject the field).
    pub inject_include_usage: bool,
}

impl Model {
    /// What stands for the model of a call that names none that is known.
    pub fn unknown() -> Self {
        Self {
            name: "".into(),
            tier: None,
            provider: None,
            price: None,
            service_tier: None,
            vocabulary: Vocabulary::O200kBase,
            max_input_tokens: None,
            token_ratio: ModelRatio::EXACT,
            max_output_tokens: None,
            output_field: OutputField::MaxTokens,
            image_tokens: None,
            inject_include_usage: false,
        }
    }
}

/// What a call is estimated to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    pub input_tokens: u64,
    /// Of all answers together.
    pub output_tokens: u64,
    /// What both cost, in nano-dollars; 0 where the model has no price.
    pub cost_nanos: u64,
}

impl Estimate {
    /// With the most that the tokens, and so many searches, may cost at this
    /// price.
    pub fn priced(
        price: Option<&PinnedPrice>,
        input_tokens: u64,
        output_tokens: u64,
        searches: u64,
    ) -> Self {
        let hold = |price: &PinnedPrice| price.hold(input_tokens, output_tokens, searches);
        let cost = price.map(|price| total_nanos(&hold(price)));
        Self {
            input_tokens,
            output_tokens,
            cost_nanos: cost.unwrap_or(0),
        }
    }

    pub fn total_tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// So much a limit on this unit is charged.
    pub fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests | Unit::Concurrency => 1,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.total_tokens(),
            Unit::Cost => self.cost_nanos,
        }
    }
}
