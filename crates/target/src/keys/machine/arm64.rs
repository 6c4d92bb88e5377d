//! AArch64. Its instructions are words of fixed fields, and a pointer's way through a function
//! takes some twenty of them: they are decoded here, by the tables of the Arm Architecture
//! Reference Manual (C4.1), in total functions that no word can upset.

use super::{Comparison, Condition, Convention, Effect, Next, Operand, Place, Step, Target};
use crate::elf::Elf;

const STACK: u8 = 31;

/// AAPCS64: x0 to x5 of the eight argument registers; x19 to x29 and sp are preserved.
pub(super) const CONVENTION: Convention =
    Convention { arguments: [0, 1, 2, 3, 4, 5], result: 0, stack: STACK, preserved: 0xbff8_0000 };

pub(super) fn decode(elf: &Elf<'_>, vaddr: u64) -> Option<Step> {
    let bytes = elf.code_at(vaddr).filter(|_| vaddr.is_multiple_of(4))?;
    let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let mut effects = Vec::new();
    let next = branch(word, vaddr, &mut effects);
    if next == Next::Following {
        execute(word, vaddr, &mut effects);
    }
    Some(Step { length: 4, effects, next })
}

const fn bits(word: u32, low: u32, count: u32) -> u32 {
    (word >> low) & ((1 << count) - 1)
}

/// A field as a signed number.
const fn signed(word: u32, low: u32, count: u32) -> i64 {
    let shifted = (word << (32 - low - count)) as i32;
    (shifted >> (32 - count)) as i64
}

const fn register(word: u32, low: u32) -> u8 {
    bits(word, low, 5) as u8
}

/// Register 31 reads as zero.
fn or_zero(number: u8) -> Operand {
    if number == STACK { Operand::Constant(0) } else { Operand::Register(number) }
}

fn width(word: u32) -> u8 {
    if word >> 31 == 1 { 8 } else { 4 }
}

fn branch(word: u32, vaddr: u64, effects: &mut Vec<Effect>) -> Next {
    let near = |offset: i64| vaddr.wrapping_add_signed(offset * 4);
    match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => {
            Next::Jump(Target::Address(near(signed(word, 0, 26))))
        }
        _ if word & 0xfc00_0000 == 0x9400_0000 => {
            Next::Call(Target::Address(near(signed(word, 0, 26))))
        }
        // b.cond, bc.cond
        _ if word & 0xff00_0000 == 0x5400_0000 => {
            let condition = match bits(word, 0, 4) {
                0 => Condition::Zero,
                1 => Condition::NotZero,
                _ => Condition::Other,
            };
            Next::Branch { target: near(signed(word, 5, 19)), condition }
        }
        // cbz, cbnz
        _ if word & 0x7e00_0000 == 0x3400_0000 => {
            effects.push(Effect::Compare {
                left: or_zero(register(word, 0)),
                right: Operand::Constant(0),
                kind: Comparison::Difference,
                width: width(word),
            });
            Next::Branch { target: near(signed(word, 5, 19)), condition: zero_if_clear(word) }
        }
        // tbz, tbnz
        _ if word & 0x7e00_0000 == 0x3600_0000 => {
            let bit = bits(word, 31, 1) << 5 | bits(word, 19, 5);
            effects.push(Effect::Compare {
                left: or_zero(register(word, 0)),
                right: Operand::Constant(1 << bit),
                kind: Comparison::Conjunction,
                width: 8,
            });
            Next::Branch { target: near(signed(word, 5, 14)), condition: zero_if_clear(word) }
        }
        // ret, retaa, retab
        _ if word & 0xffff_fc1f == 0xd65f_0000 || word & 0xffff_fbff == 0xd65f_0bff => Next::Return,
        // br and its authenticated forms, blr and its
        _ if word & 0xfeff_f000 == 0xd61f_0000 => Next::Jump(Target::Register(register(word, 5))),
        _ if word & 0xfeff_f000 == 0xd63f_0000 => Next::Call(Target::Register(register(word, 5))),
        // brk, hlt, udf
        _ if word & 0xffe0_001f == 0xd420_0000
            || word & 0xffe0_001f == 0xd440_0000
            || word & 0xffff_0000 == 0 =>
        {
            Next::Nothing
        }
        _ => Next::Following,
    }
}

