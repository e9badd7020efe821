//! Which limits, rules and guardrails apply to a call, with the values by which they
//! are judged.

use super::explanation::{
    CallerTold, EstimateTold, Explanation, GuardrailTold, LimitTold, ModelTold, RuleTold, WayTold,
};
use super::{Inquiry, outcome};
use crate::exchange::guardrails::{self, Bound};
use crate::exchange::planning::{Given, Planned};
use crate::exchange::weigh::{Ask, Scale, Stood};
use crate::limits::{Algorithm, Charge, Limit, Mode, Retry, Standing};
use crate::policy::facts::{self, Facts, Named};
use crate::policy::grants::GRANT_PREFIX as GRANT;
use crate::policy::rule::{Action, Held, Rule, Rules};
use crate::policy::{Model, Plan, PlanLimit, Terms};
use crate::units::UnixMillis;
use std::sync::Arc;

/// A call, and what was made of it.
struct Found<'i> {
    inquiry: &'i Inquiry,
    ask: &'i Ask,
    scale: Scale<'i>,
    stood: Option<Stood<'i>>,
}

pub(super) fn explanation(inquiry: &Inquiry) -> Explanation {
    let admission = inquiry.admission();
    let scale = inquiry.ask.as_ref().and_then(|ask| {
        let scale = admission.scale(ask, inquiry.counters.as_ref(), None).ok()?;
        Some((ask, scale))
    });
    let mut told = bare(inquiry);
    if let Some((ask, scale)) = scale {
        let stood = scale.stood().ok();
        let found = Found {
            inquiry,
            ask,
            scale,
            stood,
        };
        told.model = Some(found.model());
        told.estimate = found.estimate();
        told.rules = found.rules();
        told.guardrails = found.guardrails();
    } else if let Some(ask) = &inquiry.ask {
        let terms = inquiry.exchange.snapshot.terms(&ask.who.principal);
        told.guardrails = terms.map_or_else(Vec::new, |terms| bounds(terms, ask));
    }
    told
}

/// What is known of any call.
fn bare(inquiry: &Inquiry) -> Explanation {
    let who = inquiry.who.as_ref();
    let principal = who.map(|who| &who.principal);
    let terms = principal.and_then(|who| inquiry.exchange.snapshot.terms(who));
    let plans = terms.into_iter().flat_map(Terms::layers);
    Explanation {
        at_ms: inquiry.now.0,
        caller: principal.map(|who| CallerTold {
            tenant: who.tenant.to_string(),
            project: who.project.as_deref().map(str::to_owned),
            environment: who.environment.as_deref().map(str::to_owned),
            user: who.user.as_deref().map(str::to_owned),
            key: inquiry
                .who
                .as_ref()
                .filter(|who| who.by_key)
                .map(|who| who.principal.key_id.to_string()),
            labels: (who.labels.iter().flat_map(|labels| labels.iter()))
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }),
        plans: plans.map(|plan| plan.name.to_string()).collect(),
        endpoint: who.map(|who| who.endpoint.path().to_owned()),
        dialect: who.map(|who| who.endpoint.dialect().as_str().to_owned()),
        model: None,
        estimate: None,
        limits: limits(inquiry, terms),
        rules: Vec::new(),
        guardrails: Vec::new(),
        verdict: outcome::verdict(inquiry),
    }
}

fn limits(inquiry: &Inquiry, terms: Option<Terms>) -> Vec<LimitTold> {
    let Some((own, shared)) = inquiry.charges() else {
        return Vec::new();
    };
    let own = own.iter().map(|charge| (charge, false));
    let shared = shared.iter().map(|charge| (charge, true));
    let all = own.chain(shared);
    all.map(|(charge, is_shared)| limit(inquiry, terms, charge, is_shared))
        .collect()
}

fn limit(inquiry: &Inquiry, terms: Option<Terms>, charge: &Charge, is_shared: bool) -> LimitTold {
    let limit = &charge.limit;
    let name = (is_shared, Arc::clone(&charge.counter));
    let asked = inquiry.known.get(&name);
    let told = asked.map(|asked| asked.told);
    let lacks = told.and_then(|told| told.lacks);
    let is_it = |one: &&PlanLimit| *one.limit.name == *limit.whole_name();
    let layers = terms.into_iter().flat_map(Terms::layers);
    let mut of = layers.filter_map(|plan| Some((plan, plan.limits.iter().find(is_it)?)));
    let of = of.find(|_| !is_shared);
    let budget = of.and_then(|(_, one)| one.budget.as_ref());
    let grant = limit.name.starts_with(GRANT);
    LimitTold {
        name: limit.name.to_string(),
        kind: match budget {
            _ if grant => "grant",
            Some(_) => "budget",
            None => "limit",
        },
        of: match of {
            _ if grant => "grant".to_owned(),
            Some((plan, _)) => plan.name.to_string(),
            None if is_shared => "shared".to_owned(),
            None => "key".to_owned(),
        },
        per: limit.scope.to_string(),
        unit: limit.unit.as_str(),
        algorithm: limit.algorithm.as_str(),
        mode: mode(limit.mode),
        hard: of.is_some_and(|(_, one)| one.hard),
        amount: limit.amount,
        topped_up: of.map_or(0, |(_, one)| limit.amount.saturating_sub(one.limit.amount)),
        used: told.map(|told| told.standing.used),
        held: asked.and_then(|asked| asked.held),
        takes: charge.amount,
        needs: charge.wanted(),
        remaining: told.map(|told| told.standing.remaining),
        resets_in_ms: told.and_then(|told| resets_in(limit, &told.standing, inquiry.now)),
        fits: told.map(|told| told.lacks.is_none()),
        retry: lacks.map(|retry| match retry {
            Retry::After(_) => "after",
            Retry::WhenOneEnds => "when_one_ends",
            Retry::Never => "never",
        }),
        retry_after_ms: lacks.and_then(|retry| match retry {
            Retry::After(span) => Some(span.0),
            Retry::WhenOneEnds | Retry::Never => None,
        }),
        warn_at_per_mille: budget.map_or_else(Vec::new, |b| b.warn_at_per_mille.clone()),
    }
}

