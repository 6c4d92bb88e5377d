//! From the kernel's monotonic clock to the time of day.

use event::Timestamp;

/// Converts `bpf_ktime_get_ns` (`CLOCK_MONOTONIC`) to UTC with an offset that is measured once, so
/// that the differences between times are exact even if the wall clock is set meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    offset: u64,
}

impl Clock {
    /// Measures the offset between the two clocks.
    pub fn new() -> Self {
        // The wall clock between two readings of the monotonic one belongs to their middle; the
        // tightest of a few attempts wins.
        let offset = (0..5)
            .map(|_| {
                let before = now(libc::CLOCK_MONOTONIC);
                let wall = now(libc::CLOCK_REALTIME);
                let after = now(libc::CLOCK_MONOTONIC);
                (after - before, wall.wrapping_sub(before + (after - before) / 2))
            })
            .min()
            .map_or(0, |(_, offset)| offset);
        Self { offset }
    }

    /// The time of day at `ktime` nanoseconds.
    pub fn at(self, ktime: u64) -> Timestamp {
        Timestamp(ktime.wrapping_add(self.offset))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Nanoseconds on `CLOCK_MONOTONIC`, as `bpf_ktime_get_ns` counts them.
pub fn monotonic() -> u64 {
    now(libc::CLOCK_MONOTONIC)
}

fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes; both clocks exist on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn now_is_now() {
        let clock = Clock::new();
        let ours = clock.at(monotonic());
        let theirs = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!(theirs.as_nanos().abs_diff(u128::from(ours.0)) < 1_000_000_000);
    }
}
