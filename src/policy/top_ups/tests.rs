//! What top-ups add, to which counter, and which fit a budget.

use super::*;
use crate::identity::Principal;
use crate::limits::period::{Calendar, CalendarUnit, FOREVER, Period};
use crate::limits::{Algorithm, Limit, Mode};
use crate::policy::facts::{Facts, Request};
use crate::policy::{Call, Estimate, Model, Plan};
use crate::protocol::Endpoint;
use crate::units::Millis;

fn top_up(id: &str, of: &[(Dimension, &str)], unit: Unit, amount: u64) -> TopUp {
    let of: Vec<_> = of
        .iter()
        .map(|(part, name)| (*part, Arc::from(*name)))
        .collect();
    TopUp {
        id: id.into(),
        tenant: "acme".into(),
        budget: "monthly".into(),
        counter: TopUp::counter_of("monthly", "acme", &of),
        of,
        unit,
        amount,
        from: UnixMillis(10),
        until: UnixMillis(20),
        by: "cli/ann".into(),
        note: None,
    }
}

fn all(top_ups: impl IntoIterator<Item = TopUp>) -> TopUps {
    TopUps::default().changed(top_ups.into_iter().map(TopUpChange::Added))
}

fn monthly(scope: Scope, unit: Unit, algorithm: Algorithm) -> PlanLimit {
    PlanLimit::from(Limit {
        name: "monthly".into(),
        scope,
        unit,
        amount: 10,
        algorithm,
        mode: Mode::Enforce,
    })
}

fn by_calendar() -> Algorithm {
    Algorithm::FixedWindow {
        period: Arc::new(Period::calendar(Calendar {
            unit: CalendarUnit::Month(1),
            zone: jiff::tz::TimeZone::UTC,
        })),
        rollover: None,
    }
}

#[test]
fn top_ups_of_a_counter_add_up_while_they_hold() {
    let tenants = TopUp::counter_of("monthly", "acme", &[]);
    let adas = TopUp::counter_of("monthly", "acme", &[(Dimension::User, "ada".into())]);
    let top_ups = all([
        top_up("a", &[], Unit::Cost, 5),
        top_up("b", &[], Unit::Cost, 7),
        top_up("c", &[], Unit::Tokens, 100),
        top_up("d", &[(Dimension::User, "ada")], Unit::Cost, 3),
    ]);
    let limit = |unit| monthly(Scope::TENANT, unit, by_calendar()).limit;
    let extra =
        |counter: &str, unit, now| top_ups.extra("acme", counter, &limit(unit), UnixMillis(now));
    assert_eq!(extra(&tenants, Unit::Cost, 15), 12);
    assert_eq!(extra(&adas, Unit::Cost, 15), 3);
    for unit in [Unit::Tokens, Unit::InputTokens, Unit::OutputTokens] {
        assert_eq!(
            extra(&tenants, unit, 15),
            100,
            "money is never taken for tokens"
        );
    }
    for (now, sum) in [(9, 0), (10, 12), (19, 12), (20, 0)] {
        assert_eq!(extra(&tenants, Unit::Cost, now), sum, "{now}");
    }
    assert_eq!(
        top_ups.extra("globex", &tenants, &limit(Unit::Cost), UnixMillis(15)),
        0
    );
    let fewer = top_ups.changed([TopUpChange::Revoked("b".into())]);
    assert_eq!(
        fewer.extra("acme", &tenants, &limit(Unit::Cost), UnixMillis(15)),
        5
    );
    assert_eq!(top_ups.len(), 4);
    let most = all([
        top_up("a", &[], Unit::Cost, AMOUNT_MAX),
        top_up("b", &[], Unit::Cost, AMOUNT_MAX),
    ]);
    assert_eq!(
        most.extra("acme", &tenants, &limit(Unit::Cost), UnixMillis(15)),
        AMOUNT_MAX
    );
}

/// Whatever was said of when it ends: else it would be paid out in each period.
#[test]
fn what_was_added_counts_in_the_period_in_which_it_was_alone() {
    const DAY_MS: u64 = 86_400_000;
    let counter = TopUp::counter_of("monthly", "acme", &[]);
    let top_ups = all([TopUp {
        from: UnixMillis(10 * DAY_MS),
        until: UnixMillis(60 * DAY_MS),
        ..top_up("a", &[], Unit::Cost, 5)
    }]);
    let extra = |algorithm: Algorithm, day: u64| {
        let limit = monthly(Scope::TENANT, Unit::Cost, algorithm).limit;
        top_ups.extra("acme", &counter, &limit, UnixMillis(day * DAY_MS))
    };
    let fixed = |period| Algorithm::FixedWindow {
        period: Arc::new(period),
        rollover: None,
    };
    for (day, sum) in [(9, 0), (10, 5), (30, 5), (31, 0), (59, 0), (60, 0)] {
        assert_eq!(extra(by_calendar(), day), sum, "January, then {day}");
    }
    let span = || fixed(Period::aligned(Millis(20 * DAY_MS)));
    for (day, sum) in [(10, 5), (19, 5), (20, 0)] {
        assert_eq!(extra(span(), day), sum, "twenty days, then {day}");
    }
    let forever = || fixed(Period::forever());
    for (day, sum) in [(9, 0), (10, 5), (59, 5), (60, 0)] {
        assert_eq!(extra(forever(), day), sum, "{day}");
    }
    assert_eq!(extra(fixed(Period::first_hit(Millis(20 * DAY_MS))), 10), 0);
}

