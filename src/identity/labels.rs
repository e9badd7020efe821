//! Labels as JSON: an object of texts, in the order of their names.

use super::Labels;
use serde::{Deserialize, Deserializer, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// For `#[serde(with = ...)]`.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(
    labels: &Option<Arc<Labels>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let labels = labels.iter().flat_map(|labels| labels.iter());
    serializer.collect_map(labels.map(|(name, value)| (name, value)))
}

/// The other way; an empty object is none.
///
/// # Errors
/// It is no object of texts.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<Labels>>, D::Error> {
    BTreeMap::deserialize(deserializer).map(sorted)
}

/// Labels in their order; none where there are none.
pub fn sorted(labels: BTreeMap<Arc<str>, Arc<str>>) -> Option<Arc<Labels>> {
    (!labels.is_empty()).then(|| labels.into_iter().collect())
}

/// As the text that [`read`] reads; `None` where there are none.
pub fn written(labels: Option<&Labels>) -> Option<String> {
    let labels = labels?.iter();
    let map: BTreeMap<&str, &str> = labels.map(|(name, value)| (&**name, &**value)).collect();
    serde_json::to_string(&map).ok()
}

/// # Errors
/// It is no object of texts.
pub fn read(text: &str) -> Result<Option<Arc<Labels>>, serde_json::Error> {
    serde_json::from_str(text).map(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were_written() {
        let labels: Arc<Labels> = [("a".into(), "1\"".into()), ("b".into(), "".into())].into();
        let text = written(Some(&labels)).unwrap();
        assert_eq!(text, r#"{"a":"1\"","b":""}"#);
        assert_eq!(read(&text).unwrap(), Some(labels));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(written(None), None);
        for wrong in ["[]", r#"{"a":1}"#, ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
