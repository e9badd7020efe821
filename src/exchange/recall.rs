//! A call that the ledger has, made once more: by what its row tells, in place of
//! its head and body.
//!
//! A row doesn't hold by which route a call came, nor what it said of itself: its headers, metadata, tools and
//! images have no value for conditions. Its input is as many tokens as it had; the
//! most that it could produce, what was held for it.

use super::admit::Refused;
use super::head::{Content, Identified};
use super::message::Step;
use super::open_call::OpenCall;
use super::weigh::Ask;
use super::{Exchange, State, UsageEvent};
use crate::identity::Principal;
use crate::policy::Snapshot;
use crate::policy::facts::{Hints, Request, Seen};
use crate::protocol::denial::{Denial, Scope};
use crate::protocol::refusal::Form;
use crate::protocol::request::CapField;
use crate::protocol::{Anchors, CallFacts, Endpoint, OutputMax};
use crate::units::UnixMillis;
use std::sync::Arc;

/// The name that a recorded cap goes by.
const CAP_NAME: &str = "max_tokens";

impl Exchange {
    /// Begins with a recorded call in place of a head and a body. `None`: its row
    /// doesn't tell enough, as of one that was never read.
    pub fn recall(&mut self, event: &UsageEvent, now: UnixMillis) -> Option<Step> {
        self.recalled(event, now).map(|(_, step)| step)
    }

    /// As [`Exchange::recall`], with the call as it is weighed; it is there unless its
    /// caller is on no plan.
    pub(super) fn recalled(
        &mut self,
        event: &UsageEvent,
        now: UnixMillis,
    ) -> Option<(Option<Ask>, Step)> {
        let endpoint = event.endpoint.filter(|one| *one != Endpoint::Other)?;
        let named = event.model_asked.as_ref().or(event.model.as_ref())?;
        let tenant = event.tenant.as_ref()?;
        self.form = Form {
            dialect: endpoint.dialect(),
            ..Form::default()
        };
        let Some(principal) = principal(event, tenant, &self.snapshot) else {
            let denial = Denial::OutOfScope(Scope::Plan);
            let refused = Refused::new(denial, None, Some(endpoint), now);
            let step = super::admit::refuse(*refused, self.form, self.hold, now);
            return Some((None, step));
        };
        let who = Identified {
            principal: Arc::new(principal),
            by_key: true,
            endpoint,
            path_model: None,
            content: Content::default(),
            upgrade: false,
            sent_path: None,
            route: None,
            hints: Hints::default(),
            started_at: now,
            traceparent: None,
        };
        let made = ask(event, named, who.clone());
        let weighed = self.admission(self.hold).weigh(&made, None, None);
        let weighed = weighed.map(|weighed| (made, weighed));
        let step = self.on_weighed(weighed, now);
        Some((Some(ask(event, named, who)), step))
    }

    /// The call that was let through, while it runs.
    pub fn open_call(&self) -> Option<&OpenCall> {
        match &self.state {
            State::Upstream(call) => Some(call),
            _ => None,
        }
    }
}

/// Who made it, on the plan that they would be on.
fn principal(event: &UsageEvent, tenant: &Arc<str>, snapshot: &Snapshot) -> Option<Principal> {
    let key_id = event.key_id.clone().unwrap_or_else(|| "".into());
    let key = snapshot.keys.by_id(&key_id);
    let key = key.filter(|key| key.account().tenant == *tenant);
    Some(Principal {
        tenant: Arc::clone(tenant),
        project: event.project.clone(),
        environment: event.environment.clone(),
        user: event.user.clone(),
        plan: Arc::clone(snapshot.plan_of(tenant)?),
        labels: event.labels.clone(),
        scopes: key.and_then(|key| key.account().scopes.clone()),
        limits: key.and_then(|key| key.account().limits.clone()),
        key_id,
    })
}

fn ask(event: &UsageEvent, named: &Arc<str>, who: Identified) -> Ask {
    let input = event.input_tokens.unwrap_or(0);
    let output = event.output_tokens.unwrap_or(0);
    let held = event.reserved_tokens.unwrap_or(0).saturating_sub(input);
    let searches = event.searches.unwrap_or(0);
    let most = held.max(output);
    let facts = CallFacts {
        model: named.to_string(),
        stream: event.stream,
        include_usage: false,
        output_max: (most > 0).then_some(OutputMax {
            tokens: most,
            span: 0..0,
            name: CAP_NAME,
            key: 0..0,
        }),
        cap_field: CapField::OfModel,
        answers: 1,
        choices: 1,
        prompts: 1,
        texts: Vec::new(),
        has_raw_json: false,
        messages: 0,
        names: 0,
        tools: 0,
        thinks: false,
        token_ids: 0,
        images: Vec::new(),
        unseen_input: false,
        unseen_images: 0,
        repeated: None,
        service_tier: None,
        searches,
        tool_names: Vec::new(),
        metadata: Vec::new(),
        fields: Vec::new(),
        anchors: Anchors::default(),
    };
    Ask {
        who,
        body: Vec::new(),
        facts,
        request: Request {
            model: Arc::clone(named),
            stream: event.stream,
            choices: 1,
            searches,
            body_bytes: event.request_bytes,
            seen: Seen::Row,
            ..Request::default()
        },
        recorded: Some(input),
    }
}
