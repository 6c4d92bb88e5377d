//! Takes a configuration while the capture runs: checks it, and brings it about without missing a call.

use super::super::files::{self, Search};
use super::super::module::{Module, Scope, View};
use super::super::{Common, Run, open_cgroup, use_btf};
use super::{Pending, Settings, report};
use crate::log;
use control::{Change, Configured, Rejected, Reply, Request, Setpoint, Setting};
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::path::PathBuf;

const ALONE: &str = "a packet filter cannot be changed together with processes or files";

impl<M: Module> Run<'_, M> {
    /// Answers what the servers ask, as far as it can be answered now.
    pub(in super::super) fn take_requests(&mut self) {
        if self.control.is_none() {
            return;
        }
        self.advance_pending();
        while let Some(request) = self.control.as_ref().and_then(|control| control.requests.take())
        {
            match request {
                Request::Status(reply) => reply.send(self.status()),
                Request::Stats(reply) => reply.send(report::stats(&self.module.balance())),
                Request::Metrics(reply) => {
                    let control = self.control.as_ref();
                    let counts =
                        control.map_or((0, 0), |control| (control.changes, control.refused));
                    let uptime = self.begun.elapsed();
                    reply.send(report::metrics(
                        &self.module.balance(),
                        self.module.attached(),
                        counts,
                        uptime,
                    ));
                }
                Request::Configure(change, reply) => self.configure(&change, reply),
            }
        }
    }

    fn status(&self) -> Value {
        let Some(control) = &self.control else { return Value::Null };
        let Settings { pids, uid, cgroup, given, view, packet_filter } = &control.settings;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "module": control.module,
            "process": std::process::id(),
            "uptime_seconds": self.begun.elapsed().as_secs_f64(),
            "ready": self.ready,
            "changing": control.pending.is_some(),
            "attached": self.module.attached(),
            "ecaptureq_clients": super::hub().map_or(0, control::Hub::clients),
            "config": {
                "pid": pids,
                "uid": uid,
                "cgroup_path": cgroup,
                "files": given,
                "is_hex": view.hex,
                "truncate_size": view.tsize,
                "pcap_filter": packet_filter,
            },
        })
    }

    fn configure(&mut self, change: &Change, reply: Reply<Configured>) {
        let Some(control) = &self.control else { return };
        let wanted = if control.pending.is_some() || !self.ready {
            Err(Rejected::Busy)
        } else {
            control.settings.changed_by(change, self.common).map_err(Rejected::Wrong)
        };
        let outcome = wanted.and_then(|settings| {
            let scope = self.scope(&settings).map_err(|error| wrong(&error))?;
            Ok((settings, scope))
        });
        match outcome {
            Ok((settings, scope)) => self.bring_about(settings, scope, reply),
            Err(rejected) => self.answer(reply, Err(rejected)),
        }
    }

    /// Whom `settings` mean.
    fn scope(&self, settings: &Settings) -> anyhow::Result<Scope> {
        let child = self.child.as_ref().map(|child| vec![child.pid()]);
        let named = (!settings.pids.is_empty()).then(|| settings.pids.clone());
        Ok(Scope {
            follow_children: child.is_some(),
            pids: child.or(named),
            uid: settings.uid,
            cgroup: settings.cgroup.as_deref().map(open_cgroup).transpose()?,
            use_btf: use_btf(self.common.global.btf)?,
            changeable: true,
        })
    }

    fn bring_about(&mut self, settings: Settings, scope: Scope, reply: Reply<Configured>) {
        let Some(control) = &mut self.control else { return };
        let old = control.settings.clone();
        let changed = json!(old.differences(&settings));
        if old.pids == settings.pids && old.given == settings.given {
            let done = self
                .apply(&old, settings, &scope)
                .map(|()| json!({ "changed": changed, "probes": "kept" }));
            self.answer(reply, done);
            return;
        }
        let search = settings
            .given
            .iter()
            .map(|path| discover::given(path).map_err(anyhow::Error::from))
            .collect::<anyhow::Result<Vec<_>>>()
            .and_then(|given| {
                let everything = given.is_empty();
                let search = Search::start(files::Options {
                    given,
                    pids: settings.pids.clone(),
                    test: self.test,
                    plan: files::shared(&self.plan),
                    everything,
                })?;
                self.waiter.add(search.fd())?;
                Ok(search)
            });
        match search {
            Ok(search) => {
                control.pending =
                    Some(Pending { search, plans: Vec::new(), settings, scope, reply, changed });
                self.advance_pending();
            }
            Err(error) => self.answer(reply, Err(wrong(&error))),
        }
    }

    /// With the probes that there are.
    fn apply(&mut self, old: &Settings, settings: Settings, scope: &Scope) -> Result<(), Rejected> {
        let mut steps = || {
            if settings.packet_filter != old.packet_filter {
                self.module.set_packet_filter(&settings.packet_filter)?;
            }
            if settings.view != old.view {
                self.module.set_view(settings.view)?;
            }
            if settings.uid != old.uid || settings.cgroup != old.cgroup {
                self.module.set_scope(scope)?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = steps() {
            // What could be set before can be set again.
            if settings.packet_filter != old.packet_filter {
                let _ = self.module.set_packet_filter(&old.packet_filter);
            }
            if settings.view != old.view {
                let _ = self.module.set_view(old.view);
            }
            return Err(wrong(&error));
        }
        if let Some(control) = &mut self.control {
            control.settings = settings;
        }
        Ok(())
    }

    /// With other probes, once it is known where they go.
    fn advance_pending(&mut self) {
        let Some(control) = &mut self.control else { return };
        let Some(over) = control.pending.as_mut().and_then(Pending::advance) else { return };
        let Some(pending) = control.pending.take() else { return };
        let old = control.settings.clone();
        let Pending { search, plans, settings, scope, reply, changed } = pending;
        let given = settings.given.clone();
        let done = over.map_err(Rejected::Wrong).and_then(|()| {
            if settings.packet_filter != old.packet_filter {
                return Err(Rejected::Wrong(ALONE.to_owned()));
            }
            if settings.view != old.view {
                self.module.set_view(settings.view).map_err(|error| wrong(&error))?;
            }
            if let Err(error) = self.module.replace(plans, &scope) {
                // What could be set before can be set again.
                let _ = self.module.set_view(old.view);
                return Err(wrong(&error));
            }
            Ok(())
        });
        let unused = match &done {
            Ok(()) => {
                if let Some(control) = &mut self.control {
                    control.settings = settings;
                }
                self.given = given;
                std::mem::replace(&mut self.search, search)
            }
            Err(_) => search,
        };
        // It may have to finish with a large file.
        std::thread::spawn(move || drop(unused));
        let done = done.map(|()| json!({ "changed": changed, "probes": "replaced" }));
        self.answer(reply, done);
    }

    fn answer(&mut self, reply: Reply<Configured>, configured: Configured) {
        if let Some(control) = &mut self.control {
            match &configured {
                Ok(what) => {
                    control.changes += 1;
                    tracing::info!("configuration changed: {what}");
                }
                Err(rejected) => {
                    control.refused += 1;
                    tracing::warn!("configuration refused: {}", in_words(rejected));
                }
            }
        }
        reply.send(configured);
    }
}

fn in_words(rejected: &Rejected) -> &str {
    match rejected {
        Rejected::Wrong(reason) | Rejected::Failed(reason) => reason,
        Rejected::Busy => "another change is under way",
    }
}

fn wrong(error: &anyhow::Error) -> Rejected {
    Rejected::Wrong(log::in_one_line(error))
}

impl Settings {
    /// What they become by `change`. The error is for the client.
    fn changed_by(&self, change: &Change, common: Common<'_>) -> Result<Self, String> {
        let mut settings = self.clone();
        for (setting, (name, setpoint)) in change {
            settings
                .set(*setting, setpoint, common)
                .map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(settings)
    }

    fn set(
        &mut self,
        setting: Setting,
        setpoint: &Setpoint,
        common: Common<'_>,
    ) -> Result<(), String> {
        let Common { global, capture, .. } = common;
        match (setting, setpoint) {
            (Setting::Pid, Setpoint::Numbers(numbers)) => {
                let pids = processes(numbers)?;
                if pids != self.pids && !capture.program.is_empty() {
                    return Err("the program that ecapture runs is the process".to_owned());
                }
                self.pids = pids;
            }
            (Setting::Uid, Setpoint::Number(number)) => {
                let uid = u32::try_from(*number).ok().filter(|uid| *uid != u32::MAX);
                let uid = uid.ok_or("a user id is a whole number below 4294967295")?;
                self.uid = (uid != 0).then_some(uid);
            }
            (Setting::Cgroup, Setpoint::Text(path)) => self.cgroup = path_at(path),
            (Setting::File, Setpoint::Text(path)) => {
                self.given = path_at(path).into_iter().collect();
            }
            (Setting::Hex, Setpoint::Bool(hex)) => {
                if *hex && capture.format == cli::Format::Json {
                    return Err("goes with --format text only".to_owned());
                }
                self.view.hex = *hex;
            }
            (Setting::Truncate, Setpoint::Number(number)) => {
                self.view = View { tsize: NonZeroU64::new(*number), ..self.view };
            }
            (Setting::PcapFilter, Setpoint::Text(expression)) => {
                expression.trim().clone_into(&mut self.packet_filter);
            }
            (Setting::BufferSize, Setpoint::Number(number))
                if *number == global.buffer_bytes_per_cpu => {}
            (Setting::Debug, Setpoint::Bool(debug)) if *debug == global.debug => {}
            (_, other) if other.is_zero() => {}
            _ => {
                return Err("this is decided when ecapture starts, and is another: start it anew"
                    .to_owned());
            }
        }
        Ok(())
    }

    /// What differs, as keys of the interface.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let all = [
            ("pid", self.pids != other.pids),
            ("uid", self.uid != other.uid),
            ("cgroup_path", self.cgroup != other.cgroup),
            ("files", self.given != other.given),
            ("is_hex", self.view.hex != other.view.hex),
            ("truncate_size", self.view.tsize != other.view.tsize),
            ("pcap_filter", self.packet_filter != other.packet_filter),
        ];
        all.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

fn path_at(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// Process ids of processes that exist, in order; 0 alone is all.
fn processes(numbers: &[u64]) -> Result<Vec<u32>, String> {
    let mut pids = Vec::with_capacity(numbers.len());
    for number in numbers {
        match u32::try_from(*number) {
            Ok(0) if numbers.len() == 1 => {}
            Ok(pid) if pid != 0 && discover::process::exists(pid) => pids.push(pid),
            _ => return Err(format!("there is no process {number}")),
        }
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}
