//! Limits as operators write them, and what they come to.

use super::{GOOD, outside};
use crate::config::{Config, Problems, load};
use crate::limits::period::{Calendar, CalendarUnit, Period};
use crate::limits::{AMOUNT_MAX, Algorithm, Dimension, Limit, Mode, Scope, Unit};
use crate::policy::{Hold, PlanLimit, When};
use crate::protocol::Endpoint;
use crate::units::Millis;
use jiff::civil::Weekday;
use std::sync::Arc;

/// The first limit of the good file.
const FIRST: &str =
    "{ per: tenant, unit: requests, amount: 600, every: 1m, algorithm: sliding_window }";

/// The good file with its first limit replaced, and a price for one model.
fn file(limit: &str) -> String {
    let text = GOOD.replace(
        "tier: standard }",
        "tier: standard, price: { input: 0.15, output: 0.60 } }",
    );
    assert!(text.contains(FIRST));
    text.replace(FIRST, limit)
}

fn loaded(text: &str) -> Result<Config, Problems> {
    load(text, "weir.yaml", &outside())
}

fn limit(text: &str) -> PlanLimit {
    let config = loaded(&file(text)).unwrap_or_else(|problems| panic!("{text}: {problems}"));
    config.snapshot.plans["team"].limits[0].clone()
}

fn fixed(period: Period) -> Algorithm {
    Algorithm::FixedWindow {
        period: Arc::new(period),
        rollover: None,
    }
}

fn calendar(unit: CalendarUnit, zone: &str) -> Algorithm {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
    fixed(Period::calendar(Calendar { unit, zone }))
}

#[test]
fn every_form_of_a_limit() {
    use Dimension::{Endpoint as Path, Environment, Key, Model, Project, Provider, Tier};
    let minute = Millis(60_000);
    let of = |dimensions: &[Dimension]| Scope::of(dimensions.iter().copied()).within_tenant();
    let limits = [
        (
            "{ per: tenant, unit: requests, amount: 9, every: 1m, algorithm: fixed_window }",
            ("tenant-requests", Scope::TENANT, Unit::Requests, 9),
            fixed(Period::aligned(minute)),
        ),
        (
            "{ per: [user], unit: input_tokens, amount: 9, every: 1m, algorithm: fixed_window, starts: first_hit }",
            ("user-input-tokens", Scope::USER, Unit::InputTokens, 9),
            fixed(Period::first_hit(minute)),
        ),
        (
            "{ per: [model, project], unit: output_tokens, amount: 9, period: hour }",
            (
                "project-model-output-tokens",
                of(&[Project, Model]),
                Unit::OutputTokens,
                9,
            ),
            calendar(CalendarUnit::Hour, "UTC"),
        ),
        (
            "{ per: environment, unit: tokens, amount: 5M, period: day, zone: Asia/Tokyo }",
            (
                "environment-tokens",
                of(&[Environment]),
                Unit::Tokens,
                5_000_000,
            ),
            calendar(CalendarUnit::Day, "Asia/Tokyo"),
        ),
        (
            "{ per: key, unit: requests, amount: 9, period: week }",
            ("key-requests", of(&[Key]), Unit::Requests, 9),
            calendar(CalendarUnit::Week(Weekday::Monday), "UTC"),
        ),
        (
            "{ per: [tier, provider, endpoint], unit: requests, amount: 9, period: week, anchor: sunday }",
            (
                "tier-endpoint-provider-requests",
                of(&[Tier, Path, Provider]),
                Unit::Requests,
                9,
            ),
            calendar(CalendarUnit::Week(Weekday::Sunday), "UTC"),
        ),
        (
            "{ per: tenant, unit: cost, amount: 250.50, period: month, anchor: 31, zone: Europe/Berlin, when: { model: gpt-4o-mini } }",
            ("tenant-cost", Scope::TENANT, Unit::Cost, 250_500_000_000),
            calendar(CalendarUnit::Month(31), "Europe/Berlin"),
        ),
        (
            "{ per: tenant, unit: requests, amount: 60, every: 1m, algorithm: leaky_bucket }",
            ("tenant-requests", Scope::TENANT, Unit::Requests, 60),
            Algorithm::LeakyBucket {
                every: minute,
                burst: 1,
            },
        ),
        (
            "{ per: tenant, unit: cost, amount: 2, every: 1m, algorithm: token_bucket, burst: 0.5, when: { tier: standard } }",
            ("tenant-cost", Scope::TENANT, Unit::Cost, 2_000_000_000),
            Algorithm::TokenBucket {
                every: minute,
                burst: 500_000_000,
            },
        ),
    ];
    for (text, (name, scope, unit, amount), algorithm) in limits {
        let expected = Limit {
            name: name.into(),
            scope,
            unit,
            amount,
            algorithm,
            mode: Mode::Enforce,
        };
        assert_eq!(*limit(text).limit, expected, "{text}");
    }
    let shadow = limit("{ per: tenant, unit: concurrency, amount: 2, mode: shadow, name: s }");
    assert_eq!(shadow.limit.mode, Mode::Shadow);
    let conditional = limit(
        "{ per: tenant, unit: concurrency, amount: 2, name: s, \
         when: { model: [gpt-4o, gpt-4o-mini], tier: premium, endpoint: [embeddings, /v1/messages] } }",
    );
    assert_eq!(
        conditional.when,
        When {
            models: vec!["gpt-4o".into(), "gpt-4o-mini".into()],
            tiers: vec!["premium".into()],
            endpoints: vec![Endpoint::Embeddings, Endpoint::Messages],
            condition: None,
        }
    );
}

