//! A million keys by themselves: how long one takes to be found, what each takes
//! of memory, how long all take to be read from a database and to be copied to a
//! file; bringing many from elsewhere; and whether wrong ones take the same time.

use crate::counters::{median, resident_mib};
use crate::{postgres, wrong_keys};
use anyhow::{Context, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use weir::accounts::copy::{self, Header};
use weir::accounts::{Accounts, Actor, NewKey};
use weir::identity::Attributes;
use weir::identity::table::{Account, Change, Key};
use weir::identity::{KeyDigest, KeyRing, KeyTable, KeyTableBuilder, Pepper, format};
use weir::ledger::store::{PostgresConfig, StoreConfig};
use weir::units::UnixMillis;

const KEYS: u32 = 1_000_000;
const PROJECTS: u32 = 5_000;
/// Keys that are presented: more than a core's caches hold.
const PRESENTED: u32 = 50_000;
/// Keys that wrong ones are made of: with 61 others for each, more than caches know.
const WRONG_OF: u32 = 5_000;
const ROUNDS: usize = 5;
const IMPORTED: u32 = 100_000;
const NOW: UnixMillis = UnixMillis(1_000);

pub async fn run() -> anyhow::Result<()> {
    let pepper = Pepper::new(&[7; 32]).context("a pepper")?;
    let ring = table(&pepper)?;
    lookups(&ring, &pepper)?;
    wrong_keys::run(&ring, &wrong_as(), NOW)?;
    copies(&ring.stored)?;
    drop(ring);
    let folder = tempfile::tempdir_in("target")?;
    let path = folder.path().join("keys.db");
    database("SQLite", &StoreConfig::Sqlite { path }).await?;
    let server = postgres::Server::start(&["shared_buffers=256MB", "max_wal_size=4GB"]).await;
    let url = server.database().await;
    database(
        "PostgreSQL",
        &StoreConfig::Postgres(PostgresConfig::new(url)),
    )
    .await
}

/// Only the wrong ones.
pub fn run_wrong() -> anyhow::Result<()> {
    let pepper = Pepper::new(&[7; 32]).context("a pepper")?;
    wrong_keys::run(&table(&pepper)?, &wrong_as(), NOW)
}

/// Keys that wrong ones are made of.
fn wrong_as() -> Vec<String> {
    (0..WRONG_OF).map(presented).collect()
}

fn presented(n: u32) -> String {
    let mut random = [3; 32];
    random[..4].copy_from_slice(&n.to_le_bytes());
    format::key(random, false)
}

fn key(n: u32, digest: KeyDigest) -> Key {
    let mut id = [1; 11];
    id[..4].copy_from_slice(&n.to_le_bytes());
    Key {
        digest,
        id: format::key_id(id).into(),
        user: None,
        account: Account {
            tenant: format!("tenant-{}", n % PROJECTS / 5).into(),
            project: Some(format!("project-{}", n % PROJECTS).into()),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    }
}

/// Numbers that look random, as digests do (SplitMix64).
fn other_digest(n: u32) -> KeyDigest {
    let mut bytes = [0; 32];
    let mut state = u64::from(n);
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    KeyDigest(bytes)
}

/// All keys, some of which can be presented.
fn table(pepper: &Pepper) -> anyhow::Result<KeyRing> {
    let before = resident_mib()?;
    let begun = Instant::now();
    let mut builder = KeyTableBuilder::with_capacity(KEYS as usize);
    for n in 0..KEYS {
        let digest = match n < PRESENTED {
            true => pepper.digest(presented(n).as_bytes()),
            false => other_digest(n),
        };
        builder.push(key(n, digest));
    }
    let table = builder.build()?;
    let took = begun.elapsed();
    let bytes = (resident_mib()? - before) * f64::from(1 << 20) / f64::from(KEYS);
    println!("{KEYS} keys in memory: {bytes:.0} bytes each; made in {took:.2?}");
    Ok(KeyRing {
        peppers: Some(pepper.clone().into()),
        stored: Arc::new(table),
        ..KeyRing::default()
    })
}

fn lookups(ring: &KeyRing, pepper: &Pepper) -> anyhow::Result<()> {
    let keys: Vec<String> = (0..PRESENTED).map(presented).collect();
    let digests: Vec<KeyDigest> = keys
        .iter()
        .map(|key| pepper.digest(key.as_bytes()))
        .collect();
    let nanos = |round: &dyn Fn() -> usize| -> anyhow::Result<f64> {
        let mut all = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let found = black_box(round());
            all.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(PRESENTED));
            ensure!(found == PRESENTED as usize, "only {found} were found");
        }
        Ok(median(all.into_iter()))
    };
    let find = nanos(&|| {
        digests
            .iter()
            .filter(|digest| ring.stored.find(digest).is_some())
            .count()
    })?;
    let whole = nanos(&|| {
        let known = keys
            .iter()
            .map(|key| ring.authenticate(key.as_bytes(), NOW));
        known.filter(Result::is_ok).count()
    })?;
    let hmac = nanos(&|| {
        for key in &keys {
            black_box(pepper.digest(key.as_bytes()));
        }
        keys.len()
    })?;
    println!(
        "a key is found in {find:.0} ns by its digest, in {whole:.0} ns by itself ({hmac:.0} ns of that is HMAC)"
    );
    let begun = Instant::now();
    let changed = ring.stored.changed([Change::Remove(Arc::clone(
        ring.stored.find(&digests[0]).context("a key")?.id(),
    ))]);
    println!("one is withdrawn in {:.0?}", begun.elapsed());
    ensure!(changed.find(&digests[0]).is_none(), "it still counts");
    Ok(())
}

