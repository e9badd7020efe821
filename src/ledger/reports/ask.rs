//! A report in words, and what is wrong with them.

use super::instant::{self, TimeError};
use crate::identity::source::NAME_BYTES_MAX;
use crate::ledger::store::measure::{Dimension, Measure};
use crate::ledger::store::period::Unit;
use crate::ledger::store::query::{Condition, Cursor, LABEL_PREFIX, Order, PAGE_ROWS_MAX, Query};
use crate::units::UnixMillis;
use std::fmt;
use std::sync::Arc;

/// More names than there are dimensions and periods would be there twice.
const BY_MAX: usize = Dimension::ALL.len() + 1 + LABELS_MAX;

/// A key has few labels, and each that is asked for is looked for in every row.
const LABELS_MAX: usize = 8;

/// Values of all conditions together: far from what a database takes in a
/// statement.
const NAMES_MAX: usize = 1_000;

/// A report as it is asked for; what isn't said is `None` or empty.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Dimensions, labels (`label:team`) and a period; each text may hold several with
    /// commas between.
    pub by: Vec<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    pub time_zone: Option<String>,
    /// `tenant=acme`, `model!=gpt-4o`; `project=` is who has none.
    pub only: Vec<String>,
    pub order: Option<String>,
    pub limit: Option<usize>,
    pub after: Option<String>,
}

/// Which part of a question is wrong: an option, or a parameter of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    By,
    Since,
    Until,
    TimeZone,
    Where,
    Order,
    Most,
    Limit,
}

impl Part {
    /// Its name as a parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::By => "by",
            Part::Since => "since",
            Part::Until => "until",
            Part::TimeZone => "time_zone",
            Part::Where => "where",
            Part::Order => "order",
            Part::Most => "most",
            Part::Limit => "limit",
        }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskError {
    pub part: Part,
    pub why: Why,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the option is written.
        let option = self.part.as_str().replace('_', "-");
        write!(f, "--{option}: {}", self.why)
    }
}

impl std::error::Error for AskError {}

/// What is wrong with a part of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("{word:?} isn't one of {}{}", .all.join(", "), did_you_mean(.like.as_deref()))]
    Word {
        word: String,
        all: Vec<&'static str>,
        like: Option<String>,
    },
    #[error("{0} is there twice")]
    Twice(String),
    #[error("label: needs the name of a label of at most {NAME_BYTES_MAX} bytes, as label:team")]
    Label,
    #[error("a report is by at most {LABELS_MAX} labels")]
    Labels,
    #[error("a report is by one of hour, day and month")]
    Periods,
    #[error("{0:?} is no condition: write tenant=acme or model!=gpt-4o")]
    Condition(String),
    #[error("there are at most {NAMES_MAX} conditions")]
    Many,
    #[error("must be after since: {since} is not before {until}")]
    Empty { since: String, until: String },
    #[error("must be from 1 to {PAGE_ROWS_MAX}")]
    Limit,
    #[error(transparent)]
    Time(#[from] TimeError),
}

fn did_you_mean(like: Option<&str>) -> String {
    like.map_or_else(String::new, |like| format!("; did you mean {like}?"))
}

impl Asked {
    /// The question. What isn't said: this month, in UTC, by tenant and model.
    ///
    /// # Errors
    /// [`AskError`], for the first part that is wrong.
    pub fn query(&self, now: UnixMillis) -> Result<Query, AskError> {
        let at = |part: Part| move |why: Why| AskError { part, why };
        let time = |part: Part| {
            move |why: TimeError| AskError {
                part,
                why: why.into(),
            }
        };
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = instant::zone(zone).map_err(time(Part::TimeZone))?;
        let since = match &self.since {
            Some(text) => instant::moment(text, &zone, now).map_err(time(Part::Since))?,
            None => instant::month_of(now, &zone).unwrap_or(now),
        };
        let until = match &self.until {
            Some(text) => instant::moment(text, &zone, now).map_err(time(Part::Until))?,
            None => now,
        };
        if until <= since {
            let (since, until) = (instant::told(since, &zone), instant::told(until, &zone));
            return Err(at(Part::Until)(Why::Empty { since, until }));
        }
        let By {
            unit,
            group_by,
            labels,
        } = self.by().map_err(at(Part::By))?;
        let limit = self.limit.unwrap_or(PAGE_ROWS_MAX);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(at(Part::Limit)(Why::Limit));
        }
        Ok(Query {
            zone,
            unit,
            group_by,
            labels,
            only: conditions(&self.only).map_err(at(Part::Where))?,
            order: match &self.order {
                Some(word) => order(word).map_err(at(Part::Order))?,
                None => Order::Groups,
            },
            limit,
            after: self.after.clone().map(Cursor),
            ..Query::of(since, until)
        })
    }

    fn by(&self) -> Result<By, Why> {
        let mut by = By::default();
        let words = self.by.iter().flat_map(|text| text.split(','));
        for word in words.take(BY_MAX + 1) {
            let word = word.trim();
            by.add(word)?;
        }
        if self.by.is_empty() {
            by.group_by = vec![Dimension::Tenant, Dimension::Model];
        }
        Ok(by)
    }
}

