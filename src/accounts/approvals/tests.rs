//! What asking again makes of a request.

use super::*;

pub fn request(id: &str, at: u64) -> ApprovalRequest {
    ApprovalRequest {
        id: id.into(),
        asked_at: UnixMillis(at),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: Some("ada".into()),
        key_id: "k1".into(),
        plan: "team".into(),
        rule: "big".into(),
        model: "gpt".into(),
        endpoint: "/v1/chat/completions".into(),
        cost_max_nanos: at,
        valid_for: Millis(3_600_000),
        approvers: None,
        approver: Approver::Operator,
        expires_at: UnixMillis(at + 100_000),
    }
}

fn waiting() -> StoredRequest {
    StoredRequest::new(request("a", 1_000))
}

#[test]
fn asking_again_counts_and_waits_from_the_first_time() {
    let again = waiting().asked_again(request("a", 2_000));
    assert_eq!((again.state, again.asked_count), (State::Waiting, 2));
    assert_eq!(again.request.asked_at, UnixMillis(1_000));
    assert_eq!(again.last_asked_at, UnixMillis(2_000));
    assert_eq!(again.request.expires_at, UnixMillis(102_000));
    assert_eq!(again.request.cost_max_nanos, 2_000, "as it was asked last");
    // A sidecar whose clock is behind takes nothing back.
    let late = again.asked_again(request("a", 1_500));
    assert_eq!(late.last_asked_at, UnixMillis(2_000));
    assert_eq!(late.request.expires_at, UnixMillis(102_000));
}

#[test]
fn an_answer_holds_until_it_is_over() {
    let granted = StoredRequest {
        state: State::Granted,
        decided_at: Some(UnixMillis(5_000)),
        decided_by: Some("cli/ann".into()),
        grant: Some("grt_1".into()),
        changed: Some(7),
        ..waiting()
    };
    let denied = StoredRequest {
        state: State::Denied,
        denied_until: Some(UnixMillis(50_000)),
        note: Some("no".into()),
        grant: None,
        ..granted.clone()
    };
    for (before, at, after) in [
        (&granted, 15_000, State::Granted),
        (&granted, 15_001, State::Waiting),
        (&denied, 49_999, State::Denied),
        (&denied, 50_000, State::Waiting),
    ] {
        let again = before.asked_again(request("a", at));
        assert_eq!((again.state, again.asked_count), (after, 2), "{at}");
        assert_eq!(again.changed, Some(7), "{at}");
        let holds = after != State::Waiting;
        assert_eq!(again.decided_by.is_some(), holds, "{at}");
        assert_eq!(again.note.is_some(), holds && before.note.is_some(), "{at}");
        let since = if holds { 1_000 } else { at };
        assert_eq!(again.request.asked_at, UnixMillis(since), "{at}");
    }
}

#[test]
fn a_denial_is_followed_and_its_end_too() {
    let denied = StoredRequest {
        state: State::Denied,
        denied_until: Some(UnixMillis(50)),
        decided_by: Some("cli/ann".into()),
        ..waiting()
    };
    let GrantChange::Denied(denial) = denied.change() else {
        panic!()
    };
    assert_eq!((&*denial.request, denial.until), ("a", UnixMillis(50)));
    let undenied = GrantChange::Undenied("a".into());
    assert_eq!(waiting().change(), undenied);
    for state in State::ALL {
        assert_eq!(State::parse(state.as_str()), Some(state));
    }
}
