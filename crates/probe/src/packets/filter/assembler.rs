//! eBPF instructions, one after the other, with jumps to places that are known later.

use libbpf_rs::libbpf_sys::bpf_insn;

pub(super) const R0: u8 = 0;
pub(super) const R1: u8 = 1;
pub(super) const R2: u8 = 2;
pub(super) const R3: u8 = 3;
pub(super) const R4: u8 = 4;
pub(super) const R6: u8 = 6;
pub(super) const R7: u8 = 7;
pub(super) const R8: u8 = 8;
pub(super) const R9: u8 = 9;
pub(super) const R10: u8 = 10;

/// Jumps, as `BPF_JMP | operation`; with [`REGISTER`] the second operand is one.
pub(super) const JUMP: u8 = 0x05;
pub(super) const EQUAL: u8 = 0x15;
pub(super) const GREATER: u8 = 0x25;
pub(super) const GREATER_EQUAL: u8 = 0x35;
pub(super) const ANY_BIT: u8 = 0x45;
pub(super) const NOT_EQUAL: u8 = 0x55;
pub(super) const LESS: u8 = 0xa5;
pub(super) const LESS_EQUAL: u8 = 0xb5;
pub(super) const REGISTER: u8 = 0x08;

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `BPF_LD | BPF_IMM | BPF_DW`, two slots.
const LOAD_64: u8 = 0x18;
const PSEUDO_MAP_FD: u8 = 1;
const MOVE_32: u8 = 0xb4;
const MOVE_64: u8 = 0xb7;
const MOVE_64_REGISTER: u8 = 0xbf;
const MOVE_32_REGISTER: u8 = 0xbc;
const ADD_64: u8 = 0x07;
const ADD_64_REGISTER: u8 = 0x0f;
const TO_BIG_ENDIAN: u8 = 0xdc;
const STORE_WORD: u8 = 0x63;
const STORE_HALF: u8 = 0x6b;
const STORE_WORD_IMMEDIATE: u8 = 0x62;

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Instructions in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<bpf_insn>,
    /// Per label, where it is.
    labels: Vec<Option<usize>>,
    /// Per label, whether a jump goes there.
    used: Vec<bool>,
    /// Which instruction jumps to which label.
    jumps: Vec<(usize, Label)>,
}

/// A jump goes farther than an instruction can say, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFar;

impl Assembler {
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        self.used.push(false);
        Label(self.labels.len() - 1)
    }

    /// The label stands for what comes next.
    pub(super) fn here(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    pub(super) fn is_used(&self, label: Label) -> bool {
        self.used.get(label.0).is_some_and(|used| *used)
    }

    pub(super) fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        let mut instruction = bpf_insn { code, off, imm, ..Default::default() };
        instruction.set_dst_reg(dst);
        instruction.set_src_reg(src);
        self.code.push(instruction);
    }

    fn goes_to(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        if let Some(used) = self.used.get_mut(label.0) {
            *used = true;
        }
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.jump_if(JUMP, 0, 0, to);
    }

    /// Jumps if `register` compares so with a constant.
    pub(super) fn jump_if(&mut self, comparison: u8, register: u8, with: i32, to: Label) {
        self.goes_to(to);
        self.push(comparison, register, 0, 0, with);
    }

    /// Jumps if `register` compares so with another.
    pub(super) fn jump_if_register(&mut self, comparison: u8, register: u8, with: u8, to: Label) {
        self.goes_to(to);
        self.push(comparison | REGISTER, register, with, 0, 0);
    }

    /// Sets the lower half of a register and clears the upper.
    pub(super) fn set(&mut self, register: u8, value: u32) {
        self.push(MOVE_32, register, 0, 0, value as i32);
    }

    pub(super) fn set_signed(&mut self, register: u8, value: i32) {
        self.push(MOVE_64, register, 0, 0, value);
    }

    pub(super) fn copy(&mut self, to: u8, from: u8) {
        self.push(MOVE_64_REGISTER, to, from, 0, 0);
    }

    pub(super) fn copy_32(&mut self, to: u8, from: u8) {
        self.push(MOVE_32_REGISTER, to, from, 0, 0);
    }

    pub(super) fn add(&mut self, register: u8, value: i32) {
        self.push(ADD_64, register, 0, 0, value);
    }

    pub(super) fn add_register(&mut self, register: u8, other: u8) {
        self.push(ADD_64_REGISTER, register, other, 0, 0);
    }

    /// Loads 1, 2, 4 bytes from where `base` points to.
    pub(super) fn load(&mut self, size: u8, to: u8, base: u8, offset: i16) {
        let code = match size {
            1 => 0x71,
            2 => 0x69,
            _ => 0x61,
        };
        self.push(code, to, base, offset, 0);
    }

    pub(super) fn store_word(&mut self, base: u8, offset: i16, from: u8) {
        self.push(STORE_WORD, base, from, offset, 0);
    }

    pub(super) fn store_half(&mut self, base: u8, offset: i16, from: u8) {
        self.push(STORE_HALF, base, from, offset, 0);
    }

    pub(super) fn store_zero(&mut self, base: u8, offset: i16) {
        self.push(STORE_WORD_IMMEDIATE, base, 0, offset, 0);
    }

    /// From network to host order, or back.
    pub(super) fn swap(&mut self, register: u8, size: u8) {
        if size > 1 {
            self.push(TO_BIG_ENDIAN, register, 0, 0, i32::from(size) * 8);
        }
    }

    pub(super) fn map(&mut self, register: u8, fd: i32) {
        self.push(LOAD_64, register, PSEUDO_MAP_FD, 0, fd);
        self.push(0, 0, 0, 0, 0);
    }

    pub(super) fn call(&mut self, function: u32) {
        self.push(CALL, 0, 0, 0, function as i32);
    }

    pub(super) fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The instructions, with the jumps in place.
    pub(super) fn finish(mut self) -> Result<Vec<bpf_insn>, TooFar> {
        for (from, label) in self.jumps {
            let target = self.labels.get(label.0).copied().flatten().ok_or(TooFar)?;
            let distance = target as i64 - from as i64 - 1;
            let instruction = self.code.get_mut(from).ok_or(TooFar)?;
            instruction.off = i16::try_from(distance).map_err(|_| TooFar)?;
        }
        Ok(self.code)
    }
}
