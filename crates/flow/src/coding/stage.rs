//! One coding being removed: the decoders of other crates behind one step function.

use super::Coding;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Operation};

/// Frames that need a larger window are refused, as RFC 9659 asks of HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// How much one step used and made.
pub(super) struct Step {
    pub(super) taken: usize,
    pub(super) made: usize,
}

pub(super) struct Stage {
    engine: Engine,
    complete: bool,
}

enum Engine {
    Gzip(Box<Decompress>),
    /// `deflate` means zlib, but raw deflate is sent under that name, too (RFC 9110 section
    /// 8.4.1.2): the first two bytes tell, and the first is kept until the second comes.
    DeflateStart(Option<u8>),
    Deflate(Box<Decompress>),
    Brotli(Box<Brotli>),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
}

impl Stage {
    pub(super) fn new(coding: Coding) -> Result<Self, &'static str> {
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Box::new(Decompress::new_gzip(15))),
            Coding::Deflate => Engine::DeflateStart(None),
            Coding::Brotli => Engine::Brotli(Box::new(Brotli::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let failed = |_| "the zstd decoder could not be set up";
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(failed)?;
                let window = DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
                decoder.set_parameter(window).map_err(failed)?;
                Engine::Zstd(Box::new(decoder))
            }
            Coding::Unknown => return Err("unknown content coding"),
        };
        Ok(Self { engine, complete: false })
    }

    /// True at a place where the coded data may end.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, &'static str> {
        match &mut self.engine {
            Engine::Gzip(inflate) => {
                if self.complete {
                    // Another member may follow (RFC 1952 section 2.2); padding after the last is
                    // common and means nothing.
                    if input.first() != Some(&0x1f) {
                        return Ok(Step { taken: input.len(), made: 0 });
                    }
                    **inflate = Decompress::new_gzip(15);
                    self.complete = false;
                }
                inflate_step(inflate, input, output, &mut self.complete)
                    .ok_or("the gzip data are malformed")
            }
            Engine::DeflateStart(first) => {
                let (first, second, taken) = match (*first, input) {
                    (_, []) => return Ok(Step { taken: 0, made: 0 }),
                    (None, [only]) => {
                        *first = Some(*only);
                        return Ok(Step { taken: 1, made: 0 });
                    }
                    (None, [first, second, ..]) => (*first, *second, 0),
                    (Some(first), [second, ..]) => (first, *second, 1),
                };
                let zlib_header =
                    first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
                let mut inflate = Decompress::new(zlib_header);
                if taken == 1 {
                    inflate_step(&mut inflate, &[first], output, &mut self.complete)
                        .ok_or("the deflate data are malformed")?;
                }
                self.engine = Engine::Deflate(Box::new(inflate));
                self.step(input, output)
            }
            // What follows the end means nothing.
            Engine::Deflate(_) | Engine::Brotli(_) if self.complete => {
                Ok(Step { taken: input.len(), made: 0 })
            }
            Engine::Deflate(inflate) => inflate_step(inflate, input, output, &mut self.complete)
                .ok_or("the deflate data are malformed"),
            Engine::Brotli(state) => brotli_step(state, input, output, &mut self.complete)
                .ok_or("the brotli data are malformed"),
            Engine::Zstd(decoder) => {
                if input.is_empty() && self.complete {
                    return Ok(Step { taken: 0, made: 0 });
                }
                let status = decoder
                    .run_on_buffers(input, output)
                    .map_err(|_| "the zstd data are malformed or need too large a window")?;
                self.complete = status.remaining == 0;
                Ok(Step { taken: status.bytes_read, made: status.bytes_written })
            }
        }
    }
}

fn inflate_step(
    inflate: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
    complete: &mut bool,
) -> Option<Step> {
    let (taken, made) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, output, FlushDecompress::None).ok()?;
    *complete = status == Status::StreamEnd;
    Some(Step {
        taken: (inflate.total_in() - taken) as usize,
        made: (inflate.total_out() - made) as usize,
    })
}

fn brotli_step(
    state: &mut Brotli,
    input: &[u8],
    output: &mut [u8],
    complete: &mut bool,
) -> Option<Step> {
    let (mut in_left, mut taken) = (input.len(), 0);
    let (mut out_left, mut made, mut total) = (output.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut in_left,
        &mut taken,
        input,
        &mut out_left,
        &mut made,
        output,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => None,
        BrotliResult::ResultSuccess => {
            *complete = true;
            Some(Step { taken, made })
        }
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Some(Step { taken, made }),
    }
}
