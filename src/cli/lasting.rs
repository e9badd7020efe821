//! Grants and top-ups, which are listed alike.

use super::keys::stored::{Where, block_on, now};
use super::terms::all;
use crate::accounts::approvals::PAGE_ROWS_MAX;
use crate::accounts::lasting::{Lasting, LastingAsked};
use serde_json::Value;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct LastingArgs {
    #[command(flatten)]
    pub at: Where,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Those too that have ended or were revoked.
    #[arg(long)]
    all: bool,
}

/// All that are asked for, as a running weir or the database tells of them.
pub(super) fn rows<T: Lasting>(
    args: &LastingArgs,
    path: &str,
    name: &str,
) -> anyhow::Result<Vec<Value>> {
    if let Some(server) = args.at.server.opened()? {
        let ended = args.all.then_some("true");
        let parameters = [("tenant", args.tenant.as_deref()), ("all", ended)];
        return all(&server, path, name, &parameters);
    }
    block_on(async {
        let accounts = args.at.open_to_read().await?.accounts;
        let mut asked = LastingAsked {
            after: None,
            tenant: args.tenant.as_deref().map(Arc::from),
            all: args.all,
            now: now(),
            limit: PAGE_ROWS_MAX,
        };
        let mut rows = Vec::new();
        loop {
            let page = accounts.lasting::<T>(&asked).await?;
            let Some(last) = page.last() else { break };
            asked.after = Some(Arc::clone(last.id()));
            rows.extend(page.iter().map(|row| row.to_json(asked.now)));
        }
        accounts.close().await;
        Ok(rows)
    })
}
