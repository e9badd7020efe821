//! Every wrong plan, policy, tenant and virtual model says exactly what is wrong.

use super::*;

/// A file that is right, with all that is tried here.
const RIGHT: &str = r#"listen: { grpc: "127.0.0.1:50051" }
identity:
  pepper: { env: WEIR_PEPPER }
  sources: [{ anonymous: { tenant: acme } }]
conditions: { headers: [x-team] }
models:
  large: { tier: premium, max_output_tokens: 4k, price: { input: 1, output: 2 } }
  small: { tier: standard, max_output_tokens: 4k, price: { input: 0.1, output: 0.2 } }
  auto:
    choose:
      - { when: "request.task == 'classify'", use: small }
      - { use: { large: 3, small: 1 } }
plans:
  base:
    limits:
      - PACE
  team:
    extends: base
    time_zone: Europe/Berlin
    budgets:
      - BUDGET
    allow: { models: [large, small, auto], tiers: [premium, standard], endpoints: [chat_completions], tools: ["search-*"] }
    guardrails: { input_tokens_max: 100k, body_bytes_max: 1MiB, images_max: 4, tools_max: 16, forbid: [logit_bias], drop: [user] }
    output:
      max_tokens: { default: 1024, cap: 8192, required: true, over: clamp }
      choices: { cap: 4, over: refuse }
      hold: expected
      percentile: 95
    policies:
      - RULE
tenants:
  acme:
    plan: team
    projects: { app: { plan: base, environments: [prod] } }
    environments: { dev: { allow: { models: [small] } } }
    users: { ada: { guardrails: { tools_max: 2 } } }
routes: [{ name: batch, envoy_route: batch }, { name: chat }, {}]
"#;

/// What the words in capitals stand for.
const PARTS: &[(&str, &str)] = &[
    (
        "PACE",
        "{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, when: \"model.tier == 'premium'\" }",
    ),
    (
        "BUDGET",
        "{ name: monthly, amount: 500, every: month, anchor: 3, warn_at: [0.5, 0.8] }",
    ),
    (
        "RULE",
        "{ name: rule, when: \"WHEN\", then: THEN, mode: enforce }",
    ),
    ("WHEN", "budget.monthly.used > 0.8"),
    ("THEN", "{ warn: true }"),
    ("BASE", ""),
];