/// What a report is by.
#[derive(Debug, Default)]
struct By {
    unit: Option<Unit>,
    group_by: Vec<Dimension>,
    labels: Vec<Arc<str>>,
}

impl By {
    fn add(&mut self, word: &str) -> Result<(), Why> {
        if let Some(found) = period(word) {
            return match self.unit.replace(found) {
                Some(_) => Err(Why::Periods),
                None => Ok(()),
            };
        }
        let twice = || Err(Why::Twice(word.to_owned()));
        if let Some(label) = word.strip_prefix(LABEL_PREFIX) {
            if label.is_empty() || label.len() > NAME_BYTES_MAX {
                return Err(Why::Label);
            }
            if self.labels.iter().any(|known| **known == *label) {
                return twice();
            }
            if self.labels.len() == LABELS_MAX {
                return Err(Why::Labels);
            }
            self.labels.push(label.into());
            return Ok(());
        }
        let dimension = dimension(word, &["hour", "day", "month", "label:NAME"])?;
        if self.group_by.contains(&dimension) {
            return twice();
        }
        self.group_by.push(dimension);
        Ok(())
    }
}

fn period(word: &str) -> Option<Unit> {
    match word {
        "hour" => Some(Unit::Hour),
        "day" => Some(Unit::Day),
        "month" => Some(Unit::Month),
        _ => None,
    }
}

