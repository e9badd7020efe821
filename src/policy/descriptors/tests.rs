//! Which rule counts for a descriptor, what it charges, and what is answered.

use super::*;
use crate::limits::{Fate, Paid, Retry, Standing, Told};
use proptest::prelude::*;

fn limit(name: &str, amount: u64, mode: Mode) -> Limit {
    Limit {
        name: name.into(),
        scope: Scope::GLOBAL,
        unit: Unit::Requests,
        amount,
        algorithm: Algorithm::SlidingWindow {
            every: Millis(60_000),
        },
        mode,
    }
}

fn enforced(name: &str) -> Limit {
    limit(name, 5, Mode::Enforce)
}

/// As `path=/a/* user`.
fn pattern(text: &str) -> Vec<Entry> {
    let entry = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, "*"));
        let value = match value.strip_suffix('*') {
            Some("") => Pattern::Any,
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(value.into()),
        };
        Entry {
            key: key.into(),
            value,
        }
    };
    text.split_whitespace().map(entry).collect()
}

/// As `path=/a user=7`.
fn descriptor(text: &str) -> Descriptor {
    let entry = |part: &str| {
        let (key, value) = part.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    Descriptor {
        entries: text.split_whitespace().map(entry).collect(),
        ..Descriptor::default()
    }
}

/// Each rule's only limit is named after its pattern.
fn domain(patterns: &[&str]) -> Domain {
    let mut domain = Domain::new("edge", Mode::Enforce);
    for text in patterns {
        let rule = Rule::new([enforced(text)], false);
        assert!(domain.add(&pattern(text), rule), "{text}");
    }
    domain
}

fn with_rule(limits: impl IntoIterator<Item = Limit>, on_done: bool) -> Domain {
    let mut domain = Domain::new("edge", Mode::Enforce);
    domain.add(&pattern("user"), Rule::new(limits, on_done));
    domain
}

#[test]
fn the_most_specific_rule_counts() {
    let domain = domain(&[
        "path",
        "path=/a*",
        "path=/a/b*",
        "path=/a/b/c",
        "path=/a/b/c user=7",
        "path=/a* user",
        "path user=8",
        "user=9 path",
    ]);
    for (text, expected) in [
        ("path=/x", Some("path")),
        ("path=", Some("path")),
        ("path=/a", Some("path=/a*")),
        ("path=/a/bc", Some("path=/a/b*")),
        ("path=/a/b/c", Some("path=/a/b/c")),
        ("path=/a/b/c user=7", Some("path=/a/b/c user=7")),
        // The exact path leads nowhere for this user, nor does the longer one.
        ("path=/a/b/c user=1", Some("path=/a* user")),
        ("path=/x user=8", Some("path user=8")),
        // By the first entry that differs.
        ("path=/a user=8", Some("path=/a* user")),
        ("path=/x user=1", None),
        // The order counts, and the whole descriptor.
        ("user=9 path=/x", Some("user=9 path")),
        ("user=9", None),
        ("path=/a user=7 more=1", None),
        ("", None),
    ] {
        let rule = domain.rule(&descriptor(text));
        let name = rule.map(|rule| &*rule.limits().next().unwrap().name);
        assert_eq!(name, expected, "{text}");
    }
}

#[test]
fn one_pattern_has_one_rule() {
    let mut domain = domain(&["path=/a* user"]);
    assert!(!domain.add(&pattern("path=/a* user"), Rule::new([], false)));
    assert!(domain.add(&pattern("path=/a*"), Rule::new([], false)));
}

#[test]
fn values_have_counters_of_their_own() {
    let domain = domain(&["path=/a* user", "path=/a/1 user"]);
    let counter = |text: &str| {
        let bill = domain.bill(&[descriptor(text)], 1).unwrap();
        bill.toll.charges[0].counter.clone()
    };
    let all = [
        counter("path=/a user=1"),
        counter("path=/a user=2"),
        counter("path=/a/2 user=2"),
        counter("path=/a/1 user=2"),
        counter(&format!("path=/a user={}", "x".repeat(9_999))),
        counter(&format!("path=/a user={}y", "x".repeat(9_999))),
    ];
    let distinct: std::collections::HashSet<&Arc<str>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert!(all.iter().all(|name| name.len() < 400), "bounded");
    let bill = domain.bill(&[descriptor("path=/a user=1")], 1).unwrap();
    assert!(bill.toll.slot.contains(char::is_control), "no tenant's");
}

#[test]
fn hits_are_the_descriptors_own_or_the_requests() {
    let domain = domain(&["user", "path"]);
    let own = Descriptor {
        hits: Some(7),
        ..descriptor("path=/a")
    };
    let asks = Descriptor {
        hits: Some(0),
        ..descriptor("path=/b")
    };
    let all = [descriptor("user=1"), own, asks, descriptor("other=1")];
    let bill = domain.bill(&all, 3).unwrap();
    let amounts: Vec<u64> = bill.toll.charges.iter().map(|c| c.amount).collect();
    assert_eq!(amounts, [3, 7, 0]);
    // The same twice is charged together.
    let twice = [descriptor("user=1"), descriptor("user=1")];
    let bill = domain.bill(&twice, 3).unwrap();
    assert_eq!(bill.toll.charges.len(), 1);
    assert_eq!(bill.toll.charges[0].amount, 6);
    assert_eq!(bill.of_each, [[0], [0]]);
}

#[test]
fn a_request_charges_no_more_than_so_many() {
    let domain = with_rule([enforced("a"), enforced("b")], false);
    let users = |count: usize| -> Vec<Descriptor> {
        (0..count)
            .map(|n| descriptor(&format!("user={n}")))
            .collect()
    };
    let most = CHARGES_MAX / 2;
    assert_eq!(
        domain.bill(&users(most), 1).unwrap().toll.charges.len(),
        CHARGES_MAX
    );
    assert_eq!(
        domain.bill(&users(most + 1), 1).unwrap_err(),
        TooMany::Limits
    );
    let mut strangers = vec![descriptor("other=1"); DESCRIPTORS_MAX];
    assert_eq!(domain.bill(&strangers, 1).unwrap().toll.charges, []);
    strangers.push(descriptor("other=1"));
    assert_eq!(
        domain.bill(&strangers, 1).unwrap_err(),
        TooMany::Descriptors
    );
}

#[test]
fn what_was_used_is_never_refused() {
    let domain = with_rule([enforced("tokens")], true);
    let mode = |hits| {
        domain
            .bill(&[descriptor("user=1")], hits)
            .unwrap()
            .toll
            .charges[0]
            .clone()
    };
    assert_eq!(mode(900).limit.mode, Mode::Shadow);
    assert_eq!(
        mode(0).limit.mode,
        Mode::Enforce,
        "one that asks is refused"
    );
    assert_eq!(mode(0).counter, mode(900).counter);
}

#[test]
fn a_limit_that_comes_along_replaces_the_first() {
    let domain = with_rule([enforced("a"), enforced("b")], false);
    let every = Millis(3_600_000);
    let bill = |amount| {
        let brought = Descriptor {
            instead: Some(Instead { amount, every }),
            ..descriptor("user=1")
        };
        domain.bill(&[brought], 1).unwrap()
    };
    let charges = bill(99).toll.charges;
    assert_eq!((charges[0].limit.amount, charges[1].limit.amount), (99, 5));
    assert_eq!(charges[0].limit.window(), Some(every));
    let own = domain.bill(&[descriptor("user=1")], 1).unwrap();
    assert_ne!(own.toll.charges[0].counter, charges[0].counter);
    assert_eq!(own.toll.charges[1].counter, charges[1].counter);
    let none = &bill(0).toll.charges[0];
    assert!(none.amount > none.limit.amount, "nothing passes");
}

fn told(remaining: u64, lacks: Option<Retry>) -> Told {
    Told {
        standing: Standing {
            used: 0,
            exceeded: false,
            remaining,
            carried: 0,
            reset_after: None,
        },
        lacks,
    }
}

fn answered(limits: impl IntoIterator<Item = Limit>, fate: impl Into<Fate>) -> Answer {
    let domain = with_rule(limits, false);
    let all = [descriptor("user=1"), descriptor("other=1")];
    let answer = domain.bill(&all, 1).unwrap().answer(&fate.into());
    assert_eq!(answer.statuses[1], OfDescriptor::Unlimited);
    answer
}

fn limited(status: &OfDescriptor) -> &Status {
    match status {
        OfDescriptor::Limited(status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tightest_limit_is_told() {
    let after = |ms| Some(Retry::After(Millis(ms)));
    let three = || [enforced("a"), enforced("b"), limit("c", 5, Mode::Shadow)];
    for (taken, all, name, over, retry) in [
        (true, [(3, None), (2, None), (1, None)], "b", false, None),
        (
            false,
            [(0, after(9)), (0, after(20)), (0, after(30))],
            "b",
            true,
            after(20),
        ),
        (
            false,
            [(3, after(9)), (0, None), (0, None)],
            "a",
            true,
            after(9),
        ),
        (
            false,
            [(0, after(9)), (4, Some(Retry::Never)), (0, None)],
            "b",
            true,
            Some(Retry::Never),
        ),
    ] {
        let told = all
            .map(|(remaining, lacks)| told(remaining, lacks))
            .to_vec();
        let answer = answered(three(), Paid { taken, told });
        let status = limited(&answer.statuses[0]);
        assert_eq!(
            (&*status.limit.name, status.over, status.retry),
            (name, over, retry)
        );
        assert_eq!(answer.over, over);
        assert!(!answer.shadow_refused);
    }
}

/// Where one is known to be over, nothing is said of what nobody asked.
#[test]
fn what_was_not_asked_is_not_told() {
    let after = Some(Retry::After(Millis(9)));
    let known = [None, Some(told(0, after)), None];
    let fate = Fate {
        taken: false,
        told: known.to_vec(),
    };
    let three = [enforced("a"), enforced("b"), limit("c", 5, Mode::Shadow)];
    let answer = answered(three, fate.clone());
    let status = limited(&answer.statuses[0]);
    assert_eq!((&*status.limit.name, status.retry), ("b", after));
    let domain = with_rule([enforced("a")], false);
    let two = [descriptor("user=1"), descriptor("user=2")];
    let bill = domain.bill(&two, 1).unwrap();
    let answer = bill.answer(&fate);
    assert!(answer.over && limited(&answer.statuses[1]).over);
    assert_eq!(answer.statuses[0], OfDescriptor::NotAsked);
}

#[test]
fn a_shadow_limit_is_only_told_of() {
    let lacking = vec![told(0, Some(Retry::Never))];
    let paid = |taken| Paid {
        taken,
        told: lacking.clone(),
    };
    let answer = answered([limit("a", 5, Mode::Shadow)], paid(true));
    assert!(!answer.over && answer.shadow_refused);
    assert!(!limited(&answer.statuses[0]).over);
    // What was used already is no refusal that was spared.
    let domain = with_rule([enforced("a")], true);
    let bill = domain.bill(&[descriptor("user=1")], 9).unwrap();
    let answer = bill.answer(&paid(true).into());
    assert!(!answer.over && !answer.shadow_refused);
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof!["[kl]=[ab]{0,3}", "[kl]=[ab]{0,2}\\*"]
}

/// How specific a pattern's entry is: larger is more.
fn rank(entry: &Entry) -> (u8, usize) {
    match &entry.value {
        Pattern::Exact(_) => (2, 0),
        Pattern::Prefix(prefix) => (1, prefix.len()),
        Pattern::Any => (0, 0),
    }
}

fn matches(entries: &[Entry], descriptor: &Descriptor) -> bool {
    let pairs = entries.iter().zip(&descriptor.entries);
    entries.len() == descriptor.entries.len() && { pairs }.all(|(entry, (key, value))| {
        &*entry.key == key
            && match &entry.value {
                Pattern::Exact(exact) => &**exact == value,
                Pattern::Prefix(prefix) => value.starts_with(&**prefix),
                Pattern::Any => true,
            }
    })
}

proptest! {
    /// The tree finds what a look at all rules finds.
    #[test]
    fn the_tree_is_a_look_at_all_rules(
        rules in prop::collection::vec(prop::collection::vec(part(), 1..4), 0..20),
        asked in prop::collection::vec("[kl]=[ab]{0,4}", 0..4),
    ) {
        let mut domain = Domain::new("edge", Mode::Enforce);
        let mut kept: Vec<(String, Vec<Entry>)> = Vec::new();
        for rule in rules {
            let text = rule.join(" ");
            let entries = pattern(&text);
            let fresh = kept.iter().all(|(_, other)| *other != entries);
            let added = domain.add(&entries, Rule::new([enforced(&text)], false));
            prop_assert_eq!(added, fresh);
            if added {
                kept.push((text, entries));
            }
        }
        let descriptor = descriptor(&asked.join(" "));
        let best = kept
            .iter()
            .filter(|(_, entries)| matches(entries, &descriptor))
            .max_by_key(|(_, entries)| entries.iter().map(rank).collect::<Vec<_>>());
        let found = domain.rule(&descriptor).map(|rule| rule.limits().next().unwrap());
        prop_assert_eq!(found.map(|limit| &*limit.name), best.map(|(text, _)| text.as_str()));
    }
}
