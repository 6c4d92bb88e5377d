//! An AArch64 instruction as a person reads it: the classes that a function begins with and those
//! that calls and returns are of, by the tables of the Arm Architecture Reference Manual (C4.1).
//! Anything else is shown as the word that it is.

/// The instruction; branch targets are relative to it, as in [`super::text`].
pub(crate) fn word_text(word: u32) -> String {
    fixed(word)
        .map(str::to_owned)
        .or_else(|| branch(word))
        .or_else(|| pair(word))
        .or_else(|| single(word))
        .or_else(|| arithmetic(word))
        .unwrap_or_else(|| format!(".inst {word:#010x}"))
}

const ZERO_OR_STACK: u32 = 31;

const fn bits(word: u32, low: u32, count: u32) -> u32 {
    (word >> low) & ((1 << count) - 1)
}

const fn signed(word: u32, low: u32, count: u32) -> i64 {
    (((word << (32 - low - count)) as i32) >> (32 - count)) as i64
}

/// Instructions without operands that vary.
fn fixed(word: u32) -> Option<&'static str> {
    Some(match word {
        0xd503_201f => "nop",
        0xd503_233f => "paciasp",
        0xd503_237f => "pacibsp",
        0xd503_23bf => "autiasp",
        0xd503_23ff => "autibsp",
        0xd503_241f => "bti",
        0xd503_245f => "bti c",
        0xd503_249f => "bti j",
        0xd503_24df => "bti jc",
        0xd65f_03c0 => "ret",
        0xd65f_0bff => "retaa",
        0xd65f_0fff => "retab",
        _ => return None,
    })
}

/// A general register of so many bits; the last is the stack pointer or zero.
fn register(word: u32, low: u32, wide: bool, last: &str) -> String {
    let letter = if wide { 'x' } else { 'w' };
    match (bits(word, low, 5), last, wide) {
        (ZERO_OR_STACK, "sp", true) => "sp".to_owned(),
        (ZERO_OR_STACK, "sp", false) => "wsp".to_owned(),
        (ZERO_OR_STACK, ..) => format!("{letter}zr"),
        (number, ..) => format!("{letter}{number}"),
    }
}

fn away(instructions: i64) -> String {
    let distance = instructions * 4;
    let sign = if distance < 0 { '-' } else { '+' };
    format!(".{sign}{:#x}", distance.unsigned_abs())
}

fn branch(word: u32) -> Option<String> {
    const CONDITIONS: [&str; 16] = [
        "eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al",
        "nv",
    ];
    let wide = word >> 31 == 1;
    let zero = if bits(word, 24, 1) == 0 { "z" } else { "nz" };
    Some(match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => format!("b {}", away(signed(word, 0, 26))),
        _ if word & 0xfc00_0000 == 0x9400_0000 => format!("bl {}", away(signed(word, 0, 26))),
        _ if word & 0xff00_0010 == 0x5400_0000 => {
            let condition = CONDITIONS.get(bits(word, 0, 4) as usize)?;
            format!("b.{condition} {}", away(signed(word, 5, 19)))
        }
        _ if word & 0x7e00_0000 == 0x3400_0000 => {
            format!("cb{zero} {}, {}", register(word, 0, wide, "zr"), away(signed(word, 5, 19)))
        }
        _ if word & 0x7e00_0000 == 0x3600_0000 => {
            let bit = bits(word, 31, 1) << 5 | bits(word, 19, 5);
            let tested = register(word, 0, wide, "zr");
            format!("tb{zero} {tested}, #{bit}, {}", away(signed(word, 5, 14)))
        }
        _ if word & 0xffff_fc1f == 0xd61f_0000 => format!("br {}", register(word, 5, true, "zr")),
        _ if word & 0xffff_fc1f == 0xd63f_0000 => format!("blr {}", register(word, 5, true, "zr")),
        _ if word & 0xffff_fc1f == 0xd65f_0000 => format!("ret {}", register(word, 5, true, "zr")),
        _ => return None,
    })
}

/// `[base, #offset]` in the three ways of addressing.
fn address(word: u32, mode: Mode, offset: i64) -> String {
    let base = register(word, 5, true, "sp");
    match mode {
        Mode::After => format!("[{base}], #{offset}"),
        Mode::Before => format!("[{base}, #{offset}]!"),
        Mode::Plain if offset == 0 => format!("[{base}]"),
        Mode::Plain => format!("[{base}, #{offset}]"),
    }
}

/// When the base is moved.
#[derive(Clone, Copy)]
enum Mode {
    Plain,
    Before,
    After,
}

/// `stp` and `ldp` of general registers.
fn pair(word: u32) -> Option<String> {
    if word & 0x7e00_0000 != 0x2800_0000 {
        return None;
    }
    let wide = word >> 31 == 1;
    let mode = match bits(word, 23, 2) {
        0b01 => Mode::After,
        0b10 => Mode::Plain,
        0b11 => Mode::Before,
        _ => return None,
    };
    let name = if bits(word, 22, 1) == 1 { "ldp" } else { "stp" };
    let offset = signed(word, 15, 7) * if wide { 8 } else { 4 };
    let (one, other) = (register(word, 0, wide, "zr"), register(word, 10, wide, "zr"));
    Some(format!("{name} {one}, {other}, {}", address(word, mode, offset)))
}