#[test]
fn a_wrong_limit_says_what_would_be_right() {
    let most = format!("{}", AMOUNT_MAX / 1_000_000_000 + 1);
    let month = "per: tenant, unit: requests, amount: 9, period: month";
    let table = [
        (format!("{{ {month}, anchor: ^0 }}"), ".anchor: must be more than 0 (got 0)"),
        (format!("{{ {month}, anchor: ^32 }}"), ".anchor: must be at most 31 (got 32)"),
        (format!("{{ {month}, anchor: ^monday }}"), ".anchor: must be a whole number such as 600, 200k or 5M (got monday)"),
        (format!("{{ {month}, zone: ^Europe/Berln }}"), ".zone: must be an IANA time zone such as Europe/Berlin (got \"Europe/Berln\"); did you mean \"Europe/Berlin\"?"),
        (format!("{{ {month}, every: ^1m }}"), ".every: has no meaning with a period, which says how long and from when"),
        (format!("{{ {month}, starts: ^first_hit }}"), ".starts: has no meaning with a period, which says how long and from when"),
        ("{ per: tenant, unit: requests, amount: 9, period: ^month, algorithm: token_bucket }".into(), ".period: has a meaning only with algorithm: fixed_window"),
        (format!("{{ {month}, mode: ^watch }}"), ".mode: must be one of enforce, shadow (got \"watch\")"),
        ("{ per: tenant, unit: requests, amount: 9, period: ^year }".into(), ".period: must be one of hour, day, week, month (got \"year\")"),
        ("{ per: tenant, unit: requests, amount: 9, period: day, anchor: ^3 }".into(), ".anchor: has a meaning only with period: week or month"),
        ("{ per: tenant, unit: requests, amount: 9, period: week, anchor: ^3 }".into(), ".anchor: must be one of monday, tuesday, wednesday, thursday, friday, saturday, sunday (got \"3\")"),
        ("{ per: tenant, unit: requests, amount: 9, every: 1m, zone: ^UTC }".into(), ".zone: has a meaning only with a period"),
        ("{ per: tenant, unit: requests, amount: 9, every: 1m, starts: ^aligned }".into(), ".starts: has a meaning only with algorithm: fixed_window"),
        ("{ per: tenant, unit: requests, amount: 9, every: 1m, algorithm: fixed_window, burst: ^3 }".into(), ".burst: has a meaning only with algorithm: token_bucket or leaky_bucket"),
        ("^{ per: tenant, unit: cost, amount: 5, every: 1d }".into(), ": can't count the cost of \"llama-3.1-70b\": set price of each of these models, or keep them out with when"),
        (format!("{{ per: tenant, unit: cost, amount: ^{most}, every: 1d, when: {{ tier: standard }} }}"), ".amount: must be at most 9007199.254740991 (got 9007200)"),
        ("{ per: tenant, unit: cost, amount: ^-1, every: 1d, when: { tier: standard } }".into(), ".amount: must be more than 0 (got -1)"),
        ("{ per: tenant, unit: cost, amount: ^1e3, every: 1d, when: { tier: standard } }".into(), ".amount: must be an amount of dollars such as 25 or 0.15 (got 1e3)"),
        ("{ per: tenant, unit: requests, amount: 7, every: 1d, when: { model: ^gpt-4 } }".into(), ".when.model: there is no model \"gpt-4\"; did you mean \"gpt-4o\"?"),
        ("{ per: tenant, unit: requests, amount: 7, every: 1d, when: { tier: [^premum] } }".into(), ".when.tier[0]: there is no model of tier \"premum\"; did you mean \"premium\"?"),
        ("{ per: tenant, unit: requests, amount: 7, every: 1d, when: { endpoint: ^chat } }".into(), ".when.endpoint: must be chat_completions, completions, embeddings, or an endpoint as usage events name it, such as /v1/messages (got \"chat\")"),
        ("{ per: tenant, unit: requests, amount: 7, every: 1d, when: { ^user: ann } }".into(), ".when.user: unknown field; known here: model, tier, endpoint"),
        ("{ per: [tenant, ^users], unit: requests, amount: 7, every: 1d }".into(), ".per[1]: must be one of tenant, project, environment, user, key, model, tier, endpoint, provider (got \"users\"); did you mean \"user\"?"),
        ("^{ name: n, per: tenant, unit: tokens, amount: 7, every: 400d, algorithm: leaky_bucket, burst: 9000000000000000 }".into(), ": can't be counted exactly: with this amount and every, burst must be at most 130312 (got 9000000000000000); a rounder amount or every allows more"),
    ];
    for (marked, expected) in table {
        let text = marked.replace('^', "");
        let problems = loaded(&file(&text)).expect_err(&text).to_string();
        let first = problems.lines().next().unwrap();
        // The wrong part begins at the mark.
        let column = 9 + marked.find('^').unwrap();
        let expected = format!("weir.yaml:19:{column}: plans.team.limits[0]{expected}");
        assert_eq!(first, expected, "{text}");
        assert!(problems.ends_with("weir.yaml: 1 problem"), "{problems}");
    }
}

