//! The interfaces through which programs hand plaintext to a TLS library.

use crate::site::Options;
use crate::{Analysis, Error, analysis, gnutls, nss, prefilter};

/// An interface; each has a capture module of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// OpenSSL's, which its forks share.
    OpenSsl,
    /// `GnuTLS`'s.
    GnuTls,
    /// NSS's: the methods of its TLS layer for NSPR.
    Nss,
}

impl Interface {
    /// Every interface.
    pub const ALL: [Self; 3] = [Self::OpenSsl, Self::GnuTls, Self::Nss];

    /// Says whether a file is worth analysing.
    pub fn test(self) -> fn(&[u8]) -> bool {
        match self {
            Self::OpenSsl => prefilter::carries_tls,
            Self::GnuTls => prefilter::carries_gnutls,
            Self::Nss => prefilter::carries_nss,
        }
    }

    /// Analyses the bytes of a library with this interface, or of a program that links one
    /// statically.
    pub fn analyze(self, bytes: &[u8], options: Options) -> Result<Analysis, Error> {
        match self {
            Self::OpenSsl => analysis::analyze_with(bytes, options),
            Self::GnuTls => gnutls::analyze(bytes, options),
            Self::Nss => nss::analyze(bytes, options),
        }
    }
}
