//! Follows code that puts addresses into a table: which 64-bit words registers, the stack and
//! memory hold. Whatever it does not understand makes a word unknown.

use crate::code::writes;
use crate::elf::{u32_at, u64_at};
use crate::image::{Callee, Image};
use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};
use std::collections::{BTreeMap, HashMap};

/// What is known of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Unknown,
    /// A number, or an address of the file.
    Known(u64),
    /// The address of the function that stands for NSPR's way to send files.
    SendFile,
}

/// The state.
#[derive(Debug)]
pub(super) struct Machine<'i, 'a> {
    image: &'i Image<'a>,
    send_file: &'static str,
    /// What the loader puts into a slot of the file's data.
    relocated: HashMap<u64, u64>,
    general: [Word; 16],
    vectors: [[Word; 2]; 16],
    /// By displacement from the stack pointer, as long as that stays.
    stack: BTreeMap<i64, Word>,
    memory: BTreeMap<u64, Word>,
    ints: BTreeMap<u64, u32>,
}

/// More than any function that makes a table stores.
const MOST_STORED: usize = 4096;

impl<'i, 'a> Machine<'i, 'a> {
    /// Nothing is known.
    pub(super) fn new(image: &'i Image<'a>, send_file: &'static str) -> Self {
        Self {
            image,
            send_file,
            relocated: relocated(image),
            general: [Word::Unknown; 16],
            vectors: [[Word::Unknown; 2]; 16],
            stack: BTreeMap::new(),
            memory: BTreeMap::new(),
            ints: BTreeMap::new(),
        }
    }

    /// Another function begins.
    pub(super) fn forget(&mut self) {
        self.general = [Word::Unknown; 16];
        self.vectors = [[Word::Unknown; 2]; 16];
        self.stack.clear();
        self.memory.clear();
        self.ints.clear();
    }

    /// The 32-bit constants that were stored, and where.
    pub(super) fn ints(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.ints.iter().map(|(at, value)| (*at, *value))
    }

    /// The word that was stored at an address.
    pub(super) fn word(&self, at: u64) -> Word {
        self.memory.get(&at).copied().unwrap_or(Word::Unknown)
    }

