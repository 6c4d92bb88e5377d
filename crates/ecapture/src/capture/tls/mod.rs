//! The modules for TLS libraries. A capture has up to three parts that share one search for libraries:
//! plaintext, keys and packets.

mod keys;
mod text;

use super::balance::{Balance, LibraryReport};
use super::module::{Drained, Files, Module, Scope};
use super::{Common, capture};
use crate::analysis::{self, Planned, Wanted};
use crate::log;
use anyhow::bail;
use cli::TlsConfig;
use event::LossTable;
use keys::Keys;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;
use text::Text;

/// Runs `ecapture tls` and its like.
pub(crate) fn run(config: &TlsConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, config.text.then_some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &config.notes };
    if config.packets.is_some() {
        bail!("--model pcap is not available yet in this version of ecapture");
    }
    let text = config.text.then(|| text::Opened::new(config, common)).transpose()?;
    let keys = config.keylog.as_ref().map(keys::Opened::new).transpose()?;
    let wanted = Wanted {
        placement: match config.placement {
            cli::Placement::Auto => target::Placement::Auto,
            cli::Placement::Entry => target::Placement::Entry,
        },
        text: config.text,
        keys: config.keylog.is_some(),
        version: config.ssl_version.clone(),
    };
    let files = Files {
        test: target::carries_tls,
        plan: Box::new(move |candidate| analysis::plan_to_attach(candidate, &wanted)),
        given: config.files.clone(),
        flag: config.family.files_flag(),
        what: "OpenSSL-family library",
    };
    capture(common, files, |scope| {
        Ok(Tls {
            text: text.map(|opened| opened.load(config, &scope)).transpose()?,
            keys: keys.map(|opened| opened.load(&scope)).transpose()?,
            attached: Vec::new(),
        })
    })
}

/// A library with probes in it.
struct Attached {
    planned: Planned,
    /// Its number in the plaintext part.
    text: Option<usize>,
}

/// The module.
struct Tls {
    text: Option<Text>,
    keys: Option<Keys>,
    attached: Vec<Attached>,
}

impl Module for Tls {
    type Plan = Box<Planned>;

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let text = self.text.iter().map(Text::fd);
        text.chain(self.keys.iter().map(Keys::fd)).collect()
    }

    fn attach(&mut self, planned: Self::Plan) -> anyhow::Result<()> {
        let text = self.text.as_mut().map(|text| text.attach(&planned)).transpose()?;
        let keys = match self.keys.as_mut().map(|keys| keys.attach(&planned)) {
            None => None,
            Some(Ok(())) => Some("keys".to_owned()),
            // Its plaintext is better than nothing.
            Some(Err(error)) if text.is_some() => {
                tracing::warn!("{}", log::in_one_line(&error));
                None
            }
            Some(Err(error)) => return Err(error),
        };
        let mut what = Vec::new();
        if text.is_some() {
            what.push(format!("{} functions", planned.functions.len()));
        }
        what.extend(keys);
        tracing::info!(
            "attached to {} ({}), {}",
            planned.library.path,
            planned.version.as_deref().unwrap_or("version unknown"),
            what.join(", "),
        );
        self.attached.push(Attached { planned: *planned, text });
        Ok(())
    }

    fn attached(&self) -> usize {
        self.attached.len()
    }

    fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        if let Some(keys) = &mut self.keys {
            drained += keys.drain();
        }
        if let Some(text) = &mut self.text {
            drained += text.drain();
        }
        drained
    }

    fn flush(&mut self) {
        if let Some(text) = &mut self.text {
            text.flush();
        }
    }

    fn wakes_within(&self) -> Option<Duration> {
        self.text.as_ref().and_then(Text::wakes_within)
    }

    fn is_done(&self) -> bool {
        self.text.as_ref().is_some_and(Text::is_done)
            || self.keys.as_ref().is_some_and(Keys::is_done)
    }

    fn writes_to_stdout(&self) -> bool {
        self.text.as_ref().is_some_and(Text::writes_to_stdout)
            || self.keys.as_ref().is_some_and(Keys::writes_to_stdout)
    }

    fn detach(&mut self) {
        if let Some(text) = &mut self.text {
            text.detach();
        }
        if let Some(keys) = &mut self.keys {
            keys.detach();
        }
    }

    fn is_drained(&self) -> bool {
        self.text.as_ref().is_none_or(Text::is_drained)
            && self.keys.as_ref().is_none_or(Keys::is_drained)
    }

    fn finish(&mut self) {
        if let Some(text) = &mut self.text {
            text.finish();
        }
    }

    fn balance(&self) -> Balance {
        let mut lost = LossTable::default();
        let (mut records, mut plaintext, mut destinations) = (0, None, Vec::new());
        if let Some(text) = &self.text {
            text.add_losses(&mut lost);
            records = text.records();
            plaintext = Some(text.plaintext());
            destinations = text.destinations();
        }
        if let Some(keys) = &self.keys {
            keys.add_losses(&mut lost);
        }
        let libraries = self.attached.iter().map(|attached| self.library(attached)).collect();
        for destination in &destinations {
            lost.add("destination", destination.lost(), 0);
        }
        let mut balance = Balance::new(&lost, records, libraries).with_destinations(destinations);
        if let Some(plaintext) = plaintext {
            balance = balance.with_plaintext(plaintext);
        }
        if let Some(keys) = &self.keys {
            balance = balance.with_keys(keys.report());
        }
        balance
    }

    fn take_error(&mut self) -> Option<anyhow::Error> {
        let text = self.text.as_mut().and_then(Text::take_error);
        text.or_else(|| self.keys.as_mut().and_then(Keys::take_error))
    }
}

impl Tls {
    fn library(&self, Attached { planned, text }: &Attached) -> LibraryReport {
        let functions = match (&self.text, text) {
            (Some(part), Some(number)) => part.functions(*number, planned),
            _ => Vec::new(),
        };
        LibraryReport {
            path: planned.library.path.clone(),
            build_id: planned.library.build_id.clone(),
            version: planned.version.clone(),
            functions,
        }
    }
}

impl Scope {
    /// For the part that captures plaintext.
    fn for_text(&self, config: &TlsConfig) -> anyhow::Result<probe::tls::Options> {
        let Self { pids, follow_children, uid, cgroup, use_btf } = self.try_clone()?;
        Ok(probe::tls::Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: text::QUEUE,
            use_btf,
            without: probe::features::Without::from_environment()?,
            pids,
            follow_children,
            uid,
            cgroup,
        })
    }
}
