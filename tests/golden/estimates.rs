//! How well prompts of models without a public vocabulary are estimated:
//! recorded requests, against what their providers said they counted, before
//! and after a thousand settlements of such calls.

use crate::{Case, all_cases};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir::exchange::prompt::{Prompt, Words};
use weir::policy::token_ratios::{RatioLearner, RatioLesson};
use weir::protocol::Endpoint;
use weir::protocol::request::{self, Wants};
use weir::tokens::ratios::{ModelRatio, Ratio};
use weir::tokens::{Counting, Vocabulary};

const SETTLEMENTS: usize = 1_000;

/// The largest mean error after them.
const ERROR_MAX: f64 = 0.08;

/// A recorded prompt.
struct Recorded {
    name: String,
    family: &'static str,
    endpoint: Endpoint,
    model: String,
    body: Vec<u8>,
    actual: u64,
}

impl Recorded {
    /// `None` where its provider counted what isn't in it, or said nothing.
    fn of(case: &Case) -> Option<Self> {
        let body = std::fs::read(case.folder.join("request.json")).ok()?;
        let model = case.expected["request_model"].as_str()?.to_owned();
        let families = ["claude", "gemini"];
        let family = families.into_iter().find(|name| model.contains(name))?;
        let actual = case.expected["usage"]["input_tokens"].as_u64()?;
        let named = case.endpoint.path().contains("{model}");
        let path_model = named.then_some(model.as_str());
        let facts = request::read(case.endpoint, path_model, &body, Wants::default()).ok()?;
        let is_all = !facts.unseen_input && facts.images.is_empty();
        let runs_tools = ["input-grows", "url-context", "web-search"];
        // Some bodies are recorded without their texts.
        let is_all = is_all && actual <= body.len() as u64;
        let grows = runs_tools.iter().any(|part| case.name.contains(part));
        (is_all && !grows && !facts.texts.is_empty()).then_some(Self {
            name: case.name.clone(),
            family,
            endpoint: case.endpoint,
            model,
            body,
            actual,
        })
    }

    fn prompt(&self, ratio: Ratio) -> Prompt {
        let named = self.endpoint.path().contains("{model}");
        let path_model = named.then_some(self.model.as_str());
        let facts = request::read(self.endpoint, path_model, &self.body, Wants::default()).unwrap();
        let words = Words {
            model: &self.model,
            dialect: self.endpoint.dialect(),
            vocabulary: Vocabulary::O200kBase,
            ratio,
            held_ratio: ratio,
        };
        Prompt::of(words, &facts, &self.body, &Counting::unbounded())
    }

    fn error(&self, ratio: Ratio) -> f64 {
        let estimate = self.prompt(ratio).tokens as f64;
        (estimate - self.actual as f64).abs() / self.actual as f64
    }
}

#[test]
fn estimates_are_near_what_providers_count() {
    let Some(cases) = all_cases() else {
        return;
    };
    let recorded: Vec<Recorded> = cases.iter().filter_map(Recorded::of).collect();
    let mut learner = RatioLearner::default();
    // A deployment's models are each called more than once.
    let known = recorded.iter().filter_map(|call| {
        let basis = call.prompt(ModelRatio::guessed(&call.model).ratio).basis?;
        Some(RatioLesson {
            model: Arc::from(call.family),
            counted: basis.counted,
            actual: call.actual.saturating_sub(basis.overhead),
        })
    });
    let lessons: Vec<RatioLesson> = known.collect();
    for at in 0..SETTLEMENTS {
        learner.learn(&lessons[at % lessons.len()]);
    }
    let learned = learner.news().unwrap();
    let mut errors: BTreeMap<&str, Vec<(f64, f64, &Recorded)>> = BTreeMap::new();
    for call in &recorded {
        let before = ModelRatio::guessed(&call.model).ratio;
        let after = learned.named(call.family).unwrap_or(before);
        let both = (call.error(before), call.error(after), call);
        errors.entry(call.family).or_default().push(both);
    }
    for (family, of) in errors {
        let mean = |error: fn(&(f64, f64, &Recorded)) -> f64| {
            of.iter().map(error).sum::<f64>() / of.len() as f64
        };
        println!(
            "{family}: {} prompts, mean error {:.1}% at the start, {:.1}% after {SETTLEMENTS} settlements",
            of.len(),
            mean(|e| e.0) * 100.0,
            mean(|e| e.1) * 100.0
        );
        let after = mean(|errors| errors.1);
        assert!(after < ERROR_MAX, "{family}: {after}");
        for (before, after, call) in &of {
            println!(
                "  {}: {} tokens, {:.1}%, {:.1}%",
                call.name,
                call.actual,
                before * 100.0,
                after * 100.0
            );
        }
    }
}
