//! From what was found out about a library's secrets to the probes for them.

use probe::keys::{Address, KeyFunction, Source};
use target::{Analysis, KeyLabel, KeyProbe, KeySource, Site};

/// The probes for the library's secrets, or why there are none.
pub(crate) fn functions(
    analysis: &Analysis,
    avoid_uretprobe: bool,
) -> Result<Vec<KeyFunction>, String> {
    let Some(plan) = &analysis.keys else {
        return Err(analysis.keys_refused.clone().unwrap_or_else(|| "not looked for".to_owned()));
    };
    plan.probes.iter().map(|probe| function(probe, &plan.labels, avoid_uretprobe)).collect()
}

/// Takes the user's word for the library's version, as far as the library itself agrees: what was found
/// without it is believed rather.
pub(crate) fn check_version(analysis: &mut Analysis, bytes: &[u8], version: &str, path: &str) {
    match (target::keys_for_version(bytes, version), &analysis.keys) {
        (Ok(plan), None) => analysis.keys = Some(plan),
        (Ok(_), Some(_)) => {}
        (Err(error), None) => analysis.keys_refused = Some(error.to_string()),
        (Err(error), Some(_)) => {
            tracing::warn!("{path}: --ssl_version is not needed, and does not fit: {error}");
        }
    }
}

/// How far from a probe's site labels are.
pub(crate) fn label_places(labels: &[KeyLabel], entry: &Site) -> Vec<(i64, &'static str)> {
    labels
        .iter()
        .map(|label| (label.vaddr.wrapping_sub(entry.vaddr).cast_signed(), label.text))
        .collect()
}

fn function(
    probe: &KeyProbe,
    labels: &[KeyLabel],
    avoid_uretprobe: bool,
) -> Result<KeyFunction, String> {
    let source = match &probe.source {
        KeySource::Logged { label, client_random, secret, secret_len } => Source::Logged {
            label: *label,
            client_random: address(client_random),
            secret: *secret,
            secret_len: *secret_len,
        },
        KeySource::MasterKey { .. } if avoid_uretprobe => {
            return Err("its keys are seen when a handshake returns, and on this kernel return \
                        probes can kill programs with a seccomp filter"
                .to_owned());
        }
        KeySource::MasterKey { client_random, length: (length, width), key, version } => {
            Source::MasterKey {
                client_random: address(client_random),
                length: address(length),
                length_width: *width,
                key: address(key),
                version: address(version),
            }
        }
    };
    Ok(KeyFunction {
        name: probe.name.clone(),
        entry: probe.entry.file_offset,
        source,
        labels: label_places(labels, &probe.entry),
    })
}

fn address(address: &target::Address) -> Address {
    Address { argument: address.argument, steps: address.steps.clone() }
}
