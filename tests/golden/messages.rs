//! The Rust form of our own messages, made anew from their `.proto` files. To
//! bring it up to date after a change:
//! `WEIR_UPDATE_GOLDEN=1 cargo test --test golden messages`.

use std::path::Path;

const FILE: &str = "weir/v1/usage_event.proto";

#[test]
fn the_checked_in_messages_are_those_of_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(FILE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .out_dir(folder.path())
        .compile_fds(compiler.file_descriptor_set())
        .unwrap();
    let made = std::fs::read_to_string(folder.path().join("weir.v1.rs")).unwrap();
    let made = format!("//! `proto/{FILE}` as Rust.\n\n{made}");
    let path = root.join("src/ledger/wire/v1.rs");
    if std::env::var_os("WEIR_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == kept,
        "{} is out of date: see this test",
        path.display()
    );
}
