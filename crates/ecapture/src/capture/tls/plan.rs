//! What is attached to in one file, by the family of the module.

use super::super::module::{Files, Unit};
use crate::analysis::{self, Planned, Wanted};
use crate::go::{self, GoPlanned};
use cli::{TlsConfig, TlsFamily};
use event::Library;
use probe::keys::KeyFunction;
use std::fs::File;
use target::{Interface, PlacementKind};

/// The plan for one file.
pub(super) enum Plan {
    /// OpenSSL's family, GnuTLS or NSS.
    Library(Box<Planned>),
    Go(Box<GoPlanned>),
}

/// The files that the module is about, and how they are planned.
pub(super) fn files(config: &TlsConfig) -> Files<Plan> {
    let (interface, what) = match config.family {
        // A Go program is no library.
        TlsFamily::OpenSsl | TlsFamily::Go => (Interface::OpenSsl, "OpenSSL-family library"),
        TlsFamily::GnuTls => (Interface::GnuTls, "GnuTLS library"),
        TlsFamily::Nss => (Interface::Nss, "NSS library"),
    };
    let wanted = Wanted {
        interface,
        placement: match config.placement {
            cli::Placement::Auto => target::Placement::Auto,
            cli::Placement::Entry => target::Placement::Entry,
        },
        text: config.text,
        keys: config.keylog.is_some() || config.packets.is_some(),
        version: config.ssl_version.clone(),
    };
    let (given, flag) = (config.files.clone(), config.family.files_flag());
    match config.family {
        TlsFamily::OpenSsl | TlsFamily::GnuTls | TlsFamily::Nss => Files {
            test: interface.test(),
            plan: Box::new(move |candidate| {
                analysis::plan_to_attach(candidate, &wanted).map(Plan::Library)
            }),
            installed: Vec::new(),
            given,
            flag,
            what,
            unit: Unit::LIBRARY,
        },
        TlsFamily::Go => Files {
            test: target::carries_go,
            plan: Box::new(move |candidate| {
                go::plan_to_attach(candidate, &wanted).map(|planned| Plan::Go(Box::new(planned)))
            }),
            installed: Vec::new(),
            given,
            flag,
            what: "Go program that does TLS",
            unit: Unit::PROGRAM,
        },
    }
}

impl Plan {
    pub(super) fn library(&self) -> &Library {
        match self {
            Self::Library(planned) => &planned.library,
            Self::Go(planned) => &planned.library,
        }
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Library(planned) => &planned.file,
            Self::Go(planned) => &planned.file,
        }
    }

    /// The probes for secrets, or why there are none.
    pub(super) fn keys(&self) -> Result<&[KeyFunction], &str> {
        let keys = match self {
            Self::Library(planned) => &planned.keys,
            Self::Go(planned) => &planned.keys,
        };
        keys.as_deref().map_err(String::as_str)
    }

    /// Why the probes for secrets are believed to be right.
    pub(super) fn key_evidence(&self) -> Vec<&str> {
        match self {
            Self::Library(planned) => {
                let plans = planned.analysis.keys.iter();
                plans.flat_map(|plan| &plan.evidence).map(String::as_str).collect()
            }
            Self::Go(planned) => {
                planned.analysis.keys.probes.iter().map(|probe| probe.why.as_str()).collect()
            }
        }
    }

    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::Library(planned) => planned.version.as_deref(),
            Self::Go(planned) => planned.analysis.version.as_deref(),
        }
    }

    /// How each of its functions is probed, in the order in which they are attached.
    pub(super) fn placements(&self) -> Vec<PlacementKind> {
        match self {
            Self::Library(planned) => {
                planned.analysis.functions.iter().map(|plan| plan.placement).collect()
            }
            Self::Go(planned) => planned.analysis.functions.iter().map(go::placement).collect(),
        }
    }
}
