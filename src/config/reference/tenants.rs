//! Tenants, and what stands below their plans.

use super::forms::*;
use super::plans::{ALLOW, BUDGETS, GUARDRAILS, LIMITS, OUTPUT, POLICIES};
use super::{Block, Field, Form, block, opt, req};

pub static TENANT: Form = Form::Block(&TENANT_BLOCK);

#[rustfmt::skip]
const TIME_ZONE: Field = opt("time_zone", &TEXT, "as everywhere below: the plan's", "Conditions see `time` in the zone of the tenant's plan, also here.");

/// What stands below a plan narrows it.
#[rustfmt::skip]
const PLAN: Field = opt("plan", &NAME, "what is written here alone", "A plan that counts besides that of the tenant.");
#[rustfmt::skip]
const ENVIRONMENTS: Field = opt("environments", &NARROWS, "none", "By name, each narrower still; or their names alone.");

#[rustfmt::skip]
static TENANT_BLOCK: Block = block("tenant", "Who may call. What is written here and below counts besides the plan: nothing can exceed it.", &[
    req("plan", &NAME, "The plan that the tenant is on."),
    opt("projects", &Form::Named(&PROJECT), "none", "By name: what is narrower for calls of a project."),
    ENVIRONMENTS,
    opt("users", &NARROWS, "none", "By name: what is narrower for calls of a user; or their names alone."),
    LIMITS, BUDGETS, OUTPUT, ALLOW, GUARDRAILS, POLICIES, TIME_ZONE,
]);

static PROJECT: Form = Form::Block(&PROJECT_BLOCK);
#[rustfmt::skip]
static PROJECT_BLOCK: Block = block("project", "What is narrower for calls of a project.", &[
    PLAN, ENVIRONMENTS, LIMITS, BUDGETS, OUTPUT, ALLOW, GUARDRAILS, POLICIES, TIME_ZONE,
]);

static NARROWS: Form = Form::Any(&[Form::Named(&NARROW), Form::List(&NAME)]);
static NARROW: Form = Form::Block(&NARROW_BLOCK);
#[rustfmt::skip]
static NARROW_BLOCK: Block = block("narrow", "What is narrower for calls of an environment or a user.", &[
    PLAN, LIMITS, BUDGETS, OUTPUT, ALLOW, GUARDRAILS, POLICIES, TIME_ZONE,
]);