/// When what is used counts no more, in milliseconds. Of a period that the calendar
/// ends also where nothing is used yet; else nothing is to be reset then.
fn resets_in(limit: &Limit, standing: &Standing, now: UnixMillis) -> Option<u64> {
    match &limit.algorithm {
        Algorithm::FixedWindow { period, .. } if period.is_forever() => None,
        _ if standing.used > 0 => Some(standing.reset_after?.0),
        Algorithm::FixedWindow { period, .. } if period.from_first_hit().is_none() => {
            Some(period.end(now).since(now).0)
        }
        _ => None,
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    }
}

fn held(held: Held) -> &'static str {
    match held {
        Held::Yes => "yes",
        Held::No => "no",
        Held::NoValue => "no_value",
        Held::Waits => "waits",
    }
}

impl Found<'_> {
    fn model(&self) -> ModelTold {
        let snapshot = &self.inquiry.exchange.snapshot;
        let asked = self.ask.facts.model.as_str();
        let stood = self.stood.as_ref();
        let known = snapshot.models.get(asked);
        let served = stood.map(|stood| stood.model).or(known);
        let mut why = Vec::new();
        if let Some(stood) = stood {
            if *stood.first.name != *asked {
                why.push(format!(
                    "{asked} stands for several models: {}",
                    stood.first.name
                ));
            }
            if let Some((_, rule)) = stood.shape.swap {
                why.push(format!(
                    "the rule {} puts {} in the place of {}",
                    rule.name, stood.model.name, stood.first.name
                ));
            }
        }
        ModelTold {
            asked: asked.to_owned(),
            chosen: stood.map(|stood| stood.first.name.to_string()),
            served: stood.map(|stood| stood.model.name.to_string()),
            tier: served.and_then(|model| model.tier.as_deref().map(str::to_owned)),
            provider: served.and_then(|model| model.provider.as_deref().map(str::to_owned)),
            why,
            ways: self.ways().unwrap_or_default(),
        }
    }

    /// Those of the virtual model that the call names.
    fn ways(&self) -> Option<Vec<WayTold>> {
        let admission = self.inquiry.admission();
        let choice = admission.names_virtual(self.ask)?;
        let usual = self.scale.usual(choice).ok()?;
        let planned = self.scale.planned(usual, Given::default()).ok()?;
        let facts = self.scale.facts(usual, &planned);
        let named = Named {
            facts: &facts,
            names: &choice.names,
        };
        let ways = choice.ways.iter().map(|way| WayTold {
            when: way.when.as_ref().map(|when| when.as_str().to_owned()),
            held: match way.when.as_ref().map(|when| when.holds(&named)) {
                None | Some(Ok(true)) => "yes",
                Some(Ok(false)) => "no",
                Some(Err(_)) => "no_value",
            },
            models: way
                .models
                .iter()
                .map(|(name, weight)| (name.to_string(), *weight))
                .collect(),
        });
        Some(ways.collect())
    }

    fn estimate(&self) -> Option<EstimateTold> {
        let planned = &self.stood.as_ref()?.planned;
        let price = planned.price.as_ref();
        Some(EstimateTold {
            input_tokens: planned.prompt.tokens,
            input_tokens_max: planned.most.input_tokens,
            output_tokens_max: planned.most.output_tokens,
            output_tokens_held: planned.estimate.output_tokens,
            max_tokens: planned.cap.tokens,
            cost_max_nanos: price.map(|_| planned.most.cost_nanos),
            cost_held_nanos: price.map(|_| planned.estimate.cost_nanos),
            price_version: price.map(|price| price.version().to_string()),
        })
    }

    fn rules(&self) -> Vec<RuleTold> {
        let Some(stood) = &self.stood else {
            return Vec::new();
        };
        // What shapes a call sees it as it was before.
        let first = self.scale.planned(stood.first, Given::default());
        let first = first.as_ref().map_or(&stood.planned, |planned| planned);
        let before = self.facts(stood.first, first);
        let after = self.facts(stood.model, &stood.planned);
        let layers = self.scale.terms.layers();
        layers
            .flat_map(|plan| {
                let zone = plan.rules.time_zone.as_ref();
                let (before, after) = (before.in_zone(zone), after.in_zone(zone));
                let each = plan.rules.list.iter();
                let each = each.map(|rule| {
                    let judges = rule.then.iter().any(|action| !action.shapes());
                    let facts = if judges { &after } else { &before };
                    rule_told(plan, rule, facts)
                });
                each.collect::<Vec<_>>()
            })
            .collect()
    }

    fn facts<'f>(&'f self, model: &'f Model, planned: &'f Planned) -> Facts<'f> {
        self.scale.facts(model, planned)
    }

    fn guardrails(&self) -> Vec<GuardrailTold> {
        let terms = self.scale.terms;
        let mut all = bounds(terms, self.ask);
        let output = terms.output();
        let asked = self.ask.facts.output_max.as_ref().map(|max| max.tokens);
        let choices = output
            .choices_cap
            .unwrap_or(crate::policy::plan::CHOICES_DEFAULT);
        let mut bound = |name: &str, asked: Option<u64>, most: Option<u64>| {
            all.extend(most.map(|most| GuardrailTold {
                name: name.to_owned(),
                asked,
                most: Some(most),
                names: Vec::new(),
            }));
        };
        bound("choices", Some(self.ask.facts.choices), Some(choices));
        bound("max_tokens", asked, output.max_tokens_cap);
        bound("max_tokens_default", asked, output.max_tokens_default);
        if let Some(stood) = &self.stood {
            let Bound {
                name, asked, most, ..
            } = guardrails::input_bound(terms, &stood.planned);
            bound(name, Some(asked), most);
        }
        all
    }
}

