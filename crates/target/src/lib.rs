//! What to probe: processes, libraries, ELF files, probe sites, layouts.
//!
//! The analysis is a pure function over the bytes of an ELF file: no kernel, no root, no I/O.
//!
//! - [`analyze`]: the probes for a file's TLS functions, and the offsets in its structs;
//! - [`Interface`]: the same for OpenSSL's, `GnuTLS`'s or NSS's interface;
//! - [`carries_tls`]: is a file worth analysing?
//! - [`plan_mysqld`], [`plan_postgres`]: the same for database servers;
//! - [`keys`], [`keys_for_version`]: where TLS secrets pass through registers;
//! - [`libcrypto_layout`], [`version_string`]: what only the libcrypto beside a libssl knows.

mod analysis;
mod api;
mod code;
mod database;
mod elf;
mod error;
mod family;
#[cfg(test)]
mod fixture;
mod gnutls;
mod go;
mod image;
mod interface;
mod keys;
mod layout;
mod nss;
mod prefilter;
#[cfg(test)]
mod robustness;
mod shell;
mod site;

pub use analysis::{Analysis, analyze, analyze_with};
pub use database::{
    Place, Role, Server, ServerOptions, ServerPlan, ServerProbe, SessionLayout, carries_mysqld,
    carries_postgres, plan_mysqld, plan_postgres,
};
pub use elf::Machine;
pub use error::Error;
pub use family::{Family, version_string};
pub use gnutls::Transport;
pub use go::{
    GoAbi, GoAnalysis, GoError, GoFunction, GoKeyPlan, GoKeyProbe, GoOp, analyze_go, carries_go,
};
pub use interface::Interface;
pub use keys::{Address, KeyError, KeyLabel, KeyPlan, KeyProbe, KeySource, keys, keys_for_version};
pub use layout::{BioLayout, SslLayout, libcrypto_layout};
pub use nss::NoMethods;
pub use prefilter::carries_tls;
pub use shell::{Call, Lines, Shell, ShellPlan, Variable, analyze_shell, is_shell};
pub use site::{
    Exit, FunctionPlan, Object, Op, Options, Placement, PlacementKind, ResultStyle, Site,
};
