//! What people may grant, deny and add, made of what they said: the same by every
//! way in.
//!
//! Always holds: nothing lasts longer than [`LASTS_MAX`]; an amount is never 0 and
//! fits a counter; a grant for a request answers the rule that asked.
//!
//! Left to others: who may (`admin`, `cli`), and whether there is such a tenant.

use super::grants::NewGrant;
use crate::limits::period::FOREVER;
use crate::limits::{AMOUNT_MAX, Dimension, Unit};
use crate::policy::grants::{Allowance, ApprovalRequest, GRANT_BYTES_MAX, GRANT_MODELS_MAX, Grant};
use crate::policy::top_ups::TopUp;
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// The longest that anything lasts: who means for ever changes the plan.
pub const LASTS_MAX: Millis = Millis::from_mins(366 * 24 * 60);

/// How long a denial holds where nobody says so.
pub const DENIED_FOR: Millis = Millis::from_mins(24 * 60);

/// The longest note.
pub const NOTE_BYTES_MAX: usize = 1_000;

/// The longest name, of a model or a user, say.
const NAME_BYTES_MAX: usize = 256;

/// What is said of a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// At most one of these three; none: one call.
    pub calls: Option<u64>,
    pub cost_nanos: Option<u64>,
    pub unlimited: bool,
    /// `None`: for as long as the rule says.
    pub until: Option<UnixMillis>,
    /// `None`: the one that was asked for, if one was. Empty: any.
    pub models: Option<Vec<Arc<str>>>,
    pub note: Option<Arc<str>>,
}

/// For whom a grant is that answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Breadth {
    /// Who asked: the user, or the key where it names none.
    #[default]
    Asker,
    Environment,
    Project,
    Tenant,
}

/// For whom a grant is that answers none; `None`: whoever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub key_id: Option<Arc<str>>,
    pub rule: Option<Arc<str>>,
}

/// What is said of something that is added to a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    pub tenant: Arc<str>,
    pub budget: Arc<str>,
    /// Whose, within the tenant.
    pub of: Vec<(Dimension, Arc<str>)>,
    /// Nano-dollars ([`Unit::Cost`]) or tokens ([`Unit::Tokens`]).
    pub unit: Unit,
    pub amount: u64,
    pub until: UnixMillis,
    pub note: Option<Arc<str>>,
}

/// What is wrong with what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongTerms {
    #[error("say one of calls, an amount of money, or unlimited")]
    Allowances,
    #[error("must be from 1 to {AMOUNT_MAX}")]
    Amount,
    #[error("is over already")]
    Over,
    #[error("is too far away: nothing lasts longer than 366 days")]
    Far,
    #[error("say until when, or for how long")]
    NoEnd,
    #[error(
        "there must be at most {GRANT_MODELS_MAX}, each with a name of at most {NAME_BYTES_MAX} bytes"
    )]
    Models,
    #[error(
        "is too much: all names of a grant, its models among them, are at most {GRANT_BYTES_MAX} \
         bytes together; name fewer models, or none, which is any"
    )]
    Bytes,
    /// Of this parameter.
    #[error("must be a name of at most {NAME_BYTES_MAX} bytes")]
    Name(&'static str),
    #[error("must be one line of at most {NOTE_BYTES_MAX} bytes")]
    Note,
    #[error("who asked is in no project")]
    NoProject,
    #[error("who asked is in no environment")]
    NoEnvironment,
}

impl WrongTerms {
    /// Of which parameter it is.
    pub fn parameter(self) -> &'static str {
        match self {
            WrongTerms::Allowances => "calls",
            WrongTerms::Amount => "amount",
            WrongTerms::Over | WrongTerms::Far | WrongTerms::NoEnd => "until",
            WrongTerms::Models | WrongTerms::Bytes => "models",
            WrongTerms::Note => "note",
            WrongTerms::Name(parameter) => parameter,
            WrongTerms::NoProject | WrongTerms::NoEnvironment => "anyone_of",
        }
    }
}

impl Breadth {
    /// Of `tenant`, `project` or `environment`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "tenant" => Some(Breadth::Tenant),
            "project" => Some(Breadth::Project),
            "environment" => Some(Breadth::Environment),
            _ => None,
        }
    }
}

