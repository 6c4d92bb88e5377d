//! What this host says of itself: read once, judged elsewhere, so that the judging can be tested
//! with any host's facts.

use crate::version::Version;
use discover::process;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What this host says of itself. `None`: it doesn't say, or not to us.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) release: String,
    pub(crate) build: String,
    pub(crate) machine: String,
    pub(crate) version: Option<Version>,
    /// `/sys/kernel/btf/vmlinux`.
    pub(crate) types: Types,
    /// Names that the kernel's types hold, among those asked for.
    /// `/sys/kernel/debug/sched/preempt`, such as `none (voluntary) full lazy`.
    pub(crate) preempt_debug: Option<String>,
    pub(crate) command_line: String,
    /// The kernel's build configuration.
    pub(crate) configuration: Option<String>,
    /// Effective capabilities.
    pub(crate) capabilities: u64,
    pub(crate) effective_uid: Option<u32>,
    /// `/sys/kernel/security/lockdown`.
    pub(crate) lockdown: Option<String>,
    pub(crate) unprivileged_bpf_disabled: Option<i32>,
    pub(crate) perf_event_paranoid: Option<i32>,
    /// `/proc/self/limits`.
    pub(crate) limits: String,
    /// `/proc/self/mounts`.
    pub(crate) mounts: String,
    pub(crate) pid_namespace: Option<u64>,
    pub(crate) user_namespace: Option<u64>,
    pub(crate) container: Option<String>,
}

/// The state of the kernel's type information.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Types {
    #[default]
    None,
    Unreadable(String),
    Broken,
    Present {
        len: usize,
    },
}

impl Facts {
    pub(crate) fn gather() -> Self {
        let name = rustix::system::uname();
        let release = name.release().to_string_lossy().into_owned();
        let build = name.version().to_string_lossy().into_owned();
        let own = process::status(std::process::id());
        let types = kernel_types();
        Self {
            version: kernel_version(),
            machine: name.machine().to_string_lossy().into_owned(),
            types,
            preempt_debug: text("/sys/kernel/debug/sched/preempt"),
            command_line: text("/proc/cmdline").unwrap_or_default(),
            configuration: configuration(&release),
            capabilities: own.as_ref().map_or(0, |own| own.capabilities),
            effective_uid: own.map(|own| own.effective_uid),
            lockdown: text("/sys/kernel/security/lockdown"),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            limits: text("/proc/self/limits").unwrap_or_default(),
            mounts: text("/proc/self/mounts").unwrap_or_default(),
            pid_namespace: namespace("/proc/self/ns/pid"),
            user_namespace: namespace("/proc/self/ns/user"),
            container: process::cgroup(std::process::id())
                .and_then(|cgroup| process::container_id(&cgroup).map(str::to_owned)),
            release,
            build,
        }
    }

    /// True if the kernel is at least this new. A kernel of unknown version isn't.
    pub(crate) fn is_at_least(&self, version: Version) -> bool {
        self.version.is_some_and(|own| own >= version)
    }
}

fn text(path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

fn number(path: &str) -> Option<i32> {
    text(path)?.trim().parse().ok()
}

fn namespace(path: &str) -> Option<u64> {
    let name = fs::read_link(path).ok()?;
    name.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// The version of the running kernel.
pub(crate) fn kernel_version() -> Option<Version> {
    let name = rustix::system::uname();
    let signature = text("/proc/version_signature");
    Version::of_kernel(
        &name.release().to_string_lossy(),
        &name.version().to_string_lossy(),
        signature.as_deref(),
    )
}

/// The kernel's description of its types.
fn kernel_types() -> Types {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    const MAGIC: [u8; 2] = 0xeb9f_u16.to_le_bytes();
    match fs::read(PATH) {
        Ok(types) if types.starts_with(&MAGIC) => Types::Present { len: types.len() },
        Ok(_) => Types::Broken,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Types::None,
        Err(error) => Types::Unreadable(error.to_string()),
    }
}

/// `/proc/config.gz`, else the file that distributions install.
fn configuration(release: &str) -> Option<String> {
    /// A kernel's configuration is some 300 KiB.
    const MAX_LEN: u64 = 8 << 20;
    let mut configuration = String::new();
    if let Ok(file) = File::open("/proc/config.gz") {
        let reader = flate2::read::GzDecoder::new(file).take(MAX_LEN);
        std::io::BufReader::new(reader).read_to_string(&mut configuration).ok()?;
        return Some(configuration);
    }
    let file = File::open(Path::new("/boot").join(format!("config-{release}"))).ok()?;
    file.take(MAX_LEN).read_to_string(&mut configuration).ok()?;
    Some(configuration)
}
