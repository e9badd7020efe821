//! What calls are held and charged at: the price of their beginning, and what
//! the provider says of their tier.

use super::*;
use crate::pricing::{Dated, ModelPrice, Schedule, notation, total_nanos};

/// 1 dollar a million each way, ten times that a second after the call begins.
const PRICES: [&str; 2] = [
    "input=1 cached_input=0.5 output=1 search=0.01 /priority input=2 output=2",
    "input=10 output=10",
];

fn priced() -> Arc<Snapshot> {
    let starts = [0, NOW.0 + 1_000].map(UnixMillis);
    let dated = starts.into_iter().zip(PRICES).map(|(from, text)| Dated {
        from,
        price: notation::read(text).unwrap(),
    });
    let schedule = Schedule::new(dated.collect()).unwrap();
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    let mut model = Model::clone(&snapshot.models["gpt-4o"]);
    model.price = Some(Arc::new(ModelPrice::new(schedule, "ours")));
    model.provider = Some("fake".into());
    Arc::make_mut(&mut snapshot.models).insert("gpt-4o".into(), Arc::new(model));
    Arc::new(snapshot)
}

fn begun(body_bytes: Vec<u8>, begins: UnixMillis) -> (Exchange, OpenCall) {
    let hold = HoldId::new(NOW, &[7; 10]);
    let counting = Counting::unbounded();
    let learned = Learned::default();
    let mut exchange = Exchange::new(Role::Full, settings(), priced(), learned, hold, counting);
    let head = Event::RequestHeaders(request_head("/v1/chat/completions"));
    exchange.step(head, begins);
    let step = exchange.step(body(body_bytes), begins);
    let Some(Effect::Reserve(reservation)) = step.effects.first() else {
        panic!("no reservation: {step:?}")
    };
    let call = OpenCall::from_json(&reservation.context).unwrap();
    exchange.step(admitted(), begins);
    (exchange, call)
}

fn ended(mut exchange: Exchange, answer: &str, at: UnixMillis) -> UsageEvent {
    let head = response_head("200", "application/json");
    let steps = vec![
        exchange.step(head, at),
        exchange.step(chunk(answer, true), at),
    ];
    settlements(&steps)[0].event.clone().unwrap()
}

#[test]
fn a_price_that_changes_midway_is_not_that_of_an_open_call() {
    let before = UnixMillis(NOW.0 + 999);
    let after = UnixMillis(NOW.0 + 1_000);
    for (begins, cost, version) in [
        (before, 17_000, "ours"),
        (after, 170_000, "ours@2023-11-14T22:13:21Z"),
    ] {
        let (exchange, _) = begun(chat(""), begins);
        let event = ended(exchange, ANSWER, UnixMillis(NOW.0 + 5_000));
        assert_eq!(event.cost_nanos, Some(cost), "{version}");
        assert_eq!(total_nanos(&event.cost_parts), cost);
        assert_eq!(event.price_version.as_deref(), Some(version));
        assert_eq!(event.provider.as_deref(), Some("fake"));
        assert_eq!(event.service_tier, None);
    }
}

