//! Probe sites in one Go function on AArch64, by the words of its code.

/// The stack check is among the first instructions: load, compare, branch.
const LONGEST_CHECK: usize = 8;
const RET: u32 = 0xd65f_03c0;

/// The index of the instruction behind the stack check, which every call passes once.
pub(super) fn behind_stack_check(words: &[u32]) -> Option<usize> {
    // `b.ls`
    let is_check = |word: &u32| word & 0xff00_001f == 0x5400_0009;
    let index = words.iter().take(LONGEST_CHECK).position(is_check)? + 1;
    (index < words.len()).then_some(index)
}

/// The address of each `ret` of the function at `start`. What an instruction loads as data is none, though
/// it may look like one.
pub(super) fn rets(start: u64, words: &[u32]) -> Vec<u64> {
    /// The longest constant is a vector register's.
    const LONGEST_CONSTANT: u64 = 16;
    let at = |index: usize| start + 4 * index as u64;
    let constants: Vec<u64> =
        words.iter().enumerate().filter_map(|(index, word)| literal(at(index), *word)).collect();
    words
        .iter()
        .enumerate()
        .filter(|(_, word)| **word == RET)
        .map(|(index, _)| at(index))
        .filter(|at| {
            !constants.iter().any(|c| (*c..c.saturating_add(LONGEST_CONSTANT)).contains(at))
        })
        .collect()
}

/// The address that `ldr (literal)` at `at` loads from.
fn literal(at: u64, word: u32) -> Option<u64> {
    (word & 0x3b00_0000 == 0x1800_0000).then(|| {
        // imm19, in words, with its sign.
        let offset = (word.cast_signed() << 8) >> 13;
        at.wrapping_add_signed(i64::from(offset) * 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nop`
    const NOP: u32 = 0xd503_201f;
    /// `ldr x0, .+8`
    const LOAD: u32 = 0x5800_0040;

    #[test]
    fn the_site_is_behind_the_branch_of_the_stack_check() {
        // ldr x16, [x28, #16]; cmp sp, x16; b.ls .+64; str x30, [sp, #-32]!
        let words = [0xf940_0b90, 0xeb30_63ff, 0x5400_0209, 0xf81e_0ffe];
        assert_eq!(behind_stack_check(&words), Some(3));
        assert_eq!(behind_stack_check(&words[..3]), None);
        assert_eq!(behind_stack_check(&[NOP; 20]), None);
    }

    #[test]
    fn a_constant_that_looks_like_a_ret_is_none() {
        assert_eq!(rets(0x1000, &[NOP, RET, NOP, RET]), [0x1004, 0x100c]);
        assert_eq!(rets(0x1000, &[LOAD, RET, RET, NOP, NOP, NOP, RET]), [0x1004, 0x1018]);
    }
}