    /// Runs one instruction that does not leave the function.
    pub(super) fn step(&mut self, instruction: &Instruction) {
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            return self.call();
        }
        match instruction.code() {
            Code::Lea_r64_m => {
                let address = self.address(instruction);
                let word = address.map_or(Word::Unknown, |address| self.meaning(address));
                self.set(instruction.op0_register(), word);
            }
            Code::Mov_r64_rm64
            | Code::Mov_rm64_r64
            | Code::Mov_rm64_imm32
            | Code::Mov_r64_imm64
            | Code::Mov_r32_imm32 => {
                let value = self.source(instruction, 1);
                self.assign(instruction, value);
            }
            Code::Mov_rm32_imm32 => {
                if let Some(at) = self.address(instruction)
                    && self.ints.len() < MOST_STORED
                {
                    self.ints.insert(at, instruction.immediate32());
                } else {
                    self.overwrite(instruction);
                }
            }
            Code::Movq_xmm_rm64 | Code::Movq_xmm_xmmm64 => {
                let low = self.source(instruction, 1);
                self.set_vector(instruction.op0_register(), [low, Word::Known(0)]);
            }
            Code::Movhps_xmm_m64
            | Code::Movhpd_xmm_m64
            | Code::Punpcklqdq_xmm_xmmm128
            | Code::Unpcklpd_xmm_xmmm128
            | Code::Movlhps_xmm_xmm => {
                let high = self.source(instruction, 1);
                let [low, _] = self.vector(instruction.op0_register());
                self.set_vector(instruction.op0_register(), [low, high]);
            }
            Code::Movaps_xmm_xmmm128
            | Code::Movups_xmm_xmmm128
            | Code::Movapd_xmm_xmmm128
            | Code::Movupd_xmm_xmmm128
            | Code::Movdqa_xmm_xmmm128
            | Code::Movdqu_xmm_xmmm128 => {
                let both = self.both(instruction);
                self.set_vector(instruction.op0_register(), both);
            }
            Code::Movaps_xmmm128_xmm
            | Code::Movups_xmmm128_xmm
            | Code::Movapd_xmmm128_xmm
            | Code::Movupd_xmmm128_xmm
            | Code::Movdqa_xmmm128_xmm
            | Code::Movdqu_xmmm128_xmm => {
                let [low, high] = self.vector(instruction.op1_register());
                self.store(instruction, 0, low);
                self.store(instruction, 8, high);
            }
            Code::Movq_rm64_xmm | Code::Movq_xmmm64_xmm | Code::Movlps_m64_xmm => {
                let [low, _] = self.vector(instruction.op1_register());
                self.assign(instruction, low);
            }
            Code::Movhps_m64_xmm => {
                let [_, high] = self.vector(instruction.op1_register());
                self.store(instruction, 0, high);
            }
            _ => self.overwrite(instruction),
        }
    }

    /// A call leaves only what the callee must preserve.
    fn call(&mut self) {
        const PRESERVED: [Register; 6] = [
            Register::RBX,
            Register::RBP,
            Register::R12,
            Register::R13,
            Register::R14,
            Register::R15,
        ];
        let kept = PRESERVED.map(|register| (register, self.get(register)));
        self.general = [Word::Unknown; 16];
        self.vectors = [[Word::Unknown; 2]; 16];
        for (register, word) in kept {
            self.set(register, word);
        }
    }

    /// An instruction of which only what it writes to matters.
    fn overwrite(&mut self, instruction: &Instruction) {
        for number in 0..16 {
            let register = Register::RAX + number;
            if writes(instruction, register) {
                self.set(register, Word::Unknown);
            }
            let register = Register::XMM0 + number;
            if instruction.op0_kind() == OpKind::Register && instruction.op0_register() == register
            {
                self.set_vector(register, [Word::Unknown; 2]);
            }
        }
        if instruction.op0_kind() == OpKind::Memory {
            self.store(instruction, 0, Word::Unknown);
        }
    }

    fn get(&self, register: Register) -> Word {
        let general = register.full_register();
        let word = general.is_gpr64().then(|| self.general.get(general.number()));
        word.flatten().copied().unwrap_or(Word::Unknown)
    }

    fn set(&mut self, register: Register, word: Word) {
        let general = register.full_register();
        if general == Register::RSP {
            self.stack.clear();
        }
        if general.is_gpr64()
            && let Some(place) = self.general.get_mut(general.number())
        {
            *place = word;
        }
    }

    fn vector(&self, register: Register) -> [Word; 2] {
        let words = register.is_xmm().then(|| self.vectors.get(register.number()));
        words.flatten().copied().unwrap_or([Word::Unknown; 2])
    }

    fn set_vector(&mut self, register: Register, words: [Word; 2]) {
        if register.is_xmm()
            && let Some(place) = self.vectors.get_mut(register.number())
        {
            *place = words;
        }
    }

    /// The memory operand's address, unless it is on the stack.
    fn address(&self, instruction: &Instruction) -> Option<u64> {
        if instruction.memory_index() != Register::None
            || instruction.segment_prefix() != Register::None
        {
            return None;
        }
        match instruction.memory_base() {
            Register::RIP => Some(instruction.ip_rel_memory_address()),
            Register::None => Some(instruction.memory_displacement64()),
            base => match self.get(base) {
                Word::Known(at) => Some(at.wrapping_add(instruction.memory_displacement64())),
                _ => None,
            },
        }
    }

    fn on_stack(instruction: &Instruction) -> Option<i64> {
        (instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None)
            .then_some(instruction.memory_displacement64() as i64)
    }

    /// The first 64 bits of an operand.
    fn source(&self, instruction: &Instruction, index: u32) -> Word {
        match instruction.op_kind(index) {
            OpKind::Register => {
                let register = instruction.op_register(index);
                if register.is_xmm() { self.vector(register)[0] } else { self.get(register) }
            }
            OpKind::Memory => self.load(instruction, 0),
            _ => instruction.try_immediate(index).map_or(Word::Unknown, Word::Known),
        }
    }

    /// The 128 bits of operand 1.
    fn both(&self, instruction: &Instruction) -> [Word; 2] {
        if instruction.op1_kind() == OpKind::Register {
            return self.vector(instruction.op1_register());
        }
        [self.load(instruction, 0), self.load(instruction, 8)]
    }

    fn load(&self, instruction: &Instruction, skip: u8) -> Word {
        if let Some(at) = Self::on_stack(instruction) {
            let at = at.saturating_add(skip.into());
            return self.stack.get(&at).copied().unwrap_or(Word::Unknown);
        }
        let Some(at) = self.address(instruction).and_then(|at| at.checked_add(skip.into())) else {
            return Word::Unknown;
        };
        if let Some(stored) = self.memory.get(&at) {
            return *stored;
        }
        match self.image.in_got(at) {
            Callee::Imported(name) if name == self.send_file => return Word::SendFile,
            Callee::Local(function) => return self.meaning(function),
            Callee::Imported(_) => return Word::Unknown,
            Callee::Unknown => {}
        }
        match self.relocated.get(&at) {
            Some(address) => self.meaning(*address),
            None => self
                .image
                .elf
                .at(at)
                .and_then(|bytes| u64_at(bytes, 0))
                .map_or(Word::Unknown, |raw| self.meaning(raw)),
        }
    }

    /// An address of the file, as a word.
    fn meaning(&self, address: u64) -> Word {
        let is_send_file =
            self.image.definitions(self.send_file).iter().any(|symbol| symbol.vaddr == address);
        if is_send_file { Word::SendFile } else { Word::Known(address) }
    }

    fn assign(&mut self, instruction: &Instruction, word: Word) {
        if instruction.op0_kind() == OpKind::Register {
            let word = match word {
                Word::Known(address) => self.meaning(address),
                other => other,
            };
            self.set(instruction.op0_register(), word);
        } else {
            self.store(instruction, 0, word);
        }
    }

    fn store(&mut self, instruction: &Instruction, skip: u8, word: Word) {
        let word = match word {
            Word::Known(address) => self.meaning(address),
            other => other,
        };
        if let Some(at) = Self::on_stack(instruction) {
            if self.stack.len() < MOST_STORED {
                self.stack.insert(at.saturating_add(skip.into()), word);
            }
        } else if let Some(at) =
            self.address(instruction).and_then(|at| at.checked_add(skip.into()))
            && self.memory.len() < MOST_STORED
        {
            self.memory.insert(at, word);
        }
    }
}

/// Where the loader adds the file's place to an address that the relocation holds. (With `DT_RELR`
/// the slot itself holds it.)
fn relocated(image: &Image<'_>) -> HashMap<u64, u64> {
    const RELA: u64 = 24;
    const R_X86_64_RELATIVE: u32 = 8;
    const MOST: u64 = 2_000_000;
    let mut slots = HashMap::new();
    for &(at, size) in &image.dynamic.relocations {
        let Some(table) = image.elf.at(at) else { continue };
        for index in 0..(size / RELA).min(MOST) {
            let entry = index * RELA;
            let (Some(slot), Some(kind), Some(addend)) =
                (u64_at(table, entry), u32_at(table, entry + 8), u64_at(table, entry + 16))
            else {
                break;
            };
            if kind == R_X86_64_RELATIVE {
                slots.insert(slot, addend);
            }
        }
    }
    slots
}
