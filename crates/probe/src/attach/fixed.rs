//! Attaching on kernels without attach cookies (before Linux 5.15).
//!
//! Each function gets an instance of its own of the program, with its cookie as a constant. libbpf has
//! loaded the program once, with all maps in place; an instance is the same instructions with other
//! numbers in them.

use crate::perf_event;
use libbpf_rs::libbpf_sys::{self, bpf_insn};
use libbpf_rs::{ErrorExt, ProgramMut};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// `FIXED_COOKIE` of `include/record.h`
const FIXED_COOKIE: u64 = 0x5eca_97c0_c001_e5a1;

/// `BPF_LD | BPF_IMM | BPF_DW`: an instruction of two slots that loads a 64-bit constant.
const LOAD_64: u8 = 0x18;

/// Puts probes at `offsets` of the file `path`, all of which carry `cookie`. They are removed when what is
/// returned is dropped.
pub(crate) fn attach(
    program: &ProgramMut<'_>,
    cookie: u64,
    retprobe: bool,
    pid: i32,
    path: &CStr,
    offsets: &[usize],
) -> Result<Vec<OwnedFd>, libbpf_rs::Error> {
    let instance = with_cookie(program.insns(), cookie)
        .ok_or_else(|| io::Error::other("the program has no place for a cookie"))
        .and_then(|instructions| load(&instructions))
        .map_err(libbpf_rs::Error::from)
        .context("cannot load an instance of the program")?;
    // Each event keeps the instance.
    offsets
        .iter()
        .map(|offset| perf_event::uprobe(instance.as_fd(), retprobe, pid, path, *offset as u64))
        .collect::<io::Result<_>>()
        .map_err(libbpf_rs::Error::from)
}

/// The instructions with `cookie` in the place that is kept for it, or `None` if there is no such place.
fn with_cookie(instructions: &[bpf_insn], cookie: u64) -> Option<Vec<bpf_insn>> {
    let halves = |value: u64| (value as u32 as i32, (value >> 32) as u32 as i32);
    let mut instructions = instructions.to_vec();
    let mut found = false;
    let mut rest = instructions.as_mut_slice();
    while let [first, tail @ ..] = rest {
        if first.code == LOAD_64
            && let [second, after @ ..] = tail
        {
            // A source register would say that the number is a map's descriptor.
            if first.src_reg() == 0 && (first.imm, second.imm) == halves(FIXED_COOKIE) {
                (first.imm, second.imm) = halves(cookie);
                found = true;
            }
            rest = after;
        } else {
            rest = tail;
        }
    }
    found.then_some(instructions)
}

fn load(instructions: &[bpf_insn]) -> io::Result<OwnedFd> {
    // SAFETY: the strings end with NUL; the instructions are valid for the call, which copies them; no
    // options are given.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            c"tls".as_ptr(),
            c"Dual MIT/GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            std::ptr::null_mut(),
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded: the descriptor is open and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_64(source: u8, value: u64) -> [bpf_insn; 2] {
        let mut first = bpf_insn { code: LOAD_64, imm: value as i32, ..Default::default() };
        first.set_src_reg(source);
        [first, bpf_insn { imm: (value >> 32) as i32, ..Default::default() }]
    }

    fn numbers(instructions: &[bpf_insn]) -> Vec<i32> {
        instructions.iter().map(|instruction| instruction.imm).collect()
    }

    #[test]
    fn only_the_constant_that_stands_for_the_cookie_is_replaced() {
        let other = FIXED_COOKIE ^ 1;
        let map = FIXED_COOKIE;
        let before = [load_64(0, FIXED_COOKIE), load_64(0, other), load_64(1, map)].concat();
        let after = [load_64(0, 0x1_0000_0002), load_64(0, other), load_64(1, map)].concat();
        assert_eq!(numbers(&with_cookie(&before, 0x1_0000_0002).unwrap()), numbers(&after));
    }

    #[test]
    fn the_second_slot_of_a_constant_is_no_instruction() {
        // Its code is 0 in what a kernel accepts; here it looks like the start of the cookie.
        let [mut first, mut second] = load_64(0, 7);
        first.imm = 7;
        second.code = LOAD_64;
        second.imm = FIXED_COOKIE as i32;
        let third = bpf_insn { imm: (FIXED_COOKIE >> 32) as i32, ..Default::default() };
        let before = [first, second, third];
        assert!(with_cookie(&before, 1).is_none());
    }

    #[test]
    fn the_programs_have_the_same_constant() {
        let header = include_str!("../include/record.h");
        assert!(header.contains(&format!("#define FIXED_COOKIE \"{FIXED_COOKIE:#x}\"")));
    }
}