fn copies(table: &KeyTable) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let path = copy::all_path(folder.path());
    let begun = Instant::now();
    let keys = table.iter().map(|entry| Change::Put(entry.key()));
    copy::write(&path, &Header::default(), keys)?;
    let (wrote, bytes) = (begun.elapsed(), std::fs::metadata(&path)?.len());
    let begun = Instant::now();
    let copied = copy::read(&path)?.context("a copy")?;
    let mut builder = KeyTableBuilder::default();
    for change in copied.changes() {
        if let Change::Put(key) = change? {
            builder.push(key);
        }
    }
    let read = builder.build()?;
    ensure!(read.len() == table.len(), "a copy has all");
    let mib = bytes >> 20;
    println!(
        "copied to a file of {mib} MiB in {wrote:.2?}, read from it in {:.2?}",
        begun.elapsed()
    );
    Ok(())
}

async fn database(name: &str, config: &StoreConfig) -> anyhow::Result<()> {
    let accounts = Accounts::open(config).await?;
    let keys = (0..IMPORTED).map(|n| NewKey {
        id: format!("imported-{n}").into(),
        digest: other_digest(n),
        attributes: Attributes {
            tenant: format!("tenant-{}", n % 1_000).into(),
            ..Attributes::default()
        },
        expires_at: None,
    });
    let keys: Vec<NewKey> = keys.collect();
    let by = Actor {
        name: "bench",
        at: NOW,
    };
    let begun = Instant::now();
    let imported = accounts.import(by, keys).await?;
    ensure!(imported.added == IMPORTED as usize, "all are new");
    println!("{name}: {IMPORTED} keys brought in {:.2?}", begun.elapsed());
    fill(config).await?;
    let before = resident_mib()?;
    let begun = Instant::now();
    let mut load = accounts.load().await?;
    let mut builder = KeyTableBuilder::with_capacity(load.count);
    loop {
        let keys = load.next().await?;
        if keys.is_empty() {
            break;
        }
        for key in keys.into_iter().flatten() {
            if let Change::Put(key) = key.change() {
                builder.push(key);
            }
        }
    }
    let table = builder.build()?;
    let took = begun.elapsed();
    let grown = resident_mib()? - before;
    println!(
        "{name}: {} keys read in {took:.2?}, {grown:.0} MiB more in memory",
        table.len()
    );
    Ok(())
}

/// The rest of the million, past weir: only how they are read is measured.
async fn fill(config: &StoreConfig) -> anyhow::Result<()> {
    let rest = KEYS - IMPORTED;
    let columns = "id, digest, tenant, project, created_at_ms, created_by, changed";
    match config {
        StoreConfig::Sqlite { path } => {
            let url = format!("sqlite://{}", path.display());
            let mut connection = SqliteConnection::connect(&url).await?;
            let sql = format!(
                "INSERT INTO keys ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
                 SELECT i + 1 FROM n WHERE i < {rest}) SELECT 'key_' || hex(randomblob(8)), \
                 randomblob(32), 'tenant-' || (i % 1000), 'project-' || (i % 5000), 1, 'b', \
                 1000000 + i FROM n"
            );
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await?;
        }
        StoreConfig::Postgres(config) => {
            let mut connection = PgConnection::connect(&config.url).await?;
            let sql = format!(
                "INSERT INTO keys ({columns}) SELECT 'key_' || left(md5(i::text), 16), \
                 decode(md5(i::text) || md5('b' || i::text), 'hex'), 'tenant-' || (i % 1000), \
                 'project-' || (i % 5000), 1, 'b', 1000000 + i FROM generate_series(1, {rest}) i"
            );
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await?;
            sqlx::query("ANALYZE keys").execute(&mut connection).await?;
        }
    }
    Ok(())
}
