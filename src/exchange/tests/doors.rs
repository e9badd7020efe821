//! Checks of ext_authz: what is shown of a body, and what is counted.

use super::*;
use crate::exchange::door::{Body, Counts, Passed};
use crate::identity::scopes::{Pattern, Scopes};
use crate::identity::table::Change;
use crate::limits::Decision;
use crate::limits::{Dimension, Refusal, Retry};
use crate::protocol::denial::Rendered;

/// The key may have gpt-4* alone.
fn scoped() -> Snapshot {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    let pepper = snapshot.keys.peppers.clone().unwrap().now;
    let scopes = Scopes {
        models: vec![Pattern::new("gpt-4*").unwrap()],
        ..Scopes::default()
    };
    let key = Key {
        digest: pepper.digest(KEY.as_bytes()),
        id: "key-1".into(),
        user: Some("ann".into()),
        account: Account {
            tenant: "acme".into(),
            scopes: Some(Arc::new(scopes)),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    };
    let table = snapshot.keys.configured.changed([Change::Put(key)]);
    snapshot.keys.configured = Arc::new(table);
    snapshot
}

fn check(path: &str, body: Body, more: &[(&str, &str)]) -> Check {
    let mut head = request_head(path);
    head.headers.extend(headers(more));
    Check {
        head,
        body,
        keeps_path: false,
    }
}

/// 200, or the status and the reason.
fn verdict(check: Check) -> (u16, String) {
    match check_at_door(check, &scoped(), settings()) {
        Judgement::Passed(_) => (200, String::new()),
        Judgement::Refused { rendered, .. } => (rendered.status, decision(&rendered)),
        Judgement::Counts(_) => panic!("nothing is counted here"),
    }
}

fn decision(rendered: &Rendered) -> String {
    let mut headers = rendered.headers.iter();
    let found = headers.find(|(name, _)| *name == "x-weir-decision");
    found.unwrap().1.clone()
}

#[test]
fn of_a_body_all_is_judged_or_nothing() {
    const CHAT: &str = "/v1/chat/completions";
    const GEMINI: &str = "/v1beta/models/gpt-5:generateContent";
    let whole = |text: &str| Body::Whole(text.as_bytes().to_vec());
    let ok = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
    let length = ok.len().to_string();
    let longer = (ok.len() + 1).to_string();
    let doubled =
        r#"{"model":"gpt-4o","\u006dodel":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
    let other = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
    let large = format!("{{\"model\":\"gpt-4o\",\"x\":\"{}\"}}", "x".repeat(4096));
    for (path, body, more, expected) in [
        (CHAT, Body::Unseen, &[][..], (200, "")),
        (CHAT, whole(ok), &[], (200, "")),
        (CHAT, whole(ok), &[("content-length", &*length)], (200, "")),
        (
            CHAT,
            whole(ok),
            &[("content-length", &*longer)],
            (413, "body_too_large"),
        ),
        (CHAT, Body::Cut, &[], (413, "body_too_large")),
        (CHAT, whole(&large), &[], (413, "body_too_large")),
        (CHAT, whole(other), &[], (403, "model_not_allowed")),
        (CHAT, whole(doubled), &[], (400, "bad_body")),
        (
            CHAT,
            whole(r#"{"model":"gpt-9","messages":[{"role":"user","content":"hi"}]}"#),
            &[],
            (404, "unknown_model"),
        ),
        (CHAT, whole(""), &[], (400, "bad_body")),
        (CHAT, whole("{\"model\":\"gpt-4o\""), &[], (400, "bad_body")),
        (
            CHAT,
            Body::Whole(b"{\"model\":\"gpt-4o\xff\"}".to_vec()),
            &[],
            (400, "bad_body"),
        ),
        (
            CHAT,
            whole(ok),
            &[("content-encoding", "gzip")],
            (400, "malformed_encoding"),
        ),
        // The path says it, whatever is shown of the body.
        (GEMINI, Body::Unseen, &[], (403, "model_not_allowed")),
        (
            "/v1beta/models/gpt-4o:generateContent",
            Body::Unseen,
            &[],
            (200, ""),
        ),
        (
            "/v1beta/models/gpt-9:generateContent",
            Body::Unseen,
            &[],
            (404, "unknown_model"),
        ),
    ] {
        let asked = format!("{path} {body:?} {more:?}");
        let got = verdict(check(path, body, more));
        assert_eq!((got.0, &*got.1), expected, "{asked}");
    }
}

#[test]
fn a_key_in_a_path_that_stays_is_refused() {
    let path = "/v1beta/models/gpt-4o:generateContent?alt=sse&key=";
    let mut keyed = check(&format!("{path}{KEY}"), Body::Unseen, &[]);
    match check_at_door(keyed.clone(), &snapshot(), settings()) {
        Judgement::Passed(passed) => assert_eq!(passed.parameters, ["key"]),
        other => panic!("{other:?}"),
    }
    keyed.keeps_path = true;
    assert_eq!(verdict(keyed), (400, "bad_query".to_owned()));
}

/// Another judges anew then: it needs what it judges by.
#[test]
fn credentials_stay_where_nobody_believes_ext_authz() {
    let head = [("x-weir-tenant", "globex"), ("x-http-method", "GET")];
    let check = check("/v1/embeddings", Body::Unseen, &head);
    for (trusted, counts, credentials) in [
        (true, false, true),
        (false, true, true),
        (false, false, false),
    ] {
        let settings = Settings {
            trust_ext_authz: trusted,
            count_checks: counts,
            ..settings()
        };
        let mut removed = match check_at_door(check.clone(), &snapshot(), settings) {
            Judgement::Passed(passed) => passed.edits.remove,
            Judgement::Counts(counts) => passes(*counts).edits.remove,
            other => panic!("{other:?}"),
        };
        removed.sort();
        let mut expected = vec!["x-http-method", "x-weir-tenant"];
        if credentials {
            expected.insert(0, "authorization");
        }
        assert_eq!(removed, expected);
    }
}

fn counting() -> Settings {
    Settings {
        count_checks: true,
        ..settings()
    }
}

fn counts(body: Body, snapshot: &Snapshot) -> Counts {
    let check = check("/v1/chat/completions", body, &[]);
    match check_at_door(check, snapshot, counting()) {
        Judgement::Counts(counts) => *counts,
        other => panic!("{other:?}"),
    }
}

fn passes(counts: Counts) -> Passed {
    let standing = Standing {
        exceeded: false,
        used: 1,
        remaining: 9,
        carried: 0,
        reset_after: Some(Millis(6_000)),
    };
    let (answer, effects) = counts.decide(Some(Decision::Admitted(vec![standing])), NOW);
    let [Effect::Settle(settlement)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(settlement.actual.requests, 1);
    assert_eq!(ended_as(settlement), Outcome::Estimated);
    answer.unwrap()
}

#[test]
fn limits_of_requests_alone_are_charged() {
    let names = |counts: &Counts| -> Vec<String> {
        let reservation = &counts.reservation;
        let all = reservation.charges.iter().chain(&*reservation.shared);
        let each = all.map(|charge| {
            assert_eq!(charge.amount, 1);
            charge.limit.name.to_string()
        });
        each.collect()
    };
    let mut snapshot = scoped();
    let plan = &*snapshot.plans["team"];
    let mut plan = plan.clone();
    let limit = |name: &str, scope| {
        let mut limit = (*plan.limits[0].limit).clone();
        (limit.name, limit.scope) = (name.into(), scope);
        PlanLimit::from(limit)
    };
    let by_model = Scope::of([Dimension::Tenant, Dimension::Model]);
    let (of_model, shared) = (limit("of-model", by_model), limit("shared", Scope::GLOBAL));
    plan.limits.push(of_model);
    snapshot.shared = [shared].into();
    Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
    let unseen = counts(Body::Unseen, &snapshot);
    assert_eq!(names(&unseen), ["rpm", "shared"]);
    let seen = counts(Body::Whole(chat("")), &snapshot);
    assert_eq!(names(&seen), ["rpm", "of-model", "shared"]);
    assert!(seen.give_back().shared);
    // What is refused by its body is not counted.
    let other = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
    let check = check("/v1/chat/completions", Body::Whole(other.to_vec()), &[]);
    let judged = check_at_door(check, &snapshot, counting());
    assert!(matches!(judged, Judgement::Refused { .. }), "{judged:?}");
}

#[test]
fn a_counted_check_passes_with_its_rate_headers_or_is_refused_with_a_wait() {
    let passed = passes(counts(Body::Unseen, &snapshot()));
    let header = |name: &str| {
        let mut headers = passed.rate_headers.iter();
        headers
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(header("x-ratelimit-remaining-requests"), Some("9"));
    assert!(passed.edits.remove.contains(&"authorization".to_owned()));

    let refusal = Refusal {
        charge: 0,
        used: 10,
        requested: 1,
        remaining: 0,
        reset_after: Some(Millis(6_000)),
        retry: Retry::After(Millis(3_500)),
    };
    let refused = Decision::Refused(refusal, Vec::new());
    for (answer, status, decided, wait) in [
        (Some(refused), 429, "rpm", Some("4")),
        (None, 503, "limits_unavailable", None),
    ] {
        let (answer, effects) = counts(Body::Unseen, &snapshot()).decide(answer, NOW);
        let rendered = answer.unwrap_err();
        assert_eq!((rendered.status, &*decision(&rendered)), (status, decided));
        let mut headers = rendered.headers.iter();
        if let Some(wait) = wait {
            let found = headers.find(|(name, _)| *name == "retry-after");
            assert_eq!(found.unwrap().1, wait);
        }
        let recorded = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Record(_)));
        assert_eq!(recorded.count(), 1);
    }
}

/// Nobody judges the call behind a check that is counted; behind another it is judged
/// whole.
#[test]
fn rules_judge_a_check_that_is_counted() {
    use crate::policy::rule::{Action, Approval, Block, Rule, Rules};
    let judged = |action: Action, settings: Settings| {
        let mut snapshot = Arc::into_inner(snapshot()).unwrap();
        for plan in Arc::make_mut(&mut snapshot.plans).values_mut() {
            let rule = Rule {
                name: "r".into(),
                when: None,
                then: vec![action.clone()],
                mode: crate::limits::Mode::Enforce,
                needs_counters: false,
            };
            Arc::make_mut(plan).rules = Rules::new(vec![rule], [].into());
        }
        let check = check("/v1/chat/completions", Body::Unseen, &[]);
        check_at_door(check, &snapshot, settings)
    };
    let block = Action::Block(Block {
        status: 402,
        code: None,
        message: None,
    });
    let approval = Action::RequireApproval(Approval {
        valid_for: Millis(1_000),
        approvers: None,
        by_tenant_admin: false,
        message: None,
    });
    for (action, status, asks) in [(block, 402, false), (approval, 403, true)] {
        match judged(action.clone(), counting()) {
            Judgement::Refused {
                rendered, asked, ..
            } => assert_eq!((rendered.status, asked.is_some()), (status, asks)),
            other => panic!("{other:?}"),
        }
        let judged = judged(action, settings());
        assert!(matches!(judged, Judgement::Passed(_)), "{judged:?}");
    }
    let warn = Action::Warn {
        message: Some("soon".into()),
    };
    let Judgement::Counts(counts) = judged(warn, counting()) else {
        panic!("it passes")
    };
    let passed = passes(*counts);
    let told = passed.rate_headers.iter();
    assert_eq!(told.filter(|(name, _)| name == "x-weir-warning").count(), 1);
}
