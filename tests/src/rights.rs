//! Whether this run may load BPF programs, and what follows if not.

use std::fs;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Why BPF programs cannot be loaded by this process, if they cannot.
fn obstacle() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .expect("/proc/self/status has CapEff");
    let has = |capability: u32| effective >> capability & 1 == 1;
    if has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)) {
        return None;
    }
    Some(format!("no CAP_BPF and CAP_PERFMON, nor CAP_SYS_ADMIN (CapEff {effective:#x})"))
}

/// True if captures can be tested here. If not, says why, or fails if `ECAPTURE_REQUIRE_BPF=1`.
pub fn capture_is_possible() -> bool {
    let Some(reason) = obstacle() else { return true };
    assert!(
        std::env::var_os("ECAPTURE_REQUIRE_BPF").is_none_or(|value| value != "1"),
        "ECAPTURE_REQUIRE_BPF=1, but {reason}"
    );
    // Not with eprintln: the test harness hides that of tests that pass.
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "skipped: {reason}").unwrap();
    false
}

/// Waits until no other test captures: a capture sees the whole host, and loads it.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the test here if captures are impossible for lack of rights; otherwise keeps other tests
/// that capture waiting until it ends.
#[macro_export]
macro_rules! needs_bpf {
    () => {
        if !$crate::rights::capture_is_possible() {
            return;
        }
        let _turn = $crate::rights::turn();
    };
}
