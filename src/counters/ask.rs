//! How counters stand before a call, and whether there is room for it: what a
//! reservation would be answered, taking nothing.

use super::{CounterError, Counters};
use crate::exchange::explain::{Explanation, Inquiry};
use crate::limits::{Asked, Charge, Retry, Standing, Told, Toll, Unit};
use crate::units::UnixMillis;
use std::sync::Arc;

impl Counters {
    /// Looks at what an inquiry has to know, until it is over.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn explain(
        &self,
        inquiry: Inquiry,
        now: UnixMillis,
    ) -> Result<Explanation, CounterError> {
        let mut inquiry = inquiry;
        while let Some(looks) = inquiry.looks().cloned() {
            let [(slot, own), (shared_slot, shared)] = looks.slots();
            let own = self.ask(&slot, own, now).await?;
            let shared = self.ask(&shared_slot, shared, now).await?;
            inquiry.go_on(&own, &shared);
        }
        Ok(inquiry.explanation())
    }

    /// Asks whether these charges of a slot would pass, one answer each, in order.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn ask(
        &self,
        slot: &Arc<str>,
        charges: &[Charge],
        now: UnixMillis,
    ) -> Result<Vec<Asked>, CounterError> {
        if charges.is_empty() {
            return Ok(Vec::new());
        }
        let is_leased = |charge: &&Charge| charge.limit.unit == Unit::Concurrency;
        let leases: Vec<Charge> = charges.iter().filter(is_leased).map(asking).collect();
        let counted = charges.iter().filter(|charge| !is_leased(charge));
        let counted: Vec<Charge> = counted.map(asking).collect();
        let mut of_leases = match leases.is_empty() {
            true => Vec::new(),
            false => self.look(slot, &leases, now).await?,
        }
        .into_iter();
        let mut of_counted = match counted.is_empty() {
            true => Vec::new(),
            false => {
                let slot = Arc::clone(slot);
                let toll = Toll {
                    slot,
                    charges: counted,
                };
                self.charge(&toll, now).await?.told
            }
        }
        .into_iter();
        let held = self.held(slot, charges).await?;
        let mut asked = Vec::with_capacity(charges.len());
        for (place, charge) in charges.iter().enumerate() {
            let told = match is_leased(&charge) {
                true => of_leases.next().map(lease),
                false => of_counted.next(),
            };
            let told = told.ok_or_else(|| {
                CounterError::Corrupt("less was answered than was asked".to_owned())
            })?;
            let held = held.as_ref().and_then(|held| held.get(place).copied());
            asked.push(Asked {
                // Part of it may have gone to a window that is over.
                held: held.map(|held| held.min(told.standing.used)),
                told,
            });
        }
        Ok(asked)
    }
}

/// A charge that takes nothing, where there is room for what this one needs.
fn asking(charge: &Charge) -> Charge {
    Charge {
        amount: 0,
        room: charge.wanted(),
        ..charge.clone()
    }
}

fn lease(standing: Standing) -> Told {
    Told {
        standing,
        lacks: (standing.remaining == 0).then_some(Retry::WhenOneEnds),
    }
}