#[test]
fn the_tier_that_served_is_charged_and_the_dearest_held() {
    // 9 tokens in, and at most 100 out.
    for (asked, served, held, cost, tier) in [
        ("", "", 218_000, 17_000, None),
        (
            "",
            r#""service_tier":"priority","#,
            218_000,
            34_000,
            Some("priority"),
        ),
        (r#","service_tier":"default""#, "", 109_000, 17_000, None),
        (
            r#","service_tier":"priority""#,
            "",
            218_000,
            34_000,
            Some("priority"),
        ),
        (
            r#","service_tier":"priority""#,
            r#""service_tier":"default","#,
            218_000,
            17_000,
            None,
        ),
    ] {
        let (exchange, call) = begun(chat(asked), NOW);
        assert_eq!(call.estimate().cost_nanos, held, "{asked}");
        let answer = ANSWER.replacen('{', &format!("{{{served}"), 1);
        let event = ended(exchange, &answer, NOW);
        assert_eq!(event.cost_nanos, Some(cost), "{asked} {served}");
        assert_eq!(event.service_tier.as_deref(), tier, "{asked} {served}");
    }
}

#[test]
fn a_call_that_is_lost_or_expires_costs_what_was_held_for_it() {
    let (_, call) = begun(chat(""), NOW);
    for event in [
        verdict::expired(&call, NOW),
        verdict::interrupted(&call, NOW).event.unwrap(),
    ] {
        assert_eq!(event.cost_nanos, Some(call.estimate().cost_nanos));
        assert_eq!(event.cost_nanos, Some(total_nanos(&event.cost_parts)));
        assert_eq!(event.price_version.as_deref(), Some("ours"));
    }
    let pinned = call.to_json();
    assert!(
        pinned.contains(PRICES[0]) && !pinned.contains(PRICES[1]),
        "{pinned}"
    );
}

#[test]
fn what_has_no_price_has_no_cost() {
    let mut unpriced = exchange(Role::Full);
    let head = request_head("/v1/chat/completions");
    run(
        &mut unpriced,
        vec![Event::RequestHeaders(head), body(chat("")), admitted()],
    );
    let event = ended(unpriced, ANSWER, NOW);
    assert_eq!((event.cost_nanos, event.price_version), (None, None));
    assert!(event.cost_parts.is_empty());
}

/// A search costs a hundredth of a dollar.
#[test]
fn searches_are_held_and_charged() {
    const SEARCH: u64 = 10_000_000;
    let options = r#","web_search_options":{}"#;
    let (_, plain) = begun(chat(""), NOW);
    let (exchange, call) = begun(chat(options), NOW);
    let tokens = plain.estimate().cost_nanos;
    assert_eq!((plain.searches, call.searches), (0, 1));
    assert_eq!(call.estimate().cost_nanos, tokens + SEARCH);
    // Such a call searches, though its answer says nothing of it.
    let event = ended(exchange, ANSWER, NOW);
    assert_eq!(event.outcome, Outcome::Exact);
    assert_eq!(event.searches, Some(1));
    assert_eq!(event.cost_nanos, Some(17_000 + SEARCH));
    // One that is lost is charged what was held, and re-rated the same.
    let lost = verdict::interrupted(&call, NOW).event.unwrap();
    assert_eq!(lost.searches, Some(1));
    assert_eq!(lost.cost_nanos, Some(tokens + SEARCH));
    let price = priced().models["gpt-4o"].price.clone().unwrap();
    let cost_nanos = tokens + SEARCH;
    let again = cost::recharge(&lost, &price);
    assert!(
        matches!(again, cost::Recharge::Costs { cost_nanos: same, .. } if same == cost_nanos),
        "{again:?}"
    );
    // A provider's claim beyond belief is no debt.
    let (exchange, _) = begun(chat(""), NOW);
    let claim = ANSWER.replace(
        r#""prompt_tokens":12"#,
        r#""prompt_tokens":12,"server_tool_use":{"web_search_requests":9007199254740991}"#,
    );
    let event = ended(exchange, &claim, NOW);
    assert_eq!(event.outcome, Outcome::Estimated);
    assert_eq!(event.searches, Some(1_000));
}

/// (what the answer says of its tokens, where input and output come from)
#[test]
fn each_whole_says_where_it_comes_from() {
    use super::event::Known;
    let (provider, counted) = (Some(Known::Provider), Some(Known::Counted));
    let of = |usage: &str| {
        let (exchange, _) = begun(chat(""), NOW);
        let (head, _) = ANSWER.split_once(r#","usage""#).unwrap();
        ended(exchange, &format!("{head}{usage}}}"), NOW)
    };
    // 9 tokens in and 2 out are counted.
    for (usage, known, input, output) in [
        (
            r#","usage":{"prompt_tokens":12,"completion_tokens":5}"#,
            provider,
            None,
            None,
        ),
        (r#","usage":{"prompt_tokens":12}"#, counted, provider, None),
        (r#","usage":{"prompt_tokens":3}"#, counted, None, None),
        (
            r#","usage":{"completion_tokens":5}"#,
            counted,
            None,
            provider,
        ),
        // Not believed.
        (
            r#","usage":{"prompt_tokens":5000000,"completion_tokens":5}"#,
            counted,
            None,
            provider,
        ),
        ("", counted, None, None),
    ] {
        let event = of(usage);
        let found = (event.known, event.input_known, event.output_known);
        assert_eq!(found, (known, input, output), "{usage}");
    }
    let (_, call) = begun(chat(""), NOW);
    let lost = verdict::interrupted(&call, NOW).event.unwrap();
    assert_eq!(lost.known, Some(Known::Reserved));
    assert_eq!((lost.input_known, lost.output_known), (None, None));
}
