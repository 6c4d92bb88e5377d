//! From a file that carries TLS to what is probed in it.

use crate::keys;
use anyhow::{Context as _, bail};
use discover::Candidate;
use event::Library;
use probe::keys::KeyFunction;
use probe::tls::{Exit, Function, Layout, Operation, ResultStyle};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use target::{Analysis, Interface, Object, Op, Placement};

/// One library: what it is, what to probe, and how it was found out.
pub(crate) struct Planned {
    pub(crate) file: File,
    pub(crate) library: Library,
    pub(crate) layout: Layout,
    pub(crate) functions: Vec<Function>,
    pub(crate) analysis: Analysis,
    pub(crate) bio: Option<target::BioLayout>,
    pub(crate) version: Option<String>,
    /// The probes for secrets, or why there are none.
    pub(crate) keys: Result<Vec<KeyFunction>, String>,
}

/// What is to be found out about a library.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) interface: Interface,
    pub(crate) placement: Placement,
    pub(crate) text: bool,
    pub(crate) keys: bool,
    /// What the user says that the library is.
    pub(crate) version: Option<String>,
}

/// As [`plan`]; a file in which nothing can be probed is an error.
pub(crate) fn plan_to_attach(
    candidate: Candidate,
    wanted: &Wanted,
) -> anyhow::Result<Box<Planned>> {
    let planned = plan(candidate, wanted)?;
    if wanted.text && planned.functions.is_empty() {
        bail!(
            "{}: none of its functions can be probed: {}",
            planned.library.path,
            planned.analysis.notes.join("; ")
        );
    }
    Ok(Box::new(planned))
}

/// Analyses `candidate`, and the libcrypto it works with.
pub(crate) fn plan(candidate: Candidate, wanted: &Wanted) -> anyhow::Result<Planned> {
    let interface = wanted.interface;
    let candidate = match interface {
        Interface::Nss => beside_nspr(&candidate).unwrap_or(candidate),
        Interface::OpenSsl | Interface::GnuTls => candidate,
    };
    let path = candidate.path.display().to_string();
    let bytes = read(&candidate.file).with_context(|| format!("cannot read {path}"))?;
    let options = target::Options {
        placement: wanted.placement,
        avoid_uretprobe: doctor::return_probes_can_kill(),
        keys: wanted.keys,
    };
    let mut analysis = interface.analyze(&bytes, options).with_context(|| path.clone())?;
    if let (true, Some(version)) = (wanted.keys, &wanted.version) {
        keys::check_version(&mut analysis, &bytes, version, &path);
    }
    let mut version = analysis.version.clone();
    let mut bio = analysis.bio_layout.clone();
    drop(bytes);
    if interface == Interface::OpenSsl
        && (bio.is_none() || version.is_none())
        && let Some(crypto) = libcrypto(&candidate, &analysis)
    {
        bio = bio.or_else(|| target::libcrypto_layout(&crypto));
        version = version.or_else(|| target::version_string(&crypto));
    }
    let layout = Layout {
        ssl_rbio: analysis.ssl_layout.as_ref().map(|layout| layout.rbio),
        ssl_wbio: analysis.ssl_layout.as_ref().map(|layout| layout.wbio),
        bio_num: bio.as_ref().map(|layout| layout.num),
        descriptor: analysis.transport.as_ref().map(|transport| transport.descriptor),
    };
    let object = match analysis.object {
        Object::Argument => 0,
        Object::Behind(offset) => offset,
    };
    Ok(Planned {
        library: Library { path, build_id: analysis.build_id.clone() },
        functions: analysis.functions.iter().map(|plan| function(plan, object)).collect(),
        file: candidate.file,
        layout,
        keys: keys::functions(&analysis, options.avoid_uretprobe),
        analysis,
        bio,
        version,
    })
}

/// Who names NSPR, as other tools want it, means the library beside it, which has the TLS layer.
fn beside_nspr(candidate: &Candidate) -> Option<Candidate> {
    let name = candidate.path.file_name()?.to_str()?;
    let beside = candidate.path.with_file_name("libssl3.so");
    name.starts_with("libnspr4.so").then(|| discover::given(&beside).ok()).flatten()
}

/// The bytes of the libcrypto that goes with the library, if there is one.
fn libcrypto(candidate: &Candidate, analysis: &Analysis) -> Option<Vec<u8>> {
    let soname = analysis.needed.iter().find(|name| name.starts_with("libcrypto"))?;
    let pid = candidate.pids.first().copied();
    let found = discover::companion(pid, &candidate.path, OsStr::new(soname)).ok()??;
    read(&found.file).ok()
}

pub(crate) fn read(file: &File) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let mut at = 0;
    // The file may shrink meanwhile.
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

fn function(plan: &target::FunctionPlan, object: u8) -> Function {
    Function {
        name: plan.name.clone(),
        operation: match plan.op {
            Op::Read => Operation::Read,
            Op::Write => Operation::Write,
            Op::Peek => Operation::Peek,
            Op::Sendfile => Operation::Sendfile,
            Op::Free => Operation::Free,
            Op::Clear => Operation::Clear,
            Op::SetFd | Op::SetRfd | Op::SetWfd => Operation::SetFd,
            Op::Discard => Operation::Discard,
        },
        object,
        result: match plan.result {
            target::ResultStyle::OutParam { arg } => ResultStyle::Argument(arg),
            target::ResultStyle::Resumable => ResultStyle::Resumable,
            target::ResultStyle::UnlessPeek => ResultStyle::UnlessPeek,
            target::ResultStyle::Packet => ResultStyle::Packet,
            target::ResultStyle::CountedBefore => ResultStyle::CountedBefore,
            target::ResultStyle::ReturnValue { .. } | target::ResultStyle::None => {
                ResultStyle::ReturnValue
            }
        },
        entry: plan.entry.file_offset,
        exit: match &plan.exit {
            target::Exit::Uretprobe => Exit::Uretprobe,
            target::Exit::Sites(sites) => {
                Exit::Sites(sites.iter().map(|site| site.file_offset).collect())
            }
            target::Exit::NotNeeded => Exit::None,
        },
    }
}
