//! From classic BPF to eBPF for the TC hooks.
//!
//! The result answers as libpcap's own interpreter does (`pcap_filter` in its `bpf_filter.c`): a load
//! beyond the packet's end rejects it, as does a division by zero.
//!
//! Packets are read in place where they lie in one piece, otherwise through `bpf_skb_load_bytes`. The
//! instructions that the kernel has for this purpose (`BPF_LD | BPF_ABS`) end the program with 0 at a
//! load beyond the end, and 0 at these hooks would keep other programs from seeing the packet.
//!
//! The kernel keeps a packet's VLAN tag beside it. A filter that asks for VLANs sees the tag where it
//! is on the wire; any other does not see it at all, as with tcpdump.

use super::assembler::{
    ANY_BIT, Assembler, EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, Label, NOT_EQUAL, R0, R1,
    R2, R3, R4, R6, R7, R8, R9, R10, TooFar,
};
use super::classic::{
    CLASS_ALU, CLASS_JMP, CLASS_LD, CLASS_LDX, CLASS_MISC, CLASS_RET, CLASS_ST, CLASS_STX,
    Instruction, MEMORY, MODE_ABS, MODE_IMM, MODE_IND, MODE_LEN, MODE_MEM, MODE_MSH,
};
use libbpf_rs::libbpf_sys::{self, bpf_insn};

/// Registers: the context, A, X, and the start of the packet's first piece.
const CTX: u8 = R6;
const A: u8 = R7;
const X: u8 = R8;
const DATA: u8 = R9;

/// Offsets in `struct __sk_buff`.
const SKB_LEN: i16 = 0;
const SKB_VLAN_PRESENT: i16 = 20;
const SKB_VLAN_TCI: i16 = 24;
const SKB_VLAN_PROTO: i16 = 28;
const SKB_DATA: i16 = 76;
const SKB_DATA_END: i16 = 80;

/// On the stack: scratch memory, what is loaded, and the surroundings of a VLAN tag.
const MEMORY_AT: i16 = -64;
const LOADED_AT: i16 = -72;
const WINDOW_AT: i16 = -96;
/// The tag's place in a packet, and which bytes the window holds.
const TAG_START: u32 = 12;
const TAG_END: u32 = 16;
const WINDOW_START: u32 = 8;

/// `TC_ACT_UNSPEC`, `TCX_NEXT`: what happens to the packet is not decided here.
const NEXT: i32 = -1;

/// What a filter does with a packet that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accept {
    /// Goes on with a program of this array.
    TailCall { programs: i32, index: u32 },
    /// Returns this; for tests.
    #[cfg(test)]
    Return(i32),
}

/// How packets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// VLAN tags are part of the packet.
    pub(super) tags: bool,
    /// Bytes that lie in one piece are read in place.
    pub(super) in_place: bool,
}

/// Why there is no translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untranslatable {
    #[error("instruction {index} has the unknown code {code:#x}")]
    Code { index: usize, code: u16 },
    #[error("it loops (as protochain does), which programs for the kernel cannot")]
    Loop,
    #[error("instruction {index} jumps beyond the end")]
    Jump { index: usize },
    #[error("the filter is too long")]
    TooLong,
}

impl From<TooFar> for Untranslatable {
    fn from(_: TooFar) -> Self {
        Self::TooLong
    }
}

/// Translates a whole program.
pub(super) fn translate(
    classic: &[Instruction],
    view: View,
    accept: Accept,
) -> Result<Vec<bpf_insn>, Untranslatable> {
    let mut asm = Assembler::default();
    let accepted = asm.label();
    let rejected = asm.label();
    asm.copy(CTX, R1);
    if view.in_place {
        asm.load(4, DATA, CTX, SKB_DATA);
    }
    asm.set(A, 0);
    asm.set(X, 0);
    for slot in 0..MEMORY {
        if classic.iter().any(|instruction| instruction.uses_memory(slot)) {
            asm.store_zero(R10, memory(slot));
        }
    }
    if view.tags {
        let tagged = asm.label();
        asm.load(4, R2, CTX, SKB_VLAN_PRESENT);
        asm.jump_if(NOT_EQUAL, R2, 0, tagged);
        Body { asm: &mut asm, view, tagged: false, accepted, rejected }.program(classic)?;
        asm.here(tagged);
        Body { asm: &mut asm, view, tagged: true, accepted, rejected }.program(classic)?;
    } else {
        Body { asm: &mut asm, view, tagged: false, accepted, rejected }.program(classic)?;
    }
    if asm.is_used(accepted) {
        asm.here(accepted);
        match accept {
            Accept::TailCall { programs, index } => {
                asm.copy(R1, CTX);
                asm.map(R2, programs);
                asm.set(R3, index);
                asm.call(libbpf_sys::BPF_FUNC_tail_call);
                asm.set_signed(R0, NEXT);
            }
            #[cfg(test)]
            Accept::Return(value) => asm.set_signed(R0, value),
        }
        asm.exit();
    }
    if asm.is_used(rejected) {
        asm.here(rejected);
        asm.set_signed(R0, NEXT);
        asm.exit();
    }
    Ok(asm.finish()?)
}

