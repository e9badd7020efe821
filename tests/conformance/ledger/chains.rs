//! Tampering with a stored chain: each kind is found, and where.

use super::*;
use weir::ledger::store::verify::Fault;

on_each_ledger!(
    tampering_is_found_and_placed,
    a_long_chain_is_walked_in_pages,
    a_chain_is_verified_while_it_grows,
);

const MARCH: u64 = 1_772_323_200_000;

/// Calls, refused and set aside ones, in one chain.
async fn mixed(ledger: &Ledger, dice: &mut Dice) -> Chain {
    let mut chain = Chain::new(dice);
    for n in 0..24 {
        let mut event = call(dice, MARCH + n * 1_000);
        if n % 5 == 3 {
            event.outcome = Outcome::Refused;
        }
        if n % 7 == 6 {
            event.tenant = Some("a\0".into());
        }
        let row = chain.link(event);
        let mut sink = ledger.store.clone();
        if sink.deliver(std::slice::from_ref(&row)).await.is_err() {
            sink.set_aside(&row, "unfit").await.unwrap();
        }
    }
    chain
}

async fn verified(ledger: &Ledger, chain: ChainId) -> Result<Place, Fault> {
    let chains = ledger.store.chains().await.unwrap();
    let chain = chains.into_iter().find(|one| one.id == chain).unwrap();
    ledger.store.verify(&chain).await.unwrap()
}

async fn tampering_is_found_and_placed(ledger: Ledger) {
    let mut dice = Dice(10);
    // Refused: 4, 9, 14, 19, 24. Set aside: 7, 14, 21. (14 is both: set aside.)
    let cases = [
        (
            "UPDATE calls SET cost_nanos = 1 WHERE sequence = 6 AND C",
            Fault::Changed(6),
        ),
        (
            "UPDATE calls SET tenant = 'b' WHERE sequence = 1 AND C",
            Fault::Changed(1),
        ),
        (
            "UPDATE calls SET cost_nanos = -1 WHERE sequence = 5 AND C",
            Fault::Changed(5),
        ),
        (
            "UPDATE calls SET outcome = 'free' WHERE sequence = 5 AND C",
            Fault::Changed(5),
        ),
        (
            "UPDATE calls SET at_ms = at_ms - 1 WHERE sequence = 8 AND C",
            Fault::Changed(8),
        ),
        (
            "UPDATE calls SET started_at_ms = at_ms, at_ms = at_ms + 900000 WHERE sequence = 8 AND C",
            Fault::Changed(8),
        ),
        (
            "UPDATE refusals SET status = NULL WHERE sequence = 9 AND C",
            Fault::Changed(9),
        ),
        (
            "DELETE FROM calls WHERE sequence IN (10, 11, 12) AND C",
            Fault::Removed(10, 12),
        ),
        (
            "DELETE FROM refusals WHERE sequence = 19 AND C",
            Fault::Removed(19, 19),
        ),
        (
            "DELETE FROM set_aside WHERE sequence = 21 AND C",
            Fault::Removed(21, 21),
        ),
        (
            "DELETE FROM refusals WHERE sequence = 24 AND C",
            Fault::Cut(23),
        ),
        (
            "UPDATE calls SET sequence = 2 WHERE sequence = 3 AND C",
            Fault::Inserted(2),
        ),
        (
            "UPDATE calls SET sequence = 30 WHERE sequence = 23 AND C",
            Fault::Removed(23, 23),
        ),
        (
            "UPDATE calls SET sequence = -3 WHERE sequence = 22 AND C",
            Fault::Inserted(0),
        ),
        ("DELETE FROM chains WHERE C", Fault::Inserted(1)),
        ("UPDATE chains SET sequence = 25 WHERE C", Fault::Cut(24)),
        (
            "UPDATE chains SET sequence = 20 WHERE C",
            Fault::Inserted(21),
        ),
        (
            "UPDATE chains SET hash = dropped_hash WHERE C",
            Fault::Head(24),
        ),
    ];
    for (tamper, fault) in cases {
        let chain = mixed(&ledger, &mut dice).await;
        assert_eq!(verified(&ledger, chain.id).await, Ok(chain.last));
        let id = chain.id.as_simple();
        let of_chain = if ledger.is_postgres() {
            format!("chain = '{id}'")
        } else {
            format!("chain = x'{id}'")
        };
        let null = if ledger.is_postgres() {
            "'\\x00'"
        } else {
            "x'00'"
        };
        let sql = tamper
            .replace(" C", &format!(" {of_chain}"))
            .replace("dropped_hash", null);
        assert!(ledger.raw(&sql).await > 0, "{sql}");
        assert_eq!(verified(&ledger, chain.id).await, Err(fault), "{sql}");
    }
}

async fn a_long_chain_is_walked_in_pages(ledger: Ledger) {
    let mut dice = Dice(11);
    let mut chain = Chain::new(&mut dice);
    let mut rows = Vec::new();
    for n in 0..2_600 {
        let mut event = call(&mut dice, MARCH + n);
        // Far more of one kind than of the other.
        if n % 2 == 0 && n < 2_300 {
            event.outcome = Outcome::Refused;
        }
        rows.push(chain.link(event));
    }
    for batch in rows.chunks(1_000) {
        ledger.deliver(batch).await;
    }
    assert_eq!(verified(&ledger, chain.id).await, Ok(chain.last));
    let mut walk = ledger.store.chain_rows(chain.id, 101);
    let mut next = 101;
    loop {
        let entries = walk.next_entries().await.unwrap();
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            assert_eq!(entry.place.sequence, next);
            next += 1;
        }
    }
    assert_eq!(next, 2_601);
}

async fn a_chain_is_verified_while_it_grows(ledger: Ledger) {
    let mut dice = Dice(13);
    let mut chain = Chain::new(&mut dice);
    ledger.deliver(&chain.calls(&mut dice, MARCH, 1_500)).await;
    let known = ledger.store.chains().await.unwrap()[0];
    // After it was told of, and while it is walked along.
    ledger.deliver(&chain.calls(&mut dice, MARCH, 100)).await;
    assert_eq!(ledger.store.verify(&known).await.unwrap(), Ok(chain.last));
    let grow = async {
        for _ in 0..40 {
            ledger.deliver(&chain.calls(&mut dice, MARCH, 5)).await;
        }
    };
    let verify = async {
        for _ in 0..10 {
            let end = ledger.store.verify(&known).await.unwrap();
            assert!(end.unwrap().sequence >= 1_600);
        }
    };
    tokio::join!(grow, verify);
    assert_eq!(ledger.store.verify(&known).await.unwrap(), Ok(chain.last));
}
