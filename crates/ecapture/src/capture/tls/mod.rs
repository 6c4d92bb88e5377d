//! The modules for TLS libraries. A capture has up to three parts that share one search for libraries:
//! plaintext, keys and packets.

mod connections;
mod keys;
mod packets;
mod plan;
mod text;

use super::balance::{Balance, LibraryReport};
use super::module::{Drained, Module, Scope, View};
use super::{Common, capture};
use crate::log;
use anyhow::bail;
use cli::TlsConfig;
use connections::Connections;
use event::LossTable;
use keys::Keys;
use packets::Packets;
use plan::Plan;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;
use text::Text;

/// Runs `ecapture tls` and its like.
pub(crate) fn run(config: &TlsConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, config.text.then_some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &config.notes };
    let text = config.text.then(|| text::Opened::new(config, common)).transpose()?;
    let needs_keys = config.keylog.is_some() || config.packets.is_some();
    let keys = needs_keys.then(|| keys::Opened::new(config.keylog.as_ref())).transpose()?;
    let packets = config
        .packets
        .as_ref()
        .map(|config| packets::Opened::new(config).map(|opened| (opened, config)))
        .transpose()?;
    let files = plan::files(config);
    capture(common, files, |scope| {
        let text = text.map(|opened| opened.load(config, &scope)).transpose()?;
        let packets =
            packets.map(|(opened, packets)| opened.load(config, packets, &scope)).transpose()?;
        Ok(Tls {
            connections: match (&text, &packets) {
                (Some(_), Some(packets)) => Some(packets.connections()),
                _ => None,
            },
            text,
            keys: keys.map(|opened| opened.load(&scope)).transpose()?,
            packets,
            attached: Vec::new(),
            scope,
        })
    })
}

/// A library with probes in it.
struct Attached {
    plan: Plan,
    /// Its number in the plaintext part.
    text: Option<usize>,
}

/// The module.
struct Tls {
    text: Option<Text>,
    keys: Option<Keys>,
    packets: Option<Packets>,
    /// What the text calls the connections that packets belong to, if both are captured.
    connections: Option<Connections>,
    attached: Vec<Attached>,
    scope: Scope,
}

