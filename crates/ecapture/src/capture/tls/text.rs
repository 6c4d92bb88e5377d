//! The part that captures plaintext: from the kernel's records through the flow to the output.

use super::super::balance::{FunctionReport, Plaintext};
use super::super::module::{Drained, Scope, View};
use super::super::output::Writer;
use super::super::{Common, SETTLED};
use super::connections::Connections;
use super::plan::Plan;
use crate::destination::DestinationReport;
use cli::{TlsConfig, TlsFamily};
use event::{Event, LossTable};
use flow::Flow;
use probe::tls::{Capture, Placing};
use probe::{clock, gotls};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How often held messages are looked at, when there are any.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that may wait in memory after a burst: what the socket buffers of a few dozen connections
/// hold.
pub(super) const QUEUE: usize = 128 << 20;

/// Its output is open, nothing is in the kernel yet.
pub(super) struct Opened {
    writer: Writer,
    flow: Flow,
    to_stdout: bool,
}

impl Opened {
    pub(super) fn new(config: &TlsConfig, common: Common<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            writer: Writer::open(common, config.har.as_deref())?,
            flow: Flow::new(flow::Options {
                parse: config.parse,
                look_for_text: config.capture.format == cli::Format::Text,
                ..Default::default()
            }),
            to_stdout: config.capture.stdout,
        })
    }

    pub(super) fn load(self, config: &TlsConfig, scope: &Scope) -> anyhow::Result<Text> {
        let Self { writer, flow, to_stdout } = self;
        let options = scope.for_text(config)?;
        let capture = match config.family {
            TlsFamily::Go => Capture::load_go(options)?,
            _ => Capture::load(options)?,
        };
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        Ok(Text { capture, family: config.family, flow, writer, to_stdout })
    }
}

/// The running part.
pub(super) struct Text {
    capture: Capture,
    family: TlsFamily,
    flow: Flow,
    writer: Writer,
    to_stdout: bool,
}

impl Text {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
    }

    /// Puts probes into a library; its number here.
    pub(super) fn attach(&mut self, plan: &Plan) -> anyhow::Result<usize> {
        let number = match plan {
            Plan::Library(planned) => self.capture.attach(
                planned.library.clone(),
                &planned.file,
                planned.layout,
                &planned.functions,
            )?,
            Plan::Go(planned) => self.capture.attach_go(
                planned.library.clone(),
                &planned.file,
                &planned.functions,
            )?,
        };
        Ok(number)
    }

    /// As [`Module::set_scope`](super::super::module::Module::set_scope).
    pub(super) fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        Ok(self.capture.set_filter(&scope.filter()?)?)
    }

    /// Has probes in these libraries and no others; their numbers here.
    pub(super) fn replace(&mut self, plans: &[&Plan], scope: &Scope) -> anyhow::Result<Vec<usize>> {
        let (mut libraries, mut programs) = (Vec::new(), Vec::new());
        for plan in plans {
            match plan {
                Plan::Library(planned) => libraries.push(Placing {
                    library: planned.library.clone(),
                    file: &planned.file,
                    layout: planned.layout,
                    functions: &planned.functions,
                }),
                Plan::Go(planned) => programs.push(gotls::Placing {
                    library: planned.library.clone(),
                    file: &planned.file,
                    functions: &planned.functions,
                }),
            }
        }
        // A module has one kind of them.
        let pids = scope.pids.clone();
        let numbers = match self.family {
            TlsFamily::Go => self.capture.replace_go(&programs, pids)?,
            _ => self.capture.replace(&libraries, pids)?,
        };
        self.set_scope(scope)?;
        Ok(numbers)
    }

    pub(super) fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        self.writer.set_view(view)
    }

    /// Hands out what the rings hold, and tells the flow how far the record is complete.
    pub(super) fn drain(&mut self, connections: Option<&mut Connections>) -> Drained {
        let Self { capture, flow, writer, .. } = self;
        let complete = clock::monotonic().saturating_sub(SETTLED.as_nanos() as u64);
        let drained = match connections {
            None => capture.drain(|event| flow.event(event, writer)),
            Some(connections) => capture.drain(|event| {
                connections.event(&event);
                flow.event(event, writer);
            }),
        };
        // What still waits in the queue may be older than that.
        if !drained.more && flow.wants_tick() {
            flow.event(Event::Tick { ts: capture.time(complete) }, writer);
        }
        Drained { records: drained.records, more: drained.more }
    }

    pub(super) fn flush(&mut self) {
        self.writer.flush();
    }

    pub(super) fn wakes_within(&self) -> Option<Duration> {
        self.flow.wants_tick().then_some(TICK)
    }

    pub(super) fn is_done(&self) -> bool {
        self.writer.is_done()
    }

    pub(super) fn writes_to_stdout(&self) -> bool {
        self.to_stdout
    }

    pub(super) fn detach(&mut self) {
        self.capture.detach();
    }

    pub(super) fn is_drained(&self) -> bool {
        self.capture.is_drained()
    }

    pub(super) fn finish(&mut self) {
        let Self { capture, flow, writer, .. } = self;
        capture.finish(|event| flow.event(event, writer));
        flow.finish(writer);
        writer.finish();
    }

    pub(super) fn records(&self) -> u64 {
        self.writer.records()
    }

    pub(super) fn destinations(&self) -> Vec<DestinationReport> {
        self.writer.destinations()
    }

    pub(super) fn plaintext(&self) -> Plaintext {
        Plaintext::from(&self.capture.tally())
    }

    pub(super) fn add_losses(&self, lost: &mut LossTable) {
        for (place, loss) in self.capture.tally().lost.iter() {
            lost.add(place, loss.events, loss.bytes);
        }
        for (place, loss) in self.flow.stats().lost.iter() {
            // A gap in a stream is where the kernel's own count already says that bytes were lost.
            if place != "gap" {
                lost.add(place, loss.events, loss.bytes);
            }
        }
        self.writer.add_losses(lost);
    }

    /// The functions of library number `number`, which was attached by `plan`.
    pub(super) fn functions(&self, number: usize, plan: &Plan) -> Vec<FunctionReport> {
        self.capture
            .hits(number)
            .into_iter()
            .zip(plan.placements())
            .map(|((name, hits), placement)| FunctionReport { name, placement, hits })
            .collect()
    }

    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.writer.take_error()
    }
}
