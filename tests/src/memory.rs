//! The code of a running process compared with the file it came from: where they differ, somebody
//! has put a breakpoint.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Fails if somebody else watches the process: then nothing can be said of the tool under test.
pub fn assert_unwatched(pid: u32, file_name: &str) {
    let patched = patched_offsets(pid, file_name);
    assert!(
        patched.is_empty(),
        "another program has breakpoints in {file_name} on this host: run these tests without it"
    );
}

/// The offsets in the file at which the process's code of that file differs from it.
pub fn patched_offsets(pid: u32, file_name: &str) -> Vec<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut patched = Vec::new();
    let mut compared = 0;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, rights, offset, _, _, path] = fields[..] else { continue };
        if !rights.contains('x') || !path.ends_with(file_name) {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end, offset] =
            [start, end, offset].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut code = vec![0; (end - start) as usize];
        memory.read_exact_at(&mut code, start).unwrap();
        // The mapping reaches to the end of a page, the file may not.
        let mut original = vec![0; code.len()];
        let file = File::open(format!("/proc/{pid}/root{path}")).unwrap();
        let mut filled = 0;
        while filled < original.len() {
            match file.read_at(&mut original[filled..], offset + filled as u64).unwrap() {
                0 => break,
                len => filled += len,
            }
        }
        let differences = code.iter().zip(&original).enumerate();
        patched.extend(
            differences.filter(|(_, (now, then))| now != then).map(|(at, _)| offset + at as u64),
        );
        compared += code.len();
    }
    assert!(compared > 0, "{pid} has no code of {file_name}");
    patched
}
