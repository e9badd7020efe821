//! `weir ledger verify`: walks along each chain of a ledger.

use super::{Told, counted};
use crate::cli::source::Source;
use crate::ledger::row::{ChainId, Hash};
use crate::ledger::store::verify::{Fault, Place};
use crate::ledger::store::{Chain, Store};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fmt::Write;
use std::str::FromStr;

/// How often a chain is walked anew because retention dropped its first rows
/// meanwhile.
const WALKS_MAX: usize = 3;

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    source: Source,
    /// Only this chain.
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
    /// A head that was printed before and kept elsewhere: it must still be in its
    /// chain. Whoever writes a chain anew from some row on can't keep it. May be
    /// given more than once.
    #[arg(long, value_name = "CHAIN:SEQ:HASH")]
    head: Vec<Head>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A place in a chain, as it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    chain: ChainId,
    place: Place,
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let head = match parts.as_slice() {
            [chain, sequence, hash] => parse(chain, sequence, hash),
            _ => None,
        };
        head.ok_or_else(|| {
            "must be a chain's id, a number and 64 hexadecimal digits, as in the head that was printed".to_owned()
        })
    }
}

fn parse(chain: &str, sequence: &str, hash: &str) -> Option<Head> {
    if hash.len() != 64 || !hash.is_ascii() {
        return None;
    }
    let mut bytes: Hash = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hash.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Head {
        chain: chain.parse().ok()?,
        place: Place {
            sequence: sequence.parse().ok()?,
            hash: bytes,
        },
    })
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:", self.chain, self.place.sequence)?;
        let mut digits = self.place.hash.iter();
        digits.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub fn run(args: &VerifyArgs) -> anyhow::Result<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = args.source.open().await?;
        let told = tell(&store, args).await;
        store.close().await;
        told
    })
}

async fn tell(store: &Store, args: &VerifyArgs) -> anyhow::Result<Told> {
    let mut chains = store.chains().await?;
    if let Some(only) = args.chain {
        chains.retain(|chain| chain.id == only);
        if chains.is_empty() {
            bail!("{only}: there is no such chain in this ledger");
        }
    }
    let mut walked = Vec::new();
    for chain in chains {
        walked.push(walk(store, chain).await?);
    }
    let mut kept = Vec::new();
    for head in &args.head {
        kept.push((*head, lost(store, head).await?));
    }
    let fine =
        walked.iter().all(|(_, end)| end.is_ok()) && kept.iter().all(|(_, why)| why.is_none());
    let text = match args.json {
        true => format!("{:#}\n", as_json(fine, &walked, &kept)),
        false => as_text(&walked, &kept).context("this can't be printed")?,
    };
    Ok(Told { text, fine })
}

/// A chain as it was when it was walked, and where its walk ended.
type Walked = (Chain, Result<Place, Fault>);

async fn walk(store: &Store, mut chain: Chain) -> anyhow::Result<Walked> {
    for _ in 1..WALKS_MAX {
        let end = store.verify(&chain).await?;
        if end.is_ok() {
            return Ok((chain, end));
        }
        let mut now = store.chains().await?.into_iter();
        match now.find(|now| now.id == chain.id) {
            Some(now) if now.dropped != chain.dropped => chain = now,
            _ => return Ok((chain, end)),
        }
    }
    let end = store.verify(&chain).await?;
    Ok((chain, end))
}

/// Why a head that was kept elsewhere isn't in its chain any more.
async fn lost(store: &Store, head: &Head) -> anyhow::Result<Option<String>> {
    let chains = store.chains().await?;
    let Some(chain) = chains.iter().find(|chain| chain.id == head.chain) else {
        return Ok(Some("there is no such chain".to_owned()));
    };
    let sequence = head.place.sequence;
    if sequence == chain.dropped.sequence {
        let same = head.place == chain.dropped;
        return Ok((!same).then(|| format!("row {sequence} was another")));
    }
    if sequence < chain.dropped.sequence {
        let last = chain.dropped.sequence;
        bail!("{head}: rows up to {last} are dropped by retention, so it can't be told");
    }
    if sequence > chain.head.sequence {
        let last = chain.head.sequence;
        return Ok(Some(format!("the chain ends with row {last}")));
    }
    let rows = store.chain_rows(chain.id, sequence).next_entries().await?;
    Ok(match rows.first() {
        Some(entry) if entry.place == head.place => None,
        Some(entry) if entry.place.sequence == sequence => {
            Some(format!("row {sequence} is another"))
        }
        _ => Some(format!("row {sequence} is not there")),
    })
}

fn as_text(walked: &[Walked], kept: &[(Head, Option<String>)]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if walked.is_empty() {
        writeln!(text, "no chain: nothing was written to this ledger yet")?;
    }
    for (chain, end) in walked {
        match end {
            Ok(place) => {
                let rows = place.sequence.saturating_sub(chain.dropped.sequence);
                let rows = counted(rows, "row");
                write!(text, "{}: whole, {rows}", chain.id)?;
                if chain.dropped.sequence > 0 {
                    write!(text, " from {} on", chain.dropped.sequence + 1)?;
                }
                let head = Head {
                    chain: chain.id,
                    place: *place,
                };
                writeln!(text, "\n  head {head}")?;
            }
            Err(fault) => writeln!(text, "{}: BROKEN: {fault}", chain.id)?,
        }
    }
    for (head, why) in kept {
        match why {
            None => writeln!(text, "{head}: still there")?,
            Some(why) => writeln!(text, "{head}: LOST: {why}")?,
        }
    }
    Ok(text)
}

fn as_json(fine: bool, walked: &[Walked], kept: &[(Head, Option<String>)]) -> Value {
    let chains = walked.iter().map(|(chain, end)| {
        let head = end.as_ref().ok().map(|place| {
            let (chain, place) = (chain.id, *place);
            Head { chain, place }.to_string()
        });
        json!({
            "chain": chain.id.to_string(),
            "whole": end.is_ok(),
            "fault": end.as_ref().err().map(ToString::to_string),
            "rows_from": chain.dropped.sequence + 1,
            "rows_to": end.as_ref().ok().map(|place| place.sequence),
            "head": head,
        })
    });
    let kept = kept.iter().map(
        |(head, why)| json!({ "head": head.to_string(), "still_there": why.is_none(), "why": why }),
    );
    json!({
        "whole": fine,
        "chains": chains.collect::<Vec<_>>(),
        "heads": kept.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_in_words() {
        for (last, said) in [
            (2, "0 rows from 3 on"),
            (3, "1 row from 3 on"),
            (4, "2 rows from 3 on"),
        ] {
            let place = |sequence| Place {
                sequence,
                hash: [7; 32],
            };
            let chain = Chain {
                id: ChainId::from_u128(7),
                head: place(last),
                dropped: place(2),
                written_at: crate::units::UnixMillis(0),
            };
            let text = as_text(&[(chain, Ok(place(last)))], &[]).unwrap();
            assert!(text.contains(&format!(": whole, {said}\n")), "{text}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_is_printed_and_nothing_else_is() {
        let head = Head {
            chain: ChainId::from_u128(7),
            place: Place {
                sequence: 12,
                hash: [0xab; 32],
            },
        };
        let text = head.to_string();
        assert_eq!(text.parse(), Ok(head));
        let longer = format!("{text}0");
        let signed = text.replace(":12:", ":+-12:");
        for odd in ["", "a:b:c", &longer, &signed, &text[1..], "::"] {
            assert!(odd.parse::<Head>().is_err(), "{odd}");
        }
    }
}
