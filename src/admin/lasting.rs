//! Pages of grants and of top-ups, which are asked for alike.

use super::AdminState;
use super::answer::{Parameters, Wrong, next_after};
use super::approvals::{ROWS, shown};
use super::caller::Caller;
use crate::accounts::approvals::PAGE_ROWS_MAX;
use crate::accounts::lasting::{Lasting, LastingAsked};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What the caller may see of them, as it is shown, and what is next.
pub(super) async fn page<T: Lasting + Send, S: DeserializeOwned>(
    state: &AdminState,
    caller: &Caller,
    query: Option<&str>,
) -> Result<(Vec<S>, Option<String>), Wrong> {
    let (rows, next) = stored::<T>(state, caller, query).await?;
    let now = state.access.now();
    let shown = rows.iter().map(|row| shown(row.to_json(now)));
    Ok((shown.collect::<Result<_, _>>()?, next))
}

/// The same as it is kept.
pub(super) async fn stored<T: Lasting + Send>(
    state: &AdminState,
    caller: &Caller,
    query: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Wrong> {
    let parameters = Parameters::read(query, &["tenant", "all", "after", "limit"])?;
    let limit = parameters.limit(ROWS, PAGE_ROWS_MAX - 1)?;
    let asked = LastingAsked {
        after: parameters.get("after").map(Arc::from),
        tenant: caller.narrowed(parameters.get("tenant"))?,
        all: parameters.flag("all")?,
        now: state.access.now(),
        limit: limit + 1,
    };
    let rows = state
        .accounts
        .with(|accounts| async move { accounts.lasting::<T>(&asked).await });
    let mut rows = rows.await?;
    let next = next_after(&mut rows, limit, |row| row.id().to_string());
    Ok((rows, next))
}
