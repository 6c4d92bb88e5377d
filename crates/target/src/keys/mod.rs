//! Where TLS secrets pass through registers.

use crate::site::Site;
use serde::Serialize;

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
