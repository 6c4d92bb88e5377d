//! The capture's side of control from outside: what `--listen` and `--ecaptureq` do to it.

mod change;
mod report;
mod stream;

use super::Common;
use super::files::{Finding, Search};
use super::module::{Scope, View};
use anyhow::Context as _;
use cli::ControlConfig;
use control::{Access, Configured, Listener, Reply, Requests, Server, Tls, Token};
use serde_json::Value;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

pub(crate) use stream::{Stream, ToHub, hub, start as start_stream};

/// Subcommands by the flag that names their files.
const MODULES: [(&str, &str); 9] = [
    ("--libssl", "tls"),
    ("--elfpath", "gotls"),
    ("--gnutls", "gnutls"),
    ("--nspr", "nspr"),
    ("--bash", "bash"),
    ("--readlineso", "bash"),
    ("--zsh", "zsh"),
    ("--mysqld", "mysqld"),
    ("--postgres", "postgres"),
];

/// Servers whose sockets are bound, but which do not run yet.
pub(super) struct Bound {
    api: Option<Listener>,
    stream: Option<Listener>,
}

impl Bound {
    /// Whatever is wrong with the user's wishes shows here, before anything is captured. `None`: no
    /// server is wanted.
    pub(super) fn new(config: &ControlConfig) -> anyhow::Result<Option<Self>> {
        if config.listen.is_none() && config.ecaptureq.is_none() {
            return Ok(None);
        }
        let tls = config.tls.as_ref();
        let tls = tls.map(|(certificate, key)| Tls::read(certificate, key)).transpose();
        let tls = tls.context("--tls-cert, --tls-key")?;
        let token = match &config.token_file {
            Some(path) => Token::read(path).context("--token-file")?,
            None => Token::random()?,
        };
        let bind = |address: &str, flag, token| {
            let access =
                Access { token, names: config.hosts.clone(), origins: config.origins.clone() };
            Listener::bind(address, tls.clone(), config.insecure, access).context(flag)
        };
        let api = config.listen.as_deref();
        let api = api.map(|address| bind(address, "--listen", Some(token.clone()))).transpose()?;
        let for_stream = (!config.no_token).then(|| token.clone());
        let stream = config.ecaptureq.as_deref();
        let stream = stream.map(|address| bind(address, "--ecaptureq", for_stream)).transpose()?;
        let bound = Self { api, stream };
        bound.announce(config, &token);
        Ok(Some(bound))
    }

    /// To standard error and not to the log, which may go elsewhere: it has the token.
    fn announce(&self, config: &ControlConfig, token: &Token) {
        let secure = if config.tls.is_some() { "s" } else { "" };
        let mut lines = Vec::new();
        for address in self.api.iter().flat_map(Listener::addresses) {
            lines.push(format!("ecapture: listening on http{secure}://{address}/"));
        }
        for address in self.stream.iter().flat_map(Listener::addresses) {
            lines.push(format!("ecapture: eCaptureQ can connect to ws{secure}://{address}/"));
        }
        if config.no_token {
            lines.push(
                "ecapture: WARNING: --no-token: whoever can connect to the latter reads all that is \
                 captured"
                    .to_owned(),
            );
        }
        if config.token_file.is_none() && (self.api.is_some() || !config.no_token) {
            lines.push(format!("ecapture: token: {}", token.reveal()));
        }
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    }

    /// The filter and the probes may have to change.
    pub(super) fn takes_changes(&self) -> bool {
        self.api.is_some()
    }

    pub(super) fn start<P>(
        self,
        common: Common<'_>,
        flag: &str,
        given: &[PathBuf],
        packet_filter: &str,
    ) -> anyhow::Result<Control<P>> {
        let module = MODULES.iter().find(|(of, _)| *of == flag).map_or("", |(_, module)| *module);
        let stream = self.stream.map(stream::serve);
        let (server, requests) = Server::start(self.api, stream, module)
            .context("cannot start the servers of --listen and --ecaptureq")?;
        let Common { global, capture, .. } = common;
        Ok(Control {
            _server: server,
            requests,
            module,
            settings: Settings {
                pids: global.pids.clone(),
                uid: global.uid,
                cgroup: capture.cgroup.clone(),
                given: given.to_vec(),
                view: View { hex: global.hex, tsize: global.tsize },
                packet_filter: packet_filter.to_owned(),
            },
            pending: None,
            changes: 0,
            refused: 0,
        })
    }
}

/// What can be changed while a capture runs, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) pids: Vec<u32>,
    pub(super) uid: Option<u32>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) given: Vec<PathBuf>,
    pub(super) view: View,
    /// The expression that packets are to meet; empty is all.
    pub(super) packet_filter: String,
}

/// A change that needs other probes: their files are searched for.
struct Pending<P> {
    search: Search<P>,
    plans: Vec<P>,
    settings: Settings,
    scope: Scope,
    reply: Reply<Configured>,
    changed: Value,
}

/// The running servers, and what they have changed.
pub(super) struct Control<P> {
    _server: Server,
    requests: Requests,
    module: &'static str,
    settings: Settings,
    pending: Option<Pending<P>>,
    changes: u64,
    refused: u64,
}

impl<P> Control<P> {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.requests.fd()
    }
}

impl<P: Send + 'static> Pending<P> {
    /// `None`: the search goes on. Otherwise it is over, well or not.
    fn advance(&mut self) -> Option<Result<(), String>> {
        loop {
            match self.search.take()? {
                Finding::Planned(plan) => self.plans.push(plan),
                Finding::Refused(path, error) if self.settings.given.contains(&path) => {
                    return Some(Err(crate::log::in_one_line(&error)));
                }
                Finding::Refused(_, error) => {
                    tracing::debug!("not captured: {}", crate::log::in_one_line(&error));
                }
                Finding::Note(note) => tracing::warn!("{note}"),
                Finding::Searched => return Some(Ok(())),
            }
        }
    }
}
