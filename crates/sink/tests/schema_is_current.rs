//! The checked-in code is what the schema says, so that building needs neither protoc nor a generator.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

#[test]
fn the_generated_code_is_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = here.join("../../proto");
    let files = protox::compile(["ecapture.proto"], [proto]).unwrap();
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new().out_dir(out.path()).compile_fds(files).unwrap();
    let generated = fs::read_to_string(out.path().join("event.rs")).unwrap();
    let checked_in = here.join("src/protobuf/generated.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&checked_in, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(&checked_in).unwrap() == generated,
        "{} is not what proto/ecapture.proto makes: \
         UPDATE_GENERATED=1 cargo test -p sink --test schema_is_current",
        checked_in.display()
    );
}
