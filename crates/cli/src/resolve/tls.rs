//! The modules for TLS libraries: which outputs are wanted, and whether the flags for each fit.

use super::{Errors, capture, global, is_empty, notes};
use crate::args::{GlobalArgs, GnutlsArgs, GotlsArgs, LibraryArgs, NsprArgs, TlsArgs};
use crate::config::{PacketConfig, Place, Rotate, TlsConfig, TlsFamily};
use crate::{CaptureMode, Exit};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

const PCAP_FILE: &str = "save.pcapng";
const MEGABYTE: u64 = 1_000_000;

pub(super) fn openssl(
    args: TlsArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<TlsConfig, Exit> {
    let version = args.ssl_version.filter(|version| !version.is_empty());
    library(TlsFamily::OpenSsl, args.libssl, version, args.library, before, errors)
}

pub(super) fn go(
    args: GotlsArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<TlsConfig, Exit> {
    library(TlsFamily::Go, args.elfpath, None, args.library, before, errors)
}

pub(super) fn gnutls(
    args: GnutlsArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<TlsConfig, Exit> {
    let version = args.ssl_version.is_some_and(|version| !version.is_empty());
    let mut config = library(TlsFamily::GnuTls, args.gnutls, None, args.library, before, errors)?;
    if version {
        config.notes.push(
            "--ssl_version is not needed for GnuTLS: its keys are found by themselves".to_owned(),
        );
    }
    Ok(config)
}

pub(super) fn nss(
    args: NsprArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<TlsConfig, Exit> {
    library(TlsFamily::Nss, args.nspr, None, args.library, before, errors)
}

fn library(
    family: TlsFamily,
    files: Vec<PathBuf>,
    ssl_version: Option<String>,
    args: LibraryArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<TlsConfig, Exit> {
    let wants = |mode| args.model.contains(&mode);
    let (text, pcap) = (wants(CaptureMode::Text), wants(CaptureMode::Pcap));
    refuse_flags_of_other_modes(&args, errors)?;
    if ssl_version.is_some() && !pcap && !wants(CaptureMode::Keylog) {
        return Err(errors.conflict(
            "the argument '--ssl_version' goes with --model keylog or pcap only: \
             plaintext needs no version",
        ));
    }
    // With packets, a key log that is named is wanted too.
    let keylog = (wants(CaptureMode::Keylog) || args.keylogfile.is_some())
        .then(|| place(args.keylogfile.as_deref(), default_keylog(family)));
    let packets = pcap.then(|| packets(&args));
    let notes = notes(&args.capture);
    let global = global(before, args.global, errors)?;
    let capture = capture(args.capture, &global, errors)?;

    let mut on_stdout = Vec::new();
    if text && capture.stdout {
        on_stdout.push("plaintext (see --output)");
    }
    if keylog == Some(Place::Stdout) {
        on_stdout.push("keys (--keylogfile -)");
    }
    if packets.as_ref().is_some_and(|packets| packets.place == Place::Stdout) {
        on_stdout.push("packets (--pcapfile -)");
    }
    if on_stdout.len() > 1 {
        return Err(errors.conflict(&format!(
            "only one of these can go to standard output: {}",
            on_stdout.join(", ")
        )));
    }
    if !text && capture.output.is_some() {
        return Err(errors.conflict(
            "the argument '--output' goes with --model text only; \
             keys go to --keylogfile, packets to --pcapfile",
        ));
    }
    let har = args.har.filter(|path| !is_empty(path));
    if har.is_some() && (!text || args.no_parse) {
        return Err(errors.conflict(
            "the argument '--har' goes with --model text and without --no-parse: \
             it is made of parsed HTTP",
        ));
    }
    Ok(TlsConfig {
        global,
        capture,
        family,
        files: files.into_iter().filter(|path| !is_empty(path)).collect(),
        parse: !args.no_parse,
        har,
        placement: args.placement,
        text,
        keylog,
        packets,
        ssl_version,
        notes,
    })
}

fn refuse_flags_of_other_modes(args: &LibraryArgs, errors: &mut Errors<'_>) -> Result<(), Exit> {
    let pcap = args.model.contains(&CaptureMode::Pcap);
    if !args.filter.is_empty() && !pcap {
        let words = args.filter.join(" ");
        return Err(errors.conflict(&format!(
            "unexpected argument '{words}': a packet filter goes with --model pcap only; \
             to run a program and capture it, put -- before it"
        )));
    }
    let of_packets = [
        ("--pcapfile", args.pcapfile.as_deref().is_some_and(|path| !is_empty(path))),
        ("--ifname", args.ifname.iter().any(|name| !name.is_empty())),
        ("--snaplen", args.snaplen.is_some()),
        ("--pcap-rotate-size", args.pcap_rotate_size.is_some()),
        ("--pcap-rotate-time", args.pcap_rotate_time.is_some()),
        ("--pcap-keep", args.pcap_keep.is_some()),
    ];
    if let Some((flag, _)) = of_packets.iter().find(|(_, given)| *given && !pcap) {
        return Err(errors.conflict(&format!("the argument '{flag}' goes with --model pcap only")));
    }
    let keys = pcap || args.model.contains(&CaptureMode::Keylog);
    if args.keylogfile.as_deref().is_some_and(|path| !is_empty(path)) && !keys {
        return Err(
            errors.conflict("the argument '--keylogfile' goes with --model keylog (or pcap) only")
        );
    }
    let rotates = args.pcap_rotate_size.is_some() || args.pcap_rotate_time.is_some();
    if args.pcap_keep.is_some() && !rotates {
        return Err(errors.conflict(
            "the argument '--pcap-keep' goes with --pcap-rotate-size or --pcap-rotate-time",
        ));
    }
    if rotates && args.pcapfile.as_deref() == Some(Path::new("-")) {
        return Err(errors.conflict("standard output cannot be rotated: give a file to --pcapfile"));
    }
    Ok(())
}

fn packets(args: &LibraryArgs) -> PacketConfig {
    let mut interfaces: Vec<String> =
        args.ifname.iter().filter(|name| !name.is_empty()).cloned().collect();
    if interfaces.iter().any(|name| name == "any") {
        interfaces.clear();
    }
    interfaces.sort();
    interfaces.dedup();
    let filter = args.filter.join(" ");
    PacketConfig {
        place: place(args.pcapfile.as_deref(), PCAP_FILE),
        interfaces,
        filter: (!filter.trim().is_empty()).then_some(filter),
        snaplen: args.snaplen.and_then(NonZeroU32::new),
        rotate: Rotate {
            bytes: args
                .pcap_rotate_size
                .map(|size| NonZeroU64::new(size.get().saturating_mul(MEGABYTE)).unwrap_or(size)),
            time: args.pcap_rotate_time,
            keep: args.pcap_keep,
        },
    }
}

fn place(given: Option<&Path>, default: &str) -> Place {
    match given.filter(|path| !is_empty(path)) {
        Some(path) if path == Path::new("-") => Place::Stdout,
        Some(path) => Place::File(path.to_owned()),
        None => Place::File(PathBuf::from(default)),
    }
}

fn default_keylog(family: TlsFamily) -> &'static str {
    match family {
        TlsFamily::OpenSsl => "ecapture_openssl_key.log",
        TlsFamily::Go => "ecapture_gotls_key.log",
        TlsFamily::GnuTls => "ecapture_gnutls_key.log",
        TlsFamily::Nss => "ecapture_nss_key.log",
    }
}
