//! Which calls a limit counts, and together with which others.

use super::*;
use crate::limits::{Algorithm, Mode, Unit};
use crate::policy::facts::Request;
use crate::policy::{OutputField, Vocabulary};
use crate::units::Millis;

fn who(user: Option<&str>, project: Option<&str>) -> Principal {
    Principal {
        tenant: "acme".into(),
        project: project.map(Arc::from),
        environment: Some("prod".into()),
        user: user.map(Arc::from),
        key_id: "k1".into(),
        plan: "team".into(),
        ..Principal::default()
    }
}

fn model(name: &str, tier: Option<&str>) -> Model {
    Model {
        name: name.into(),
        tier: tier.map(Arc::from),
        provider: Some("openai".into()),
        price: None,
        service_tier: None,
        vocabulary: Vocabulary::O200kBase,
        max_input_tokens: None,
        token_ratio: crate::policy::ModelRatio::EXACT,
        max_output_tokens: None,
        output_field: OutputField::MaxTokens,
        image_tokens: None,
        inject_include_usage: true,
    }
}

fn limit(scope: Scope, unit: Unit) -> Arc<Limit> {
    Arc::new(Limit {
        name: "l".into(),
        scope,
        unit,
        amount: 10,
        algorithm: Algorithm::SlidingWindow {
            every: Millis(60_000),
        },
        mode: Mode::Enforce,
    })
}

fn call<'c>(who: &'c Principal, model: &'c Model) -> Call<'c> {
    Call {
        who,
        model,
        endpoint: Endpoint::Completions,
        estimate: Estimate {
            input_tokens: 30,
            output_tokens: 12,
            cost_nanos: 7,
        },
        most: Estimate {
            input_tokens: 30,
            output_tokens: 100,
            cost_nanos: 50,
        },
    }
}

#[test]
fn each_unit_charges_its_own() {
    let (who, model) = (who(None, None), model("m", None));
    for (unit, amount, most) in [
        (Unit::Requests, 1, 1),
        (Unit::Concurrency, 1, 1),
        (Unit::InputTokens, 30, 30),
        (Unit::OutputTokens, 12, 100),
        (Unit::Tokens, 42, 130),
        (Unit::Cost, 7, 50),
    ] {
        let mut limit = PlanLimit {
            limit: limit(Scope::TENANT, unit),
            hard: false,
            when: When::default(),
            budget: None,
        };
        let soft = charge(&limit, &mut Naming::of(call(&who, &model)));
        assert_eq!((soft.amount, soft.wanted()), (amount, amount), "{unit:?}");
        limit.hard = true;
        let hard = charge(&limit, &mut Naming::of(call(&who, &model)));
        assert_eq!((hard.amount, hard.wanted()), (amount, most), "{unit:?}");
    }
}

#[test]
fn calls_that_agree_in_all_dimensions_share_a_counter() {
    let (ada, nobody) = (who(Some("ada"), Some("p")), who(None, None));
    let (big, small) = (model("big", Some("t")), model("small", None));
    let id = |dimensions: &[Dimension], who, model| {
        let scope = Scope::of(dimensions.iter().copied());
        Naming::of(call(who, model)).counter(&limit(scope, Unit::Requests))
    };
    use Dimension::{Endpoint, Environment, Key, Model, Project, Provider, Tenant, Tier, User};
    assert_eq!(&*id(&[Tenant], &ada, &big), "1:l,4:acme,");
    assert_eq!(&*id(&[User], &ada, &big), "1:l,4:acme,8:user=ada,");
    assert_eq!(&*id(&[User], &nobody, &big), "1:l,4:acme,6:key=k1,");
    assert_eq!(&*id(&[Key, Model], &ada, &big), "1:l,4:acme,2:k1,3:big,");
    assert_eq!(
        &*id(&[Project, Environment], &ada, &big),
        "1:l,4:acme,1:p,4:prod,"
    );
    assert_eq!(&*id(&[Project], &nobody, &big), "1:l,4:acme,0:,");
    assert_eq!(&*id(&[Tier], &ada, &big), "1:l,1:t,");
    assert_eq!(&*id(&[Tier], &ada, &small), "1:l,0:,");
    assert_eq!(
        &*id(&[Endpoint, Provider], &ada, &small),
        "1:l,15:/v1/completions,6:openai,"
    );
    assert_eq!(&*id(&[], &ada, &big), "1:l,");
}

#[test]
fn a_condition_must_hold_whole() {
    let limits = |when| {
        [PlanLimit {
            limit: limit(Scope::TENANT, Unit::Requests),
            hard: false,
            when,
            budget: None,
        }]
    };
    let (who, big) = (who(None, None), model("big", Some("top")));
    let other = model("other", None);
    let table = [
        (When::default(), true, true),
        (
            When {
                models: vec!["x".into(), "big".into()],
                ..When::default()
            },
            true,
            false,
        ),
        (
            When {
                tiers: vec!["top".into()],
                endpoints: vec![Endpoint::Completions],
                ..When::default()
            },
            true,
            false,
        ),
        (
            When {
                models: vec!["big".into()],
                endpoints: vec![Endpoint::Embeddings],
                ..When::default()
            },
            false,
            false,
        ),
    ];
    let request = Request::default();
    for (when, for_big, for_other) in table {
        let limits = limits(when);
        for (model, applies) in [(&big, for_big), (&other, for_other)] {
            let count = charges(&limits, &Facts::of(call(&who, model), &request)).len();
            assert_eq!(count, usize::from(applies));
        }
    }
}
