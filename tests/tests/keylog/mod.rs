//! Key logs: every line that a program would write itself, and no other.

mod cold;
mod handshakes;
mod kernels;
mod libraries;
mod load;
mod output;
mod programs;

use e2e::Scratch;
use e2e::certificate::Certificate;
use e2e::curl::{Http, curl};
use e2e::version::Version;
use std::path::Path;
use std::process::Command;

/// curl with a TLS library that nobody else on this host uses, which writes its own key log.
struct Watched {
    version: Version,
}

impl Watched {
    fn new(scratch: &Scratch) -> Self {
        Self { version: Version::of_host().copied(scratch) }
    }

    /// What to attach to.
    fn library(&self) -> String {
        self.version.libraries()[1].to_str().unwrap().to_owned()
    }

    fn curl(&self, certificate: &Certificate, log: &Path) -> Command {
        self.with_library(curl(Http::V1, &certificate.certificate), log)
    }

    /// Makes `program` use the library and write its keys to `log`.
    fn with_library(&self, mut program: Command, log: &Path) -> Command {
        let [_, ssl] = self.version.libraries();
        program.env("LD_LIBRARY_PATH", ssl.parent().unwrap()).env("SSLKEYLOGFILE", log);
        program
    }
}
