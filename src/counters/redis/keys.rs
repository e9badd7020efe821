//! The names of keys. They are an interface: other releases read them.
//!
//! All keys of a slot (a tenant) carry one Cluster hash tag, `{weirNN}`, so
//! that one script may touch them all. NN is a stable hash of the slot into
//! [`BUCKETS`], computed here: the tag comes first in the key, so nothing in a
//! name can steer where its keys live, whatever braces it holds.
//!
//! `weir:1:{weir07}:w:4:acme,3:rpm,4:acme,` is a window; `f` a fixed window, `b`
//! a bucket, `c` leases, `h` a hold, `open` the open holds of the bucket, `claims`
//! the expired ones that nobody has told of yet, `claimed` what is known of these,
//! `sidecars` who is alive, `epoch` since when nothing was lost, `withdrawn` which
//! API keys count no more. Names are preceded by their length in bytes, so no two
//! lists of names make one key. The number is the version of what the keys hold: it
//! changes when an older release could not read it.

use crate::limits::HoldId;
use crate::limits::counter::Rule;
use std::hash::Hasher;
use std::io::Write;
use std::ops::Range;

/// How many hash tags there are: enough to spread over a Cluster, few enough to
/// look through for expired holds every second.
pub const BUCKETS: u8 = 64;

/// Which hash tag a key carries; less than [`BUCKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(u8);

impl Bucket {
    /// FNV-1a, 64 bit: <http://www.isthe.com/chongo/tech/comp/fnv/>. Fixed for
    /// good, as sidecars of different releases must agree.
    pub fn of(slot: &str) -> Self {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(slot.as_bytes());
        let hash = hasher.finish();
        // The high half is mixed in: the low bits alone depend on few.
        let mixed = (hash ^ (hash >> 32)) % u64::from(BUCKETS);
        Self(u8::try_from(mixed).unwrap_or(0))
    }

    pub fn all() -> std::iter::Map<Range<u8>, fn(u8) -> Bucket> {
        (0..BUCKETS).map(Bucket)
    }

    pub fn open(self) -> String {
        format!("weir:1:{{weir{:02}}}:open", self.0)
    }

    /// A sorted set, by when each is handed out again.
    pub fn claims(self) -> String {
        format!("weir:1:{{weir{:02}}}:claims", self.0)
    }

    /// A hash of what is told of a claimed hold: its slot and context.
    pub fn claimed(self) -> String {
        format!("weir:1:{{weir{:02}}}:claimed", self.0)
    }

    pub fn sidecars(self) -> String {
        format!("weir:1:{{weir{:02}}}:sidecars", self.0)
    }

    pub fn withdrawn(self) -> String {
        format!("weir:1:{{weir{:02}}}:withdrawn", self.0)
    }

    pub fn epoch(self) -> String {
        format!("weir:1:{{weir{:02}}}:epoch", self.0)
    }

    /// 0 to 63.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    pub fn hold(self, hold: HoldId) -> String {
        format!("{}{hold}", self.hold_prefix())
    }

    pub fn hold_prefix(self) -> String {
        format!("weir:1:{{weir{:02}}}:h:", self.0)
    }

    /// Appends the key of a counter, whose name is unique in its slot.
    pub fn write_counter(self, key: &mut Vec<u8>, rule: Rule, slot: &str, counter: &str) {
        let (number, algorithm) = (self.0, char::from(letter(rule)));
        let length = slot.len();
        // Writing to memory can't fail.
        let _ = write!(
            key,
            "weir:1:{{weir{number:02}}}:{algorithm}:{length}:{slot},{counter}"
        );
    }
}

/// An algorithm's letter in keys, and but for windows that carry in scripts.
pub fn letter(rule: Rule) -> u8 {
    match rule {
        // However it carries.
        Rule::Fixed { .. } => b'f',
        Rule::Window { .. } => b'w',
        Rule::Bucket(_) => b'b',
        Rule::Leases { .. } => b'c',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(bucket: Bucket, rule: Rule, slot: &str, counter: &str) -> String {
        let mut key = Vec::new();
        bucket.write_counter(&mut key, rule, slot, counter);
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn buckets_are_spread_and_never_change() {
        assert_eq!(Bucket::of("acme").open(), "weir:1:{weir12}:open");
        let mut seen = [0_u32; 64];
        for n in 0..6_400 {
            seen[usize::from(Bucket::of(&format!("tenant-{n}")).0)] += 1;
        }
        assert!(
            seen.iter().all(|count| (40..200).contains(count)),
            "{seen:?}"
        );
        assert_eq!(Bucket::all().count(), 64);
    }

    #[test]
    fn no_name_steers_its_hash_tag() {
        let rule = Rule::Leases { limit: 1 };
        for slot in ["{x}", "}{weir00}", "a\n\0{", "{weir63}"] {
            let bucket = Bucket::of(slot);
            let key = counter(bucket, rule, slot, "1:{,1:},");
            let tag = key
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            assert_eq!(
                tag.map(|tag| tag.0.to_owned()),
                Some(format!("weir{:02}", bucket.0))
            );
        }
    }

    #[test]
    fn names_that_look_like_separators_stay_apart() {
        let bucket = Bucket(0);
        let rule = Rule::Leases { limit: 1 };
        assert_ne!(
            counter(bucket, rule, "a,1:b", "c"),
            counter(bucket, rule, "a", "1:b,c")
        );
        assert_ne!(
            counter(bucket, rule, "a,b", "c"),
            counter(bucket, rule, "a", "b,c")
        );
    }
}
