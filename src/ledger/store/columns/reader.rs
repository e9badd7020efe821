//! Reads the columns of a row one after the other.

use super::{COLUMNS, Unreadable};
use crate::exchange::event::{Known, Outcome};
use crate::identity::{Labels, labels};
use crate::ledger::row::{Hash, Link};
use crate::ledger::store::value::{Type, Value};
use crate::pricing::{CostPart, Kind};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use std::sync::Arc;
use uuid::Uuid;

/// The values of a row that are left to be read, and their columns' names.
pub struct Reader {
    values: std::vec::IntoIter<Value>,
    names: std::slice::Iter<'static, (&'static str, Type)>,
}

type Read<T> = Result<T, Unreadable>;

impl Reader {
    pub fn new(values: Vec<Value>) -> Self {
        Self {
            values: values.into_iter(),
            names: COLUMNS.iter(),
        }
    }

    fn next(&mut self) -> Read<(Value, Unreadable)> {
        let name = self.names.next().map_or("", |(name, _)| name);
        let value = self.values.next().ok_or(Unreadable(name))?;
        Ok((value, Unreadable(name)))
    }

    pub fn id(&mut self) -> Read<Uuid> {
        match self.next()? {
            (Value::Id(id), _) => Ok(id),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn count(&mut self) -> Read<Option<u64>> {
        match self.next()? {
            (Value::Null(_), _) => Ok(None),
            (Value::Int(number), wrong) => u64::try_from(number).map(Some).map_err(|_| wrong),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn required(&mut self) -> Read<u64> {
        match self.next()? {
            (Value::Int(number), wrong) => u64::try_from(number).map_err(|_| wrong),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn time(&mut self) -> Read<UnixMillis> {
        self.required().map(UnixMillis)
    }

    pub fn status(&mut self) -> Read<Option<u16>> {
        match self.next()? {
            (Value::Null(_), _) => Ok(None),
            (Value::Int(number), wrong) => u16::try_from(number).map(Some).map_err(|_| wrong),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn hash(&mut self) -> Read<Hash> {
        match self.next()? {
            (Value::Bytes(bytes), wrong) => bytes.as_slice().try_into().map_err(|_| wrong),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn bool(&mut self) -> Read<bool> {
        match self.next()? {
            (Value::Bool(truth), _) => Ok(truth),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn text(&mut self) -> Read<Option<String>> {
        match self.next()? {
            (Value::Null(_), _) => Ok(None),
            (Value::Text(text), _) => Ok(Some(text)),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn name(&mut self) -> Read<Option<Arc<str>>> {
        Ok(self.text()?.map(Arc::from))
    }

    pub fn required_name(&mut self) -> Read<Arc<str>> {
        self.of_word(|word| Some(Arc::from(word)))
    }

    /// What a word that must be there means.
    fn of_word<T>(&mut self, meaning: impl FnOnce(&str) -> Option<T>) -> Read<T> {
        match self.next()? {
            (Value::Text(word), wrong) => meaning(&word).ok_or(wrong),
            (_, wrong) => Err(wrong),
        }
    }

    /// What a word that may be there means.
    fn of_text<T>(&mut self, meaning: impl FnOnce(&str) -> Option<T>) -> Read<Option<T>> {
        match self.next()? {
            (Value::Null(_), _) => Ok(None),
            (Value::Text(word), wrong) => meaning(&word).map(Some).ok_or(wrong),
            (_, wrong) => Err(wrong),
        }
    }

    pub fn outcome(&mut self) -> Read<Outcome> {
        use Outcome::{Estimated, Exact, Refused, Void};
        let all = [Exact, Estimated, Void, Refused];
        self.of_word(|word| all.into_iter().find(|outcome| outcome.as_str() == word))
    }

    pub fn known(&mut self) -> Read<Option<Known>> {
        let all = [Known::Provider, Known::Counted, Known::Reserved];
        self.of_text(|word| all.into_iter().find(|known| known.as_str() == word))
    }

    pub fn endpoint(&mut self) -> Read<Option<Endpoint>> {
        self.of_text(|path| Endpoint::all().find(|endpoint| endpoint.path() == path))
    }

    pub fn list(&mut self) -> Read<Vec<Arc<str>>> {
        let names = self.of_text(|text| serde_json::from_str::<Vec<String>>(text).ok())?;
        let names = names.unwrap_or_default();
        Ok(names.into_iter().map(Arc::from).collect())
    }

    pub fn link(&mut self) -> Read<Link> {
        Ok(Link {
            chain: self.id()?,
            sequence: self.required()?,
            hash: self.hash()?,
        })
    }

    pub fn labels(&mut self) -> Read<Option<Arc<Labels>>> {
        let labels = self.of_text(|text| labels::read(text).ok())?;
        Ok(labels.flatten())
    }

    pub fn parts(&mut self) -> Read<Vec<CostPart>> {
        let parts = self.of_text(|text| text.split(',').map(part).collect())?;
        Ok(parts.unwrap_or_default())
    }
}

fn part(text: &str) -> Option<CostPart> {
    let mut fields = text.split(':');
    let word = fields.next()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word)?;
    let mut number = || fields.next()?.parse().ok();
    Some(CostPart {
        kind,
        units: number()?,
        cost_nanos: number()?,
    })
}
