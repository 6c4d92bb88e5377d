//! Why a file could not be analysed at all. What could not be done in a file that was
//! analysed is a note in the [`Analysis`](crate::Analysis), not an error.

/// The file as a whole is of no use to the planner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// 32-bit, big-endian, or a machine that no planner knows.
    #[error("unsupported ELF file: {what}; only 64-bit little-endian x86-64 and AArch64 are")]
    Unsupported {
        /// The field and its value.
        what: String,
    },
    /// A header points outside the file or contradicts itself.
    #[error("malformed ELF file: {what} at file offset {offset:#x}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where it should have been.
        offset: u64,
    },
    /// An object file, a core dump: nothing that a process maps as code.
    #[error("ELF file of type {0}: neither an executable nor a shared library")]
    NotLoadable(u16),
    /// None of the functions that carry plaintext is defined here.
    #[error("no TLS functions: the file defines neither SSL_read nor SSL_write")]
    NoTlsFunctions,
    /// It is no `GnuTLS`.
    #[error("no GnuTLS: the file defines neither gnutls_record_recv nor gnutls_record_send")]
    NoGnuTls,
    /// It is no libssl of NSS.
    #[error("no TLS layer of NSS: the file doesn't define SSL_ImportFD; name the libssl3.so")]
    NoNss,
    /// The functions behind NSS's TLS layer were not found.
    #[error("the methods of NSS's TLS layer were not found: {0}")]
    NoLayer(#[from] crate::nss::NoMethods),
    /// Not the shell that was asked for, or one without names.
    #[error(
        "not {shell}: the file defines no {function} (a stripped static build has no names; \
         use the dynamically linked one)"
    )]
    NoShellFunctions {
        /// Which shell.
        shell: &'static str,
        /// What it should define.
        function: &'static str,
    },
    /// Not the server that was asked for, or one without names.
    #[error(
        "the file defines no {function}: it is not the database server, or was stripped of all names; \
         --funcname and --offset can name the function"
    )]
    NoServerFunction {
        /// What it should define.
        function: String,
    },
    /// A server can only be watched with return probes.
    #[error(
        "return probes can kill programs on this kernel (see `ecapture doctor`), and database servers \
         are not captured without"
    )]
    ReturnProbes,
}
