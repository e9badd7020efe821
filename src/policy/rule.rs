//! Rules: under which condition policy does what to a call.
//!
//! Effects compose from mildest to hardest. What shapes the call comes first
//! ([`shape`]): the smallest cap on the output, the first downgrade and the first
//! route that fit. What is left of the call is judged then ([`judge`]): the
//! longest delay, the smallest share of its limits, each approval that is needed,
//! the first block, which ends it.
//!
//! Always holds: a block of any rule wins over whatever other rules say; a rule in
//! shadow mode changes nothing and is told of; a rule whose condition has no value
//! doesn't hold; one that doesn't hold allocates nothing.

use super::facts::{Facts, Named, Needs};
use crate::expressions::NoValue;
use crate::expressions::condition::Condition;
use crate::limits::Mode;
use crate::units::Millis;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// The most rules of a plan: each is looked at in each call.
pub const RULES_MAX: usize = 64;

/// The longest that a call may be held back: clients give up after a minute.
pub const DELAY_MAX: Millis = Millis::from_secs(30);

/// One rule of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique in its plan; shown in refusals and in the ledger.
    pub name: Arc<str>,
    /// `None`: always.
    pub when: Option<Condition>,
    /// At least one, each kind at most once.
    pub then: Vec<Action>,
    pub mode: Mode,
    /// It can be judged only once it is known how counters stand.
    pub needs_counters: bool,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The answer carries a warning, in words or by the rule's name.
    Warn {
        message: Option<Arc<str>>,
    },
    Throttle(Throttle),
    /// One answer may have so many tokens at most.
    ClampOutput {
        max_tokens: u64,
    },
    Downgrade(Swap),
    Route(Route),
    RequireApproval(Approval),
    Block(Block),
}

/// Slows calls down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle {
    /// The call is held back for so long.
    pub delay: Option<Millis>,
    /// Such calls together pass only within this many thousandths of each of their
    /// limits.
    pub limits_per_mille: Option<u64>,
}

/// Another model in place of the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The first that the caller may use, and that speaks the call's dialect.
    pub to: Vec<Arc<str>>,
    /// Fields of the body that are left out, as the other model lacks them.
    pub drop: Vec<Arc<str>>,
    /// Fields of the body with which the call is refused, for the same reason.
    pub refuse: Vec<Arc<str>>,
}

/// Where the gateway sends a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What `x-weir-cluster` says.
    pub cluster: Arc<str>,
}

/// A call that needs someone's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// How long a grant lasts unless it says otherwise.
    pub valid_for: Millis,
    /// Who may be asked, in words.
    pub approvers: Option<Arc<str>>,
    /// Whether admins of the tenant may consent, or operators alone.
    pub by_tenant_admin: bool,
    pub message: Option<Arc<str>>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// From 400 to 499.
    pub status: u16,
    pub code: Option<Arc<str>>,
    pub message: Option<Arc<str>>,
}

/// The rules of one plan, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub list: Vec<Rule>,
    /// Of the counters that their conditions speak of.
    pub names: Arc<[Arc<str>]>,
    /// What all of them together need to be told.
    pub needs: Needs,
    /// The longest delay of one of them.
    pub delay_max: Millis,
    /// How many grants a call may need, one for each rule that asks for one.
    pub grants: usize,
    /// Whether a call may be let through within a part of its limits only.
    pub throttle_limits: bool,
    /// By which they tell the time, where that isn't the tenant's plan's.
    pub time_zone: Option<TimeZone>,
}

/// What comes of a rule's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Yes,
    No,
    /// Something that decides it isn't known of this call.
    NoValue,
    /// It isn't known yet how counters stand.
    Waits,
}

/// What rules make of a call before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape<'p> {
    pub clamp: Option<(u64, &'p Rule)>,
    pub swap: Option<(&'p Swap, &'p Rule)>,
    pub route: Option<(&'p Route, &'p Rule)>,
}

/// What rules say of a call as it was shaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement<'p> {
    pub warnings: Vec<(Option<&'p Arc<str>>, &'p Rule)>,
    pub delay: Option<(Millis, &'p Rule)>,
    pub limits_per_mille: Option<(u64, &'p Rule)>,
    pub approvals: Vec<(&'p Approval, &'p Rule)>,
    pub block: Option<(&'p Block, &'p Rule)>,
}

/// What a rule did, or in shadow mode would have done: as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken<'p> {
    pub rule: &'p Rule,
    pub action: &'static str,
}

impl Action {
    /// Its name in configurations and in the ledger.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::Warn { .. } => "warn",
            Action::Throttle(_) => "throttle",
            Action::ClampOutput { .. } => "clamp_output",
            Action::Downgrade(_) => "downgrade",
            Action::Route(_) => "route",
            Action::RequireApproval(_) => "require_approval",
            Action::Block(_) => "block",
        }
    }

    pub(super) fn swap(&self) -> Option<&Swap> {
        match self {
            Action::Downgrade(swap) => Some(swap),
            _ => None,
        }
    }

    /// Whether it changes the call, rather than judging what it is.
    pub fn shapes(&self) -> bool {
        matches!(
            self,
            Action::ClampOutput { .. } | Action::Downgrade(_) | Action::Route(_)
        )
    }
}

impl Swap {
    pub(super) fn looks_at_fields(&self) -> bool {
        !(self.drop.is_empty() && self.refuse.is_empty())
    }
}