/// A grant that answers a request.
///
/// # Errors
/// See [`WrongTerms`].
pub fn for_request(
    id: Arc<str>,
    request: &ApprovalRequest,
    breadth: Breadth,
    terms: Terms,
    now: UnixMillis,
) -> Result<NewGrant, WrongTerms> {
    let mut whom = Whom {
        tenant: Arc::clone(&request.tenant),
        rule: Some(Arc::clone(&request.rule)),
        ..Whom::default()
    };
    match breadth {
        Breadth::Tenant => {}
        Breadth::Project | Breadth::Environment => {
            let project = request.project.clone();
            whom.project = Some(project.ok_or(WrongTerms::NoProject)?);
            if breadth == Breadth::Environment {
                let environment = request.environment.clone();
                whom.environment = Some(environment.ok_or(WrongTerms::NoEnvironment)?);
            }
        }
        Breadth::Asker => match &request.user {
            Some(user) => whom.user = Some(Arc::clone(user)),
            None => whom.key_id = Some(Arc::clone(&request.key_id)),
        },
    }
    let terms = Terms {
        until: Some(terms.until.unwrap_or(now + request.valid_for)),
        models: Some(
            terms
                .models
                .unwrap_or_else(|| vec![Arc::clone(&request.model)]),
        ),
        ..terms
    };
    let request = Some(Arc::clone(&request.id));
    Ok(NewGrant {
        request,
        ..without_request(id, whom, terms, now)?
    })
}

/// A grant that answers none.
///
/// # Errors
/// See [`WrongTerms`].
pub fn without_request(
    id: Arc<str>,
    whom: Whom,
    terms: Terms,
    now: UnixMillis,
) -> Result<NewGrant, WrongTerms> {
    let allowance = match (terms.calls, terms.cost_nanos, terms.unlimited) {
        (None, None, false) => Allowance::Calls(1),
        (Some(calls), None, false) => Allowance::Calls(amount(calls)?),
        (None, Some(nanos), false) => Allowance::CostNanos(amount(nanos)?),
        (None, None, true) => Allowance::Unlimited,
        _ => return Err(WrongTerms::Allowances),
    };
    let models = terms.models.unwrap_or_default();
    if models.len() > GRANT_MODELS_MAX || !models.iter().all(is_name) {
        return Err(WrongTerms::Models);
    }
    for (parameter, name) in [
        ("tenant", Some(&whom.tenant)),
        ("project", whom.project.as_ref()),
        ("environment", whom.environment.as_ref()),
        ("user", whom.user.as_ref()),
        ("key", whom.key_id.as_ref()),
        ("rule", whom.rule.as_ref()),
    ] {
        named(parameter, name)?;
    }
    if bytes(&whom, &models) > GRANT_BYTES_MAX {
        return Err(WrongTerms::Bytes);
    }
    let until = end(terms.until.ok_or(WrongTerms::NoEnd)?, now)?;
    let note = noted(terms.note)?;
    Ok(NewGrant {
        grant: Grant {
            id,
            tenant: whom.tenant,
            project: whom.project,
            environment: whom.environment,
            user: whom.user,
            key_id: whom.key_id,
            rule: whom.rule,
            models,
            allowance,
            from: now,
            until,
            // Whoever makes it.
            granted_by: Arc::default(),
        },
        request: None,
        note,
    })
}

/// Of all names of a grant.
fn bytes(whom: &Whom, models: &[Arc<str>]) -> usize {
    let of = [&whom.project, &whom.environment, &whom.user];
    let of = of.into_iter().chain([&whom.key_id, &whom.rule]).flatten();
    let names = std::iter::once(&whom.tenant).chain(of).chain(models);
    names.map(|name| name.len()).sum()
}

/// Something that is to be added to a budget.
///
/// # Errors
/// See [`WrongTerms`].
pub fn addition(id: Arc<str>, of: Addition, now: UnixMillis) -> Result<TopUp, WrongTerms> {
    named("tenant", Some(&of.tenant))?;
    named("budget", Some(&of.budget))?;
    for (_, name) in &of.of {
        named("of", Some(name))?;
    }
    Ok(TopUp {
        id,
        counter: TopUp::counter_of(&of.budget, &of.tenant, &of.of),
        amount: amount(of.amount)?,
        until: match of.until {
            FOREVER => FOREVER,
            until => end(until, now)?,
        },
        note: noted(of.note)?,
        tenant: of.tenant,
        budget: of.budget,
        of: of.of,
        unit: of.unit,
        from: now,
        // Whoever makes it.
        by: Arc::default(),
    })
}