fn dimension(word: &str, others: &[&'static str]) -> Result<Dimension, Why> {
    Dimension::parse(word).ok_or_else(|| {
        let dimensions = Dimension::ALL.map(Dimension::as_str);
        wrong(word, dimensions.into_iter().chain(others.iter().copied()))
    })
}

/// A word of a fixed set, and the one that it looks like.
fn wrong(word: &str, all: impl Iterator<Item = &'static str>) -> Why {
    const SHOWN_CHARS_MAX: usize = 64;
    let word: String = word.chars().take(SHOWN_CHARS_MAX).collect();
    let all: Vec<&'static str> = all.collect();
    let near = all
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
        .min();
    let near = near.filter(|(distance, known)| *distance <= known.len().div_ceil(3));
    Why::Word {
        like: near.map(|(_, known)| known.to_owned()),
        word,
        all,
    }
}

/// `tenant=acme`: several of one dimension mean any of them. `!=`: none of them.
///
/// # Errors
/// [`Why`].
pub fn conditions(texts: &[String]) -> Result<Vec<Condition>, Why> {
    let mut all: Vec<Condition> = Vec::new();
    if texts.len() > NAMES_MAX {
        return Err(Why::Many);
    }
    for text in texts {
        let shown = || Why::Condition(text.chars().take(64).collect());
        let (word, name) = text.split_once('=').ok_or_else(shown)?;
        let (word, among) = match word.strip_suffix('!') {
            Some(word) => (word, false),
            None => (word, true),
        };
        let dimension = dimension(word.trim(), &[])?;
        let name = (!name.is_empty()).then(|| name.to_owned());
        let same = |one: &&mut Condition| one.dimension == dimension && one.among == among;
        match all.iter_mut().find(same) {
            Some(condition) => condition.names.push(name),
            None => all.push(Condition {
                dimension,
                among,
                names: vec![name],
            }),
        }
    }
    Ok(all)
}

/// What rows can be ordered by: `groups`, or what the largest comes first of.
///
/// # Errors
/// [`Why::Word`].
pub fn order(word: &str) -> Result<Order, Why> {
    match word {
        "groups" => Ok(Order::Groups),
        _ => most(word).map_err(|why| match why {
            Why::Word { word, all, .. } => wrong(&word, std::iter::once("groups").chain(all)),
            why => why,
        }),
    }
}

/// What the largest comes first of. `cost` is what calls cost after corrections.
///
/// # Errors
/// [`Why::Word`].
pub fn most(word: &str) -> Result<Order, Why> {
    match word {
        "cost" => return Ok(Order::MostNet),
        "tokens" => return Ok(Order::MostTokens),
        _ => {}
    }
    let measure = Measure::ALL.into_iter().find(|one| one.as_str() == word);
    measure.map(Order::Most).ok_or_else(|| {
        let measures = Measure::ALL.map(Measure::as_str);
        wrong(word, ["cost", "tokens"].into_iter().chain(measures))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_793_700_000_000);

    fn asked(by: &str) -> Asked {
        Asked {
            by: vec![by.to_owned()],
            ..Asked::default()
        }
    }

    #[test]
    fn nothing_said_is_this_month_by_tenant_and_model() {
        let query = Asked::default().query(NOW).unwrap();
        assert_eq!(query.group_by, [Dimension::Tenant, Dimension::Model]);
        assert_eq!(query.unit, None);
        let zone = &query.zone;
        assert_eq!(instant::told(query.since, zone), "2026-11-01T00:00:00Z");
        assert_eq!(query.until, NOW);
    }

    #[test]
    fn words_become_a_question() {
        let query = Asked {
            since: Some("2026-11-01".into()),
            until: Some("2026-11-02".into()),
            time_zone: Some("Asia/Kolkata".into()),
            only: ["tenant=acme", "tenant=a=b", "model!=x", "project="]
                .map(str::to_owned)
                .to_vec(),
            order: Some("cost".into()),
            limit: Some(5),
            ..asked("tenant, day,label:team,key")
        };
        let query = query.query(NOW).unwrap();
        assert_eq!(query.group_by, [Dimension::Tenant, Dimension::Key]);
        assert_eq!(query.labels, ["team".into()] as [Arc<str>; 1]);
        let names: Vec<String> = query.names().collect();
        assert_eq!(names, ["tenant", "key", "label:team"]);
        assert_eq!(query.unit, Some(Unit::Day));
        assert_eq!(query.until.since(query.since).0, 86_400_000);
        assert_eq!((query.order, query.limit), (Order::MostNet, 5));
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(query.only[0].names, [name("acme"), name("a=b")]);
        assert_eq!(query.only[1], Condition::is_not(Dimension::Model, "x"));
        assert_eq!(query.only[2].names, [None]);
        assert_eq!(order("groups"), Ok(Order::Groups));
        assert_eq!(order("calls"), Ok(Order::Most(Measure::Calls)));
        assert_eq!(most("tokens"), Ok(Order::MostTokens));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let with = |change: &dyn Fn(&mut Asked)| {
            let mut asked = Asked::default();
            change(&mut asked);
            asked.query(NOW).unwrap_err().to_string()
        };
        for (error, expected) in [
            (
                with(&|a| a.by = vec!["tennant".into()]),
                "--by: \"tennant\" isn't one of tenant, project",
            ),
            (
                with(&|a| a.by = vec!["modle".into()]),
                "did you mean model?",
            ),
            (with(&|a| a.by = vec!["dya".into()]), "did you mean day?"),
            (with(&|a| a.by = vec!["".into()]), "--by: \"\" isn't one of"),
            (
                with(&|a| a.by = vec!["day,hour".into()]),
                "--by: a report is by one of hour, day and month",
            ),
            (
                with(&|a| a.by = vec!["user,user".into()]),
                "--by: user is there twice",
            ),
            (
                with(&|a| a.by = vec!["label:a,label:a".into()]),
                "--by: label:a is there twice",
            ),
            (
                with(&|a| a.by = (0..9).map(|n| format!("label:{n}")).collect()),
                "--by: a report is by at most 8 labels",
            ),
            (
                with(&|a| a.by = vec!["label:".into()]),
                "--by: label: needs the name of a label",
            ),
            (
                with(&|a| a.by = vec![format!("label:{}", "x".repeat(257))]),
                "--by: label: needs the name of a label",
            ),
            (
                with(&|a| a.since = Some("soon".into())),
                "--since: \"soon\" is no date",
            ),
            (
                with(&|a| a.until = Some("2026-10-01".into())),
                "--until: must be after since: 2026-11-01T00:00:00Z is not before 2026-10-01",
            ),
            (
                with(&|a| a.time_zone = Some("Kolkata".into())),
                "--time-zone: \"Kolkata\" is no time zone; did you mean Asia/Kolkata?",
            ),
            (
                with(&|a| a.only = vec!["acme".into()]),
                "--where: \"acme\" is no condition: write tenant=acme",
            ),
            (
                with(&|a| a.only = vec!["team=x".into()]),
                "--where: \"team\" isn't one of",
            ),
            (
                with(&|a| a.order = Some("costs".into())),
                "--order: \"costs\" isn't one of groups, cost, tokens",
            ),
            (
                with(&|a| a.order = Some("costs".into())),
                "did you mean cost?",
            ),
            (
                with(&|a| a.limit = Some(0)),
                "--limit: must be from 1 to 10000",
            ),
            (
                with(&|a| a.only = vec!["tenant=x".into(); 1_001]),
                "--where: there are at most 1000",
            ),
            (with(&|a| a.by = vec!["x".repeat(100_000)]), "isn't one of"),
        ] {
            assert!(error.contains(expected), "{error}");
            assert!(error.len() < 500, "{error}");
        }
    }
}