impl Rule {
    /// What comes of its condition. One that needs counters doesn't hold until they
    /// are known.
    pub fn held(&self, named: &Named) -> Held {
        if self.needs_counters && named.facts.counters.is_none() {
            return Held::Waits;
        }
        let Some(when) = &self.when else {
            return Held::Yes;
        };
        match when.holds(named) {
            Ok(true) => Held::Yes,
            Ok(false) => Held::No,
            Err(NoValue) => Held::NoValue,
        }
    }

    fn holds(&self, named: &Named) -> bool {
        self.held(named) == Held::Yes
    }

    fn does(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.then.iter().any(wanted)
    }
}

impl Rules {
    pub fn new(list: Vec<Rule>, names: Arc<[Arc<str>]>) -> Self {
        let needs = list.iter().filter_map(|rule| {
            let when = rule.when.as_ref()?;
            Some(Needs::of(when.fields()).in_mode(rule.mode))
        });
        let delays = list.iter().flat_map(|rule| &rule.then);
        let delays = delays.filter_map(|action| match action {
            Action::Throttle(throttle) => throttle.delay,
            _ => None,
        });
        let asks = |action: &Action| matches!(action, Action::RequireApproval(_));
        let throttles = |action: &Action| match action {
            Action::Throttle(throttle) => throttle.limits_per_mille.is_some(),
            _ => false,
        };
        let enforced = || list.iter().filter(|rule| rule.mode == Mode::Enforce);
        Self {
            grants: enforced().filter(|rule| rule.does(asks)).count(),
            throttle_limits: enforced().any(|rule| rule.does(throttles)),
            needs: needs.fold(Needs::default(), Needs::and),
            delay_max: delays.max().unwrap_or_default(),
            list,
            names,
            time_zone: None,
        }
    }

    /// Those of one kind that hold, with what they do.
    fn holding<'p>(
        &'p self,
        facts: &Facts,
        wanted: impl Fn(&Action) -> bool + Copy,
        mut each: impl FnMut(&'p Rule, &'p Action),
    ) {
        let names = &self.names;
        let facts = &facts.in_zone(self.time_zone.as_ref());
        for rule in &self.list {
            let named = Named { facts, names };
            if rule.does(wanted) && rule.holds(&named) {
                for action in rule.then.iter().filter(|action| wanted(action)) {
                    each(rule, action);
                }
            }
        }
    }
}

/// What these rules make of the call. `may_swap` says whether a swap can be made,
/// so that the first that can counts; `shadow` hears of what shadow rules would do.
pub fn shape<'p>(
    layers: impl Iterator<Item = &'p Rules>,
    facts: &Facts,
    may_swap: impl Fn(&'p Swap) -> bool,
    mut shadow: impl FnMut(Taken<'p>),
) -> Shape<'p> {
    let mut shape = Shape::default();
    for rules in layers {
        rules.holding(facts, Action::shapes, |rule, action| {
            if rule.mode == Mode::Shadow {
                let action = action.as_str();
                return shadow(Taken { rule, action });
            }
            match action {
                Action::ClampOutput { max_tokens } => {
                    let smaller = shape.clamp.is_none_or(|(least, _)| *max_tokens < least);
                    if smaller {
                        shape.clamp = Some((*max_tokens, rule));
                    }
                }
                Action::Downgrade(swap) if shape.swap.is_none() && may_swap(swap) => {
                    shape.swap = Some((swap, rule));
                }
                Action::Route(route) => {
                    shape.route.get_or_insert((route, rule));
                }
                _ => {}
            }
        });
    }
    shape
}

/// What these rules say of the call.
pub fn judge<'p>(
    layers: impl Iterator<Item = &'p Rules>,
    facts: &Facts,
    mut shadow: impl FnMut(Taken<'p>),
) -> Judgement<'p> {
    let mut judgement = Judgement::default();
    for rules in layers {
        let wanted = |action: &Action| !action.shapes();
        rules.holding(facts, wanted, |rule, action| {
            if rule.mode == Mode::Shadow {
                let action = action.as_str();
                return shadow(Taken { rule, action });
            }
            judgement.add(rule, action);
        });
    }
    judgement
}

impl<'p> Judgement<'p> {
    fn add(&mut self, rule: &'p Rule, action: &'p Action) {
        match action {
            Action::Warn { message } => self.warnings.push((message.as_ref(), rule)),
            Action::Throttle(throttle) => {
                let longest = self.delay.map(|(delay, _)| delay);
                if let Some(delay) = throttle.delay.filter(|delay| Some(*delay) > longest) {
                    self.delay = Some((delay, rule));
                }
                let least = self.limits_per_mille.map_or(u64::MAX, |(least, _)| least);
                if let Some(share) = throttle.limits_per_mille.filter(|share| *share < least) {
                    self.limits_per_mille = Some((share, rule));
                }
            }
            Action::RequireApproval(approval) => self.approvals.push((approval, rule)),
            Action::Block(block) => {
                self.block.get_or_insert((block, rule));
            }
            Action::ClampOutput { .. } | Action::Downgrade(_) | Action::Route(_) => {}
        }
    }
}

impl Taken<'_> {
    /// As the ledger has it: `economy:downgrade`, or `shadow:economy:downgrade`.
    pub fn written(self) -> Arc<str> {
        let Taken { rule, action } = self;
        match rule.mode {
            Mode::Enforce => format!("{}:{action}", rule.name).into(),
            Mode::Shadow => format!("shadow:{}:{action}", rule.name).into(),
        }
    }
}