/// When something ends that was said to.
///
/// # Errors
/// [`WrongTerms::Over`], [`WrongTerms::Far`].
pub fn end(until: UnixMillis, now: UnixMillis) -> Result<UnixMillis, WrongTerms> {
    match until {
        until if until <= now => Err(WrongTerms::Over),
        until if until.since(now) > LASTS_MAX => Err(WrongTerms::Far),
        until => Ok(until),
    }
}

/// What was noted; an empty text is none.
///
/// # Errors
/// [`WrongTerms::Note`].
pub fn noted(note: Option<Arc<str>>) -> Result<Option<Arc<str>>, WrongTerms> {
    match note {
        Some(note) if note.len() > NOTE_BYTES_MAX || odd(&note) => Err(WrongTerms::Note),
        note => Ok(note.filter(|note| !note.is_empty())),
    }
}

fn named(parameter: &'static str, name: Option<&Arc<str>>) -> Result<(), WrongTerms> {
    match name.is_none_or(is_name) {
        true => Ok(()),
        false => Err(WrongTerms::Name(parameter)),
    }
}

fn is_name(name: &Arc<str>) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !odd(name)
}

/// What would garble a terminal, or what a database doesn't take.
fn odd(text: &Arc<str>) -> bool {
    text.chars().any(char::is_control)
}

fn amount(amount: u64) -> Result<u64, WrongTerms> {
    let fits = (1..=AMOUNT_MAX).contains(&amount);
    fits.then_some(amount).ok_or(WrongTerms::Amount)
}

#[cfg(test)]
mod tests {
    use super::super::approvals::tests::request;
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn made(terms: Terms, breadth: Breadth) -> Result<Grant, WrongTerms> {
        let request = ApprovalRequest {
            project: Some("bot".into()),
            environment: Some("prod".into()),
            ..request("apr_1", 500)
        };
        let made = for_request("grt_1".into(), &request, breadth, terms, NOW)?;
        assert_eq!(made.request.as_deref(), Some("apr_1"));
        Ok(made.grant)
    }

    #[test]
    fn a_grant_is_for_what_was_asked_unless_it_says_more() {
        let one = made(Terms::default(), Breadth::Asker).unwrap();
        assert_eq!(
            (one.user.as_deref(), one.key_id.as_deref()),
            (Some("ada"), None)
        );
        assert_eq!(
            (one.project.as_deref(), one.rule.as_deref()),
            (None, Some("big"))
        );
        assert_eq!(
            (one.models, one.allowance),
            (vec!["gpt".into()], Allowance::Calls(1))
        );
        assert_eq!((one.from, one.until), (NOW, NOW + Millis(3_600_000)));
        let terms = Terms {
            cost_nanos: Some(5),
            until: Some(UnixMillis(2_000)),
            models: Some(vec![]),
            ..Terms::default()
        };
        for (breadth, project, environment) in [
            (Breadth::Tenant, None, None),
            (Breadth::Project, Some("bot"), None),
            (Breadth::Environment, Some("bot"), Some("prod")),
        ] {
            let wide = made(terms.clone(), breadth).unwrap();
            assert_eq!(wide.user.as_ref().or(wide.key_id.as_ref()), None);
            assert_eq!(wide.project.as_deref(), project);
            assert_eq!(wide.environment.as_deref(), environment);
            assert_eq!(wide.rule.as_deref(), Some("big"), "the rule that asked");
            assert_eq!(
                (wide.allowance, wide.until.0),
                (Allowance::CostNanos(5), 2_000)
            );
            assert!(wide.models.is_empty());
        }
        let of_key = ApprovalRequest {
            user: None,
            ..request("apr_1", 500)
        };
        let made = |breadth| for_request("g".into(), &of_key, breadth, Terms::default(), NOW);
        let one = made(Breadth::Asker).unwrap().grant;
        assert_eq!(
            (one.user.as_deref(), one.key_id.as_deref()),
            (None, Some("k1"))
        );
        assert_eq!(made(Breadth::Project), Err(WrongTerms::NoProject));
    }

