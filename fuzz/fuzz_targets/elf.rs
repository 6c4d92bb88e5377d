//! The analysis of ELF files: no input may make it panic, hang or eat memory.
//!
//! `cargo +nightly fuzz run elf -- -max_total_time=60 -timeout=5 -rss_limit_mb=1024`; seed it
//! with small libraries: `mkdir -p fuzz/corpus/elf && cp ~/.cache/ecapture/libs/*/usr/lib/*/android/libssl*
//! fuzz/corpus/elf`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use target::{Options, Placement};

fuzz_target!(|bytes: &[u8]| {
    let _ = target::carries_tls(bytes);
    let _ = target::libcrypto_layout(bytes);
    let _ = target::version_string(bytes);
    let _ = target::keys(bytes);
    let _ = target::carries_go(bytes);
    let _ = target::analyze_go(bytes, Placement::Auto);
    for placement in [Placement::Auto, Placement::Entry] {
        for avoid_uretprobe in [false, true] {
            // the search is the same wherever the probes go
            let keys = avoid_uretprobe && placement == Placement::Auto;
            let _ = target::analyze_with(bytes, Options { placement, avoid_uretprobe, keys });
        }
    }
});
