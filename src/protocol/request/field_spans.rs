//! Where each field of a body stands, for rules that forbid or drop some.

use super::fields::{NAME_BYTES_MAX, folded};
use super::{Fault, Reading, Want};
use crate::protocol::{CallFacts, FieldSpan, TextSpan};

/// The most fields of a body that are kept, those of the objects that hold a cap
/// included: with their names, at most 300 KiB.
pub const FIELDS_MAX: usize = 1_024;

impl Reading<'_> {
    /// A field begins: of the body, or of an `object` in it. What
    /// [`Self::field_ended`] takes once its value is read.
    pub(super) fn field_began(
        &mut self,
        object: Option<&'static str>,
        known: Option<&'static str>,
        key: &TextSpan,
    ) -> Result<Option<usize>, Fault> {
        if self.wants.fields == Want::Not {
            return Ok(None);
        }
        if self.fields.len() == FIELDS_MAX || key.span.len() > NAME_BYTES_MAX {
            let fault = Fault::body(
                "The request body has more fields than this gateway reads (1024), or one whose \
                 name is longer than 256 bytes.",
            );
            return self.wants.fields.fault(fault).map(|()| None);
        }
        let name = known.unwrap_or_else(|| self.json.key_text(key));
        let path = match object {
            None => name.to_owned(),
            Some(object) => format!("{object}.{name}"),
        };
        // The quote in front of the name; the end is told once it is known.
        let begin = key.span.start.saturating_sub(1);
        self.fields.push(FieldSpan {
            path,
            object,
            span: begin..begin,
        });
        Ok(Some(self.fields.len() - 1))
    }

    pub(super) fn field_ended(&mut self, began: Option<usize>) {
        let end = self.json.at();
        if let Some(field) = began.and_then(|index| self.fields.get_mut(index)) {
            field.span.end = end;
        }
    }
}

impl FieldSpan {
    /// Whether it goes by this path, or by one that a lenient server could take
    /// for it: in another case, or with and without underscores
    /// (`generation_config.top_k`).
    pub fn is_named(&self, path: &str) -> bool {
        fn plain(path: &str) -> impl Iterator<Item = char> {
            path.chars().filter(|c| *c != '_').map(folded)
        }
        plain(&self.path).eq(plain(path))
    }
}

impl CallFacts {
    /// The field of this name, as [`FieldSpan::is_named`] has it. None where the
    /// fields were not asked for.
    pub fn field(&self, path: &str) -> Option<&FieldSpan> {
        self.fields.iter().find(|field| field.is_named(path))
    }
}
