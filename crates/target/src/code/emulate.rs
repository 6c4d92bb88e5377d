//! Which instructions the kernel emulates under a uprobe instead of single-stepping them out of
//! line (arch/x86/kernel/uprobes.c: `branch_setup_xol_ops`, `push_setup_xol_ops`).

/// True if a uprobe on these instruction bytes costs one trap, not two.
///
/// Stricter than the kernel: prefixed branches are left out (it refuses `66`), and so is every
/// `nop` but `90`, because kernels from 6.18 rewrite the 5-byte one.
pub(crate) fn is_emulated(bytes: &[u8]) -> bool {
    match bytes {
        // nop, push %rax..%rdi
        [0x90 | 0x50..=0x57]
        // push %r8..%r15
        | [0x41, 0x50..=0x57]
        // jmp rel8, jcc rel8
        | [0xeb | 0x70..=0x7f, _]
        // jmp rel32, call rel32
        | [0xe9 | 0xe8, _, _, _, _]
        // jcc rel32
        | [0x0f, 0x80..=0x8f, _, _, _, _] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_emulated;

    #[test]
    fn pushes_branches_and_the_short_nop_are_emulated() {
        for bytes in [
            &[0x90][..],
            &[0x55],
            &[0x41, 0x56],
            &[0x78, 0x10],
            &[0xeb, 0xfe],
            &[0xe8, 0, 0, 0, 0],
            &[0xe9, 0, 0, 0, 0],
            &[0x0f, 0x85, 0, 0, 0, 0],
        ] {
            assert!(is_emulated(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn endbr_sub_mov_ret_and_the_five_byte_nop_are_not() {
        for bytes in [
            &[0xf3, 0x0f, 0x1e, 0xfa][..],
            &[0x48, 0x83, 0xec, 0x18],
            &[0x48, 0x89, 0xf8],
            &[0xc3],
            &[0x0f, 0x1f, 0x44, 0, 0],
            &[0x66, 0x90],
            &[0x48, 0x55],
            &[0x40, 0x55],
            &[0xf2, 0xe9, 0, 0, 0, 0],
            &[0x66, 0xe8, 0, 0],
            &[0xff, 0x35, 0, 0, 0, 0],
            &[0xe3, 0x10],
        ] {
            assert!(!is_emulated(bytes), "{bytes:02x?}");
        }
    }
}
