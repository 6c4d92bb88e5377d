//! Where TLS secrets pass through registers.

mod accessor;
pub(crate) mod bounds;
mod error;
mod flow;
mod known;
pub(crate) mod label;
mod logged;
mod machine;
mod master;
mod pointers;
mod reference;
mod sink;
#[cfg(test)]
pub(crate) mod tests;

pub use error::KeyError;
pub use label::KeyLabel;
#[cfg(test)]
pub(crate) use label::LABELS;

use crate::image::Image;
use crate::site::{Site, first_site};
use accessor::Accessors;
use bounds::Bounds;
use flow::{Budget, Tracer};
use label::Labels;
use serde::Serialize;

/// The functions whose symbols are of use, where there are symbols.
const ACCESSORS: [&str; 8] = [
    "SSL_get_client_random",
    "SSL_get_SSL_CTX",
    "SSL_CTX_get_keylog_callback",
    "SSL_get_session",
    "SSL_SESSION_get_master_key",
    "SSL_version",
    "gnutls_session_get_random",
    logged::NSS,
];

/// How to get the secrets of one library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPlan {
    /// The probes.
    pub probes: Vec<KeyProbe>,
    /// Why this is believed, one step of the derivation each, for people.
    pub evidence: Vec<String>,
    /// Where the labels are: a program that does not log never touches them, so that they need not
    /// be in memory when a probe wants to read one.
    #[serde(skip)]
    pub labels: Vec<KeyLabel>,
}

/// One function that sees secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyProbe {
    /// Its name in the library's source; it need not have a symbol.
    pub name: String,
    /// Where the probe goes.
    pub entry: Site,
    /// What to read there.
    pub source: KeySource,
}

/// What a probe reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum KeySource {
    /// At the entry, everything is in the arguments. Numbers are those of integer arguments, from 0.
    Logged {
        /// The argument that points at the label, a C string.
        label: u8,
        /// Where the 32 bytes of the client random are.
        client_random: Address,
        /// The argument that points at the secret.
        secret: u8,
        /// The argument that holds the secret's length in bytes.
        secret_len: u8,
    },
    /// After the function returned a positive `int` (a handshake succeeded): TLS 1.2's master key out
    /// of the session.
    MasterKey {
        /// The client random.
        client_random: Address,
        /// The address of a `size_t` or `unsigned int` with the key's length, and its width in bytes.
        length: (Address, u8),
        /// The key.
        key: Address,
        /// The 32-bit protocol version; only below 0x0304 is there a `CLIENT_RANDOM`.
        version: Address,
    },
}

/// An address reached from an argument: for each step but the last the pointer at `address + step` is
/// loaded; the last step is only added. `[]` is the argument itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The argument, from 0.
    pub argument: u8,
    /// Byte offsets.
    pub steps: Vec<u32>,
}

/// The names to look up for [`keys_of`].
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ACCESSORS.into_iter().chain(master::NAMES)
}

/// Where the secrets of the library or program in `bytes` pass through registers.
///
/// Works on the file as its loader sees it: neither symbols nor section headers are needed,
/// where they are there they are used to check what was found.
pub fn keys(bytes: &[u8]) -> Result<KeyPlan, KeyError> {
    let names: Vec<&str> = names().collect();
    let image = Image::new(bytes, &names)?;
    keys_of(&image)
}

/// As [`keys`], for a library of which the user says which version it is, as on the command line:
/// `openssl 3.0.12`, `boringssl_a_14`.
///
/// What the library itself shows must agree with that version; what it does not show is taken from
/// the version's known layout.
pub fn keys_for_version(bytes: &[u8], version: &str) -> Result<KeyPlan, KeyError> {
    let layout = known::layout_of(version)?;
    let names: Vec<&str> = names().collect();
    let image = Image::new(bytes, &names)?;
    let search = Search::new(&image);
    let accessors = search.accessors();
    let checked = layout.check(&accessors, version)?;
    if let Some(found) = crate::family::version_string(bytes)
        && !known::same_family(version, &found)
    {
        let what = format!("it says it is {found}");
        return Err(KeyError::OtherVersion { version: version.to_owned(), what });
    }
    let plan = match search.plan() {
        Ok(plan) => plan,
        Err(_) if layout.logs() => search.plan_with(&layout.client_random(), version)?,
        Err(_) => master::plan_with(&accessors, layout, version)?,
    };
    let same = plan.probes.iter().all(|probe| layout.allows(&probe.source));
    if !same {
        let what = "the function that logs secrets reads another client random".to_owned();
        return Err(KeyError::OtherVersion { version: version.to_owned(), what });
    }
    Ok(KeyPlan { evidence: plan.evidence.into_iter().chain(checked).collect(), ..plan })
}

/// As [`keys`], in an image in which [`names`] have been looked up.
pub(crate) fn keys_of(image: &Image<'_>) -> Result<KeyPlan, KeyError> {
    Search::new(image).plan()
}

/// One file being searched.
struct Search<'i, 'a> {
    image: &'i Image<'a>,
    labels: Labels,
    bounds: Bounds<'i, 'a>,
    budget: Budget,
}

impl<'i, 'a> Search<'i, 'a> {
    fn new(image: &'i Image<'a>) -> Self {
        let labels = Labels::find(&image.elf, &image.dynamic);
        Self { image, labels, bounds: Bounds::new(image), budget: Budget::default() }
    }

    fn accessors(&self) -> Accessors<'_, 'a> {
        let (labels, budget) = (&self.labels, &self.budget);
        Accessors { tracer: Tracer { image: self.image, labels, budget }, bounds: &self.bounds }
    }

    fn plan(&self) -> Result<KeyPlan, KeyError> {
        let accessors = self.accessors();
        let sinks = sink::sinks(&accessors);
        if sinks.is_empty() {
            return master::plan(&accessors).or_else(|reason| {
                // What there are labels for is a library that logs.
                logged::candidates(&sinks, self.labels.all()).and(Err(reason))
            });
        }
        let mut refused = None;
        for (function, argument, sink) in logged::candidates(&sinks, self.labels.all())? {
            match logged::understand(&accessors, function, argument, sink) {
                Ok(logged) => return self.probe(logged),
                // One that is further in may be what the labels are for.
                Err(error @ KeyError::Shape(_)) => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| KeyError::NoSink("no call takes one".to_owned())))
    }

    /// The plan for a function that all labels reach and that takes a TLS object first, where it
    /// could not be understood further.
    fn plan_with(&self, client_random: &Address, version: &str) -> Result<KeyPlan, KeyError> {
        let accessors = self.accessors();
        let sinks = sink::sinks(&accessors);
        let candidates = logged::candidates(&sinks, self.labels.all())?;
        let of_object = candidates.iter().find(|(_, argument, _)| *argument == 1);
        let (function, argument, sink) =
            of_object.ok_or_else(|| KeyError::NoSink("none takes a TLS object".to_owned()))?;
        let logged =
            logged::believe(&accessors, *function, *argument, sink, client_random, version)?;
        self.probe(logged)
    }

    fn probe(&self, logged: logged::Logged) -> Result<KeyPlan, KeyError> {
        let start = logged.function;
        let entry = first_site(self.image, start)
            .ok_or_else(|| KeyError::Shape(format!("there is no code at {start:#x}")))?;
        Ok(KeyPlan {
            probes: vec![KeyProbe { name: logged.name.to_owned(), entry, source: logged.source }],
            evidence: logged.evidence,
            labels: self.labels.places(),
        })
    }
}
