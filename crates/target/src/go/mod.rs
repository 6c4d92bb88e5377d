//! Programs and libraries built by Go: where `crypto/tls`, or a fork of it, has plaintext and
//! secrets in its hands.
//!
//! Functions are found by the names in pclntab, which every Go program carries because its
//! runtime needs it, stripped or not. A return is seen at `ret` instructions only: a return
//! probe replaces the return address on a stack that Go walks and moves.

mod aarch64;
mod buildinfo;
mod names;
mod pclntab;
mod place;
mod plan;
mod prefilter;
mod relocation;
mod tables;
#[cfg(test)]
mod tests;

pub use plan::{GoAbi, GoAnalysis, GoFunction, GoKeyPlan, GoKeyProbe, GoOp, analyze_go};
pub use prefilter::carries_go;

/// Why a file has no plan for Go's TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoError {
    /// The file as a whole is of no use.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// There is no table of Go functions.
    #[error("not built by Go: the file has no pclntab of a known format")]
    NotGo,
    /// A Go program that does no TLS, or whose names were changed.
    #[error(
        "no TLS functions: of the {functions} Go functions in the file none is called \
         `…(*Conn).writeRecordLocked` (programs obfuscated with garble have other names)"
    )]
    NoTls {
        /// How many functions there are.
        functions: usize,
    },
    /// The functions have offsets from a place that could not be found.
    #[error("the start of the Go code could not be found, from which pclntab counts")]
    NoText,
}
