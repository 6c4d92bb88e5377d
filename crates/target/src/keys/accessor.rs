//! What exported accessors say of a library's own structs.

use super::bounds::Bounds;
use super::flow::{Access, Assumed, Call, Known, Path, Trace, Tracer};
use std::ops::Range;

/// Reads accessors of one file.
pub(crate) struct Accessors<'i, 'a> {
    pub(crate) tracer: Tracer<'i, 'a>,
    pub(crate) bounds: &'i Bounds<'i, 'a>,
}

impl Accessors<'_, '_> {
    /// The function of this name, by its symbol and the unwind tables.
    pub(crate) fn range(&self, name: &str) -> Option<Range<u64>> {
        let symbol = self.tracer.image.function(name)?;
        let around = self.bounds.around(symbol.vaddr).filter(|range| range.start == symbol.vaddr);
        around.or_else(|| Some(symbol.vaddr..symbol.vaddr.checked_add(symbol.size)?))
    }

    /// What the function of this name does.
    pub(crate) fn trace(&self, name: &str, assumed: Assumed) -> Option<Trace> {
        self.tracer.trace(&self.range(name)?, assumed)
    }

    /// The one thing that is returned, beside constants and what calls return.
    pub(crate) fn returned(&self, name: &str) -> Option<Known> {
        let known =
            |value: &Known| matches!(value, Known::Path(_) | Known::Half(_) | Known::Narrow { .. });
        [false, true].into_iter().find_map(|plain| {
            let trace = self.trace(name, Assumed { object: true, plain, zero: None })?;
            one(trace.returns.into_iter().filter(known))
        })
    }

    /// The pointer that is returned: where it is kept.
    pub(crate) fn pointer(&self, name: &str) -> Option<u32> {
        let path = self.returned(name)?.path().filter(|path| path.argument == 0)?;
        match path.steps() {
            [at, 0] => u32::try_from(*at).ok(),
            _ => None,
        }
    }

    /// What `name(object, out, size)` copies to `out`: by a call, or byte by byte in the end.
    pub(crate) fn copied(&self, name: &str) -> Option<Path> {
        let trace = self.trace(name, Assumed { object: true, plain: true, zero: None })?;
        let inside = |path: &Path| path.argument == 0 && !path.is_argument(0);
        let handed = |call: &Call| {
            let [to, from, ..] = call.arguments;
            let from = from.known.path().filter(inside)?;
            (to.known.argument() == Some(1)).then_some(from)
        };
        let byte = |access: &Access| match access {
            Access::Load { address, width: 1, indexed: false } => address.path().filter(inside),
            _ => None,
        };
        one(trace.calls.iter().filter_map(handed))
            .or_else(|| one(trace.accesses.iter().filter_map(byte)))
    }

    /// What `name(object, …)` stores where its argument `to` points.
    pub(crate) fn stored(&self, name: &str, to: u8) -> Option<Path> {
        let trace = self.trace(name, Assumed { object: true, ..Assumed::default() })?;
        one(trace.accesses.iter().filter_map(|access| match *access {
            Access::Store { address: Known::Path(at), value: Known::Path(value) }
                if at.is_argument(to) && value.argument == 0 =>
            {
                Some(value)
            }
            _ => None,
        }))
    }

    /// The one field that `name(object, out, size)` looks at if `size` is 0.
    pub(crate) fn looked_at(&self, name: &str) -> Option<(Path, u8)> {
        let trace = self.trace(name, Assumed { object: true, plain: true, zero: Some(2) })?;
        one(trace.accesses.iter().filter_map(|access| match *access {
            Access::Load { address: Known::Path(path), width, indexed: false } => {
                Some((path, width))
            }
            _ => None,
        }))
    }
}

/// The only different one.
pub(crate) fn one<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}
