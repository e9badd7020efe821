//! PostgreSQL as a sink that needn't be there when weir begins: rows wait in the
//! spool until it is.

use super::retention;
use crate::config::{LedgerRetention, PostgresSettings};
use crate::ledger::row::Row;
use crate::ledger::sink::{Sink, SinkError};
use crate::ledger::store::{PostgresConfig, Store, StoreConfig, StoreError};
use tokio::task::JoinSet;

/// Opened when there is something to deliver.
pub(super) struct Postgres {
    config: PostgresConfig,
    retention: LedgerRetention,
    opened: Option<Store>,
    /// Ends with the sink.
    retaining: JoinSet<()>,
}

impl Postgres {
    pub fn new(settings: &PostgresSettings) -> Self {
        Self {
            config: config(settings),
            retention: settings.retention,
            opened: None,
            retaining: JoinSet::new(),
        }
    }

    async fn store(&mut self) -> Result<&mut Store, SinkError> {
        if self.opened.is_none() {
            let config = StoreConfig::Postgres(self.config.clone());
            let store = Store::open(&config).await.map_err(away)?;
            let retain = retention::retain(store.clone(), self.retention);
            self.retaining.spawn(retain);
            self.opened = Some(store);
        }
        let not_open = || SinkError::Away("it is not open".into());
        self.opened.as_mut().ok_or_else(not_open)
    }
}

pub(super) fn config(settings: &PostgresSettings) -> PostgresConfig {
    let mut config = PostgresConfig::new(settings.url.expose());
    config.connections_max = u32::try_from(settings.connections).unwrap_or(u32::MAX);
    config
}

fn away(error: StoreError) -> SinkError {
    SinkError::Away(error.to_string())
}

impl Sink for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        self.store().await?.deliver(rows).await
    }

    async fn set_aside(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        self.store().await?.set_aside(row, why).await
    }
}