/// A change to [`RIGHT`] (what stands there, what is put in its place) and all that
/// is said of it.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &[&str])] = &[
    // Plans.
    ("extends: base", "extends: bass", &[
        r#"18:14: plans.team.extends: there is no plan "bass"; did you mean "base"?"#,
    ]),
    ("extends: base", "extends: team", &[
        r#"18:14: plans.team.extends: the plan "team" extends itself this way"#,
    ]),
    ("extends: base", "extends: free", &[
        r#"18:14: plans.team.extends: there is no plan "free""#,
    ]),
    ("extends: base", "extends: [base]", &[
        "18:14: plans.team.extends: must be a name (got a list)",
    ]),
    ("extends: base", "extend: base", &[
        r#"18:5: plans.team.extend: unknown field; did you mean "extends"?"#,
    ]),
    ("time_zone: Europe/Berlin", "time_zone: Europe/Berlim", &[
        r#"19:16: plans.team.time_zone: must be an IANA time zone such as Europe/Berlin (got "Europe/Berlim"); did you mean "Europe/Berlin"?"#,
    ]),
    ("BASE", "BASE\n  other: { extends: base, plan: team }", &[
        "14:27: plans.other.plan: unknown field; known here: extends, limits, budgets, output, allow, guardrails, policies, time_zone",
    ]),
    // Budgets.
    ("BUDGET", "{ amount: 500, every: month }", &[
        "21:9: plans.team.budgets[0].name: is required: conditions speak of it by its name",
        "30:29: plans.team.policies[0].when: there is no budget.monthly; budget has nothing",
    ]),
    ("BUDGET", "{ name: monthly, every: month }", &[
        "21:9: plans.team.budgets[0].amount: is required: how much, as 500 USD or 2M (tokens)",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500 }", &[
        "21:9: plans.team.budgets[0].every: is required: how long it is for: hour, day, week, month, 30d or forever",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: fortnight }", &[
        r#"21:46: plans.team.budgets[0].every: must be hour, day, week, month, a span of time such as 30d, or forever (got "fortnight")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: mnth }", &[
        r#"21:46: plans.team.budgets[0].every: must be hour, day, week, month, a span of time such as 30d, or forever (got "mnth"); did you mean "month"?"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: 10s }", &[
        "21:46: plans.team.budgets[0].every: must be at least 1m (got 10s)",
    ]),
    ("BUDGET", "{ name: monthly, amount: 0.0000000001, every: month }", &[
        "21:34: plans.team.budgets[0].amount: must be an amount of dollars such as 25 or 0.15 (got 0.0000000001)",
    ]),
    ("BUDGET", "{ name: monthly, amount: -5, every: month }", &[
        "21:34: plans.team.budgets[0].amount: must be more than 0 (got -5)",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, unit: concurrency }", &[
        r#"21:59: plans.team.budgets[0].unit: must be one of cost, tokens, input_tokens, output_tokens, requests (got "concurrency")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, per: team }", &[
        r#"21:58: plans.team.budgets[0].per: must be one of tenant, project, environment, user, key, model, tier, endpoint, provider (got "team")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, per: global }", &[
        "21:58: plans.team.budgets[0].per: global has a meaning only in the limits at the top: a plan's limits are each tenant's own",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, anchor: 32 }", &[
        "21:61: plans.team.budgets[0].anchor: must be at most 31 (got 32)",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: week, anchor: 3 }", &[
        r#"21:60: plans.team.budgets[0].anchor: must be one of monday, tuesday, wednesday, thursday, friday, saturday, sunday (got "3")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: 30d, anchor: 3 }", &[
        "21:59: plans.team.budgets[0].anchor: has a meaning only with every: hour, day, week or month",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: 30d, zone: UTC }", &[
        "21:57: plans.team.budgets[0].zone: has a meaning only with every: hour, day, week or month",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: forever, anchor: 3, zone: UTC }", &[
        "21:63: plans.team.budgets[0].anchor: has a meaning only with every: hour, day, week or month",
        "21:72: plans.team.budgets[0].zone: has a meaning only with every: hour, day, week or month",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: forever, rollover: 50% }", &[
        "21:65: plans.team.budgets[0].rollover: is only for periods of a year at most",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, zone: Berlin }", &[
        r#"21:59: plans.team.budgets[0].zone: must be an IANA time zone such as Europe/Berlin (got "Berlin")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, warn_at: [0.8, 0.5] }", &[
        "21:62: plans.team.budgets[0].warn_at: must rise: 0.5 before 0.8",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, warn_at: 80 }", &[
        "21:62: plans.team.budgets[0].warn_at: must be at most 1 (got 80)",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, warn_at: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] }", &[
        "21:62: plans.team.budgets[0].warn_at: must have at most 8 thresholds",
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, mode: dry_run }", &[
        r#"21:59: plans.team.budgets[0].mode: must be one of enforce, shadow (got "dry_run")"#,
    ]),
    ("BUDGET", "{ name: monthly, amount: 500, every: month, warn: 0.8 }", &[
        "21:53: plans.team.budgets[0].warn: unknown field; known here: name, per, unit, amount, every, zone, anchor, warn_at, rollover, mode, when",
    ]),
    ("BUDGET", r#"{ name: monthly, amount: 500, every: month, when: "budget.monthly.used > 0.5" }"#, &[
        "21:59: plans.team.budgets[0].when: can't speak of budget.monthly.used: which limits and budgets a call is charged to is known before what is left of them; policies can",
    ]),
    ("BUDGET", "{ name: pace, amount: 500, every: month }", &[
        r#"21:17: plans.team.budgets[0].name: plans.base.limits[0] is named "pace" already; give one of them another name"#,
        "30:29: plans.team.policies[0].when: there is no budget.monthly; budget has pace",
    ]),
    ("BUDGET", r#"{ name: "grant:monthly", amount: 500, every: month }"#, &[
        r#"21:17: plans.team.budgets[0].name: must not begin with "grant:": so begin those of grants"#,
        "30:29: plans.team.policies[0].when: there is no budget.monthly; budget has grant:monthly",
    ]),
    // Allow.
    ("models: [large, small, auto]", "models: [larg]", &[
        r#"22:23: plans.team.allow.models[0]: there is no model "larg"; did you mean "large"?"#,
    ]),
    ("models: [large, small, auto]", r#"models: ["gpt-*"]"#, &[
        r#"22:23: plans.team.allow.models[0]: fits the name of no model (got "gpt-*")"#,
    ]),
    ("models: [large, small, auto]", r#"models: ["a*b"]"#, &[
        "22:23: plans.team.allow.models[0]: must be a name, or the beginning of names with one * at its end",
    ]),
    ("tiers: [premium, standard]", "tiers: [premum]", &[
        r#"22:52: plans.team.allow.tiers[0]: there is no model of tier "premum"; did you mean "premium"?"#,
    ]),
    ("endpoints: [chat_completions]", "endpoints: [chat]", &[
        r#"22:84: plans.team.allow.endpoints[0]: must be chat_completions, completions, embeddings, or an endpoint as usage events name it, such as /v1/messages (got "chat")"#,
    ]),
    (r#"tools: ["search-*"]"#, r#"tool: ["search-*"]"#, &[
        r#"22:103: plans.team.allow.tool: unknown field; did you mean "tools"?"#,
    ]),
    // Guardrails.
    ("input_tokens_max: 100k", "input_tokens_max: lots", &[
        "23:37: plans.team.guardrails.input_tokens_max: must be a whole number such as 600, 200k or 5M (got lots)",
    ]),
    ("body_bytes_max: 1MiB", "body_bytes_max: 0", &[
        "23:59: plans.team.guardrails.body_bytes_max: must be more than 0 (got 0)",
    ]),
    ("images_max: 4", "images_max: -1", &[
        "23:77: plans.team.guardrails.images_max: must not be negative (got -1)",
    ]),
    ("tools_max: 16", "tool_max: 16", &[
        r#"23:80: plans.team.guardrails.tool_max: unknown field; did you mean "tools_max"?"#,
    ]),
    ("forbid: [logit_bias]", "forbid: [model]", &[
        "23:104: plans.team.guardrails.forbid[0]: model is what calls are metered by: it must stay",
    ]),
    ("forbid: [logit_bias]", r#"forbid: ["logit bias"]"#, &[
        "23:104: plans.team.guardrails.forbid[0]: must be a field of request bodies, as logit_bias",
    ]),
    ("drop: [user]", "drop: true", &[
        "23:123: plans.team.guardrails.drop: must be a text: put true in quotes if it is one",
    ]),
    // Output.
    ("over: clamp", "over: cut", &[
        r#"25:69: plans.team.output.max_tokens.over: must be one of clamp, refuse (got "cut")"#,
    ]),
    ("required: true", "required: always", &[
        r#"25:57: plans.team.output.max_tokens.required: must be true or false (got "always")"#,
    ]),
    ("default: 1024", "default: 10k", &[
        "25:30: plans.team.output.max_tokens.default: must be at most the cap of 8192 (got 10000)",
    ]),
    ("choices: { cap: 4", "choices: { cap: 129", &[
        "26:23: plans.team.output.choices.cap: must be at most 128 (got 129)",
    ]),
    ("hold: expected", "hold: maximum", &[
        "28:19: plans.team.output.percentile: is only for hold: expected",
    ]),
    ("percentile: 95", "percentile: 100", &[
        "28:19: plans.team.output.percentile: must be at most 99 (got 100)",
    ]),
    ("hold: expected", "hold: expectd", &[
        r#"27:13: plans.team.output.hold: must be one of maximum, expected (got "expectd"); did you mean "expected"?"#,
    ]),
    // Policies.
    ("THEN", "{}", &[
        "30:64: plans.team.policies[0].then: must have one of warn, throttle, clamp_output, downgrade, route, require_approval, block",
    ]),
    ("THEN", "{ deny: true }", &[
        "30:64: plans.team.policies[0].then: must have one of warn, throttle, clamp_output, downgrade, route, require_approval, block",
        "30:66: plans.team.policies[0].then.deny: unknown field; known here: warn, throttle, clamp_output, downgrade, route, require_approval, block",
    ]),
    ("THEN", "block", &[
        "30:64: plans.team.policies[0].then: must be what the rule does, as { block: true }",
    ]),
    ("then: { warn: true }, ", "", &[
        "30:9: plans.team.policies[0].then: is required: what the rule does, as block: true",
    ]),
    ("name: rule, ", "", &[
        "30:9: plans.team.policies[0].name: is required: refusals and the ledger call the rule by it",
    ]),
    ("mode: enforce", "mode: shadows", &[
        r#"30:86: plans.team.policies[0].mode: must be one of enforce, shadow (got "shadows"); did you mean "shadow"?"#,
    ]),
    ("RULE", "RULE\n      - { name: rule, then: { warn: true } }", &[
        r#"31:17: plans.team.policies[1].name: plans.team.policies[0] is named "rule" already"#,
    ]),
    ("RULE", "{ name: rule, when: model.teir == 'premium', then: { downgrade: smal } }", &[
        "30:29: plans.team.policies[0].when: there is no model.teir; did you mean model.tier?",
        r#"30:73: plans.team.policies[0].then.downgrade: there is no model "smal"; did you mean "small"?"#,
    ]),
    // Actions.
    ("THEN", "{ warn: false }", &[
        "30:72: plans.team.policies[0].then.warn: must be true, or the message that the caller is told",
    ]),
    ("THEN", r#"{ warn: "zu teuer: 5 €" }"#, &[
        "30:72: plans.team.policies[0].then.warn: must have at most 200 characters, all of them printable ASCII",
    ]),
    ("THEN", "{ throttle: true }", &[
        "30:76: plans.team.policies[0].then.throttle: must be delay, limits or both, as { delay: 2s, limits: 0.5 }",
    ]),
    ("THEN", "{ throttle: {} }", &[
        "30:76: plans.team.policies[0].then.throttle: must have one of delay, limits",
    ]),
    ("THEN", "{ throttle: { delay: 31s } }", &[
        "30:85: plans.team.policies[0].then.throttle.delay: must be at most 30s (got 31s)",
    ]),
    ("THEN", "{ throttle: { delay: 2 } }", &[
        "30:85: plans.team.policies[0].then.throttle.delay: needs its unit, as in 250ms, 10s, 1m, 1h or 1d (got 2)",
    ]),
    ("THEN", "{ throttle: { limits: 1.5 } }", &[
        "30:86: plans.team.policies[0].then.throttle.limits: must be at most 0.999 (got 1.5)",
    ]),
    ("THEN", "{ clamp_output: 0 }", &[
        "30:80: plans.team.policies[0].then.clamp_output: must be more than 0 (got 0)",
    ]),
    ("THEN", "{ clamp_output: { tokens: 5 } }", &[
        "30:80: plans.team.policies[0].then.clamp_output.max_tokens: is required: the most tokens of one answer",
        "30:82: plans.team.policies[0].then.clamp_output.tokens: unknown field; known here: max_tokens",
    ]),
    ("THEN", "{ clamp_output: {} }", &[
        "30:80: plans.team.policies[0].then.clamp_output.max_tokens: is required: the most tokens of one answer",
    ]),
    ("THEN", "{ downgrade: smal }", &[
        r#"30:77: plans.team.policies[0].then.downgrade: there is no model "smal"; did you mean "small"?"#,
    ]),
    ("THEN", "{ downgrade: auto }", &[
        "30:77: plans.team.policies[0].then.downgrade: is a name behind which a model is chosen: name the model itself",
    ]),
    ("THEN", "{ downgrade: [] }", &[
        "30:77: plans.team.policies[0].then.downgrade: must have 1 to 32 names",
    ]),
    ("THEN", "{ downgrade: { drop: [logit_bias] } }", &[
        "30:77: plans.team.policies[0].then.downgrade.to: is required: the models to go to, the best first",
    ]),
    ("THEN", "{ downgrade: { to: small, drop: [messages] } }", &[
        "30:97: plans.team.policies[0].then.downgrade.drop[0]: messages is what calls are metered by: it must stay",
    ]),
    ("THEN", r#"{ route: " cheap" }"#, &[
        "30:73: plans.team.policies[0].then.route: must not begin or end with white space",
    ]),
    ("THEN", "{ route: { to: cheap } }", &[
        "30:73: plans.team.policies[0].then.route.cluster: is required: what x-weir-cluster is to say",
        "30:75: plans.team.policies[0].then.route.to: unknown field; known here: cluster",
    ]),
    ("THEN", "{ route: true }", &[
        "30:73: plans.team.policies[0].then.route: must be a name: put true in quotes if it is one",
    ]),
    ("THEN", "{ require_approval: false }", &[
        "30:84: plans.team.policies[0].then.require_approval: must be true, or what differs from usual: valid_for, approvers, by, message",
    ]),
    ("THEN", "{ require_approval: { valid_for: 400d } }", &[
        "30:97: plans.team.policies[0].then.require_approval.valid_for: must be at most 366d (got 400d)",
    ]),
    ("THEN", "{ require_approval: { by: anyone } }", &[
        r#"30:90: plans.team.policies[0].then.require_approval.by: must be one of operator, tenant_admin (got "anyone")"#,
    ]),
    ("THEN", "{ require_approval: { approver: ops } }", &[
        r#"30:86: plans.team.policies[0].then.require_approval.approver: unknown field; did you mean "approvers"?"#,
    ]),
    ("THEN", "{ block: false }", &[
        "30:73: plans.team.policies[0].then.block: must be true, or what differs from usual: status, code, message",
    ]),
    ("THEN", "{ block: { status: 500 } }", &[
        "30:83: plans.team.policies[0].then.block.status: must be at most 499 (got 500)",
    ]),
    ("THEN", "{ block: { status: 200 } }", &[
        "30:83: plans.team.policies[0].then.block.status: must be at least 400 (got 200)",
    ]),
    ("THEN", r#"{ block: { code: "" } }"#, &[
        "30:81: plans.team.policies[0].then.block.code: must have 1 to 128 bytes (got 0)",
    ]),
    ("THEN", "{ block: { mesage: no } }", &[
        r#"30:75: plans.team.policies[0].then.block.mesage: unknown field; did you mean "message"?"#,
    ]),
    // Conditions.
    ("WHEN", "budget.montly.used > 0.8", &[
        "30:29: plans.team.policies[0].when: there is no budget.montly; did you mean budget.monthly?",
    ]),
    ("WHEN", "budget.monthly.use > 0.8", &[
        "30:29: plans.team.policies[0].when: there is no budget.monthly.use; did you mean budget.monthly.used?",
    ]),
    ("WHEN", "limit.monthly.used > 0.8", &[
        "30:29: plans.team.policies[0].when: there is no limit.monthly; limit has pace",
    ]),
    ("WHEN", "limit.pase.used > 0.8", &[
        "30:29: plans.team.policies[0].when: there is no limit.pase; did you mean limit.pace?",
    ]),
    ("WHEN", "budget.monthly.used > 'half'", &[
        r#"30:29: plans.team.policies[0].when: budget.monthly.used is a double and can't be compared with "half", text"#,
    ]),
    ("WHEN", "request.tokenz > 5", &[
        "30:29: plans.team.policies[0].when: there is no request.tokenz; did you mean request.tokens?",
    ]),
    ("WHEN", "reqest.tokens > 5", &[
        "30:29: plans.team.policies[0].when: there is no reqest; did you mean request?",
    ]),
    ("WHEN", "request.tokens > 'many'", &[
        r#"30:29: plans.team.policies[0].when: request.tokens is an int and can't be compared with "many", text"#,
    ]),
    ("WHEN", "request.tokens", &[
        "30:29: plans.team.policies[0].when: must be true or false (is an int)",
    ]),
    ("WHEN", "request.tokens >", &[
        "30:29: plans.team.policies[0].when: is not an expression: Syntax error: mismatched input '<EOF>'",
    ]),
    ("WHEN", "request.stream > true", &[
        "30:29: plans.team.policies[0].when: an order takes numbers or texts; request.stream is true or false",
    ]),
    ("WHEN", "principal.tenant.name == 'acme'", &[
        "30:29: plans.team.policies[0].when: principal.tenant is text and has no name",
    ]),
    ("WHEN", "request.model == 'larg'", &[
        r#"30:29: plans.team.policies[0].when: there is no model "larg"; did you mean "large"?"#,
    ]),
    ("WHEN", "model.name in ['large', 'smal']", &[
        r#"30:29: plans.team.policies[0].when: there is no model "smal"; did you mean "small"?"#,
    ]),
    ("WHEN", "model.tier == 'premum'", &[
        r#"30:29: plans.team.policies[0].when: there is no model of tier "premum"; did you mean "premium"?"#,
    ]),
    ("WHEN", "request.headers['x-teem'] == 'red'", &[
        r#"30:29: plans.team.policies[0].when: there is no header "x-teem" in conditions.headers; did you mean "x-team"?"#,
    ]),
    ("WHEN", "'X-Team' in request.headers", &[
        r#"30:29: plans.team.policies[0].when: there is no header "X-Team" in conditions.headers; did you mean "x-team"?"#,
    ]),
    ("WHEN", "has(request.headers.priority)", &[
        r#"30:29: plans.team.policies[0].when: there is no header "priority" in conditions.headers"#,
    ]),
    ("WHEN", "request.route == 'bach'", &[
        r#"30:29: plans.team.policies[0].when: there is no route "bach"; did you mean "batch"?"#,
    ]),
    ("WHEN", "request.route in ['batch', 'chit', '']", &[
        r#"30:29: plans.team.policies[0].when: there is no route "chit"; did you mean "chat"?"#,
    ]),
    ("WHEN", "principal.plan == 'teem'", &[
        r#"30:29: plans.team.policies[0].when: there is no plan "teem"; did you mean "team"?"#,
    ]),
    ("WHEN", "model.provider in ['openai']", &[
        r#"30:29: plans.team.policies[0].when: there is no model of provider "openai""#,
    ]),
    ("WHEN", "lowerAscii(request.task) == 'x'", &[
        "30:29: plans.team.policies[0].when: there is no function lowerAscii here; a condition may use has, size, startsWith, endsWith, contains, matches, exists, all and usd",
    ]),
    ("WHEN", "request.task.matches('(')", &[
        r#"30:29: plans.team.policies[0].when: matches "(": is not a pattern: unclosed group"#,
    ]),
    ("WHEN", "request.cost_max > usd(0.0000000001)", &[
        "30:29: plans.team.policies[0].when: usd takes whole nano-dollars, at most 9223372036.854775807 dollars; 0.0000000001 is finer or more",
    ]),
    ("WHEN", "", &[
        "30:29: plans.team.policies[0].when: must have 1 to 4096 bytes and no control characters",
    ]),
    // Limits.
    ("PACE", r#"{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, when: "budget.monthly.used > 0.5" }"#, &[
        "16:82: plans.base.limits[0].when: can't speak of budget.monthly.used: which limits and budgets a call is charged to is known before what is left of them; policies can",
    ]),
    ("PACE", r#"{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, when: "model.tier == 'premum'" }"#, &[
        r#"16:82: plans.base.limits[0].when: there is no model of tier "premum"; did you mean "premium"?"#,
    ]),
    ("PACE", "{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, when: true }", &[
        "16:82: plans.base.limits[0].when: must be a condition in CEL, or a mapping of model, tier, endpoint",
    ]),
    ("PACE", r#"{ name: "project:pace", per: tenant, unit: requests, amount: 600, every: 1m }"#, &[
        r#"16:17: plans.base.limits[0].name: must not begin with "project:": so begin those that stand below a plan"#,
    ]),
    ("PACE", r#"{ name: "own:pace", per: tenant, unit: requests, amount: 600, every: 1m }"#, &[
        r#"16:17: plans.base.limits[0].name: must not begin with "own:": so begin those of keys"#,
    ]),
    ("PACE", "{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, anchor: 3 }", &[
        "16:84: plans.base.limits[0].anchor: has a meaning only with a period",
    ]),
    ("PACE", "{ name: pace, per: tenant, unit: requests, amount: 600, every: 1m, hard: true }", &[
        "16:82: plans.base.limits[0].hard: is only for tokens, output_tokens and cost (unit is requests)",
    ]),
    // Tenants.
    ("plan: team", "plan: teem", &[
        r#"33:11: tenants.acme.plan: there is no plan "teem"; did you mean "team"?"#,
    ]),
    ("app: { plan: base", "app: { plan: bass", &[
        r#"34:30: tenants.acme.projects.app.plan: there is no plan "bass"; did you mean "base"?"#,
    ]),
    ("app: { plan: base", "app: { extends: base", &[
        "34:24: tenants.acme.projects.app.extends: unknown field; known here: plan, environments, limits, budgets, output, allow, guardrails, policies, time_zone",
    ]),
    ("environments: [prod]", "environments: prod", &[
        "34:50: tenants.acme.projects.app.environments: must be a list (got a text)",
    ]),
    ("environments: [prod]", "environment: [prod]", &[
        r#"34:36: tenants.acme.projects.app.environment: unknown field; did you mean "environments"?"#,
    ]),
    ("environments: [prod]", r#"environments: { " prod": {} }"#, &[
        r#"34:52: tenants.acme.projects.app.environments." prod": the name must not begin or end with white space"#,
    ]),
    ("dev: { allow: { models: [small] } }", "dev: { allow: { models: [tiny] } }", &[
        r#"35:46: tenants.acme.environments.dev.allow.models[0]: there is no model "tiny""#,
    ]),
    ("ada: { guardrails: { tools_max: 2 } }", "ada: { projects: {} }", &[
        "36:21: tenants.acme.users.ada.projects: unknown field; known here: plan, limits, budgets, output, allow, guardrails, policies, time_zone",
    ]),
    ("ada: { guardrails: { tools_max: 2 } }", "ada: { plan: nobody }", &[
        r#"36:27: tenants.acme.users.ada.plan: there is no plan "nobody""#,
    ]),
    ("ada: { guardrails: { tools_max: 2 } }", r#"ada: { policies: [{ name: r, when: "budget.monthly.used > 0.5", then: { warn: true } }] }"#, &[
        "36:49: tenants.acme.users.ada.policies[0].when: there is no budget.monthly; budget has nothing",
    ]),
    // Virtual models.
    ("use: small }", "use: smal }", &[
        r#"11:52: models.auto.choose[0].use: there is no model "smal"; did you mean "small"?"#,
    ]),
    ("use: small }", "use: auto }", &[
        "11:52: models.auto.choose[0].use: is a name behind which a model is chosen: name the model itself",
    ]),
    ("use: { large: 3, small: 1 }", "use: { large: 0, small: 1 }", &[
        "12:25: models.auto.choose[1].use.large: must be more than 0 (got 0)",
    ]),
    ("use: { large: 3, small: 1 }", "use: { large: heavy }", &[
        "12:25: models.auto.choose[1].use.large: must be a whole number such as 600, 200k or 5M (got heavy)",
    ]),
    ("use: { large: 3, small: 1 }", "use: {}", &[
        "12:9: models.auto.choose[1]: must have 1 to 16 models",
    ]),
    ("      - { use: { large: 3, small: 1 } }\n", "", &[
        "11:17: models.auto.choose[0].when: the last way must have no condition: it is for all other calls",
    ]),
    ("- { use: { large: 3, small: 1 } }", r#"- { when: "request.stream" }"#, &[
        "12:9: models.auto.choose[1].use: is required: a model, a list of them, or weights of them",
    ]),
    ("- { use: { large: 3, small: 1 } }", "- { when: \"budget.dayly.used > 0.5\", use: small }\n      - large", &[
        "12:17: models.auto.choose[1].when: there is no budget.dayly; budget has monthly",
    ]),
    ("  auto:\n", "  fast: { choose: [] }\n  auto:\n", &[
        "9:19: models.fast.choose: must have 1 to 16 ways",
    ]),
    ("  auto:\n", "  fast: { choose: small, tier: premium }\n  auto:\n", &[
        "9:26: models.fast.tier: unknown field; known here: choose",
    ]),
    // Headers.
    ("headers: [x-team]", "headers: [X-Team]", &[
        "5:25: conditions.headers[0]: must be a header's name in lower case, as x-acme-key",
    ]),
    ("headers: [x-team]", "headers: [cookie]", &[
        "5:25: conditions.headers[0]: has a use of its own: must be another header, as x-acme-key",
    ]),
    ("headers: [x-team]", "headers: [x-weir-task]", &[
        "5:25: conditions.headers[0]: must not begin with x-weir-: such headers are weir's own",
    ]),
    ("headers: [x-team]", "header: [x-team]", &[
        r#"5:15: conditions.header: unknown field; did you mean "headers"?"#,
    ]),
    ("headers: [x-team]", "headers: [x-0, x-1, x-2, x-3, x-4, x-5, x-6, x-7, x-8, x-9, x-10, x-11, x-12, x-13, x-14, x-15, x-16]", &[
        "5:24: conditions.headers: must have at most 16 headers",
    ]),
];