impl Module for Tls {
    type Plan = Plan;

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let text = self.text.iter().map(Text::fd);
        let keys = self.keys.iter().map(Keys::fd);
        text.chain(keys).chain(self.packets.iter().flat_map(Packets::fds)).collect()
    }

    fn attach(&mut self, plan: Plan) -> anyhow::Result<()> {
        let text = self.text.as_mut().map(|text| text.attach(&plan)).transpose()?;
        let keys = match self.keys.as_mut().map(|keys| keys.attach(&plan)) {
            None => None,
            Some(Ok(())) => Some("keys".to_owned()),
            // Its plaintext or packets are better than nothing.
            Some(Err(error)) if text.is_some() || self.packets.is_some() => {
                tracing::warn!("{}", log::in_one_line(&error));
                None
            }
            Some(Err(error)) => return Err(error),
        };
        let mut what = Vec::new();
        if text.is_some() {
            what.push(format!("{} functions", plan.placements().len()));
        }
        what.extend(keys);
        tracing::info!(
            "attached to {} ({}), {}",
            plan.library().path,
            plan.version().unwrap_or("version unknown"),
            what.join(", "),
        );
        self.attached.push(Attached { plan, text });
        Ok(())
    }

    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        self.refuse_with_packets()?;
        self.text.as_mut().map(|text| text.set_scope(scope)).transpose()?;
        self.keys.as_mut().map(|keys| keys.set_scope(scope)).transpose()?;
        self.scope = scope.try_clone()?;
        Ok(())
    }

    fn replace(&mut self, plans: Vec<Self::Plan>, scope: &Scope) -> anyhow::Result<()> {
        self.refuse_with_packets()?;
        let new: Vec<&Plan> = plans.iter().collect();
        let old: Vec<&Plan> = self.attached.iter().map(|one| &one.plan).collect();
        if let Some(keys) = &mut self.keys {
            keys.replace(&new, scope)?;
        }
        let numbers = match self.text.as_mut().map(|text| text.replace(&new, scope)) {
            None => vec![None; new.len()],
            Some(Ok(numbers)) => numbers.into_iter().map(Some).collect(),
            Some(Err(error)) => {
                if let Some(keys) = &mut self.keys {
                    keys.replace(&old, &self.scope)?;
                }
                return Err(error);
            }
        };
        self.attached =
            plans.into_iter().zip(numbers).map(|(plan, text)| Attached { plan, text }).collect();
        self.scope = scope.try_clone()?;
        Ok(())
    }

    fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        self.text.as_mut().map_or(Ok(()), |text| text.set_view(view))
    }

    fn packet_filter(&self) -> Option<&str> {
        self.packets.as_ref().map(Packets::filter)
    }

    fn set_packet_filter(&mut self, expression: &str) -> anyhow::Result<()> {
        match &mut self.packets {
            Some(packets) => packets.set_filter(expression),
            None => bail!("a packet filter goes with -m pcap only"),
        }
    }

    fn attached(&self) -> usize {
        self.attached.len()
    }

    fn drain(&mut self) -> Drained {
        let Self { text, keys, packets, connections, .. } = self;
        let mut drained = Drained::default();
        if let Some(keys) = keys {
            drained += keys.drain(|secret| {
                if let Some(packets) = packets {
                    packets.secret(secret, connections.as_ref());
                }
            });
        }
        if let Some(text) = text {
            drained += text.drain(connections.as_mut());
        }
        if let Some(packets) = packets {
            drained += packets.drain(connections.as_mut());
        }
        drained
    }

    fn flush(&mut self) {
        if let Some(text) = &mut self.text {
            text.flush();
        }
        if let Some(packets) = &mut self.packets {
            packets.flush();
        }
    }

    fn wakes_within(&self) -> Option<Duration> {
        let text = self.text.as_ref().and_then(Text::wakes_within);
        let packets = self.packets.as_ref().and_then(Packets::wakes_within);
        text.into_iter().chain(packets).min()
    }

    fn is_done(&self) -> bool {
        self.text.as_ref().is_some_and(Text::is_done)
            || self.keys.as_ref().is_some_and(Keys::is_done)
            || self.packets.as_ref().is_some_and(Packets::is_done)
    }

    fn writes_to_stdout(&self) -> bool {
        self.text.as_ref().is_some_and(Text::writes_to_stdout)
            || self.keys.as_ref().is_some_and(Keys::writes_to_stdout)
            || self.packets.as_ref().is_some_and(Packets::writes_to_stdout)
    }

    fn detach(&mut self) {
        if let Some(text) = &mut self.text {
            text.detach();
        }
        if let Some(keys) = &mut self.keys {
            keys.detach();
        }
        if let Some(packets) = &mut self.packets {
            packets.detach();
        }
    }

    fn is_drained(&self) -> bool {
        self.text.as_ref().is_none_or(Text::is_drained)
            && self.keys.as_ref().is_none_or(Keys::is_drained)
            && self.packets.as_ref().is_none_or(Packets::is_drained)
    }

    fn finish(&mut self) {
        if let Some(text) = &mut self.text {
            text.finish();
        }
        if let Some(packets) = &mut self.packets {
            packets.finish(self.connections.as_ref());
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
        if let Some(packets) = &self.packets {
            packets.add_losses(&mut lost);
        }
        let libraries = self.attached.iter().map(|attached| self.library(attached)).collect();
        let mut balance = Balance::new(&lost, records, libraries).with_destinations(destinations);
        if let Some(plaintext) = plaintext {
            balance = balance.with_plaintext(plaintext);
        }
        if let Some(keys) = &self.keys {
            balance = balance.with_keys(keys.report());
        }
        if let Some(packets) = &self.packets {
            balance = balance.with_packets(packets.report());
        }
        balance
    }

    fn take_error(&mut self) -> Option<anyhow::Error> {
        let text = self.text.as_mut().and_then(Text::take_error);
        text.or_else(|| self.keys.as_mut().and_then(Keys::take_error))
            .or_else(|| self.packets.as_mut().and_then(Packets::take_error))
    }
}

impl Tls {
    /// Whose packets are captured is decided when their programs are loaded.
    fn refuse_with_packets(&self) -> anyhow::Result<()> {
        if self.packets.is_some() {
            bail!(
                "with -m pcap, filters and files are decided when ecapture starts: start it anew"
            );
        }
        Ok(())
    }

    fn library(&self, Attached { plan, text }: &Attached) -> LibraryReport {
        let functions = match (&self.text, text) {
            (Some(part), Some(number)) => part.functions(*number, plan),
            _ => Vec::new(),
        };
        LibraryReport {
            path: plan.library().path.clone(),
            build_id: plan.library().build_id.clone(),
            version: plan.version().map(str::to_owned),
            functions,
        }
    }
}

impl Scope {
    /// For the part that captures plaintext.
    fn for_text(&self, config: &TlsConfig) -> anyhow::Result<probe::tls::Options> {
        let Self { pids, follow_children, uid, cgroup, use_btf, changeable } = self.try_clone()?;
        Ok(probe::tls::Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: text::QUEUE,
            use_btf,
            without: probe::features::Without::from_environment()?,
            pids,
            follow_children,
            uid,
            cgroup,
            changeable,
        })
    }
}
