//! Rules by the entries that they ask for, so that finding one takes a few
//! look-ups for each entry of a descriptor and no look at other rules.
//!
//! Of several rules that match, the most specific is found: by the first entry
//! in which they differ, an exact value before a prefix, a longer prefix before
//! a shorter one, any prefix before none.

use std::collections::HashMap;
use std::sync::Arc;

/// What a rule asks of one entry of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    pub key: Arc<str>,
    pub value: Pattern,
}

/// What a rule asks of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    Exact(Arc<str>),
    /// Begins with this; not empty.
    Prefix(Arc<str>),
    Any,
}

/// What lies behind the entries so far: a rule that ends here, and how it goes
/// on, by the next key.
#[derive(Debug)]
pub(super) struct Tree<T> {
    here: Option<T>,
    next: HashMap<Arc<str>, Branches<T>>,
}

type ByValue<T> = HashMap<Arc<str>, Tree<T>>;

#[derive(Debug)]
struct Branches<T> {
    exact: ByValue<T>,
    /// By length in bytes, the longest first.
    prefixes: Vec<(usize, ByValue<T>)>,
    any: Option<Box<Tree<T>>>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            here: None,
            next: HashMap::new(),
        }
    }
}

impl<T> Default for Branches<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            prefixes: Vec::new(),
            any: None,
        }
    }
}

impl<T> Tree<T> {
    /// False where the place is taken.
    pub fn insert(&mut self, pattern: &[Entry], value: T) -> bool {
        let mut tree = self;
        for entry in pattern {
            let branches = tree.next.entry(Arc::clone(&entry.key)).or_default();
            tree = branches.at(&entry.value);
        }
        if tree.here.is_some() {
            return false;
        }
        tree.here = Some(value);
        true
    }

    /// All that was inserted, in no order.
    pub fn all(&self) -> Vec<(Vec<Entry>, &T)> {
        let mut all = Vec::new();
        self.walk(&mut Vec::new(), &mut all);
        all
    }

    /// As deep as the longest pattern, which is short.
    fn walk<'t>(&'t self, front: &mut Vec<Entry>, all: &mut Vec<(Vec<Entry>, &'t T)>) {
        if let Some(here) = &self.here {
            all.push((front.clone(), here));
        }
        for (key, branches) in &self.next {
            for (value, tree) in branches.all() {
                let key = Arc::clone(key);
                front.push(Entry { key, value });
                tree.walk(front, all);
                front.pop();
            }
        }
    }

    /// Goes no deeper than the longest rule, and through no branch twice.
    pub fn find(&self, entries: &[(String, String)]) -> Option<&T> {
        let Some(((key, value), rest)) = entries.split_first() else {
            return self.here.as_ref();
        };
        let branches = self.next.get(key.as_str())?;
        let exact = branches.exact.get(value.as_str());
        exact
            .and_then(|tree| tree.find(rest))
            .or_else(|| {
                let prefixes = branches.prefixes.iter();
                prefixes
                    .filter_map(|(length, trees)| trees.get(value.get(..*length)?))
                    .find_map(|tree| tree.find(rest))
            })
            .or_else(|| branches.any.as_ref()?.find(rest))
    }
}

impl<T> Branches<T> {
    fn all(&self) -> impl Iterator<Item = (Pattern, &Tree<T>)> {
        let exact = self.exact.iter();
        let exact = exact.map(|(value, tree)| (Pattern::Exact(Arc::clone(value)), tree));
        let prefixes = self.prefixes.iter().flat_map(|(_, trees)| trees);
        let prefixes = prefixes.map(|(front, tree)| (Pattern::Prefix(Arc::clone(front)), tree));
        let any = self.any.iter().map(|tree| (Pattern::Any, &**tree));
        exact.chain(prefixes).chain(any)
    }

    fn at(&mut self, pattern: &Pattern) -> &mut Tree<T> {
        match pattern {
            Pattern::Exact(value) => self.exact.entry(Arc::clone(value)).or_default(),
            Pattern::Any => self.any.get_or_insert_default(),
            Pattern::Prefix(prefix) => {
                let length = prefix.len();
                let found = self
                    .prefixes
                    .binary_search_by(|(other, _)| length.cmp(other));
                let place = found.unwrap_or_else(|place| {
                    self.prefixes.insert(place, (length, HashMap::new()));
                    place
                });
                self.prefixes[place]
                    .1
                    .entry(Arc::clone(prefix))
                    .or_default()
            }
        }
    }
}
