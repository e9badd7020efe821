//! Budgets as operators write them, and what they come to.

use super::{GOOD, outside};
use crate::config::{Config, Problems, load};
use crate::limits::{Algorithm, Rollover};

/// The good file with a budget in its first plan.
fn loaded(budget: &str) -> Result<Config, Problems> {
    let text = GOOD.replacen(
        "  team:\n",
        &format!("  team:\n    budgets: [ {budget} ]\n"),
        1,
    );
    assert_ne!(text, GOOD);
    load(&text, "weir.yaml", &outside())
}

fn rollover(budget: &str) -> Option<Rollover> {
    let config = loaded(budget).unwrap_or_else(|problems| panic!("{budget}: {problems}"));
    let limits = &config.snapshot.plans["team"].limits;
    let budget = limits.iter().find(|limit| limit.budget.is_some()).unwrap();
    match &budget.limit.algorithm {
        Algorithm::FixedWindow { rollover, .. } => *rollover,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_may_be_carried_as_an_amount_or_a_share() {
    const TOKENS: &str = "name: b, unit: tokens, amount: 2M, every: month";
    for (rest, most) in [
        ("rollover: 500k", 500_000),
        ("rollover: 1", 1),
        ("rollover: 50%", 1_000_000),
        ("rollover: '150 %'", 3_000_000),
        ("rollover: 3600%", 72_000_000),
        ("rollover: 72M", 72_000_000),
    ] {
        let amount = 2_000_000;
        let carried = rollover(&format!("{{ {TOKENS}, {rest} }}"));
        assert_eq!(carried, Some(Rollover { amount, most }), "{rest}");
    }
    assert_eq!(rollover(&format!("{{ {TOKENS} }}")), None);
}

#[test]
fn a_wrong_rollover_says_what_would_be_right() {
    for (rest, expected) in [
        ("every: month, rollover: 0", "must be more than 0 (got 0)"),
        (
            "every: month, rollover: 0%",
            "must be 1% to 3600% of the amount (got 0%)",
        ),
        (
            "every: month, rollover: 3601%",
            "must be 1% to 3600% of the amount (got 3601%)",
        ),
        (
            "every: month, rollover: half",
            "must be an amount, or a share of the budget's such as 50% (got half)",
        ),
        (
            "every: month, rollover: 361",
            "must be at most 36 times the amount of 10 (got 361)",
        ),
        (
            "every: 400d, rollover: 5",
            "is only for periods of a year at most",
        ),
    ] {
        let text = format!("{{ name: b, unit: tokens, amount: 10, {rest} }}");
        let problems = loaded(&text).expect_err(&text).to_string();
        let expected = format!("plans.team.budgets[0].rollover: {expected}");
        assert!(problems.contains(&expected), "{text}: {problems}");
    }
    let of_limit = GOOD.replace("algorithm: sliding_window }", "rollover: 5 }");
    let problems = load(&of_limit, "weir.yaml", &outside()).expect_err("only budgets");
    assert!(
        problems.to_string().contains("rollover: unknown field"),
        "{problems}"
    );
}