const fn zero_if_clear(word: u32) -> Condition {
    if bits(word, 24, 1) == 0 { Condition::Zero } else { Condition::NotZero }
}

fn execute(word: u32, vaddr: u64, effects: &mut Vec<Effect>) {
    // C4.1: op0
    match bits(word, 25, 4) {
        0b1000 | 0b1001 => immediate(word, vaddr, effects),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word, effects),
        0b0101 | 0b1101 => registers(word, effects),
        0b0111 | 0b1111 => vector(word, effects),
        // hints (bti, pacibsp, nop), barriers
        0b1010 | 0b1011 if word & 0xfff0_0000 == 0xd500_0000 => {}
        // mrs
        0b1010 | 0b1011 => effects.push(Effect::Forget { to: register(word, 0) }),
        _ => {}
    }
}

fn immediate(word: u32, vaddr: u64, effects: &mut Vec<Effect>) {
    let to = register(word, 0);
    let forget = |effects: &mut Vec<Effect>| {
        effects.push(Effect::Forget { to });
        if bits(word, 29, 2) == 3 {
            effects.push(Effect::ForgetFlags);
        }
    };
    match bits(word, 23, 3) {
        // adr, adrp
        0b000 | 0b001 => {
            let distance = signed(word, 5, 19) << 2 | i64::from(bits(word, 29, 2));
            let address = if word >> 31 == 1 {
                (vaddr & !0xfff).wrapping_add_signed(distance << 12)
            } else {
                vaddr.wrapping_add_signed(distance)
            };
            if to != STACK {
                let from = Operand::Constant(address);
                effects.push(Effect::Set { to, from, offset: 0, width: 8 });
            }
        }
        // add, adds, sub, subs
        0b010 => {
            let shift = bits(word, 22, 1) * 12;
            let by = i64::from(bits(word, 10, 12) << shift);
            let offset = if bits(word, 30, 1) == 1 { -by } else { by };
            let from = Operand::Register(register(word, 5));
            let width = width(word);
            if bits(word, 29, 1) == 1 {
                let right = Operand::Constant((-offset) as u64);
                let kind = Comparison::Difference;
                effects.push(Effect::Compare { left: from, right, kind, width });
                if to == STACK {
                    return;
                }
            }
            effects.push(Effect::Set { to, from, offset, width });
        }
        // movn, movz, movk
        0b101 if to != STACK => {
            let shift = bits(word, 21, 2) * 16;
            let value = u64::from(bits(word, 5, 16)) << shift;
            let width = width(word);
            match bits(word, 29, 2) {
                0 => {
                    let from = Operand::Constant(!value);
                    effects.push(Effect::Set { to, from, offset: 0, width });
                }
                2 => {
                    let from = Operand::Constant(value);
                    effects.push(Effect::Set { to, from, offset: 0, width });
                }
                _ => effects.push(Effect::Forget { to }),
            }
        }
        // ands with immediate and the zero register: tst
        0b100 if to == STACK && bits(word, 29, 2) == 3 => effects.push(Effect::ForgetFlags),
        _ => forget(effects),
    }
}

fn registers(word: u32, effects: &mut Vec<Effect>) {
    let to = register(word, 0);
    let (first, second) = (register(word, 5), register(word, 16));
    let width = width(word);
    // mov: orr with the zero register
    if word & 0x7fe0_ffe0 == 0x2a00_03e0 {
        if to != STACK {
            effects.push(Effect::Set { to, from: or_zero(second), offset: 0, width });
        }
        return;
    }
    // csel
    if word & 0x7fe0_0c00 == 0x1a80_0000 {
        if to != STACK {
            let (one, other) = (or_zero(first), or_zero(second));
            effects.push(Effect::Choose { to, one, other, width });
        }
        return;
    }
    // subs with the zero register as result: cmp
    if word & 0x7fe0_fc1f == 0x6b00_001f {
        let (left, right) = (or_zero(first), or_zero(second));
        effects.push(Effect::Compare { left, right, kind: Comparison::Difference, width });
        return;
    }
    // ands likewise: tst
    if word & 0x7fe0_fc1f == 0x6a00_001f {
        let (left, right) = (or_zero(first), or_zero(second));
        effects.push(Effect::Compare { left, right, kind: Comparison::Conjunction, width });
        return;
    }
    effects.push(Effect::ForgetFlags);
    if to != STACK {
        effects.push(Effect::Forget { to });
    }
}