fn rule_told(plan: &Plan, rule: &Rule, facts: &Facts) -> RuleTold {
    let Rules { names, .. } = &plan.rules;
    let named = Named { facts, names };
    let is_budget = |name: &str| {
        let mut limits = plan.limits.iter();
        limits.any(|limit| *limit.limit.name == *name && limit.budget.is_some())
    };
    let fields = rule.when.iter().flat_map(|when| when.fields());
    RuleTold {
        name: rule.name.to_string(),
        plan: plan.name.to_string(),
        when: rule.when.as_ref().map(|when| when.as_str().to_owned()),
        facts: fields
            .map(|field| {
                (
                    facts::spelt(field, names, is_budget),
                    facts::told(field, &named),
                )
            })
            .collect(),
        held: held(rule.held(&named)),
        then: rule.then.iter().map(action).collect(),
        mode: mode(rule.mode),
    }
}

/// As a configuration would say it, in short.
fn action(action: &Action) -> String {
    let name = action.as_str();
    let names = |names: &[Arc<str>]| names.join(", ");
    match action {
        Action::Warn { message } => match message {
            Some(message) => format!("{name}: {message}"),
            None => name.to_owned(),
        },
        Action::Throttle(throttle) => {
            let delay = throttle.delay.map(|delay| format!("delay {} ms", delay.0));
            let share = throttle.limits_per_mille;
            let share = share.map(|share| format!("limits at {}.{}%", share / 10, share % 10));
            let parts: Vec<String> = delay.into_iter().chain(share).collect();
            format!("{name}: {}", parts.join(", "))
        }
        Action::ClampOutput { max_tokens } => format!("{name}: {max_tokens}"),
        Action::Downgrade(swap) => format!("{name}: {}", names(&swap.to)),
        Action::Route(route) => format!("{name}: {}", route.cluster),
        Action::RequireApproval(approval) => match &approval.approvers {
            Some(approvers) => format!("{name}: {approvers}"),
            None => name.to_owned(),
        },
        Action::Block(block) => format!("{name}: {}", block.status),
    }
}

/// What may be asked for, where anything bounds it.
fn bounds(terms: Terms, ask: &Ask) -> Vec<GuardrailTold> {
    let bounds = guardrails::bounds(terms, ask).into_iter();
    let bounds = bounds.filter(|bound| bound.most.is_some());
    let bounds = bounds.map(|bound| GuardrailTold {
        name: bound.name.to_owned(),
        asked: Some(bound.asked),
        most: bound.most,
        names: Vec::new(),
    });
    let lists = terms.layers().flat_map(|plan| {
        let guardrails = &plan.guardrails;
        let models = plan.entitlements.models.as_ref();
        let models = models.map(|all| all.iter().map(|name| name.as_str().to_owned()).collect());
        let tiers = plan.entitlements.tiers.as_ref();
        [
            ("models", models.unwrap_or_default()),
            ("tiers", tiers.map_or_else(Vec::new, |all| texts(all))),
            ("forbidden", texts(&guardrails.forbidden)),
            ("dropped", texts(&guardrails.dropped)),
        ]
    });
    let lists = lists.filter(|(_, names): &(_, Vec<String>)| !names.is_empty());
    let lists = lists.map(|(name, names)| GuardrailTold {
        name: name.to_owned(),
        asked: None,
        most: None,
        names,
    });
    bounds.chain(lists).collect()
}

fn texts(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}
