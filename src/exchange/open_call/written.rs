//! An open call as JSON, field by field: every call is written before it is let
//! through, and derived code, which asks of each name whether it must be escaped, takes
//! twice as long. A test holds both against each other.

use super::{JSON_BYTES, OpenCall};
use serde::Serialize;

/// An object that is being written.
struct Object(String);

pub(super) fn written(call: &OpenCall) -> String {
    let mut object = Object(String::with_capacity(JSON_BYTES));
    // What is always there; of plain characters, but for names.
    object.0.push_str("{\"id\":\"");
    let mut id = [0; 32];
    object
        .0
        .push_str(call.id.0.as_simple().encode_lower(&mut id));
    object.0.push('"');
    object.number(",\"started_at\":", call.started_at.0);
    object.text(",\"tenant\":", &call.tenant);
    object.optional(",\"project\":", call.project.as_deref());
    object.optional(",\"environment\":", call.environment.as_deref());
    object.optional(",\"user\":", call.user.as_deref());
    object.text(",\"key_id\":", &call.key_id);
    object.text(",\"plan\":", &call.plan);
    if let Some(labels) = &call.labels {
        object.key(",\"labels\":{");
        let mut comma = "";
        for (name, value) in labels.iter() {
            object.0.push_str(comma);
            object.quoted(name);
            object.text(":", value);
            comma = ",";
        }
        object.0.push('}');
    }
    object.text(",\"endpoint\":", call.endpoint.path());
    object.text(",\"model\":", &call.model);
    object.optional(",\"asked\":", call.asked.as_deref());
    object.optional(",\"provider\":", call.provider.as_deref());
    object.text(",\"vocabulary\":", call.vocabulary.as_str());
    object.number(",\"token_ratio\":", call.token_ratio.per_mille());
    if let Some(price) = &call.price {
        object.key(",\"price\":");
        object.price(price.parts());
    }
    object.flag(",\"stream\":", call.stream);
    object.flag(",\"strip_usage\":", call.strip_usage);
    object.numbers_and_lists(call);
    object.0.push('}');
    object.0
}

impl Object {
    fn numbers_and_lists(&mut self, call: &OpenCall) {
        self.number(",\"input_tokens\":", call.input_tokens);
        if let Some(tokens) = call.input_estimate {
            self.number(",\"input_estimate\":", tokens);
        }
        if let Some(basis) = &call.input_basis {
            self.number(",\"input_basis\":{\"counted\":", basis.counted);
            self.number(",\"overhead\":", basis.overhead);
            self.0.push('}');
        }
        self.number(",\"output_tokens\":", call.output_tokens);
        if let Some(expected) = &call.expected {
            self.json(",\"expected\":", expected);
        }
        if call.searches > 0 {
            self.number(",\"searches\":", call.searches);
        }
        self.number(",\"request_bytes\":", call.request_bytes);
        self.optional(",\"traceparent\":", call.traceparent.as_deref());
        if call.shared {
            self.flag(",\"shared\":", true);
        }
        self.list(",\"would_refuse\":", &call.would_refuse);
        self.list(",\"actions\":", &call.actions);
        self.list(",\"rate_headers\":", &call.rate_headers);
    }

    fn price(
        &mut self,
        (price, input, output, tier, version): (&str, u64, u64, Option<&str>, &str),
    ) {
        self.text("{\"price\":", price);
        self.number(",\"input\":", input);
        self.number(",\"output\":", output);
        self.optional(",\"tier\":", tier);
        self.text(",\"version\":", version);
        self.0.push('}');
    }

    /// With what stands before and behind a name.
    fn key(&mut self, key: &'static str) {
        self.0.push_str(key);
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.0.push_str(itoa::Buffer::new().format(number));
    }

    fn flag(&mut self, key: &'static str, is: bool) {
        self.key(key);
        self.0.push_str(if is { "true" } else { "false" });
    }

    fn optional(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.quoted(text);
    }

    fn quoted(&mut self, text: &str) {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            self.json("", text);
        }
    }

    /// Nothing where there is nothing in it.
    fn list<T: Serialize>(&mut self, key: &'static str, list: &[T]) {
        if !list.is_empty() {
            self.json(key, list);
        }
    }

    fn json<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) {
        self.key(key);
        // Names and numbers always serialise; where they didn't, the text would be
        // none that is read back.
        self.0
            .push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Endpoint;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// With names that need escapes, and without.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9-]{1,12}",
            "\\PC{1,8}",
            "[\"\\\\\n\t\u{0}-\u{1f}é😀/]{1,6}"
        ]
    }

    /// Each of the fields that may be left out; `there` has a bit for each that isn't.
    fn call(there: u32, names: &[String], number: u64, endpoint: Endpoint) -> OpenCall {
        let name = |at: usize| json!(names[at % names.len()]);
        let optional = [
            ("project", name(0)),
            ("environment", name(1)),
            ("user", name(2)),
            (
                "labels",
                json!({ names[0].clone(): name(1), names[2].clone(): name(3) }),
            ),
            ("asked", name(3)),
            ("provider", name(0)),
            ("input_estimate", json!(number / 2)),
            ("input_basis", json!({ "counted": number, "overhead": 3 })),
            (
                "expected",
                json!({ "max_tokens": number, "answers": 2, "percentile": 90 }),
            ),
            ("searches", json!(number)),
            ("traceparent", name(1)),
            ("shared", json!(true)),
            ("would_refuse", json!([name(0), name(1)])),
            ("actions", json!([name(2)])),
            (
                "rate_headers",
                json!([[name(0), name(1)], ["x-ratelimit-limit-tokens", "5"]]),
            ),
            (
                "price",
                json!({
                    "price": "input=2.5 output=10", "input": number, "output": 9, "version": name(2),
                }),
            ),
            (
                "price",
                json!({
                    "price": "input=2.5 output=10", "input": number, "output": 9, "tier": "flex",
                    "version": name(2),
                }),
            ),
        ];
        let mut all = json!({
            "id": "0192f0c1aabb7ccc8dddeeeeffff0000",
            "started_at": number,
            "tenant": name(0),
            "key_id": name(1),
            "plan": name(2),
            "endpoint": endpoint,
            "model": name(3),
            "vocabulary": "cl100k_base",
            "token_ratio": 1_200,
            "stream": number.is_multiple_of(2),
            "strip_usage": number.is_multiple_of(3),
            "input_tokens": number,
            "output_tokens": number,
            "request_bytes": number,
        });
        for (bit, (field, value)) in optional.into_iter().enumerate() {
            if there >> bit & 1 == 1 {
                all[field] = value;
            }
        }
        let read: Result<OpenCall, _> = serde_json::from_value::<OpenCall>(Value::clone(&all));
        read.unwrap_or_else(|wrong| panic!("{wrong}: {all}"))
    }

    proptest! {
        #[test]
        fn it_is_what_the_derived_code_writes(
            there in 0..1_u32 << 17, number: u64, at: prop::sample::Index,
            names in prop::collection::vec(name(), 4),
        ) {
            let all: Vec<Endpoint> = Endpoint::all().chain([Endpoint::Other]).collect();
            let call = call(there, &names, number, all[at.index(all.len())]);
            let written = written(&call);
            prop_assert_eq!(&written, &serde_json::to_string(&call).unwrap());
            prop_assert_eq!(OpenCall::from_json(&written), Some(call));
        }
    }
}
