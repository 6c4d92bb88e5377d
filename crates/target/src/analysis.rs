//! Everything that is known about one file: who it says it is, where to put probes, which
//! offsets hold.

use crate::api::OPENSSL;
use crate::elf::Machine;
use crate::family::{Family, family, tell_tales, version_string};
use crate::gnutls::Transport;
use crate::image::Image;
use crate::keys::{self, KeyPlan};
use crate::layout::{BioLayout, SSL_ACCESSORS, SslLayout, bio_layout, ssl_layout};
use crate::site::{FunctionPlan, Object, Options, Placement, Planner};
use crate::{Error, layout};
use serde::Serialize;

/// The result of [`analyze`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Instruction set.
    pub machine: Machine,
    /// GNU build-id, lower-case hex.
    pub build_id: Option<String>,
    /// Version by the strings in this file; libssl from OpenSSL 1.1.0 on has none, its libcrypto
    /// does: see [`version_string`].
    pub version: Option<String>,
    /// Implementation.
    pub family: Family,
    /// The probes.
    pub functions: Vec<FunctionPlan>,
    /// Offsets in the TLS object.
    pub ssl_layout: Option<SslLayout>,
    /// Offsets in a BIO, if this file carries libcrypto too; else ask [`libcrypto_layout`] of
    /// the libcrypto that it needs.
    ///
    /// [`libcrypto_layout`]: crate::libcrypto_layout
    pub bio_layout: Option<BioLayout>,
    /// Where a `GnuTLS` session keeps its descriptor.
    pub transport: Option<Transport>,
    /// Where each function's object is.
    pub object: Object,
    /// Where the secrets pass, if that was asked for and could be found.
    pub keys: Option<KeyPlan>,
    /// Why there are no keys, if they were asked for.
    pub keys_refused: Option<String>,
    /// `DT_NEEDED`: file names of the libraries it is linked with.
    pub needed: Vec<String>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// What could not be done, and why.
    pub notes: Vec<String>,
}

/// Analyses the bytes of a libssl, or of a program that links one statically.
pub fn analyze(bytes: &[u8], placement: Placement) -> Result<Analysis, Error> {
    analyze_with(bytes, Options { placement, ..Options::default() })
}

/// As [`analyze`], for a kernel on which some placements must be avoided.
pub fn analyze_with(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let names: Vec<&str> = OPENSSL
        .functions
        .iter()
        .map(|function| function.name)
        .chain(SSL_ACCESSORS)
        .chain(layout::BIO_ACCESSORS)
        .chain(tell_tales())
        .chain(options.keys.then(keys::names).into_iter().flatten())
        .collect();
    let image = Image::new(bytes, &names)?;
    let carries = |name| !image.definitions(name).is_empty();
    if !carries("SSL_read") && !carries("SSL_write") {
        return keys_only(&image, bytes, options).ok_or(Error::NoTlsFunctions);
    }
    let (functions, mut notes) = Planner::new(&image, &OPENSSL, options).plan();
    let version = version_string(bytes);
    let (mut ssl, mut bio) = (None, None);
    if image.elf.machine == Machine::X86_64 {
        match ssl_layout(&image) {
            Ok(layout) => ssl = Some(layout),
            Err(reason) => notes.push(format!("no TLS object layout: {reason}")),
        }
        if layout::BIO_ACCESSORS.iter().any(|name| carries(name)) {
            match bio_layout(&image) {
                Ok(layout) => bio = Some(layout),
                Err(reason) => notes.push(format!("no BIO layout: {reason}")),
            }
        }
    } else {
        notes.push("accessors are decoded on x86-64 only: no layouts".to_owned());
    }
    let (keys, keys_refused) = find_keys(&image, options);
    Ok(Analysis {
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        family: family(&image, version.as_deref()),
        version,
        functions,
        ssl_layout: ssl,
        bio_layout: bio,
        transport: None,
        object: Object::Argument,
        keys,
        keys_refused,
        needed: image.dynamic.needed(&image.elf),
        soname: image.dynamic.soname(&image.elf),
        notes,
    })
}

/// What there is to a program whose symbols were stripped: secrets are found without them.
fn keys_only(image: &Image<'_>, bytes: &[u8], options: Options) -> Option<Analysis> {
    let version = version_string(bytes);
    let family = family(image, version.as_deref());
    let mut analysis = Analysis::new(image, family, version, options);
    analysis.notes.push("no symbols of TLS functions: no plaintext, only keys".to_owned());
    analysis.keys.is_some().then_some(analysis)
}

impl Analysis {
    /// What is the same for every interface.
    pub(crate) fn new(
        image: &Image<'_>,
        family: Family,
        version: Option<String>,
        options: Options,
    ) -> Self {
        let (keys, keys_refused) = find_keys(image, options);
        Self {
            machine: image.elf.machine,
            build_id: image.elf.build_id(),
            version,
            family,
            functions: Vec::new(),
            ssl_layout: None,
            bio_layout: None,
            transport: None,
            object: Object::Argument,
            keys,
            keys_refused,
            needed: image.dynamic.needed(&image.elf),
            soname: image.dynamic.soname(&image.elf),
            notes: Vec::new(),
        }
    }
}

/// The keys, if they are asked for, or why there are none.
fn find_keys(image: &Image<'_>, options: Options) -> (Option<KeyPlan>, Option<String>) {
    match options.keys.then(|| keys::keys_of(image)) {
        Some(Ok(plan)) => (Some(plan), None),
        Some(Err(reason)) => (None, Some(reason.to_string())),
        None => (None, None),
    }
}
