//! Every version of the library family, call for call, with the planned sites and the plain ones;
//! and Debian's own `openssl` programs, byte for byte.

use crate::exactness::openssl::{s_client_sends_and_receives, s_server_serves_a_file_to_s_client};
use crate::placement::assert_calls;
use e2e::calls::{self, with_libraries};
use e2e::certificate::Certificate;
use e2e::version::Version;
use e2e::{Scratch, needs_bpf};

fn assert_every_call(name: &str) {
    let version = Version::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = calls::compile(&scratch);
    for placement in ["auto", "entry"] {
        let [crypto, ssl] = version.libraries();
        let command = with_libraries(version.command(&program), crypto, ssl, &certificate);
        assert_calls(&scratch, command, placement);
    }
}

fn assert_every_byte(name: &str) {
    let version = Version::named(name);
    // Named, so that it is attached before the first program maps it.
    let [_, ssl] = version.libraries();
    let arguments = ["--libssl", ssl.to_str().unwrap()];
    s_client_sends_and_receives(|| version.openssl(), &arguments);
    s_server_serves_a_file_to_s_client(|| version.openssl(), &arguments);
}

/// A test of the calls of each version, named after it.
macro_rules! every_call {
    ($($test:ident: $name:literal,)*) => {
        mod every_call {
            $(#[test]
            fn $test() {
                e2e::needs_bpf!();
                super::assert_every_call($name);
            })*
        }
    };
}

every_call! {
    openssl_1_1_0: "openssl-1.1.0",
    openssl_1_1_1: "bullseye-run",
    openssl_3_5: "trixie-run",
    openssl_3_6: "sid-run",
    openssl_4_0: "openssl-4.0",
    boringssl_of_android_10: "android-10",
    boringssl_of_android_13: "android-13",
    boringssl_of_android_14: "android-14",
}

#[test]
fn openssl_1_1_1_programs() {
    needs_bpf!();
    assert_every_byte("bullseye-run");
}

#[test]
fn openssl_3_5_programs() {
    needs_bpf!();
    assert_every_byte("trixie-run");
}

#[test]
fn openssl_3_6_programs() {
    needs_bpf!();
    assert_every_byte("sid-run");
}
