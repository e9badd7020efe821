//! What is wrong with a configuration: every problem, each with its place.
//!
//! Always holds: no problem shows a secret. Readers of secret fields report no
//! value at all, and a value shown elsewhere is withheld where it looks like a
//! key or like an address with a password in it ([`shown`]).

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

/// The most problems that are listed, and the most warnings; the rest is
/// counted. A file with more is wrong in one way, many times.
pub const PROBLEMS_MAX: usize = 200;

/// The most characters of a value or a name that a problem repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// A line and a column of the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// Where a value stands in the tree, as in `plans.team.limits[0].amount`.
/// Cheap to extend and to clone.
#[derive(Debug, Clone, Default)]
pub struct Path(Option<Rc<Step>>);

#[derive(Debug)]
struct Step {
    parent: Path,
    name: Name,
}

#[derive(Debug)]
enum Name {
    Field(&'static str),
    Key(Arc<str>),
    Index(usize),
}

impl Path {
    /// The field of that name below this path.
    pub fn field(&self, name: &'static str) -> Path {
        self.step(Name::Field(name))
    }

    /// The entry whose name the operator chose.
    pub fn key(&self, name: Arc<str>) -> Path {
        self.step(Name::Key(name))
    }

    /// The item of a list, from 0.
    pub fn index(&self, index: usize) -> Path {
        self.step(Name::Index(index))
    }

    fn step(&self, name: Name) -> Path {
        Path(Some(Rc::new(Step {
            parent: self.clone(),
            name,
        })))
    }
}

impl fmt::Display for Path {
    // Recursion is as deep as the tree, which `yaml::DEPTH_MAX` bounds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        fmt::Display::fmt(&step.parent, f)?;
        let dot = if step.parent.0.is_some() { "." } else { "" };
        match &step.name {
            Name::Field(name) => write!(f, "{dot}{name}"),
            Name::Key(name) if is_bare(name, b"") => write!(f, "{dot}{name}"),
            Name::Key(name) => write!(f, "{dot}{}", shown(name)),
            Name::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether a text reads well without quotes: letters, digits, `_`, `-` and what
/// else is allowed.
fn is_bare(text: &str, others: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= SHOWN_CHARS_MAX
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c) || others.contains(&c))
        && !looks_secret(text)
}

/// The place and the path of a value.
#[derive(Debug, Clone)]
pub struct At {
    pub place: Option<Place>,
    pub path: Path,
}

/// One thing that is wrong, or worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Option<Place>,
    /// As in `plans.team.limits[0].amount`; empty for the whole file.
    pub path: String,
    pub text: String,
}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file_name: String,
    list: Vec<Problem>,
    /// How many were found beyond [`PROBLEMS_MAX`].
    unlisted: usize,
}

impl Problems {
    /// A file that couldn't even be read as a tree.
    pub fn whole_file(file_name: &str, place: Option<Place>, text: String) -> Self {
        Self {
            file_name: file_name.to_owned(),
            list: vec![Problem {
                place,
                path: String::new(),
                text,
            }],
            unlisted: 0,
        }
    }

    /// At most [`PROBLEMS_MAX`].
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many there are, listed or not.
    pub fn count(&self) -> usize {
        self.list.len().saturating_add(self.unlisted)
    }

    /// Those that are listed, each in a line with its file and place.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let each = self.list.iter();
        each.map(|problem| line(&self.file_name, problem))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        if self.unlisted > 0 {
            writeln!(f, "... and {} more", self.unlisted)?;
        }
        let plural = if self.count() == 1 { "" } else { "s" };
        write!(f, "{}: {} problem{plural}", self.file_name, self.count())
    }
}

impl std::error::Error for Problems {}

/// One line, as compilers write them.
fn line(file_name: &str, problem: &Problem) -> String {
    let mut line = file_name.to_owned();
    // Writing to a String can't fail.
    if let Some(place) = problem.place {
        let _ = write!(line, ":{}:{}", place.line, place.column);
    }
    if !problem.path.is_empty() {
        let _ = write!(line, ": {}", problem.path);
    }
    let _ = write!(line, ": {}", problem.text);
    line
}

/// Collects problems and warnings while a file is read.
#[derive(Debug, Default)]
pub struct Findings {
    problems: RefCell<Bounded>,
    warnings: RefCell<Bounded>,
}

#[derive(Debug, Default)]
struct Bounded {
    list: Vec<Problem>,
    /// Of those that are listed: a file may have a million problems.
    places: HashSet<Place>,
    unlisted: usize,
}

impl Bounded {
    /// One place says a thing once, though several plans have it from there.
    fn push(&mut self, at: &At, text: String) {
        let same = |known: &Problem| known.place == at.place && known.text == text;
        let known = at.place.is_some_and(|place| self.places.contains(&place));
        if known && self.list.iter().any(same) {
            return;
        }
        if self.list.len() >= PROBLEMS_MAX {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        self.places.extend(at.place);
        self.list.push(Problem {
            place: at.place,
            path: at.path.to_string(),
            text,
        });
    }
}

impl Findings {
    pub fn problem(&self, at: &At, text: impl Into<String>) {
        self.problems.borrow_mut().push(at, text.into());
    }