#[test]
fn prices_are_dollars_per_million_tokens() {
    let config = loaded(&file(FIRST)).unwrap();
    let price = config.snapshot.models["gpt-4o-mini"].price.clone().unwrap();
    let price = price.schedule().last().price.to_string();
    assert_eq!(price, "input=0.15 output=0.6");
    for (price, problem) in [
        (
            "{ input: 1 }",
            "price.output: is required: dollars per million output tokens",
        ),
        (
            "{ input: 1, output: -2 }",
            "price.output: must not be negative (got -2)",
        ),
        (
            "{ input: 2000000, output: 1 }",
            "price.input: must be at most 1000000 (got 2000000)",
        ),
    ] {
        let text = GOOD.replace(
            "tier: standard }",
            &format!("tier: standard, price: {price} }}"),
        );
        // A limit on cost doesn't add to it that there is no price.
        let cost = "{ per: tenant, unit: cost, amount: 1, every: 1d, when: { tier: standard } }";
        let text = text.replace(FIRST, cost);
        let problems = loaded(&text).expect_err(price).to_string();
        assert!(problems.contains(problem), "{problems}");
        assert!(problems.ends_with("weir.yaml: 1 problem"), "{problems}");
    }
}

#[test]
fn limits_beside_the_plans_hold_for_all_tenants() {
    let with_top = |limits: &str| format!("{GOOD}limits: [ {limits} ]\n");
    let config = loaded(&with_top(
        "{ per: global, unit: concurrency, amount: 50 }, \
         { per: [provider, model], unit: tokens, amount: 9M, every: 1m }, \
         { per: user, unit: requests, amount: 5, every: 1s }",
    ))
    .unwrap_or_else(|problems| panic!("{problems}"));
    let names = |limits: &[PlanLimit]| -> Vec<_> {
        let limits = limits.iter();
        limits
            .map(|l| (l.limit.name.to_string(), l.limit.scope))
            .collect()
    };
    let shared = Scope::of([Dimension::Provider, Dimension::Model]);
    assert_eq!(
        names(&config.snapshot.shared),
        [
            ("global-concurrency".to_owned(), Scope::GLOBAL),
            ("model-provider-tokens".to_owned(), shared),
        ]
    );
    let of_plan = names(&config.snapshot.plans["team"].limits);
    assert_eq!(of_plan.len(), 5);
    assert_eq!(of_plan[4], ("user-requests".to_owned(), Scope::USER));
    for (text, problem) in [
        (
            with_top("{ per: tenant, unit: tokens, amount: 5, every: 1s }"),
            "plans.team.limits[1]: limits[0] is named \"tenant-tokens\" already; give one of them another name",
        ),
        (
            with_top("{ per: [global, model], unit: tokens, amount: 5, every: 1s }"),
            "limits[0].per[0]: must be one of tenant, project",
        ),
        (
            file("{ per: global, unit: requests, amount: 5, every: 1s }"),
            "plans.team.limits[0].per: global has a meaning only in the limits at the top: a plan's limits are each tenant's own",
        ),
        (
            with_top(&"{ per: global, unit: concurrency, amount: 5 },".repeat(2)),
            "limits[1]: limits[0] is named",
        ),
    ] {
        let problems = loaded(&text).expect_err(&text).to_string();
        assert!(problems.contains(problem), "{problems}");
    }
}

#[test]
fn a_plan_may_hold_what_is_expected_and_have_hard_limits_beside() {
    let output = |text: &str| {
        let edit = format!("choices: {{ cap: 4 }}{text}");
        let file = GOOD.replace("choices: { cap: 4 }", &edit);
        let config = loaded(&file).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        config.snapshot.plans["team"]
            .output
            .hold
            .unwrap_or_default()
    };
    for (text, hold) in [
        ("", Hold::Maximum),
        (", hold: maximum", Hold::Maximum),
        (", hold: expected", Hold::Expected { percentile: 95 }),
        (
            ", hold: expected, percentile: 50",
            Hold::Expected { percentile: 50 },
        ),
    ] {
        assert_eq!(output(text), hold, "{text}");
    }
    let tokens = "{ per: tenant, name: t, unit: tokens, amount: 9k, every: 1h";
    assert!(!limit(&format!("{tokens} }}")).hard);
    assert!(!limit(&format!("{tokens}, hard: false }}")).hard);
    assert!(limit(&format!("{tokens}, hard: true }}")).hard);
}
