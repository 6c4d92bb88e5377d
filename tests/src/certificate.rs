//! A self-signed certificate for `localhost`.

use crate::process::{command, run};
use crate::scratch::Scratch;
use std::path::PathBuf;

/// A certificate that is its own authority, and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one in the test's folder.
    pub fn new(scratch: &Scratch) -> Self {
        let made =
            Self { certificate: scratch.join("certificate.pem"), key: scratch.join("key.pem") };
        let mut openssl = command("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate);
        let _ = run(&mut openssl).success();
        made
    }
}