    pub fn warning(&self, at: &At, text: impl Into<String>) {
        self.warnings.borrow_mut().push(at, text.into());
    }

    /// Whether further problems would only be counted, so that looking for a
    /// helpful suggestion is not worth the time.
    pub fn is_full(&self) -> bool {
        self.problems.borrow().list.len() >= PROBLEMS_MAX
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.borrow().list.is_empty()
    }

    pub fn into_problems(self, file_name: &str) -> Problems {
        let Bounded {
            mut list, unlisted, ..
        } = self.problems.into_inner();
        list.sort_by_key(|problem| problem.place);
        Problems {
            file_name: file_name.to_owned(),
            list,
            unlisted,
        }
    }

    /// The warnings, one line each.
    pub fn into_warnings(self, file_name: &str) -> Vec<String> {
        let Bounded {
            mut list, unlisted, ..
        } = self.warnings.into_inner();
        list.sort_by_key(|warning| warning.place);
        let mut lines: Vec<String> = list.iter().map(|w| line(file_name, w)).collect();
        if unlisted > 0 {
            lines.push(format!("{file_name}: ... and {unlisted} more warnings"));
        }
        lines
    }
}

/// A value or name as a problem may repeat it: quoted, escaped, shortened, and
/// withheld where it looks like a secret that stands in the wrong place.
pub fn shown(text: &str) -> String {
    if looks_secret(text) {
        return "a value that looks like a secret".to_owned();
    }
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let more = if chars.next().is_some() { "..." } else { "" };
    format!("{:?}", format!("{head}{more}"))
}

/// As [`shown`], without quotes where they only disturb: `-5`, `1.5k`, `10ms`.
pub fn shown_bare(text: &str) -> String {
    if is_bare(text, b"+.") {
        text.to_owned()
    } else {
        shown(text)
    }
}

/// Whether a text looks like an API key, or like an address that carries a
/// password.
pub fn looks_secret(text: &str) -> bool {
    looks_like_key(text) || (text.contains("://") && text.contains('@'))
}

/// Whether a text looks like an API key, weir's own or a provider's.
pub fn looks_like_key(text: &str) -> bool {
    /// Names such as `sk-telecom` are shorter than any provider's key.
    const PROVIDER_KEY_BYTES_MIN: usize = 24;
    let text = text.trim();
    text.starts_with("weir_live_")
        || text.starts_with("weir_test_")
        || text.starts_with("weir_admin_")
        || (text.starts_with("sk-") && text.len() >= PROVIDER_KEY_BYTES_MIN)
}

/// The end of a problem's words, where one of these is nearly what was written.
pub fn did_you_mean<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    let near = nearest(written, candidates);
    near.map(|name| format!("; did you mean {}?", shown(name)))
        .unwrap_or_default()
}

/// The candidate nearest to what was written, if it is near enough to be meant.
pub fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if written.len() > SHOWN_CHARS_MAX {
        return None;
    }
    // A third of the letters may be wrong: more is another word.
    let distance_max = (written.chars().count() / 3).max(1);
    candidates
        .filter(|candidate| candidate.len() <= 2 * SHOWN_CHARS_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_what_would_be_read_in_two_ways() {
        let path = Path::default()
            .field("models")
            .key("gpt-4.1".into())
            .field("tier")
            .index(2);
        assert_eq!(path.to_string(), r#"models."gpt-4.1".tier[2]"#);
        assert_eq!(
            Path::default().key("a\nb".into()).to_string(),
            r#""a\nb""#,
            "a line break never breaks a line"
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_never_shown() {
        for secret in [
            "weir_live_abc",
            " sk-proj-0123456789abcdefghij",
            "redis://:pw@h:1",
        ] {
            assert!(!shown(secret).contains(secret.trim()), "{secret}");
        }
        assert_eq!(shown("gpt-4o"), r#""gpt-4o""#);
        assert_eq!(shown(&"x".repeat(65)), format!("\"{}...\"", "x".repeat(64)));
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["amount", "algorithm", "every"];
        assert_eq!(nearest("ammount", known.into_iter()), Some("amount"));
        assert_eq!(nearest("evry", known.into_iter()), Some("every"));
        assert_eq!(nearest("budget", known.into_iter()), None);
    }

    #[test]
    fn problems_beyond_the_bound_are_counted() {
        let findings = Findings::default();
        let at = At {
            place: None,
            path: Path::default(),
        };
        for _ in 0..PROBLEMS_MAX + 7 {
            findings.problem(&at, "wrong");
        }
        let problems = findings.into_problems("f");
        assert_eq!(problems.list().len(), PROBLEMS_MAX);
        assert_eq!(problems.count(), PROBLEMS_MAX + 7);
        assert!(
            problems
                .to_string()
                .ends_with("... and 7 more\nf: 207 problems")
        );
    }
}