    fn whom() -> Whom {
        Whom {
            tenant: "acme".into(),
            ..Whom::default()
        }
    }

    #[test]
    fn what_is_said_has_its_bounds() {
        let wrong = |change: fn(&mut Terms)| {
            let mut terms = Terms {
                until: Some(UnixMillis(2_000)),
                ..Terms::default()
            };
            change(&mut terms);
            without_request("g".into(), whom(), terms, NOW).err()
        };
        assert_eq!(wrong(|_| {}), None);
        assert_eq!(wrong(|t| t.unlimited = true), None);
        assert_eq!(wrong(|t| t.until = None), Some(WrongTerms::NoEnd));
        assert_eq!(wrong(|t| t.until = Some(NOW)), Some(WrongTerms::Over));
        assert_eq!(wrong(|t| t.until = Some(NOW + LASTS_MAX)), None);
        let far = |t: &mut Terms| t.until = Some(NOW + LASTS_MAX + Millis(1));
        assert_eq!(wrong(far), Some(WrongTerms::Far));
        assert_eq!(
            wrong(|t| t.until = Some(UnixMillis(u64::MAX))),
            Some(WrongTerms::Far)
        );
        for calls in [0, AMOUNT_MAX + 1, u64::MAX] {
            let terms = Terms {
                calls: Some(calls),
                until: Some(UnixMillis(2_000)),
                ..Terms::default()
            };
            let made = without_request("g".into(), whom(), terms, NOW);
            assert_eq!(made.err(), Some(WrongTerms::Amount), "{calls}");
        }
        assert_eq!(wrong(|t| t.cost_nanos = Some(0)), Some(WrongTerms::Amount));
        let two = |t: &mut Terms| (t.calls, t.unlimited) = (Some(1), true);
        assert_eq!(wrong(two), Some(WrongTerms::Allowances));
        for models in [vec!["m"; GRANT_MODELS_MAX + 1], vec![""], vec!["a\0"]] {
            let terms = Terms {
                until: Some(UnixMillis(2_000)),
                models: Some(models.into_iter().map(Arc::from).collect()),
                ..Terms::default()
            };
            let made = without_request("g".into(), whom(), terms, NOW);
            assert_eq!(made.err(), Some(WrongTerms::Models));
        }
        let long = |t: &mut Terms| t.models = Some(vec!["m".repeat(256).into(); 4]);
        assert_eq!(wrong(long), Some(WrongTerms::Bytes));
        let fits = |t: &mut Terms| t.models = Some(vec!["m".repeat(240).into(); 4]);
        assert_eq!(wrong(fits), None);
        let many = |t: &mut Terms| t.models = Some(vec!["m".into(); GRANT_MODELS_MAX]);
        assert_eq!(wrong(many), None);
        assert_eq!(
            wrong(|t| t.note = Some("\u{1b}[2J".into())),
            Some(WrongTerms::Note)
        );
        let long = |t: &mut Terms| t.note = Some("x".repeat(NOTE_BYTES_MAX + 1).into());
        assert_eq!(wrong(long), Some(WrongTerms::Note));
        assert_eq!(noted(Some("".into())), Ok(None));
        for user in ["", "a\nb", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let whom = Whom {
                user: Some(user.into()),
                ..whom()
            };
            let terms = Terms {
                until: Some(UnixMillis(2_000)),
                ..Terms::default()
            };
            let made = without_request("g".into(), whom, terms, NOW);
            assert_eq!(made.err(), Some(WrongTerms::Name("user")), "{user:?}");
        }
    }

    #[test]
    fn an_addition_names_its_counter() {
        let of = Addition {
            tenant: "acme".into(),
            budget: "monthly".into(),
            of: vec![(Dimension::User, "ada".into())],
            unit: Unit::Cost,
            amount: 5,
            until: UnixMillis(2_000),
            note: None,
        };
        let made = addition("top_1".into(), of.clone(), NOW).unwrap();
        assert_eq!(&*made.counter, "7:monthly,4:acme,8:user=ada,");
        let none = Addition { amount: 0, ..of };
        assert_eq!(addition("t".into(), none, NOW), Err(WrongTerms::Amount));
    }
}
