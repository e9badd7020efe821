//! For whom grants are, when they hold, and what changes make of them.

use super::*;

fn who(user: Option<&str>) -> Principal {
    Principal {
        tenant: "acme".into(),
        project: Some("bot".into()),
        environment: Some("prod".into()),
        user: user.map(Arc::from),
        key_id: "k1".into(),
        plan: "team".into(),
        ..Principal::default()
    }
}

fn grant(id: &str) -> Grant {
    Grant {
        id: id.into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: None,
        models: Vec::new(),
        allowance: Allowance::Calls(1),
        from: UnixMillis(10),
        until: UnixMillis(20),
        granted_by: "cli/ann".into(),
    }
}

fn denial(id: &str, until: u64) -> Denial {
    Denial {
        request: id.into(),
        tenant: "acme".into(),
        denied_by: "cli/ann".into(),
        until: UnixMillis(until),
    }
}

fn found(grants: &Grants, who: &Principal, rule: &str, model: &str, now: u64) -> Vec<String> {
    let found = grants.for_call(who, rule, model, UnixMillis(now));
    found.map(|grant| grant.id.to_string()).collect()
}

#[test]
fn a_grant_is_for_whom_and_what_it_names_while_it_holds() {
    type Change = fn(&mut Grant);
    let name = |name: &str| Some(Arc::from(name));
    let ada = who(Some("ada"));
    let cases: [(&str, Change, bool); 14] = [
        ("anybody of the tenant", |_| {}, true),
        ("another tenant", |g| g.tenant = "globex".into(), false),
        ("the project", |g| g.project = Some("bot".into()), true),
        ("another project", |g| g.project = Some("web".into()), false),
        (
            "another environment",
            |g| g.environment = Some("dev".into()),
            false,
        ),
        ("the user", |g| g.user = Some("ada".into()), true),
        ("another user", |g| g.user = Some("bob".into()), false),
        ("the key", |g| g.key_id = Some("k1".into()), true),
        ("another key", |g| g.key_id = Some("k2".into()), false),
        ("the rule", |g| g.rule = Some("big".into()), true),
        ("another rule", |g| g.rule = Some("small".into()), false),
        (
            "the model",
            |g| g.models = vec!["x".into(), "gpt".into()],
            true,
        ),
        (
            "other models",
            |g| g.models = vec!["gpt-mini".into()],
            false,
        ),
        ("later", |g| g.from = UnixMillis(16), false),
    ];
    for (what, change, fits) in cases {
        let mut one = grant("g");
        change(&mut one);
        let grants = Grants::default().changed([GrantChange::Granted(one)]);
        let ids = found(&grants, &ada, "big", "gpt", 15);
        assert_eq!(!ids.is_empty(), fits, "{what}");
    }
    let grants = Grants::default().changed([GrantChange::Granted(grant("g"))]);
    for (now, holds) in [(9, false), (10, true), (19, true), (20, false)] {
        assert_eq!(
            !found(&grants, &ada, "r", "m", now).is_empty(),
            holds,
            "{now}"
        );
    }
    // Who names no user is nobody's namesake.
    let mut of_user = grant("g");
    of_user.user = name("k1");
    let grants = Grants::default().changed([GrantChange::Granted(of_user)]);
    assert!(found(&grants, &who(None), "r", "m", 15).is_empty());
}

#[test]
fn changes_add_replace_and_take_back() {
    let first = Grants::default().changed([
        GrantChange::Granted(grant("a")),
        GrantChange::Granted(grant("b")),
        GrantChange::Denied(denial("r", 30)),
    ]);
    assert_eq!((first.len(), first.iter().count()), (3, 3));
    assert_eq!(found(&first, &who(None), "r", "m", 15), ["a", "b"]);
    let denied = |of: &Grants, now: u64| of.denied("acme", "r", UnixMillis(now)).is_some();
    assert!(denied(&first, 29) && !denied(&first, 30));
    assert!(first.denied("globex", "r", UnixMillis(1)).is_none());
    let longer = Grant {
        until: UnixMillis(90),
        ..grant("a")
    };
    let second = first.changed([
        GrantChange::Granted(longer),
        GrantChange::Revoked("b".into()),
        GrantChange::Revoked("nobody's".into()),
        GrantChange::Undenied("r".into()),
    ]);
    assert_eq!(found(&second, &who(None), "r", "m", 80), ["a"]);
    assert!(!denied(&second, 5) && second.len() == 1);
    assert_eq!(first.len(), 3, "who has the old one keeps it");
    // In order: what is taken back and given again counts.
    let again = second.changed([
        GrantChange::Revoked("a".into()),
        GrantChange::Granted(grant("a")),
        GrantChange::Undenied("r".into()),
        GrantChange::Denied(denial("r", 30)),
    ]);
    assert!(again.len() == 2 && denied(&again, 5));
    let none = second.changed([GrantChange::Revoked("a".into())]);
    assert!(none.is_empty() && none == Grants::default());
}

#[test]
fn what_is_over_is_forgotten_and_a_tenant_has_a_bound() {
    let all = Grants::default().changed([
        GrantChange::Granted(grant("a")),
        GrantChange::Denied(denial("r", 30)),
    ]);
    assert_eq!(all.without_ended(UnixMillis(19)), None);
    assert_eq!(all.without_ended(UnixMillis(20)).unwrap().len(), 1);
    assert!(all.without_ended(UnixMillis(30)).unwrap().is_empty());
    let many = (0..=GRANTS_OF_TENANT_MAX).map(|n| GrantChange::Granted(grant(&format!("g{n}"))));
    let many = Grants::default().changed(many);
    assert_eq!(many.len(), GRANTS_OF_TENANT_MAX);
    let again = many.changed([GrantChange::Granted(grant("g0"))]);
    assert_eq!(again.len(), GRANTS_OF_TENANT_MAX, "a known one is replaced");
    let many =
        (0..=DENIALS_OF_TENANT_MAX).map(|n| GrantChange::Denied(denial(&format!("r{n}"), 9)));
    assert_eq!(Grants::default().changed(many).len(), DENIALS_OF_TENANT_MAX);
}

#[test]
fn a_request_has_the_same_id_each_time_and_no_other_has_it() {
    let ada = who(Some("ada"));
    let id = ApprovalRequest::id_of(&ada, "big", "gpt");
    assert_eq!(
        &*id, "apr_5WWsZRV0VyluBo3dSGbfHf",
        "it is stored: fixed for good"
    );
    assert_eq!(id.len(), 26);
    let elsewhere = Principal {
        project: None,
        key_id: "k2".into(),
        plan: "other".into(),
        ..ada.clone()
    };
    assert_eq!(ApprovalRequest::id_of(&elsewhere, "big", "gpt"), id);
    let of = ApprovalRequest::id_of_parts;
    let different = [
        id,
        of("acme", Some("ad"), "k", "abig", "gpt"),
        of("acme", None, "ada", "big", "gpt"),
        of("acme", None, "user=ada", "big", "gpt"),
        of("acme", Some("ada"), "k", "big", "gp"),
        of("acme", Some("ada"), "k", "big", ""),
        of("acm", Some("ada"), "k", "big", "gpt"),
        of("acme", Some("ada"), "k", "biggpt", ""),
        of("acme", Some("ada"), "k", "", "biggpt"),
    ];
    let set: std::collections::HashSet<&Arc<str>> = different.iter().collect();
    assert_eq!(set.len(), different.len());
    for role in Approver::ALL {
        assert_eq!(Approver::parse(role.as_str()), Some(role));
    }
    assert_eq!(Approver::parse("owner"), None);
}
