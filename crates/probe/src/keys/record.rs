//! The Rust side of `include/key.h`. What a secret looks like is checked here once more: a probe could
//! be where it should not, and a key log with garbage in it misleads its reader.

use super::{Address, KeyFunction, Source};
use crate::error::Error;
use event::{Library, Secret, Timestamp};
use std::sync::Arc;

pub(super) const MAX_FUNCTIONS: usize = 1024;

const MAX_STEPS: usize = 6;
const MAX_ARGUMENT: u8 = 5;
const PATH: usize = 4 + 4 * MAX_STEPS;
/// `struct key_function`
pub(super) const FUNCTION: usize = 4 + 4 * PATH;

const COMM: usize = 24;
const RANDOM: usize = COMM + 16;
const LABEL: usize = RANDOM + 32;
const SECRET: usize = LABEL + 48;
/// `struct key_record`
const RECORD: usize = SECRET + 64;

/// The hash sizes of TLS's cipher suites; the master key before TLS 1.3 is as long as SHA-384's.
const SECRET_LENGTHS: [usize; 3] = [32, 48, 64];
/// RFC 5246 section 8.1
const MASTER_KEY: usize = 48;

/// The secret in a sample, or `None` if what is there is none. `time` makes a time of day of the
/// kernel's.
pub(super) fn secret(
    sample: &[u8],
    libraries: &[Arc<Library>],
    functions: &[KeyFunction],
    time: impl Fn(u64) -> Timestamp,
) -> Option<Secret> {
    let record = sample.get(..RECORD)?;
    let u32_at = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let u16_at = |at: usize| Some(u16::from_ne_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let length = usize::from(u16_at(22)?);
    let label = match until_nul(&record[LABEL..SECRET]) {
        [] => label_at_place(&record[LABEL..SECRET], functions)?,
        label => label,
    };
    if !is_label(label) || !is_length(label, length) {
        return None;
    }
    let client_random: [u8; 32] = record[RANDOM..LABEL].try_into().ok()?;
    let secret = record[SECRET..].get(..length)?.to_vec();
    // Memory that was never written: no random number generator and no key derivation yields it.
    if is_zero(&client_random) || is_zero(&secret) {
        return None;
    }
    Some(Secret {
        ts: time(u64::from_ne_bytes(record[..8].try_into().ok()?)),
        pid: u32_at(8)?,
        tid: u32_at(12)?,
        uid: u32_at(16)?,
        comm: String::from_utf8_lossy(until_nul(&record[COMM..RANDOM])).into(),
        library: Arc::clone(libraries.get(usize::from(u16_at(20)?))?),
        label: String::from_utf8(label.to_vec()).ok()?,
        client_random,
        secret,
    })
}

/// The label that `struct key_label_place` points at.
fn label_at_place<'f>(place: &[u8], functions: &'f [KeyFunction]) -> Option<&'f [u8]> {
    let function = u16::from_ne_bytes(place.get(2..4)?.try_into().ok()?);
    let len = u32::from_ne_bytes(place.get(4..8)?.try_into().ok()?);
    let distance = i64::from_ne_bytes(place.get(8..16)?.try_into().ok()?);
    let labels = &functions.get(usize::from(function))?.labels;
    let (_, label) = labels.iter().find(|(at, _)| *at == distance)?;
    (len == 0 || len as usize == label.len()).then_some(label.as_bytes())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn is_label(label: &[u8]) -> bool {
    label.first().is_some_and(u8::is_ascii_uppercase)
        && label.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

fn is_length(label: &[u8], length: usize) -> bool {
    if label == b"CLIENT_RANDOM" { length == MASTER_KEY } else { SECRET_LENGTHS.contains(&length) }
}

/// `struct key_function` for what was planned.
pub(super) fn function(function: &KeyFunction, path: &str) -> Result<[u8; FUNCTION], Error> {
    let refused = |what: String| Error::KeyPlan {
        path: path.to_owned(),
        function: function.name.clone(),
        what,
    };
    let argument = |number: u8| {
        if number > MAX_ARGUMENT {
            Err(refused(format!("argument {number} is not in a register")))
        } else {
            Ok(number)
        }
    };
    let chain = |address: &Address| -> Result<[u8; PATH], Error> {
        if address.steps.len() > MAX_STEPS {
            return Err(refused(format!("an address of more than {MAX_STEPS} steps")));
        }
        let mut bytes = [0; PATH];
        bytes[0] = argument(address.argument)?;
        bytes[1] = address.steps.len() as u8;
        for (step, place) in address.steps.iter().zip(bytes[4..].chunks_exact_mut(4)) {
            place.copy_from_slice(&step.to_ne_bytes());
        }
        Ok(bytes)
    };
    let mut bytes = [0; FUNCTION];
    let (numbers, paths) = bytes.split_at_mut(4);
    let mut paths = paths.chunks_exact_mut(PATH);
    let mut put = |address: &Address| {
        let path = chain(address)?;
        if let Some(place) = paths.next() {
            place.copy_from_slice(&path);
        }
        Ok::<(), Error>(())
    };
    match &function.source {
        Source::Logged { label, client_random, secret, secret_len } => {
            numbers[..3].copy_from_slice(&[
                argument(*label)?,
                argument(*secret)?,
                argument(*secret_len)?,
            ]);
            put(client_random)?;
        }
        Source::MasterKey { client_random, length, length_width, key, version } => {
            if !matches!(length_width, 4 | 8) {
                return Err(refused(format!("a length of {length_width} bytes")));
            }
            numbers[3] = *length_width;
            for address in [client_random, length, key, version] {
                put(address)?;
            }
        }
        // The cookie says it all.
        Source::Go { .. } => {}
    }
    Ok(bytes)
}

/// `struct key_counters`: seen, lost, rejected.
pub(super) fn counters(value: &[u8]) -> [u64; 3] {
    let mut words = value.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(label: &[u8], length: u16) -> Vec<u8> {
        let mut bytes = vec![0; RECORD];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&42_u32.to_ne_bytes());
        bytes[22..24].copy_from_slice(&length.to_ne_bytes());
        bytes[COMM..COMM + 4].copy_from_slice(b"curl");
        bytes[RANDOM..LABEL].fill(0xaa);
        bytes[LABEL..LABEL + label.len()].copy_from_slice(label);
        bytes[SECRET..].fill(0xbb);
        bytes
    }

    fn decoded(sample: &[u8]) -> Option<Secret> {
        let library = Arc::new(Library { path: "/lib/libssl.so.3".to_owned(), build_id: None });
        let function = logged(Address { argument: 0, steps: Vec::new() });
        secret(sample, &[library], &[function], Timestamp)
    }

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let secret = decoded(&sample(b"EXPORTER_SECRET", 32)).unwrap();
        assert_eq!((secret.ts, secret.pid, &*secret.comm), (Timestamp(7), 42, "curl"));
        assert_eq!(secret.label, "EXPORTER_SECRET");
        assert_eq!(secret.client_random, [0xaa; 32]);
        assert_eq!(secret.secret, [0xbb; 32]);
    }

    /// A record whose label was not in memory.
    fn placed(function: u16, len: u32, distance: i64) -> Vec<u8> {
        let mut bytes = sample(b"", 32);
        bytes[LABEL + 2..LABEL + 4].copy_from_slice(&function.to_ne_bytes());
        bytes[LABEL + 4..LABEL + 8].copy_from_slice(&len.to_ne_bytes());
        bytes[LABEL + 8..LABEL + 16].copy_from_slice(&distance.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_label_that_is_not_in_memory_is_known_by_its_place() {
        for len in [0, 15] {
            assert_eq!(decoded(&placed(0, len, -64)).unwrap().label, "EXPORTER_SECRET");
        }
        for (function, len, distance) in [(0, 15, -63), (0, 14, -64), (1, 15, -64), (0, 15, 64)] {
            assert!(decoded(&placed(function, len, distance)).is_none());
        }
    }

    #[test]
    fn the_sizes_are_those_of_the_programs() {
        let header = include_str!("../include/key.h");
        for (name, size) in [("key_record", RECORD), ("key_function", FUNCTION)] {
            assert!(header.contains(&format!("sizeof(struct {name}) == {size},")), "{name}");
        }
    }

    #[test]
    fn what_is_no_label_is_no_secret() {
        for label in
            [b"".as_slice(), b"client_random", b"CLIENT RANDOM", b"9LIVES", b"A\n", &[0xff]]
        {
            assert!(decoded(&sample(label, 48)).is_none(), "{label:?}");
        }
    }

    #[test]
    fn a_secret_is_as_long_as_a_hash() {
        let lengths = |label: &[u8]| -> Vec<u16> {
            (0..=200).filter(|length| decoded(&sample(label, *length)).is_some()).collect()
        };
        assert_eq!(lengths(b"SERVER_TRAFFIC_SECRET_0"), [32, 48, 64]);
        assert_eq!(lengths(b"CLIENT_RANDOM"), [48]);
    }

    #[test]
    fn memory_that_was_never_written_is_no_secret() {
        let mut no_random = sample(b"CLIENT_RANDOM", 48);
        no_random[RANDOM..LABEL].fill(0);
        assert!(decoded(&no_random).is_none());
        let mut no_secret = sample(b"CLIENT_RANDOM", 48);
        no_secret[SECRET..].fill(0);
        assert!(decoded(&no_secret).is_none());
    }

    #[test]
    fn short_samples_and_unknown_libraries_are_refused() {
        let mut whole = sample(b"CLIENT_RANDOM", 48);
        for length in 0..RECORD {
            assert!(decoded(&whole[..length]).is_none());
        }
        whole[20] = 1;
        assert!(decoded(&whole).is_none());
    }

    fn logged(client_random: Address) -> KeyFunction {
        KeyFunction {
            name: "nss_keylog_int".to_owned(),
            entry: 0x1000,
            source: Source::Logged { label: 0, client_random, secret: 4, secret_len: 5 },
            labels: vec![(-64, "EXPORTER_SECRET")],
        }
    }

    #[test]
    fn a_plan_that_the_programs_cannot_follow_is_refused() {
        let address = |argument, steps: usize| Address { argument, steps: vec![8; steps] };
        assert!(function(&logged(address(2, 0)), "").is_ok());
        assert!(function(&logged(address(5, MAX_STEPS)), "").is_ok());
        for address in [address(6, 0), address(0, MAX_STEPS + 1)] {
            let error = function(&logged(address), "/lib/libssl.so.3").unwrap_err().to_string();
            assert!(
                error.contains("/lib/libssl.so.3") && error.contains("nss_keylog_int"),
                "{error}"
            );
        }
    }

    #[test]
    fn steps_are_where_the_programs_look_for_them() {
        let bytes =
            function(&logged(Address { argument: 1, steps: vec![0x30, 0x160] }), "").unwrap();
        assert_eq!(bytes[..6], [0, 4, 5, 0, 1, 2]);
        assert_eq!(bytes[8..12], 0x30_u32.to_ne_bytes());
        assert_eq!(bytes[12..16], 0x160_u32.to_ne_bytes());
    }
}
