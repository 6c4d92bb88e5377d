//! Which secrets a reader must have before a packet.

/// A set of secrets of one TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs(u8);

impl Needs {
    pub(crate) const NONE: Self = Self(0);
    /// TLS 1.2 and older: the master secret.
    pub(crate) const MASTER: Self = Self(1);
    /// 0-RTT data.
    pub(crate) const EARLY: Self = Self(2);
    /// Handshake secrets of both sides: a reader looks for both when it sees a TLS 1.3 `ServerHello`.
    pub(crate) const HANDSHAKE: Self = Self(4 | 8);
    pub(crate) const CLIENT_TRAFFIC: Self = Self(16);
    pub(crate) const SERVER_TRAFFIC: Self = Self(32);

    const TLS13: Self = Self(4 | 8 | 16 | 32);

    pub(crate) fn of_label(label: &str) -> Self {
        LABELS.iter().find(|(name, _)| *name == label).map_or(Self::NONE, |(_, needs)| *needs)
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if no packet after the server's choice can need more: it is either TLS 1.3, or older.
    pub(crate) fn is_complete(self) -> bool {
        self.contains(Self::MASTER) || self.contains(Self::TLS13)
    }
}

/// The labels of `draft-ietf-tls-keylogfile` that a reader waits for. Others are written as they
/// come.
const LABELS: [(&str, Needs); 6] = [
    ("CLIENT_RANDOM", Needs::MASTER),
    ("CLIENT_EARLY_TRAFFIC_SECRET", Needs::EARLY),
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", Needs(4)),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", Needs(8)),
    ("CLIENT_TRAFFIC_SECRET_0", Needs::CLIENT_TRAFFIC),
    ("SERVER_TRAFFIC_SECRET_0", Needs::SERVER_TRAFFIC),
];