impl Instruction {
    /// Of a jump: it may go to what comes next.
    fn falls_through(self) -> bool {
        if self.operation() == 0 {
            return self.k == 0;
        }
        self.jump_true == 0 || self.jump_false == 0
    }

    fn uses_memory(self, slot: u32) -> bool {
        let class = self.class();
        let loads = matches!(class, CLASS_LD | CLASS_LDX) && self.mode() == MODE_MEM;
        (loads || matches!(class, CLASS_ST | CLASS_STX)) && self.k == slot
    }
}

fn memory(slot: u32) -> i16 {
    MEMORY_AT + 4 * slot as i16
}

/// One translation of the program's instructions.
struct Body<'a> {
    asm: &'a mut Assembler,
    view: View,
    /// The packet has a tag that is not in its bytes.
    tagged: bool,
    accepted: Label,
    rejected: Label,
}

impl Body<'_> {
    fn program(&mut self, classic: &[Instruction]) -> Result<(), Untranslatable> {
        let labels: Vec<Label> = classic.iter().map(|_| self.asm.label()).collect();
        let mut continues = true;
        for (index, instruction) in classic.iter().enumerate() {
            // The kernel refuses what cannot be reached.
            if index > 0 && !self.asm.is_used(labels[index]) && !continues {
                continues = false;
                continue;
            }
            continues = instruction.class() != CLASS_RET
                && (instruction.class() != CLASS_JMP || instruction.falls_through());
            self.asm.here(labels[index]);
            let target = |distance: u32| {
                index
                    .checked_add(1)
                    .and_then(|next| next.checked_add(distance as usize))
                    .and_then(|target| labels.get(target))
                    .copied()
                    .ok_or(Untranslatable::Jump { index })
            };
            let known = match instruction.class() {
                CLASS_LD => self.load(*instruction, A),
                CLASS_LDX => self.load(*instruction, X),
                CLASS_ST => self.store(*instruction, A),
                CLASS_STX => self.store(*instruction, X),
                CLASS_ALU => self.arithmetic(*instruction),
                CLASS_JMP if instruction.operation() == 0 && (instruction.k as i32) < 0 => {
                    return Err(Untranslatable::Loop);
                }
                CLASS_JMP if instruction.operation() == 0 => {
                    self.asm.jump(target(instruction.k)?);
                    true
                }
                CLASS_JMP => {
                    let on_true = target(u32::from(instruction.jump_true))?;
                    let on_false = target(u32::from(instruction.jump_false))?;
                    self.branch(*instruction, on_true, on_false)
                }
                CLASS_RET => self.answer(*instruction),
                CLASS_MISC => self.transfer(*instruction),
                _ => false,
            };
            if !known {
                return Err(Untranslatable::Code { index, code: instruction.code });
            }
        }
        // The last one must not fall off the end.
        match classic.last().map(|last| last.class()) {
            Some(CLASS_RET) => Ok(()),
            _ => Err(Untranslatable::Jump { index: classic.len() }),
        }
    }

    fn load(&mut self, instruction: Instruction, to: u8) -> bool {
        let k = instruction.k;
        match (instruction.mode(), instruction.size()) {
            (MODE_IMM, Some(4)) => self.asm.set(to, k),
            (MODE_MEM, Some(4)) if k < MEMORY => self.asm.load(4, to, R10, memory(k)),
            (MODE_LEN, Some(4)) => {
                self.asm.load(4, to, CTX, SKB_LEN);
                if self.tagged {
                    self.asm.add(to, (TAG_END - TAG_START) as i32);
                }
            }
            (MODE_ABS, Some(size)) if to == A => self.at(k, size, to),
            (MODE_IND, Some(size)) if to == A => self.at_x(k, size),
            (MODE_MSH, Some(1)) if to == X => {
                const LOW_NIBBLE: i32 = 0xf;
                self.at(k, 1, X);
                self.asm.push(0x54, X, 0, 0, LOW_NIBBLE);
                self.asm.push(0x64, X, 0, 0, 2);
            }
            _ => return false,
        }
        true
    }

    /// Loads from a fixed place of the packet.
    fn at(&mut self, offset: u32, size: u8, to: u8) {
        let end = u64::from(offset) + u64::from(size);
        if !self.tagged || end <= u64::from(TAG_START) {
            self.packet(offset, size, to);
        } else if offset >= TAG_END {
            self.packet(offset - (TAG_END - TAG_START), size, to);
        } else {
            self.window(offset, size, to);
        }
    }

    /// Loads from a fixed place of what the kernel has of the packet.
    fn packet(&mut self, offset: u32, size: u8, to: u8) {
        let slow = self.asm.label();
        let done = self.asm.label();
        let reach = i32::try_from(offset).ok().and_then(|at| at.checked_add(i32::from(size)));
        if self.view.in_place
            && let Some(reach) = reach
            && let Ok(offset) = i16::try_from(offset)
        {
            self.asm.load(4, R2, CTX, SKB_DATA_END);
            self.asm.copy(R3, DATA);
            self.asm.add(R3, reach);
            self.asm.jump_if_register(GREATER, R3, R2, slow);
            self.asm.load(size, to, DATA, offset);
            self.asm.swap(to, size);
            self.asm.jump(done);
        }
        self.asm.here(slow);
        self.asm.set(R2, offset);
        self.call_load(size, LOADED_AT);
        self.asm.load(size, to, R10, LOADED_AT);
        self.asm.swap(to, size);
        self.asm.here(done);
    }

    /// Loads `size` bytes from the place in R2 to the stack, or rejects the packet.
    fn call_load(&mut self, size: u8, to: i16) {
        self.asm.copy(R1, CTX);
        self.asm.copy(R3, R10);
        self.asm.add(R3, i32::from(to));
        self.asm.set(R4, u32::from(size));
        self.asm.call(libbpf_sys::BPF_FUNC_skb_load_bytes);
        self.asm.jump_if(NOT_EQUAL, R0, 0, self.rejected);
    }

    /// Loads from where the tag is on the wire, at least in part.
    fn window(&mut self, offset: u32, size: u8, to: u8) {
        const AFTER_TAG: i16 = WINDOW_AT + (TAG_END - WINDOW_START) as i16;
        let tag = WINDOW_AT + (TAG_START - WINDOW_START) as i16;
        self.asm.set(R2, WINDOW_START);
        self.call_load((TAG_START - WINDOW_START) as u8, WINDOW_AT);
        self.asm.load(4, R2, CTX, SKB_VLAN_PROTO);
        self.asm.store_half(R10, tag, R2);
        self.asm.load(4, R2, CTX, SKB_VLAN_TCI);
        self.asm.swap(R2, 2);
        self.asm.store_half(R10, tag + 2, R2);
        if let Some(beyond) = (offset + u32::from(size)).checked_sub(TAG_END).filter(|n| *n > 0) {
            self.asm.set(R2, TAG_START);
            self.call_load(beyond as u8, AFTER_TAG);
        }
        // Byte by byte: what was stored in other sizes, or at an odd place, is not one word to the
        // verifier.
        self.asm.set(to, 0);
        for byte in 0..u32::from(size) {
            let at = WINDOW_AT + (offset - WINDOW_START + byte) as i16;
            self.asm.push(0x64, to, 0, 0, 8);
            self.asm.load(1, R2, R10, at);
            self.asm.push(0x4c, to, R2, 0, 0);
        }
    }

    /// Loads into A from the place X + k.
    fn at_x(&mut self, k: u32, size: u8) {
        let place = self.asm.label();
        let done = self.asm.label();
        self.asm.copy(R2, X);
        self.asm.set(R3, k);
        self.asm.add_register(R2, R3);
        self.asm.jump_if(GREATER, R2, i32::MAX, self.rejected);
        if self.tagged {
            let first = TAG_START + 1 - u32::from(size);
            self.asm.jump_if(LESS, R2, first as i32, place);
            for offset in first..TAG_END {
                let next = self.asm.label();
                self.asm.jump_if(NOT_EQUAL, R2, offset as i32, next);
                self.window(offset, size, A);
                self.asm.jump(done);
                self.asm.here(next);
            }
            self.asm.add(R2, -((TAG_END - TAG_START) as i32));
        }
        self.asm.here(place);
        self.call_load(size, LOADED_AT);
        self.asm.load(size, A, R10, LOADED_AT);
        self.asm.swap(A, size);
        self.asm.here(done);
    }

    fn store(&mut self, instruction: Instruction, from: u8) -> bool {
        if instruction.k >= MEMORY {
            return false;
        }
        self.asm.store_word(R10, memory(instruction.k), from);
        true
    }

    /// The operations have the same numbers in both languages.
    fn arithmetic(&mut self, instruction: Instruction) -> bool {
        const DIVIDE: u16 = 0x30;
        const LEFT: u16 = 0x60;
        const RIGHT: u16 = 0x70;
        const NEGATE: u16 = 0x80;
        const MODULO: u16 = 0x90;
        const LAST: u16 = 0xa0;
        const WORD_BITS: u32 = 32;
        let operation = instruction.operation();
        if operation > LAST {
            return false;
        }
        let code = instruction.code as u8;
        let divides = matches!(operation, DIVIDE | MODULO);
        let shifts = matches!(operation, LEFT | RIGHT);
        if operation == NEGATE {
            self.asm.push(0x84, A, 0, 0, 0);
        } else if !instruction.takes_x() {
            if divides && instruction.k == 0 {
                return false;
            }
            if shifts && instruction.k >= WORD_BITS {
                self.asm.set(A, 0);
            } else {
                self.asm.push(code, A, 0, 0, instruction.k as i32);
            }
        } else if shifts {
            let ordinary = self.asm.label();
            let done = self.asm.label();
            self.asm.jump_if(LESS, X, WORD_BITS as i32, ordinary);
            self.asm.set(A, 0);
            self.asm.jump(done);
            self.asm.here(ordinary);
            self.asm.push(code, A, X, 0, 0);
            self.asm.here(done);
        } else {
            if divides {
                self.asm.jump_if(EQUAL, X, 0, self.rejected);
            }
            self.asm.push(code, A, X, 0, 0);
        }
        true
    }

    fn branch(&mut self, instruction: Instruction, on_true: Label, on_false: Label) -> bool {
        let (comparison, opposite) = match instruction.operation() {
            0x10 => (EQUAL, Some(NOT_EQUAL)),
            0x20 => (GREATER, Some(LESS_EQUAL)),
            0x30 => (GREATER_EQUAL, Some(LESS)),
            0x40 => (ANY_BIT, None),
            _ => return false,
        };
        let (comparison, to, otherwise) = match opposite {
            // Falling through is cheaper than a jump to what comes next.
            Some(opposite) if instruction.jump_true == 0 => (opposite, on_false, None),
            _ => (comparison, on_true, (instruction.jump_false != 0).then_some(on_false)),
        };
        // Constants of comparisons are sign-extended, A and X are not.
        match i32::try_from(instruction.k) {
            _ if instruction.takes_x() => self.asm.jump_if_register(comparison, A, X, to),
            Ok(k) => self.asm.jump_if(comparison, A, k, to),
            Err(_) => {
                self.asm.set(R2, instruction.k);
                self.asm.jump_if_register(comparison, A, R2, to);
            }
        }
        if let Some(otherwise) = otherwise {
            self.asm.jump(otherwise);
        }
        true
    }

    fn answer(&mut self, instruction: Instruction) -> bool {
        match instruction.code & 0x18 {
            0x00 if instruction.k == 0 => self.asm.jump(self.rejected),
            0x00 => self.asm.jump(self.accepted),
            0x10 => {
                self.asm.jump_if(EQUAL, A, 0, self.rejected);
                self.asm.jump(self.accepted);
            }
            _ => return false,
        }
        true
    }

    fn transfer(&mut self, instruction: Instruction) -> bool {
        match instruction.code & 0xf8 {
            0x00 => self.asm.copy_32(X, A),
            0x80 => self.asm.copy_32(A, X),
            _ => return false,
        }
        true
    }
}
