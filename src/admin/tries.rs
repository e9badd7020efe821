//! How often each peer may do something: a burst, and then one at a time.
//!
//! Always holds: at most [`PEERS_MAX`] peers are told apart; further ones share.
//! Time is an argument.

use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// An admin port has few peers; each takes some fifty bytes.
pub const PEERS_MAX: usize = 4_096;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Of a Unix socket: this machine.
    Local,
    Ip(IpAddr),
    /// All that were one too many to be told apart.
    Others,
}

/// Counts by peer, as GCRA does: the time at which all is forgotten.
#[derive(Debug)]
pub(super) struct Tries {
    burst: u64,
    every: Millis,
    forgotten_at: Mutex<HashMap<Peer, UnixMillis>>,
}

impl Tries {
    pub fn new(burst: u64, every: Millis) -> Self {
        Self {
            burst,
            every,
            forgotten_at: Mutex::default(),
        }
    }

    /// How long the peer has to wait; `None`: not at all.
    pub fn wait(&self, peer: Peer, now: UnixMillis) -> Option<Millis> {
        let known = self.forgotten_at.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let peer = place(&known, peer.bucket());
        let full = Millis(self.every.0.saturating_mul(self.burst));
        let left = known.get(&peer)?.since(now);
        (left.0 + self.every.0 > full.0).then(|| Millis(left.0 + self.every.0 - full.0))
    }

    /// The peer did it.
    pub fn note(&self, peer: Peer, now: UnixMillis) {
        let known = self.forgotten_at.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let peer = peer.bucket();
        if known.len() >= PEERS_MAX && !known.contains_key(&peer) {
            known.retain(|_, at| *at > now);
        }
        let peer = place(&known, peer);
        let at = known.entry(peer).or_insert(now);
        *at = (*at).max(now) + self.every;
    }

    #[cfg(test)]
    pub fn peers(&self) -> usize {
        self.forgotten_at.lock().unwrap().len()
    }
}

/// Where a peer is counted.
fn place(known: &HashMap<Peer, UnixMillis>, peer: Peer) -> Peer {
    match known.len() >= PEERS_MAX && !known.contains_key(&peer) {
        true => Peer::Others,
        false => peer,
    }
}

impl Peer {
    /// Of IPv6, who has one address has 2^64 of them.
    fn bucket(self) -> Self {
        match self {
            Peer::Ip(address) => match address.to_canonical() {
                IpAddr::V4(address) => Peer::Ip(address.into()),
                IpAddr::V6(address) => {
                    let network = address.to_bits() & !u128::from(u64::MAX);
                    Peer::Ip(std::net::Ipv6Addr::from_bits(network).into())
                }
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn peer(number: u32) -> Peer {
        Peer::Ip(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let tries = Tries::new(3, Millis(1_000));
        for _ in 0..3 {
            assert_eq!(tries.wait(peer(1), NOW), None);
            tries.note(peer(1), NOW);
        }
        assert_eq!(tries.wait(peer(1), NOW), Some(Millis(1_000)));
        assert_eq!(tries.wait(peer(2), NOW), None, "others aren't kept waiting");
        let later = NOW + Millis(1_000);
        assert_eq!(tries.wait(peer(1), later), None);
        tries.note(peer(1), later);
        assert_eq!(tries.wait(peer(1), later), Some(Millis(1_000)));
        assert_eq!(tries.wait(peer(1), later + Millis(60_000)), None);
    }

    #[test]
    fn all_addresses_of_a_network_are_one_peer() {
        let tries = Tries::new(1, Millis(1_000));
        let of = |text: &str| Peer::Ip(text.parse().unwrap());
        tries.note(of("2001:db8::1"), NOW);
        assert!(tries.wait(of("2001:db8::ffff"), NOW).is_some());
        assert!(tries.wait(of("2001:db8:0:1::1"), NOW).is_none());
        tries.note(of("10.0.0.1"), NOW);
        assert!(tries.wait(of("::ffff:10.0.0.1"), NOW).is_some());
    }

    #[test]
    fn many_peers_take_no_more_memory_and_are_held_back_together() {
        let tries = Tries::new(2, Millis(1_000));
        for number in 0..100_000 {
            tries.note(peer(number), NOW);
        }
        assert!(tries.peers() <= PEERS_MAX + 1);
        assert!(tries.wait(peer(99_999), NOW).is_some());
        assert!(tries.wait(peer(5), NOW).is_none(), "who was known stays so");
        let later = NOW + Millis(1_000_000_000);
        assert!(tries.wait(peer(99_999), later).is_none());
        tries.note(peer(99_999), later);
        assert_eq!(
            tries.peers(),
            1,
            "what is over is forgotten where room is needed"
        );
    }
}