#[test]
fn what_is_over_is_forgotten_and_a_tenant_has_a_bound() {
    let one = all([top_up("a", &[], Unit::Cost, 5)]);
    assert_eq!(one.without_ended(UnixMillis(19)), None);
    assert!(one.without_ended(UnixMillis(20)).unwrap().is_empty());
    let many = (0..=TOP_UPS_OF_TENANT_MAX).map(|n| top_up(&format!("t{n}"), &[], Unit::Cost, 1));
    assert_eq!(all(many).len(), TOP_UPS_OF_TENANT_MAX);
}

/// A top-up that names another counter than calls are charged to adds nothing.
#[test]
fn its_counter_is_the_one_that_calls_are_charged_to() {
    use Dimension::{Key, Project, Tenant, User};
    let who = Principal {
        tenant: "acme".into(),
        project: Some("bot".into()),
        user: Some("ada".into()),
        key_id: "k1".into(),
        ..Principal::default()
    };
    let call = Call {
        who: &who,
        model: &Model::unknown(),
        endpoint: Endpoint::ChatCompletions,
        estimate: Estimate::default(),
        most: Estimate::default(),
    };
    for of in [
        &[][..],
        &[(User, "ada")],
        &[(Key, "k1")],
        &[(User, "ada"), (Project, "bot")],
    ] {
        let scope = Scope::of(of.iter().map(|(part, _)| *part).chain([Tenant]));
        let budget = monthly(scope, Unit::Cost, by_calendar());
        let charges = crate::policy::charges(
            std::slice::from_ref(&budget),
            &Facts::of(call, &Request::default()),
        );
        assert_eq!(
            top_up("a", of, Unit::Cost, 1).counter,
            charges[0].counter,
            "{of:?}"
        );
    }
}

#[test]
fn only_what_fits_the_budget_is_added_until_its_period_ends() {
    let user: &[(Dimension, Arc<str>)] = &[(Dimension::User, "ada".into())];
    // 2026-11-27T00:00:00Z, and the end of that November.
    let (now, end) = (UnixMillis(1_795_737_600_000), UnixMillis(1_796_083_200_000));
    let per_tenant = monthly(Scope::TENANT, Unit::Cost, by_calendar());
    let per_user = monthly(Scope::USER, Unit::Tokens, by_calendar());
    assert_eq!(fitting(&per_tenant, &[], Unit::Cost, None, now), Ok(end));
    assert_eq!(fitting(&per_user, user, Unit::Tokens, None, now), Ok(end));
    let until = |budget, said| fitting(budget, &[], Unit::Cost, Some(UnixMillis(said)), now);
    assert_eq!(until(&per_tenant, 5), Ok(UnixMillis(5)));
    assert_eq!(until(&per_tenant, end.0), Ok(end));
    assert_eq!(
        until(&per_tenant, end.0 + 1).unwrap_err().to_string(),
        "what is added to monthly ends with its period, at 2026-12-01T00:00:00Z: say no later \
         time, or none"
    );
    let forever = Algorithm::FixedWindow {
        period: Arc::new(Period::forever()),
        rollover: None,
    };
    let credit = monthly(Scope::TENANT, Unit::Cost, forever);
    assert_eq!(fitting(&credit, &[], Unit::Cost, None, now), Ok(FOREVER));
    assert_eq!(
        until(&credit, end.0).unwrap_err().to_string(),
        "monthly is for ever, and so is what is added to it: don't say until when"
    );
    let window = Algorithm::SlidingWindow {
        every: Millis(60_000),
    };
    for (budget, of, unit, error) in [
        (
            &per_tenant,
            user,
            Unit::Cost,
            "monthly is per tenant: leave out whose it is besides the tenant's",
        ),
        (
            &per_user,
            &[],
            Unit::Tokens,
            "monthly is per user: say whose it is: user",
        ),
        (
            &per_tenant,
            &[],
            Unit::Tokens,
            "monthly counts cost: the amount must be in dollars, as in 100USD",
        ),
        (
            &per_user,
            user,
            Unit::Cost,
            "monthly counts tokens: the amount must be in tokens, as in 2M",
        ),
        (
            &monthly(Scope::GLOBAL, Unit::Cost, by_calendar()),
            &[],
            Unit::Cost,
            "monthly is per global: tenants share it, so nothing is added for one",
        ),
        (
            &monthly(Scope::TENANT, Unit::Requests, by_calendar()),
            &[],
            Unit::Tokens,
            "monthly counts neither money nor tokens",
        ),
        (
            &monthly(Scope::TENANT, Unit::Cost, window),
            &[],
            Unit::Cost,
            "monthly has no periods that begin and end by themselves, which could be added to",
        ),
    ] {
        let found = fitting(budget, of, unit, None, now).unwrap_err();
        assert_eq!(found.to_string(), error);
    }
}

#[test]
fn a_budget_is_looked_for_in_the_tenants_plan() {
    let plan = Plan {
        name: "p".into(),
        limits: vec![monthly(Scope::TENANT, Unit::Cost, by_calendar())],
        ..Plan::default()
    };
    let mut snapshot = Snapshot {
        plans: Arc::new([("p".into(), Arc::new(plan))].into_iter().collect()),
        tenants: Arc::new([("acme".into(), "p".into())].into_iter().collect()),
        ..Snapshot::default()
    };
    assert!(budget_of(&snapshot, "acme", "monthly").is_ok());
    assert_eq!(
        budget_of(&snapshot, "acme", "daily").unwrap_err(),
        NoBudget::Unknown("monthly".to_owned())
    );
    assert_eq!(
        budget_of(&snapshot, "globex", "monthly").unwrap_err(),
        NoBudget::Plan
    );
    snapshot.default_plan = Some("p".into());
    assert!(budget_of(&snapshot, "globex", "monthly").is_ok());
}
