//! Envoy for one variant: the shipped bootstrap with its addresses replaced.
//!
//! Nothing else is changed, so what is measured is what is shipped: listener
//! and admin get free ports, clusters on a Unix socket get the sidecar's, every
//! other cluster is the bench's own provider in plain text.

use crate::process::{Process, free_address};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXT_PROC: &str =
    "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor";

/// What an Envoy is put between.
pub struct Surroundings<'a> {
    pub bootstrap: &'a Path,
    pub upstream: SocketAddr,
    /// `None`: the ext_proc filters are taken out.
    pub sidecar: Option<&'a Path>,
}

/// Starts Envoy with one worker; gives the address it listens on.
pub async fn start(
    around: &Surroundings<'_>,
    folder: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let text = fs::read_to_string(around.bootstrap)
        .with_context(|| format!("can't read {}", around.bootstrap.display()))?;
    let mut bootstrap: Value = serde_saphyr::from_str(&text)
        .with_context(|| format!("can't read {}", around.bootstrap.display()))?;
    let listener = free_address()?;
    let admin = free_address()?;
    place(&mut bootstrap, around, listener, admin)?;
    let file = folder.join("envoy.json");
    fs::write(&file, serde_json::to_vec_pretty(&bootstrap)?)?;
    let mut command = Command::new(program()?);
    command
        .args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warn",
            "-c",
        ])
        .arg(&file);
    let mut envoy = Process::start("envoy", folder, &mut command)?;
    envoy.listens_at(listener).await?;
    Ok((envoy, listener))
}

fn place(
    bootstrap: &mut Value,
    around: &Surroundings<'_>,
    listener: SocketAddr,
    admin: SocketAddr,
) -> anyhow::Result<()> {
    bootstrap["admin"]["address"] = address(admin);
    let listeners = list(bootstrap, "/static_resources/listeners")?;
    let [only] = listeners.as_mut_slice() else {
        bail!("the bootstrap must have one listener");
    };
    only["address"] = address(listener);
    if around.sidecar.is_none() {
        without_ext_proc(only);
    }
    for cluster in list(bootstrap, "/static_resources/clusters")? {
        let endpoints = list(cluster, "/load_assignment/endpoints/0/lb_endpoints")?;
        let mut to_sidecar = false;
        for endpoint in endpoints {
            let place = &mut endpoint["endpoint"]["address"];
            to_sidecar = place.get("pipe").is_some();
            *place = match around.sidecar {
                Some(socket) if to_sidecar => json!({ "pipe": { "path": socket } }),
                _ => address(around.upstream),
            };
        }
        if let (false, Some(cluster)) = (to_sidecar, cluster.as_object_mut()) {
            cluster.remove("transport_socket");
            cluster.remove("dns_lookup_family");
            cluster.insert("type".to_owned(), json!("STATIC"));
        }
    }
    Ok(())
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}

fn list<'a>(value: &'a mut Value, pointer: &str) -> anyhow::Result<&'a mut Vec<Value>> {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .with_context(|| format!("the bootstrap has no list at {pointer}"))
}

/// Takes every ext_proc filter out, wherever a list of filters is.
fn without_ext_proc(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| item["typed_config"]["@type"] != EXT_PROC);
            items.iter_mut().for_each(without_ext_proc);
        }
        Value::Object(fields) => fields.values_mut().for_each(without_ext_proc),
        _ => {}
    }
}

/// `$WEIR_ENVOY`, or what `make` installed under `target/venv`, or the path's.
fn program() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_ENVOY") {
        return Ok(named.into());
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
    if let Ok(pythons) = fs::read_dir(installed) {
        for python in pythons {
            let envoy = python?.path().join("site-packages/envoy/_bin/envoy");
            if envoy.is_file() {
                return Ok(envoy);
            }
        }
    }
    Ok("envoy".into())
}
