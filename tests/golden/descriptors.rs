//! The descriptors that reflection serves, made anew from the `.proto` files
//! that `envoy-types` carries. To bring the file up to date after an upgrade:
//! `WEIR_UPDATE_GOLDEN=1 cargo test --test golden descriptors`.

use prost::Message;
use std::path::{Path, PathBuf};
use std::process::Command;
use weir::envoy::descriptors::{ENVOY_SERVICE_FILES, ENVOY_SERVICES};

#[test]
fn the_checked_in_descriptors_are_those_of_the_crate() {
    let proto = envoy_types().join("proto");
    let mut roots: Vec<PathBuf> = std::fs::read_dir(&proto)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    roots.sort();
    let mut compiler = protox::Compiler::new(roots).unwrap();
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(ENVOY_SERVICE_FILES).unwrap();
    let made = compiler.file_descriptor_set().encode_to_vec();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/envoy_services.binpb");
    if std::env::var_os("WEIR_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &made).unwrap();
        return;
    }
    assert!(
        made == ENVOY_SERVICES,
        "{} is out of date: see this test",
        path.display()
    );
}

/// Where cargo keeps the sources of `envoy-types`.
fn envoy_types() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        // Nobody fetches what only other platforms need.
        .args(["--filter-platform", &host()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "envoy-types")
        .unwrap();
    Path::new(package["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

/// The platform that this is built on, as in `x86_64-unknown-linux-gnu`.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}