/// Only what moves or converts a vector element to a general register writes one.
fn vector(word: u32, effects: &mut Vec<Effect>) {
    let converts = word & 0x5f20_fc00 == 0x1e20_0000;
    let moves = word & 0xbfe0_fc00 == 0x0e00_3c00 || word & 0xbfe0_fc00 == 0x0e00_2c00;
    if converts || moves {
        effects.push(Effect::Forget { to: register(word, 0) });
    }
    effects.push(Effect::ForgetFlags);
}

fn memory(word: u32, effects: &mut Vec<Effect>) {
    let base = register(word, 5);
    let vector = bits(word, 26, 1) == 1;
    match bits(word, 27, 3) {
        // ldp, stp and their kin
        0b101 => pair(word, base, vector, effects),
        // ldr, str: one register
        0b111 => single(word, base, vector, effects),
        // ldr of a literal
        0b011 => {
            if !vector {
                effects.push(Effect::Forget { to: register(word, 0) });
            }
        }
        // exclusive and vector structures: whatever they write
        _ => {
            effects.push(Effect::Forget { to: register(word, 0) });
            effects.push(Effect::Forget { to: register(word, 10) });
            effects.push(Effect::Forget { to: register(word, 16) });
        }
    }
}

fn at(base: u8, displacement: i64) -> Place {
    Place { base: Operand::Register(base), displacement, indexed: false }
}

fn write_back(base: u8, offset: i64, effects: &mut Vec<Effect>) {
    let from = Operand::Register(base);
    effects.push(Effect::Set { to: base, from, offset, width: 8 });
}

fn pair(word: u32, base: u8, vector: bool, effects: &mut Vec<Effect>) {
    let scale = match (vector, bits(word, 30, 2)) {
        (false, 0b00) => 4,
        (false, _) => 8,
        (true, size) => 4 << size,
    };
    let offset = signed(word, 15, 7) * scale;
    let width = scale.min(16) as u8;
    // 01: the base is moved afterwards, 11: before; else not at all
    let mode = bits(word, 23, 2);
    let displacement = if mode == 0b01 { 0 } else { offset };
    let places = [at(base, displacement), at(base, displacement + scale)];
    for (place, number) in places.into_iter().zip([register(word, 0), register(word, 10)]) {
        let is_load = bits(word, 22, 1) == 1;
        // ldpsw is the one with opc 01
        let known = !vector && bits(word, 30, 2) != 0b01;
        if !is_load {
            let from = if known { or_zero(number) } else { Operand::Unknown };
            effects.push(Effect::Store { to: place, from, width });
        } else if vector || number == STACK {
        } else if known && number != base {
            effects.push(Effect::Load { to: number, from: place, width });
        } else {
            effects.push(Effect::Forget { to: number });
        }
    }
    if mode == 0b01 || mode == 0b11 {
        write_back(base, offset, effects);
    }
}

