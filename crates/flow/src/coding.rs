//! Content codings (RFC 9110 section 8.4): which a body has, and how to remove them as it comes.
//!
//! Output is handed on in small pieces, so a body that expands without end costs no memory; a bound
//! on the expansion keeps it from costing time and output without end either.

mod stage;

use crate::head::{list, token};
use stage::Stage;

/// More codings than this on top of each other are not removed.
const MOST_CODINGS: usize = 4;
/// Decoded bytes are handed on in pieces of at most this size.
const PIECE: usize = 16 << 10;

/// One way to code a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    Unknown,
}

const NAMES: &[(&[u8], Coding)] = &[
    (b"gzip", Coding::Gzip),
    (b"x-gzip", Coding::Gzip),
    (b"deflate", Coding::Deflate),
    (b"br", Coding::Brotli),
    (b"zstd", Coding::Zstd),
];

/// The codings of a body, in the order in which they were applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Codings {
    names: String,
    list: Vec<Coding>,
}

impl Codings {
    /// Adds those that a `Content-Encoding` or `Transfer-Encoding` value names; `chunked` is not
    /// one of them.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for name in list(value).map(token) {
            if name.eq_ignore_ascii_case(b"identity") || name.eq_ignore_ascii_case(b"chunked") {
                continue;
            }
            if !self.names.is_empty() {
                self.names.push_str(", ");
            }
            self.names.push_str(&String::from_utf8_lossy(name));
            let known = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
            self.list.push(known.map_or(Coding::Unknown, |(_, coding)| *coding));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// About how much memory it takes to remove them as the body comes: mostly windows.
    pub(crate) fn cost(&self) -> usize {
        let cost = |coding: &Coding| match coding {
            Coding::Gzip | Coding::Deflate => 48 << 10,
            Coding::Brotli | Coding::Zstd => 4 << 20,
            Coding::Unknown => 0,
        };
        self.list.iter().map(cost).sum()
    }

    pub(crate) fn names(&self) -> &str {
        &self.names
    }
}

/// How far a body may expand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expansion {
    /// Up to here always.
    pub(crate) free: u64,
    /// Then up to so many times its coded length.
    pub(crate) ratio: u64,
}

/// Why decoding stopped, and how many bytes of the latest input had been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: &'static str,
    pub(crate) used: usize,
}

/// Removes a body's codings as it comes.
pub(crate) struct Decoder {
    /// The coding that was applied last comes first.
    stages: Vec<Stage>,
    expansion: Expansion,
    taken: u64,
    produced: u64,
}

impl Decoder {
    pub(crate) fn new(codings: &Codings, expansion: Expansion) -> Result<Self, &'static str> {
        if codings.list.len() > MOST_CODINGS {
            return Err("too many content codings");
        }
        let stages = codings.list.iter().rev().map(|coding| Stage::new(*coding));
        Ok(Self { stages: stages.collect::<Result<_, _>>()?, expansion, taken: 0, produced: 0 })
    }

    /// Decodes `input`. Stops without failing if `sink` gives back false.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Failure> {
        let before = self.taken;
        let limit =
            |taken: u64| self.expansion.free.max(taken.saturating_mul(self.expansion.ratio));
        let limit = limit(before + input.len() as u64);
        self.taken += input.len() as u64;
        let produced = &mut self.produced;
        let mut too_much = false;
        let mut used = 0;
        let result = run(&mut self.stages, input, &mut used, &mut |bytes| {
            *produced += bytes.len() as u64;
            too_much = *produced > limit;
            !too_much && sink(bytes)
        });
        match result {
            Err(why) => Err(Failure { why, used }),
            Ok(()) if too_much => Err(Failure { why: "the body expands too much", used }),
            Ok(()) => Ok(()),
        }
    }

    /// Tells if the coded data are complete.
    pub(crate) fn finish(&self) -> Result<(), &'static str> {
        if self.taken == 0 || self.stages.iter().all(Stage::is_complete) {
            Ok(())
        } else {
            Err("the coded data end early")
        }
    }
}

/// Runs `input` through `stages`; `used` follows what the first stage takes.
fn run(
    stages: &mut [Stage],
    mut input: &[u8],
    used: &mut usize,
    sink: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<(), &'static str> {
    let Some((stage, later)) = stages.split_first_mut() else {
        *used += input.len();
        sink(input);
        return Ok(());
    };
    let mut stopped = false;
    let mut output = [0; PIECE];
    loop {
        let step = stage.step(input, &mut output)?;
        input = input.get(step.taken..).unwrap_or_default();
        let produced = output.get(..step.made).unwrap_or_default();
        if !produced.is_empty() {
            run(later, produced, &mut 0, &mut |bytes| {
                stopped |= !sink(bytes);
                !stopped
            })?;
        }
        *used += step.taken;
        let stuck = step.taken == 0 && step.made == 0;
        if stopped || stuck || (input.is_empty() && step.made < PIECE) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
