//! Every version of the library family, call for call, with the planned sites and the plain ones;
//! and Debian's own `openssl` programs, byte for byte.

use crate::exactness::openssl::{s_client_sends_and_receives, s_server_serves_a_file_to_s_client};
use crate::placement::{assert_calls, assert_every_call};
use e2e::Scratch;
use e2e::calls::{self, through_a_bio, with_libraries};
use e2e::certificate::Certificate;
use e2e::version::Version;
use std::process::Command;

fn assert_every_call_of(name: &str) {
    let version = Version::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = calls::compile(&scratch);
    assert_every_call("tls", &scratch, || {
        let [crypto, ssl] = version.libraries();
        with_libraries(version.command(&program), crypto, ssl, &certificate)
    });
}

fn assert_every_call_through_a_bio(name: &str) {
    let version = Version::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let [crypto, ssl] = version.libraries();
    let program = version.command(&calls::compile(&scratch));
    let command = with_libraries(program, crypto, ssl, &certificate);
    assert_calls(&scratch, through_a_bio(command), "auto");
}

/// Runs one of the exchanges of `openssl` programs with a version's own.
fn with_programs(exchange: fn(&dyn Fn() -> Command, &[&str]), name: &str) {
    let version = Version::named(name);
    // Named, so that it is attached before the first program maps it.
    let [_, ssl] = version.libraries();
    exchange(&|| version.openssl(), &["--libssl", ssl.to_str().unwrap()]);
}

fn s_client(name: &str) {
    with_programs(s_client_sends_and_receives, name);
}

/// This one reads and writes through a BIO, not through the functions that have names.
fn s_server(name: &str) {
    with_programs(s_server_serves_a_file_to_s_client, name);
}

/// A test of each version, named after it.
macro_rules! versions {
    ($what:ident by $assert:ident: $($test:ident = $name:literal,)*) => {
        mod $what {
            $(#[test]
            fn $test() {
                e2e::needs_bpf!();
                super::$assert($name);
            })*
        }
    };
}

versions! { every_call by assert_every_call_of:
    openssl_1_1_0 = "openssl-1.1.0",
    openssl_1_1_1 = "bullseye-run",
    openssl_3_5 = "trixie-run",
    openssl_3_6 = "sid-run",
    openssl_4_0 = "openssl-4.0",
    boringssl_of_android_10 = "android-10",
    boringssl_of_android_13 = "android-13",
    boringssl_of_android_14 = "android-14",
}

versions! { every_call_through_a_bio by assert_every_call_through_a_bio:
    openssl_1_1_1 = "bullseye-run",
    openssl_3_5 = "trixie-run",
    openssl_3_6 = "sid-run",
    openssl_4_0 = "openssl-4.0",
}

versions! { programs_that_call_the_library by s_client:
    openssl_1_1_1 = "bullseye-run",
    openssl_3_5 = "trixie-run",
    openssl_3_6 = "sid-run",
}

versions! { programs_that_go_through_a_bio by s_server:
    openssl_1_1_1 = "bullseye-run",
    openssl_3_5 = "trixie-run",
    openssl_3_6 = "sid-run",
}
