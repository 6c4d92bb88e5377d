//! From a database server's file to what is probed in it.

use crate::analysis::read;
use anyhow::Context as _;
use discover::Candidate;
use event::{DatabaseSystem, Library};
use probe::database::{Function, Memory, Place, Role};
use std::fs::File;
use std::path::PathBuf;
use target::{Server, ServerOptions, ServerPlan};

/// One server: what it is, what to probe, and how it was found out.
pub(crate) struct Planned {
    pub(crate) file: File,
    pub(crate) library: Library,
    pub(crate) plan: ServerPlan,
}

/// The two kinds of server that there are modules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mysqld,
    Postgres,
}

impl Kind {
    /// Could this file be such a server?
    pub(crate) fn test(self) -> fn(&[u8]) -> bool {
        match self {
            Self::Mysqld => target::carries_mysqld,
            Self::Postgres => target::carries_postgres,
        }
    }

    /// Where distributions install it.
    pub(crate) fn installed(self) -> Vec<PathBuf> {
        match self {
            Self::Mysqld => {
                ["/usr/sbin", "/usr/libexec", "/usr/local/mysql/bin", "/usr/local/sbin"]
                    .iter()
                    .flat_map(|folder| ["mariadbd", "mysqld"].map(|name| (folder, name)))
                    .map(|(folder, name)| PathBuf::from(folder).join(name))
                    .collect()
            }
            Self::Postgres => {
                // Debian has one folder for each version, Red Hat's own packages too.
                let versions = ["/usr/lib/postgresql", "/usr"].iter().flat_map(|folder| {
                    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                    entries.map(|entry| entry.path().join("bin/postgres"))
                });
                let usual = ["/usr/bin/postgres", "/usr/local/pgsql/bin/postgres"];
                versions
                    .chain(usual.iter().map(PathBuf::from))
                    .filter(|path| path.is_file())
                    .collect()
            }
        }
    }
}

/// Analyses `candidate` as a server of this kind.
pub(crate) fn plan(
    candidate: Candidate,
    kind: Kind,
    options: &ServerOptions,
) -> anyhow::Result<Box<Planned>> {
    let path = candidate.path.display().to_string();
    let bytes = read(&candidate.file).with_context(|| format!("cannot read {path}"))?;
    let options =
        ServerOptions { avoid_uretprobe: doctor::return_probes_can_kill(), ..options.clone() };
    let plan = match kind {
        Kind::Mysqld => target::plan_mysqld(&bytes, &options),
        Kind::Postgres => target::plan_postgres(&bytes, &options),
    };
    let plan = plan.with_context(|| path.clone())?;
    Ok(Box::new(Planned {
        file: candidate.file,
        library: Library { path, build_id: plan.build_id.clone() },
        plan,
    }))
}

/// Which server the file is, if it is one.
pub(crate) fn kind(candidate: &Candidate) -> Option<Kind> {
    let bytes = read(&candidate.file).ok()?;
    [Kind::Mysqld, Kind::Postgres].into_iter().find(|kind| (kind.test())(&bytes))
}

impl Planned {
    pub(crate) fn system(&self) -> DatabaseSystem {
        match self.plan.server {
            Server::MySql => DatabaseSystem::MySql,
            Server::MariaDb => DatabaseSystem::MariaDb,
            Server::Postgres => DatabaseSystem::PostgreSql,
        }
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        self.plan
            .probes
            .iter()
            .map(|probe| Function {
                name: probe.name.clone(),
                role: role(probe.role),
                entry: probe.entry.file_offset,
            })
            .collect()
    }

    pub(crate) fn memory(&self) -> Memory {
        let layout = &self.plan.layout;
        let place = |place: Option<target::Place>| {
            place.map(|target::Place { through, offset, size }| Place { through, offset, size })
        };
        let site = self.plan.probes.iter().find(|probe| probe.role == target::Role::Activity);
        Memory {
            connection: place(layout.connection),
            statement: place(layout.statement),
            schema: place(layout.schema),
            user: place(layout.user),
            error: place(layout.error),
            error_tag: layout.error_tag.and_then(|(tag, value)| Some((place(Some(tag))?, value))),
            client: layout
                .client
                .zip(site)
                .map(|(client, site)| client.wrapping_sub(site.entry.vaddr) as i64),
            error_level: self.plan.error_level,
        }
    }
}

fn role(role: target::Role) -> Role {
    match role {
        target::Role::DispatchComData => Role::DispatchComData,
        target::Role::DispatchPacket => Role::DispatchPacket,
        target::Role::Execute => Role::Execute,
        target::Role::OkStatus => Role::OkStatus,
        target::Role::SentError => Role::SentError,
        target::Role::Activity => Role::Activity,
        target::Role::Query => Role::Query,
        target::Role::Message => Role::Message,
        target::Role::CommandDone => Role::CommandDone,
        target::Role::CommandDoneTag => Role::CommandDoneTag,
        target::Role::ReportStart => Role::ReportStart,
        target::Role::ReportCode => Role::ReportCode,
        target::Role::ReportSent => Role::ReportSent,
    }
}
