//! Every direct call of one function in a file.
//!
//! Local functions have no symbols in a stripped file, so the code is decoded from each exported
//! function to the next. Compilers put no data between x86-64 functions, only padding that decodes;
//! where something does not, nothing is looked at up to the next symbol. What makes a call one of the
//! function are the opcode and the exact distance to it, 5 bytes, which no other instruction or data
//! has by accident. AArch64 instructions lie on a grid.

use crate::Machine;
use crate::Site;
use crate::code::{decode_one, is_emulated, text};
use crate::elf::u32_at;
use crate::image::{Callee, Image};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

/// How many instructions before a call are kept: enough for those that set its arguments.
const BEFORE: usize = 16;
/// More code than any shell has; segments of a hostile file may all be the whole file.
const MOST_CODE: usize = 64 << 20;
const WORD: u64 = 4;

/// A call of the function.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) at: u64,
    pub(super) back: u64,
    /// What comes before it, the nearest last; empty on AArch64.
    pub(super) before: Vec<Instruction>,
}

/// All direct calls of `name`, which is defined in the file or imported.
pub(super) fn calls(image: &Image<'_>, name: &str) -> Vec<Found> {
    let local = image.function(name).map(|symbol| symbol.vaddr);
    match image.elf.machine {
        Machine::X86_64 => x86_calls(image, name, local),
        Machine::Aarch64 => local.map_or_else(Vec::new, |to| aarch64_calls(image, to)),
    }
}

fn x86_calls(image: &Image<'_>, name: &str, local: Option<u64>) -> Vec<Found> {
    let starts = image.exported_functions();
    let mut found = Vec::new();
    let mut budget = MOST_CODE;
    for (index, start) in starts.iter().enumerate() {
        let Some(code) = image.elf.code_at(*start) else { continue };
        let end = starts.get(index + 1).copied().unwrap_or(u64::MAX);
        let size = usize::try_from(end - start).unwrap_or(usize::MAX).min(code.len());
        budget = budget.saturating_sub(size);
        if budget == 0 {
            break;
        }
        let mut block = Block::default();
        for instruction in Decoder::with_ip(64, &code[..size], *start, DecoderOptions::NONE) {
            if instruction.is_invalid() {
                break;
            }
            if is_call_of(image, &instruction, name, local) {
                block.found.push(Found {
                    at: instruction.ip(),
                    back: instruction.next_ip(),
                    before: block.before.clone(),
                });
            }
            block.push(instruction);
        }
        found.append(&mut block.found);
    }
    found
}

#[derive(Default)]
struct Block {
    before: Vec<Instruction>,
    found: Vec<Found>,
}

impl Block {
    fn push(&mut self, instruction: Instruction) {
        if self.before.len() == BEFORE {
            self.before.remove(0);
        }
        self.before.push(instruction);
    }
}

fn is_call_of(
    image: &Image<'_>,
    instruction: &Instruction,
    name: &str,
    local: Option<u64>,
) -> bool {
    let direct = instruction.code() == Code::Call_rel32_64;
    if direct && local.is_some_and(|vaddr| vaddr == instruction.near_branch_target()) {
        return true;
    }
    // Through the PLT, or with -fno-plt through the GOT itself.
    if !direct && instruction.code() != Code::Call_rm64 {
        return false;
    }
    match image.callee(instruction) {
        Callee::Imported(import) => import == name,
        Callee::Local(vaddr) => local == Some(vaddr),
        Callee::Unknown => false,
    }
}

fn aarch64_calls(image: &Image<'_>, to: u64) -> Vec<Found> {
    let mut found = Vec::new();
    for segment in image.elf.segments.iter().filter(|segment| segment.executable) {
        let words = usize::try_from(segment.file_size).unwrap_or(0).min(MOST_CODE) / WORD as usize;
        for at in (segment.vaddr..).step_by(WORD as usize).take(words) {
            let word = image.elf.file_offset(at).and_then(|at| u32_at(image.elf.bytes, at));
            // BL: 100101, then a signed distance in words.
            if word.is_some_and(|word| {
                word >> 26 == 0b10_0101
                    && at.wrapping_add_signed(i64::from((word << 6) as i32 >> 6) * 4) == to
            }) {
                found.push(Found { at, back: at + WORD, before: Vec::new() });
            }
        }
    }
    found
}

/// The site at `vaddr`.
pub(super) fn site(image: &Image<'_>, vaddr: u64) -> Option<Site> {
    let file_offset = image.elf.file_offset(vaddr)?;
    let decoded = match image.elf.machine {
        Machine::X86_64 => decode_one(&image.elf, vaddr),
        Machine::Aarch64 => None,
    };
    Some(Site {
        file_offset,
        vaddr,
        instruction: decoded.map_or_else(String::new, |decoded| text(&decoded.instruction)),
        emulated: decoded.is_some_and(|decoded| is_emulated(decoded.bytes)),
    })
}
