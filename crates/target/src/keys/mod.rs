//! Where TLS secrets pass through registers.

mod accessor;
mod bounds;
mod error;
mod flow;
mod label;
mod logged;
mod machine;
mod master;
mod pointers;
mod reference;
mod sink;

pub use error::KeyError;

use crate::image::Image;
use crate::site::{Site, first_site};
use accessor::Accessors;
use bounds::Bounds;
use flow::Tracer;
use label::Labels;
use serde::Serialize;

/// The functions whose symbols are of use, where there are symbols.
const ACCESSORS: [&str; 8] = [
    "SSL_get_client_random",
    "SSL_get_SSL_CTX",
    "SSL_CTX_get_keylog_callback",
    "SSL_get_session",
    "SSL_SESSION_get_master_key",
    "SSL_version",
    "gnutls_session_get_random",
    logged::NSS,
];

/// How to get the secrets of one library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPlan {
    /// The probes.
    pub probes: Vec<KeyProbe>,
    /// Why this is believed, one step of the derivation each, for people.
    pub evidence: Vec<String>,
}

/// One function that sees secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyProbe {
    /// Its name in the library's source; it need not have a symbol.
    pub name: String,
    /// Where the probe goes.
    pub entry: Site,
    /// What to read there.
    pub source: KeySource,
}

/// What a probe reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum KeySource {
    /// At the entry, everything is in the arguments. Numbers are those of integer arguments, from 0.
    Logged {
        /// The argument that points at the label, a C string.
        label: u8,
        /// Where the 32 bytes of the client random are.
        client_random: Address,
        /// The argument that points at the secret.
        secret: u8,
        /// The argument that holds the secret's length in bytes.
        secret_len: u8,
    },
    /// After the function returned a positive `int` (a handshake succeeded): TLS 1.2's master key out
    /// of the session.
    MasterKey {
        /// The client random.
        client_random: Address,
        /// The address of a `size_t` or `unsigned int` with the key's length, and its width in bytes.
        length: (Address, u8),
        /// The key.
        key: Address,
        /// The 32-bit protocol version; only below 0x0304 is there a `CLIENT_RANDOM`.
        version: Address,
    },
}

/// An address reached from an argument: for each step but the last the pointer at `address + step` is
/// loaded; the last step is only added. `[]` is the argument itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The argument, from 0.
    pub argument: u8,
    /// Byte offsets.
    pub steps: Vec<u32>,
}

/// The names to look up for [`keys_of`].
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ACCESSORS.into_iter().chain(master::NAMES)
}

/// Where the secrets of the library or program in `bytes` pass through registers.
///
/// Works on the file as its loader sees it: neither symbols nor section headers are needed,
/// where they are there they are used to check what was found.
pub fn keys(bytes: &[u8]) -> Result<KeyPlan, KeyError> {
    let names: Vec<&str> = names().collect();
    let image = Image::new(bytes, &names)?;
    keys_of(&image)
}

/// As [`keys`], in an image in which [`names`] have been looked up.
pub(crate) fn keys_of(image: &Image<'_>) -> Result<KeyPlan, KeyError> {
    let labels = Labels::find(&image.elf, &image.dynamic);
    let bounds = Bounds::new(image);
    let accessors = Accessors { tracer: Tracer { image, labels: &labels }, bounds: &bounds };
    let sinks = sink::sinks(image, &bounds, &labels);
    if sinks.is_empty() {
        return master::plan(&accessors);
    }
    let mut refused = None;
    for (function, argument, sink) in logged::candidates(&sinks, labels.all())? {
        match logged::understand(&accessors, function, argument, sink) {
            Ok(logged) => return planned(image, logged),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| KeyError::NoSink("no call takes one".to_owned())))
}

fn planned(image: &Image<'_>, logged: logged::Logged) -> Result<KeyPlan, KeyError> {
    let start = logged.function.start;
    let entry = first_site(image, start)
        .ok_or_else(|| KeyError::Shape(format!("there is no code at {start:#x}")))?;
    Ok(KeyPlan {
        probes: vec![KeyProbe { name: logged.name.to_owned(), entry, source: logged.source }],
        evidence: logged.evidence,
    })
}