fn single(word: u32, base: u8, vector: bool, effects: &mut Vec<Effect>) {
    let number = register(word, 0);
    let size = bits(word, 30, 2);
    let operation = bits(word, 22, 2);
    let scale = if vector && operation >= 2 { 4 } else { size };
    let width = 1u8 << scale;
    let unsigned = bits(word, 24, 1) == 1;
    let mode = bits(word, 10, 2);
    let by_register = !unsigned && bits(word, 21, 1) == 1 && mode == 0b10;
    // atomics, pointer authentication: whatever they write
    if !unsigned && bits(word, 21, 1) == 1 && !by_register {
        effects.push(Effect::Forget { to: number });
        return;
    }
    let offset =
        if unsigned { i64::from(bits(word, 10, 12)) << scale } else { signed(word, 12, 9) };
    let moves_base = !unsigned && !by_register && matches!(mode, 0b01 | 0b11);
    let mut place = at(base, if moves_base && mode == 0b01 { 0 } else { offset });
    if by_register {
        place = Place { base: Operand::Register(base), displacement: 0, indexed: true };
    }
    // prfm is the signed load of 64 bits
    let is_prefetch = size == 3 && operation >= 2 && !vector;
    if is_prefetch {
    } else if operation == 0 || vector && operation == 2 {
        let from = if vector { Operand::Unknown } else { or_zero(number) };
        effects.push(Effect::Store { to: place, from, width });
    } else if !vector && number != STACK {
        effects.push(Effect::Load { to: number, from: place, width });
    }
    if moves_base {
        write_back(base, offset, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::machine::Comparison;

    /// Effects and what comes next of a word at 0x1000; words are as `as` writes them.
    fn step(word: u32) -> (Vec<Effect>, Next) {
        let mut effects = Vec::new();
        let next = branch(word, 0x1000, &mut effects);
        if next == Next::Following {
            execute(word, 0x1000, &mut effects);
        }
        (effects, next)
    }

    fn effects(word: u32) -> Vec<Effect> {
        let (effects, next) = step(word);
        assert_eq!(next, Next::Following, "{word:#010x}");
        effects
    }

    fn set(to: u8, from: Operand, offset: i64, width: u8) -> Effect {
        Effect::Set { to, from, offset, width }
    }

    #[test]
    fn addresses_are_put_together() {
        // adrp x1, 0x8a000
        assert_eq!(effects(0xb000_0441), [set(1, Operand::Constant(0x8_a000), 0, 8)]);
        // adrp x0, 0x0
        assert_eq!(effects(0xf0ff_ffe0), [set(0, Operand::Constant(0), 0, 8)]);
        // add x1, x1, #0xd60
        assert_eq!(effects(0x9135_8021), [set(1, Operand::Register(1), 0xd60, 8)]);
        // mov x4, x1; mov w3, #0x20; sub sp, sp, #0x30
        assert_eq!(effects(0xaa01_03e4), [set(4, Operand::Register(1), 0, 8)]);
        assert_eq!(effects(0x5280_0403), [set(3, Operand::Constant(0x20), 0, 4)]);
        assert_eq!(effects(0xd100_c3ff), [set(31, Operand::Register(31), -0x30, 8)]);
    }

    #[test]
    fn pairs_move_their_base_before_or_after() {
        let base = Operand::Register(31);
        let place = |displacement| Place { base, displacement, indexed: false };
        let store = |number, displacement| Effect::Store {
            to: place(displacement),
            from: Operand::Register(number),
            width: 8,
        };
        let load = |to, displacement| Effect::Load { to, from: place(displacement), width: 8 };
        // stp x29, x30, [sp, #-0x30]!
        assert_eq!(
            effects(0xa9bd_7bfd),
            [store(29, -0x30), store(30, -0x28), set(31, base, -0x30, 8)]
        );
        // ldp x29, x30, [sp], #0x30
        assert_eq!(effects(0xa8c3_7bfd), [load(29, 0), load(30, 8), set(31, base, 0x30, 8)]);
    }

    #[test]
    fn branches_say_when_and_where() {
        assert_eq!(step(0x9400_0002).1, Next::Call(Target::Address(0x1008)));
        assert_eq!(step(0x17ff_ffff).1, Next::Jump(Target::Address(0xffc)));
        assert_eq!(step(0xd65f_03c0).1, Next::Return);
        assert_eq!(step(0xd63f_0080).1, Next::Call(Target::Register(4)));
        // cbz x0, +8
        let (effects, next) = step(0xb400_0040);
        assert_eq!(next, Next::Branch { target: 0x1008, condition: Condition::Zero });
        assert!(matches!(
            effects[..],
            [Effect::Compare { left: Operand::Register(0), kind: Comparison::Difference, .. }]
        ));
        // brk #1, paciasp
        assert_eq!(step(0xd420_0020).1, Next::Nothing);
        assert_eq!(step(0xd503_233f), (Vec::new(), Next::Following));
    }

    #[test]
    fn what_is_not_modelled_forgets_its_result() {
        // mul x0, x1, x2; madd
        assert!(effects(0x9b02_7c20).contains(&Effect::Forget { to: 0 }));
        // ldxr w3, [x1]; umov w2, v0.b[0]
        assert!(effects(0x885f_7c23).contains(&Effect::Forget { to: 3 }));
        assert!(effects(0x0e01_3c02).contains(&Effect::Forget { to: 2 }));
        // movi v1.2d, #0 writes no general register
        assert!(!effects(0x6f00_e401).contains(&Effect::Forget { to: 1 }));
    }
}