/// The file with one change; the words that are left stand for what they do.
fn changed(old: &str, new: &str) -> String {
    let mut text = RIGHT.replace("plans:\n  base:", "plans:BASE\n  base:");
    for (word, part) in PARTS {
        if *word != old && text.contains(word) {
            text = text.replace(word, part);
        }
        if *word == old {
            let new = new.replace(old, part);
            assert!(text.contains(old), "{old} stands nowhere");
            text = text.replacen(old, &new, 1);
        }
    }
    if !PARTS.iter().any(|(word, _)| *word == old) {
        assert!(text.contains(old), "{old} stands nowhere");
        text = text.replacen(old, new, 1);
    }
    text
}

fn lines_of(text: &str) -> Vec<String> {
    let problems = load(text, "weir.yaml", &outside()).expect_err(text);
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_file_that_is_changed_is_right() {
    let text = changed("x-team", "x-team");
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(config.snapshot.plans["team"].rules.list.len(), 1);
}

#[test]
fn every_wrong_policy_says_exactly_what_is_wrong() {
    assert!(WRONG.len() >= 45);
    for (old, new, expected) in WRONG {
        let mut lines = lines_of(&changed(old, new));
        lines.pop();
        let expected: Vec<String> = expected.iter().map(|p| format!("weir.yaml:{p}")).collect();
        assert_eq!(lines, expected, "{old} -> {new}");
    }
}

/// What is said first of the file with `new` in place of `old`.
fn first_of(old: &str, new: &str) -> String {
    lines_of(&changed(old, new)).remove(0)
}

#[test]
fn plans_extend_one_another_only_so_deep() {
    let chain: String = (0..9)
        .map(|n| {
            format!(
                "\n  p{n}: {{ extends: {} }}",
                if n == 0 {
                    "base".to_owned()
                } else {
                    format!("p{}", n - 1)
                }
            )
        })
        .collect();
    assert_eq!(
        first_of("BASE", &chain),
        "weir.yaml:14:18: plans.p0.extends: at most 8 plans may extend one another"
    );
}

#[test]
fn a_plan_has_only_so_many_policies() {
    let rules: Vec<String> = (0..65)
        .map(|n| format!("{{ name: r{n}, then: {{ warn: true }} }}"))
        .collect();
    assert_eq!(
        first_of("RULE", &rules.join("\n      - ")),
        "weir.yaml:94:9: plans.team.policies[64]: a plan may have at most 64 policies (got 65)"
    );
}

#[test]
fn a_condition_is_only_so_long_and_so_deep() {
    let long = vec!["request.stream"; 400].join(" || ");
    assert_eq!(
        first_of("WHEN", &long),
        "weir.yaml:30:29: plans.team.policies[0].when: must have 1 to 4096 bytes and no control characters"
    );
    let deep = format!("{}request.stream{}", "(!".repeat(60), ")".repeat(60));
    assert_eq!(
        first_of("WHEN", &deep),
        "weir.yaml:30:29: plans.team.policies[0].when: nests deeper than 32 levels"
    );
}

#[test]
fn a_call_is_charged_to_only_so_many_limits_of_all_places() {
    let limits: Vec<String> = (0..31)
        .map(|n| format!("{{ name: l{n}, per: tenant, unit: requests, amount: 1, every: 1m }}"))
        .collect();
    let own = format!("ada: {{ limits: [{}] }}", limits.join(", "));
    assert_eq!(
        first_of("ada: { guardrails: { tools_max: 2 } }", &own),
        "weir.yaml:32:3: tenants.acme: a call could be charged to 34 limits of the plan and of what stands below it: at most 32 may apply"
    );
}

#[test]
fn the_examples_load_without_a_warning() {
    for (name, text) in examples::ALL {
        let config = load(text, name, &outside()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(config.warnings, Vec::<String>::new(), "{name}");
    }
    let config = load(examples::example("enterprise").unwrap(), "e", &outside()).unwrap();
    let plan = &config.snapshot.plans["enterprise"];
    let names: Vec<&str> = plan.limits.iter().map(|limit| &*limit.limit.name).collect();
    assert_eq!(names, ["pace", "at-once", "monthly"]);
    let limit = &plan.limits[0].limit;
    assert_eq!(
        limit.amount, 6_000,
        "its own in place of those that it extends"
    );
}
