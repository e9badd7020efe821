//! Costs by table, and what holds of any price and usage.

use super::notation::{self, NotationError};
use super::*;
use crate::units::UnixMillis;
use proptest::prelude::*;

fn price(text: &str) -> Price {
    notation::read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn nanos(price: &Price, tier: ServiceTier, used: Used) -> u64 {
    total_nanos(&price.cost(tier, &used))
}

const STANDARD: ServiceTier = ServiceTier::Standard;

#[test]
fn each_unit_is_charged_once_at_its_own_price() {
    let own = price(
        "input=2 cached_input=1 cache_write=3 cache_write_1h=4 input_audio=32 input_image=5 output=10 reasoning=11 output_audio=64 output_image=40 request=0.01 search=0.02 cached_input_audio=6 cached_input_image=0.5",
    );
    let used = Used {
        input: 1_000,
        cached_input: 100,
        cached_input_audio: 30,
        cached_input_image: 20,
        cache_write: 90,
        cache_write_1h: 40,
        input_audio: 50,
        input_image: 60,
        output: 500,
        reasoning: 200,
        output_audio: 30,
        output_image: 70,
        requests: 1,
        searches: 3,
    };
    let parts = own.cost(STANDARD, &used);
    let said: Vec<_> = parts
        .iter()
        .map(|part| (part.kind, part.units, part.cost_nanos))
        .collect();
    assert_eq!(
        said,
        [
            (Kind::Input, 700, 1_400_000),
            (Kind::CachedInput, 50, 50_000),
            (Kind::CacheWrite, 50, 150_000),
            (Kind::CacheWrite1h, 40, 160_000),
            (Kind::InputAudio, 50, 1_600_000),
            (Kind::InputImage, 60, 300_000),
            (Kind::Output, 200, 2_000_000),
            (Kind::Reasoning, 200, 2_200_000),
            (Kind::OutputAudio, 30, 1_920_000),
            (Kind::OutputImage, 70, 2_800_000),
            (Kind::Request, 1, 10_000_000),
            (Kind::Search, 3, 60_000_000),
            (Kind::CachedInputAudio, 30, 180_000),
            (Kind::CachedInputImage, 20, 10_000),
        ]
    );
    // Without prices of their own they are what they are parts of.
    let plain = price("input=2 output=10");
    let parts = plain.cost(STANDARD, &used);
    let said: Vec<_> = parts.iter().map(|part| (part.kind, part.units)).collect();
    assert_eq!(
        said,
        [(Kind::Input, 1_000), (Kind::Output, 500), (Kind::Search, 3)]
    );
    assert_eq!(total_nanos(&parts), 2_000_000 + 5_000_000);
}

#[test]
fn what_is_less_than_a_nano_dollar_costs_one() {
    let small = price("input=0.000000001 output=0");
    let used = |input| Used {
        input,
        ..Used::default()
    };
    assert_eq!(nanos(&small, STANDARD, used(1)), 1);
    assert_eq!(nanos(&small, STANDARD, used(1_000_000)), 1);
    assert_eq!(nanos(&small, STANDARD, used(1_000_001)), 2);
    assert_eq!(nanos(&Price::free(), STANDARD, used(u64::MAX)), 0);
}

#[test]
fn a_call_past_a_length_is_charged_whole_by_its_price() {
    let tiered =
        price("input=1 cached_input=0.1 output=4 >200000 input=2 output=6 >1000000 input=3");
    for (input, cached, cost) in [
        (199_999, 0, 199_999_000 + 4_000),
        (200_000, 0, 200_000_000 + 4_000),
        (200_001, 0, 400_002_000 + 6_000),
        (1_000_000, 0, 2_000_000_000 + 6_000),
        (1_000_001, 0, 3_000_003_000 + 6_000),
        // What isn't said of a length costs as before.
        (200_001, 200_001, 20_000_100 + 6_000),
    ] {
        let used = Used {
            input,
            cached_input: cached,
            output: 1,
            ..Used::default()
        };
        assert_eq!(nanos(&tiered, STANDARD, used), cost, "{input}");
    }
}

#[test]
fn tiers_of_service_and_lengths_meet() {
    let text = "input=4 cached_input=0.4 output=8 >1000 input=8 output=12 /batch input=2 output=4 >1000 input=4 output=6 /flex output=5 /priority input=9";
    let tiered = price(text);
    let rates = |tier, input: u64| {
        let rates = tiered.rates(tier, input);
        [Kind::Input, Kind::CachedInput, Kind::Output].map(|kind| rates.of(kind) / 100_000_000)
    };
    for (tier, short, long) in [
        (ServiceTier::Standard, [40, 4, 80], [80, 4, 120]),
        (ServiceTier::Batch, [20, 4, 40], [40, 4, 60]),
        // Of long calls nothing is said: the dearer of what could be meant.
        (ServiceTier::Flex, [40, 4, 50], [80, 4, 120]),
        (ServiceTier::Priority, [90, 4, 80], [90, 4, 120]),
    ] {
        assert_eq!(rates(tier, 1_000), short, "{tier}");
        assert_eq!(rates(tier, 1_001), long, "{tier}");
    }
    let plain = price("input=4 output=8 >10 input=1");
    assert_eq!(
        plain.rates(ServiceTier::Flex, 11),
        plain.rates(STANDARD, 11)
    );
}

#[test]
fn a_price_holds_from_its_first_millisecond_to_the_next_ones() {
    let dated = |from: &str, text: &str| Dated {
        from: date::read(from).unwrap(),
        price: price(text),
    };
    let schedule = Schedule::new(vec![
        dated("2026-01-01", "input=1 output=1"),
        dated("2026-03-01", "input=2 output=2"),
        dated("2026-03-01T12:00:00.250Z", "input=3 output=3"),
    ])
    .unwrap();
    let at = |ms: UnixMillis| {
        let rates = schedule.at(ms).price.standard.rates;
        rates.of(Kind::Input) / 1_000_000_000
    };
    let ms = |text| date::read(text).unwrap();
    for (from, before, after) in [
        (ms("2026-01-01"), 1, 1),
        (ms("2026-03-01"), 1, 2),
        (ms("2026-03-01T12:00:00.250Z"), 2, 3),
    ] {
        assert_eq!(at(UnixMillis(from.0 - 1)), before, "{from:?}");
        assert_eq!(at(from), after, "{from:?}");
        assert_eq!(at(UnixMillis(from.0 + 1)), after, "{from:?}");
    }
    assert_eq!((at(UnixMillis(0)), at(UnixMillis(u64::MAX))), (1, 3));
    assert_eq!(
        date::Written(ms("2026-03-01T12:00:00.250Z")).to_string(),
        "2026-03-01T12:00:00.25Z"
    );
    for bad in [
        vec![],
        vec![dated("2026-03-01", "free"), dated("2026-03-01", "free")],
        vec![dated("2026-03-02", "free"), dated("2026-03-01", "free")],
    ] {
        assert!(Schedule::new(bad).is_err());
    }
    assert_eq!(date::read("2026-13-01"), None);
    assert_eq!(date::read("1969-12-31"), None);
}

#[test]
fn what_is_no_price() {
    use NotationError::{Length, Missing, Number, TooMuch, Twice, Word};
    let word = |text: &str| text.to_owned();
    for (text, error) in [
        ("", Missing("input")),
        ("input=1", Missing("output")),
        ("input=1 output", Word(word("output"))),
        ("input=1 outputs=2", Word(word("outputs=2"))),
        ("input=1 output=-2", Number(word("output=-2"))),
        ("input=1 output=1e3", Number(word("output=1e3"))),
        ("input=1 output=.5", Number(word("output=.5"))),
        (
            "input=0.0000000001 output=1",
            Number(word("input=0.0000000001")),
        ),
        ("input=1000001 output=1", TooMuch(word("input=1000001"))),
        (
            "input=1 output=1 search=10001",
            TooMuch(word("search=10001")),
        ),
        ("input=1 input=1 output=2", Twice(word("input=1"))),
        ("input=1 output=2 >5 input=2 >5 input=3", Length(word(">5"))),
        ("input=1 output=2 >x input=2", Length(word(">x"))),
        ("input=1 output=2 /fast input=1", Word(word("/fast"))),
        (
            "input=1 output=2 /standard input=1",
            Word(word("/standard")),
        ),
        (
            "input=1 output=2 /flex input=1 /flex input=1",
            Twice(word("/flex")),
        ),
    ] {
        assert_eq!(notation::read(text), Err(error), "{text}");
    }
    assert_eq!(price("request=0.04").to_string(), "request=0.04");
    assert_eq!(price("free"), price("input=0 output=0"));
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = proptest::option::of(0..=rates::RATE_MAX);
    let each = proptest::option::of(0..=10_000_000_000_000_u64);
    (proptest::collection::vec(rate, 10), each.clone(), each).prop_map(
        |(tokens, request, search)| {
            let each = [request, search].map(|rate| rate.map(|rate| rate * rates::PER_UNITS));
            let all = tokens.into_iter().chain(each);
            let said = Kind::ALL.into_iter().zip(all);
            said.filter_map(|(kind, rate)| Some((kind, rate?)))
                .collect()
        },
    )
}

fn tariff() -> impl Strategy<Value = price::Tariff> {
    let above = proptest::collection::btree_map(0..2_000_000_u64, rates(), 0..3);
    (rates(), above).prop_map(|(rates, above)| {
        let above = above.into_iter().filter(|(_, rates)| !rates.is_empty());
        let longer = above.map(|(input_tokens, rates)| price::Longer {
            input_tokens,
            rates,
        });
        price::Tariff {
            rates,
            longer: longer.collect(),
        }
    })
}

prop_compose! {
    fn prices()(
        mut standard in tariff(),
        (input, output) in (0..=rates::RATE_MAX, 0..=rates::RATE_MAX),
        tiers in proptest::array::uniform3(proptest::option::of(tariff())),
    ) -> Price {
        standard.rates.set(Kind::Input, input);
        standard.rates.set(Kind::Output, output);
        let tiers = ServiceTier::ALL.into_iter().skip(1).zip(tiers);
        Price { standard, tiers: tiers.filter_map(|(tier, tariff)| Some((tier, tariff?))).collect() }
    }
}

prop_compose! {
    fn usage(most: u64)(units in proptest::array::uniform14(0..=most)) -> Used {
        let [input, cached_input, cache_write, cache_write_1h, input_audio, input_image,
            output, reasoning, output_audio, output_image, requests, searches,
            cached_input_audio, cached_input_image] = units;
        Used { cached_input_audio, cached_input_image, input, cached_input, cache_write, cache_write_1h, input_audio, input_image,
            output, reasoning, output_audio, output_image, requests, searches }
    }
}

fn tiers() -> impl Strategy<Value = ServiceTier> {
    (0..ServiceTier::ALL.len()).prop_map(|place| ServiceTier::ALL[place])
}

proptest! {
    #[test]
    fn the_parts_are_the_whole_and_no_unit_is_in_two(
        price in prices(), tier in tiers(), used in usage(u64::MAX),
    ) {
        let parts = price.cost(tier, &used);
        let sum: u128 = parts.iter().map(|part| u128::from(part.cost_nanos)).sum();
        prop_assert_eq!(sum, u128::from(total_nanos(&parts)), "the sum never overflows");
        let units = |of: &dyn Fn(Kind) -> bool| -> u128 {
            parts.iter().filter(|part| of(part.kind)).map(|part| u128::from(part.units)).sum()
        };
        let is_output = |kind| matches!(kind, Kind::Output | Kind::Reasoning | Kind::OutputAudio | Kind::OutputImage);
        let is_input = |kind| !is_output(kind) && !matches!(kind, Kind::Request | Kind::Search);
        prop_assert_eq!(units(&is_input), u128::from(used.input));
        prop_assert_eq!(units(&is_output), u128::from(used.output));
        prop_assert_eq!(units(&|kind| kind == Kind::Search), u128::from(used.searches));
        let kinds: std::collections::BTreeSet<Kind> = parts.iter().map(|part| part.kind).collect();
        prop_assert_eq!(kinds.len(), parts.len(), "each kind once");
    }

    #[test]
    fn each_part_is_rounded_up_once(price in prices(), tier in tiers(), used in usage(100_000)) {
        let rates = price.rates(tier, used.input);
        let used = Used { requests: 1, searches: used.searches % 100, ..used };
        for part in price.cost(tier, &used) {
            let exact = u128::from(part.units) * u128::from(rates.of(part.kind));
            let cost = u128::from(part.cost_nanos) * 1_000_000;
            prop_assert!(cost >= exact && cost < exact + 1_000_000, "{:?}", part);
        }
    }

    #[test]
    fn more_of_anything_never_costs_less(
        rates in rates(), (input, output) in (0..=rates::RATE_MAX, 0..=rates::RATE_MAX),
        used in usage(10_000), more in usage(1_000),
    ) {
        // Of one length, and where parts don't overlap.
        let mut rates = rates;
        rates.set(Kind::Input, input);
        rates.set(Kind::Output, output);
        let price = Price::of(rates);
        let whole = |used: Used| Used {
            input: used.input + used.cached_input + used.cache_write + used.input_audio + used.input_image,
            cache_write_1h: used.cache_write_1h.min(used.cache_write),
            output: used.output + used.reasoning + used.output_audio + used.output_image,
            ..used
        };
        let sum = Used {
            input: used.input + more.input,
            cached_input: used.cached_input + more.cached_input,
            cache_write: used.cache_write + more.cache_write,
            input_audio: used.input_audio + more.input_audio,
            input_image: used.input_image + more.input_image,
            output: used.output + more.output,
            reasoning: used.reasoning + more.reasoning,
            output_audio: used.output_audio + more.output_audio,
            output_image: used.output_image + more.output_image,
            requests: used.requests + more.requests,
            searches: used.searches + more.searches,
            ..used
        };
        let hour = whole(used).cache_write_1h;
        let sum = Used { cache_write_1h: hour, ..whole(sum) };
        let (less, more) = (price.cost(STANDARD, &whole(used)), price.cost(STANDARD, &sum));
        prop_assert!(total_nanos(&less) <= total_nanos(&more));
    }

    #[test]
    fn a_price_reads_back_as_it_was_written(price in prices()) {
        let text = price.to_string();
        prop_assert_eq!(notation::read(&text), Ok(price), "{}", text);
    }

    #[test]
    fn any_text_is_a_price_or_none(text in "[a-z0-9=.> /-]{0,60}") {
        let _ = notation::read(&text);
        let _ = Catalogue::read(&format!("weir prices 1\nversion 1\n{text}"));
        let _ = date::read(&text);
    }

    /// But for what each part is rounded up by.
    #[test]
    fn no_call_costs_more_than_its_hold(
        price in prices(), used in usage(3_000_000), asked in proptest::option::of(tiers()),
        said in tiers(), (write_cache, write_cache_1h, read_audio, read_images) in any::<(bool, bool, bool, bool)>(),
    ) {
        let dated = Dated { from: UnixMillis(0), price };
        let may = May { input_tokens: used.input, write_cache, write_cache_1h, read_audio, read_images, service_tier: asked };
        let pinned = PinnedPrice::of(&dated, "v".into(), may);
        let said = match asked {
            Some(asked) => asked,
            None if matches!(said, ServiceTier::Standard | ServiceTier::Priority) => said,
            None => STANDARD,
        };
        let used = Used {
            cache_write: if write_cache { used.cache_write } else { 0 },
            cache_write_1h: if write_cache_1h { used.cache_write_1h } else { 0 },
            input_audio: if read_audio { used.input_audio } else { 0 },
            input_image: if read_images { used.input_image } else { 0 },
            cached_input_audio: if read_audio { used.cached_input_audio } else { 0 },
            cached_input_image: if read_images { used.cached_input_image } else { 0 },
            requests: 1,
            ..used
        };
        let parts = pinned.cost(Some(said), &used);
        // The price of a call stands for itself, whatever its tier says.
        let tokens: Vec<CostPart> = parts.into_iter().filter(|part| part.kind != Kind::Request).collect();
        let held = pinned.hold(used.input, used.output, used.searches);
        let rounding = tokens.len() as u64;
        prop_assert!(total_nanos(&tokens) <= total_nanos(&held).saturating_add(rounding));
        // It says the same when it comes back with the hold.
        let json = serde_json::to_string(&pinned).unwrap();
        prop_assert_eq!(serde_json::from_str::<PinnedPrice>(&json).unwrap(), pinned);
    }
}

#[test]
fn a_hold_is_at_the_dearest_that_the_call_may_meet() {
    let text = "input=3 cached_input=0.3 cache_write=3.75 cache_write_1h=6 input_audio=10 output=15 >200000 input=6 cache_write=7.5 cache_write_1h=12 output=22.5 /batch input=1.5 output=7.5 /priority input=4";
    let dated = Dated {
        from: UnixMillis(0),
        price: price(text),
    };
    let plain = May {
        input_tokens: 1_000,
        write_cache: false,
        write_cache_1h: true,
        read_audio: false,
        read_images: true,
        service_tier: Some(STANDARD),
    };
    let batch = Some(ServiceTier::Batch);
    for (may, input, output) in [
        (plain, 3_000, 15_000),
        (
            May {
                write_cache: true,
                ..plain
            },
            6_000,
            15_000,
        ),
        (
            May {
                write_cache: true,
                write_cache_1h: false,
                ..plain
            },
            3_750,
            15_000,
        ),
        (
            May {
                read_audio: true,
                ..plain
            },
            10_000,
            15_000,
        ),
        (
            May {
                input_tokens: 200_000,
                ..plain
            },
            3_000,
            15_000,
        ),
        (
            May {
                input_tokens: 200_001,
                ..plain
            },
            6_000,
            22_500,
        ),
        (
            May {
                service_tier: None,
                ..plain
            },
            4_000,
            15_000,
        ),
        (
            May {
                service_tier: batch,
                ..plain
            },
            1_500,
            7_500,
        ),
    ] {
        let pinned = PinnedPrice::of(&dated, "v".into(), may);
        let costs: Vec<u64> = pinned
            .hold(1, 1, 0)
            .iter()
            .map(|part| part.cost_nanos)
            .collect();
        assert_eq!(costs, [input, output], "{may:?}");
    }
}

/// Cached sound may be dearer than text, and a search in one tier than in another.
#[test]
fn a_hold_covers_cached_media_and_searches() {
    let text = "input=1 cached_input=0.5 output=1 search=0.01 cached_input_audio=4 cached_input_image=3 >200000 search=0.02 /priority search=0.03";
    let dated = Dated {
        from: UnixMillis(0),
        price: price(text),
    };
    for (read_audio, read_images, input) in [
        (false, false, 1_000),
        (false, true, 3_000),
        (true, true, 4_000),
    ] {
        let may = May {
            input_tokens: 1_000,
            write_cache: false,
            write_cache_1h: false,
            read_audio,
            read_images,
            service_tier: None,
        };
        let pinned = PinnedPrice::of(&dated, "v".into(), may);
        let held = pinned.hold(1, 0, 2);
        let costs = held.iter().map(|part| (part.kind, part.cost_nanos));
        let expected = [(Kind::Input, input), (Kind::Search, 60_000_000)];
        assert!(costs.eq(expected), "{held:?}");
    }
}

#[test]
fn a_call_is_charged_in_the_tier_that_it_was_served_in() {
    let dated = Dated {
        from: UnixMillis(0),
        price: price("input=2 output=8 /batch input=1 /flex input=1.5 /priority input=4"),
    };
    let used = Used {
        input: 1_000,
        ..Used::default()
    };
    let may = |service_tier| May {
        input_tokens: 1_000,
        write_cache: false,
        write_cache_1h: false,
        read_audio: false,
        read_images: false,
        service_tier,
    };
    use ServiceTier::{Batch, Flex, Priority, Standard};
    for (asked, said, cost) in [
        (None, None, 2_000_000),
        (None, Some(Priority), 4_000_000),
        (None, Some(Flex), 1_500_000),
        (Some(Priority), None, 4_000_000),
        (Some(Priority), Some(Standard), 2_000_000),
        (Some(Flex), None, 1_500_000),
        (Some(Batch), None, 1_000_000),
        // Nobody asked for a batch: its price isn't kept.
        (None, Some(Batch), 2_000_000),
    ] {
        let pinned = PinnedPrice::of(&dated, "v".into(), may(asked));
        let parts = pinned.cost(said, &used);
        assert_eq!(total_nanos(&parts), cost, "{asked:?} {said:?}");
    }
}
