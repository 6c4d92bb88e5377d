//! The functions that labels are handed to.

use super::accessor::Accessors;
use super::bounds::Bounds;
use super::flow::{Assumed, Call, Known, Trace, Tracer};
use super::reference::{Wanted, mentions, references};
use crate::image::Callee;
use std::collections::{BTreeMap, BTreeSet};

/// A function, and an argument of it that is a label at some call.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sink {
    /// Labels that get there.
    pub(crate) labels: u32,
    /// The calls that bring them.
    pub(crate) calls: Vec<Call>,
    /// What decides branches in the functions that make those calls.
    pub(crate) tested: Vec<Known>,
    /// The labels come through another sink, which passes them on.
    pub(crate) behind: Option<(u64, u8)>,
}

/// Sinks by function and argument.
pub(crate) type Sinks = BTreeMap<(u64, u8), Sink>;

/// Follows the labels from where they are loaded to the calls that take them.
pub(crate) fn sinks(accessors: &Accessors<'_, '_>) -> Sinks {
    const MOST_FUNCTIONS: usize = 512;
    let Accessors { tracer, bounds } = accessors;
    let Tracer { image, labels, .. } = tracer;
    let wanted = Wanted::new(labels);
    let functions: BTreeSet<(u64, u64)> = references(&image.elf, &wanted)
        .into_iter()
        .filter_map(|at| bounds.around(at))
        .map(|range| (range.start, range.end))
        .collect();
    let mut sinks = Sinks::new();
    for (start, end) in functions
        .into_iter()
        .filter(|&(start, end)| mentions(&image.elf, &(start..end), &wanted))
        .take(MOST_FUNCTIONS)
    {
        let Some(trace) = tracer.trace(&(start..end), Assumed::default()) else { continue };
        collect(&mut sinks, &trace, None, |call, argument| {
            call.arguments.get(argument).map_or(0, |value| value.labels)
        });
    }
    pass_on(&mut sinks, tracer, bounds);
    sinks
}

/// A function that hands a label to another makes that one a sink too.
fn pass_on(sinks: &mut Sinks, tracer: &Tracer<'_, '_>, bounds: &Bounds<'_, '_>) {
    let direct: Vec<((u64, u8), u32)> = sinks
        .iter()
        .filter(|(_, sink)| sink.labels.count_ones() > 1)
        .map(|(&key, sink)| (key, sink.labels))
        .collect();
    for ((function, argument), labels) in direct {
        let Some(range) = bounds.around(function).filter(|range| range.start == function) else {
            continue;
        };
        let Some(trace) = tracer.trace(&range, Assumed::default()) else { continue };
        collect(sinks, &trace, Some((function, argument)), |call, to| {
            let value = call.arguments.get(to).map(|value| value.known);
            if value.and_then(Known::argument) == Some(argument) { labels } else { 0 }
        });
    }
}

fn collect(
    sinks: &mut Sinks,
    trace: &Trace,
    behind: Option<(u64, u8)>,
    labels_in: impl Fn(&Call, usize) -> u32,
) {
    /// More calls of one function than log secrets.
    const MOST_CALLS: usize = 256;
    for call in &trace.calls {
        let Callee::Local(target) = call.callee else { continue };
        for argument in 0..call.arguments.len() {
            let labels = labels_in(call, argument);
            if labels == 0 {
                continue;
            }
            let sink = sinks.entry((target, argument as u8)).or_default();
            sink.labels |= labels;
            sink.behind = sink.behind.or(behind);
            if sink.calls.len() < MOST_CALLS {
                sink.calls.push(call.clone());
                sink.tested.extend(&trace.tested);
            }
        }
    }
}