/// `str` and `ldr` of one general register, 32 or 64 bits.
fn single(word: u32) -> Option<String> {
    let wide = bits(word, 30, 1) == 1;
    let name = if bits(word, 22, 1) == 1 { "ldr" } else { "str" };
    let moved = register(word, 0, wide, "zr");
    let (mode, offset) = match word & 0xbfa0_0c00 {
        _ if word & 0xbf80_0000 == 0xb900_0000 => {
            (Mode::Plain, i64::from(bits(word, 10, 12)) << if wide { 3 } else { 2 })
        }
        0xb800_0400 => (Mode::After, signed(word, 12, 9)),
        0xb800_0c00 => (Mode::Before, signed(word, 12, 9)),
        _ => return None,
    };
    Some(format!("{name} {moved}, {}", address(word, mode, offset)))
}

/// `add`, `sub` and `cmp` with a constant, `mov` of a register or constant, `cmp` and `tst` of
/// registers.
fn arithmetic(word: u32) -> Option<String> {
    let wide = word >> 31 == 1;
    // add, sub, subs with a constant
    if word & 0x1f80_0000 == 0x1100_0000 {
        let by = bits(word, 10, 12) << (bits(word, 22, 1) * 12);
        let from = register(word, 5, wide, "sp");
        let name = match bits(word, 29, 2) {
            0b00 => "add",
            0b01 if bits(word, 0, 5) == ZERO_OR_STACK => return Some(format!("cmn {from}, #{by}")),
            0b01 => "adds",
            0b10 => "sub",
            _ if bits(word, 0, 5) == ZERO_OR_STACK => return Some(format!("cmp {from}, #{by}")),
            _ => "subs",
        };
        let sets_flags = bits(word, 29, 1) == 1;
        let to = register(word, 0, wide, if sets_flags { "zr" } else { "sp" });
        let stack = [bits(word, 0, 5), bits(word, 5, 5)].contains(&ZERO_OR_STACK);
        return Some(if name == "add" && by == 0 && stack {
            format!("mov {to}, {from}")
        } else {
            format!("{name} {to}, {from}, #{by}")
        });
    }
    // movz
    if word & 0x7f80_0000 == 0x5280_0000 {
        let value = u64::from(bits(word, 5, 16)) << (bits(word, 21, 2) * 16);
        return Some(format!("mov {}, #{value:#x}", register(word, 0, wide, "zr")));
    }
    let (first, second) = (register(word, 5, wide, "zr"), register(word, 16, wide, "zr"));
    match word {
        _ if word & 0x7fe0_ffe0 == 0x2a00_03e0 => {
            Some(format!("mov {}, {second}", register(word, 0, wide, "zr")))
        }
        _ if word & 0x7fe0_fc1f == 0x6b00_001f => Some(format!("cmp {first}, {second}")),
        _ if word & 0x7fe0_fc1f == 0x6a00_001f => Some(format!("tst {first}, {second}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::word_text;

    /// As objdump has them, but for branch targets.
    const KNOWN: &[(u32, &str)] = &[
        (0xd503_233f, "paciasp"),
        (0xd503_245f, "bti c"),
        (0xd65f_03c0, "ret"),
        (0xd65f_0120, "ret x9"),
        (0xd65f_0bff, "retaa"),
        (0x9400_0002, "bl .+0x8"),
        (0x17ff_ffff, "b .-0x4"),
        (0x5400_0040, "b.eq .+0x8"),
        (0x54ff_ffeb, "b.lt .-0x4"),
        (0xb400_0040, "cbz x0, .+0x8"),
        (0x3500_0082, "cbnz w2, .+0x10"),
        (0x36f8_0041, "tbz w1, #31, .+0x8"),
        (0xb700_0043, "tbnz x3, #32, .+0x8"),
        (0xd61f_0220, "br x17"),
        (0xd63f_0080, "blr x4"),
        (0xa9bd_7bfd, "stp x29, x30, [sp, #-48]!"),
        (0xa8c3_7bfd, "ldp x29, x30, [sp], #48"),
        (0xa901_53f3, "stp x19, x20, [sp, #16]"),
        (0x2900_0401, "stp w1, w1, [x0]"),
        (0xf81e_0ffe, "str x30, [sp, #-32]!"),
        (0xf841_07fe, "ldr x30, [sp], #16"),
        (0xf940_0401, "ldr x1, [x0, #8]"),
        (0xb900_0be0, "str w0, [sp, #8]"),
        (0xd100_c3ff, "sub sp, sp, #48"),
        (0x9100_03fd, "mov x29, sp"),
        (0x9135_8021, "add x1, x1, #3424"),
        (0x7100_041f, "cmp w0, #1"),
        (0xaa01_03e4, "mov x4, x1"),
        (0x5280_0403, "mov w3, #0x20"),
        (0xeb01_001f, "cmp x0, x1"),
        (0x6a00_001f, "tst w0, w0"),
        // mul x0, x1, x2; str q0, [sp, #16]; udf
        (0x9b02_7c20, ".inst 0x9b027c20"),
        (0x3d80_07e0, ".inst 0x3d8007e0"),
        (0x0000_0000, ".inst 0x00000000"),
    ];

    #[test]
    fn words_read_as_a_disassembler_has_them() {
        for (word, text) in KNOWN {
            assert_eq!(word_text(*word), *text, "{word:#010x}");
        }
    }
}
