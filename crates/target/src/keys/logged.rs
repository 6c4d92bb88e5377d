//! What a function that gets the labels does with its other arguments: where it finds the client
//! random, the secret and the secret's length.

use super::accessor::{Accessors, one};
use super::error::KeyError;
use super::flow::{Access, Assumed, Call, Known, Path, Trace};
use super::label::{NEEDED, names};
use super::sink::{Sink, Sinks};
use super::{Address, KeySource};
use std::fmt::Write;

/// A client random's length.
const RANDOM: u64 = 32;

/// Exported by NSS's libssl3 and by nothing else.
pub(crate) const NSS: &str = "SSL_ImportFD";

/// What is known of a function that logs secrets.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) function: u64,
    pub(crate) name: &'static str,
    pub(crate) source: KeySource,
    pub(crate) evidence: Vec<String>,
}

/// The functions that every needed label reaches, the ones nearest to where labels are loaded
/// first: a compiler may move the test for a callback out of an inner one.
pub(crate) fn candidates(sinks: &Sinks, present: u32) -> Result<Vec<(u64, u8, &Sink)>, KeyError> {
    let needed = NEEDED & present;
    let mut found: Vec<_> = sinks
        .iter()
        .filter(|(_, sink)| sink.labels & needed == needed)
        .map(|(&(function, argument), sink)| (function, argument, sink))
        .collect();
    found.sort_by_key(|(_, _, sink)| sink.behind.is_some());
    if !found.is_empty() || present & NEEDED == 0 {
        return Ok(found);
    }
    let best = sinks.iter().max_by_key(|(_, sink)| (sink.labels & needed).count_ones());
    Err(KeyError::NoSink(best.map_or_else(
        || format!("{} are in its data, but no call takes one", names(present)),
        |((function, argument), sink)| {
            format!(
                "argument {argument} of the function at {function:#x} gets {}, but not {}",
                names(sink.labels),
                names(needed & !sink.labels)
            )
        },
    )))
}

/// Understands one candidate.
pub(crate) fn understand(
    accessors: &Accessors<'_, '_>,
    function: u64,
    label: u8,
    sink: &Sink,
) -> Result<Logged, KeyError> {
    let range = accessors
        .bounds
        .around(function)
        .filter(|range| range.start == function)
        .ok_or_else(|| KeyError::Shape(format!("nothing says where {function:#x} ends")))?;
    let trace = accessors
        .tracer
        .trace(&range, Assumed::default())
        .ok_or_else(|| KeyError::Shape(format!("{function:#x} is too large to follow")))?;
    let mut evidence = vec![reached(function, label, sink)];
    callback_is_tested_inside(accessors, function, sink, &trace, &mut evidence)?;
    if let Some(found) = random_argument(label, sink) {
        evidence.push(format!(
            "each call hands it 32 as argument {}: the length of the client random before it",
            found.client_random.argument + 1
        ));
        return Ok(Logged { function, name: "nss_keylog_int", source: found.into(), evidence });
    }
    if let Some(found) = handed_over(label, &trace, accessors, &mut evidence)? {
        let name = "_gnutls_call_keylog_func";
        return Ok(Logged { function, name, source: found.into(), evidence });
    }
    let found = passed_on(label, &trace, &mut evidence)
        .or_else(|| written_out(label, &trace, &mut evidence))
        .ok_or_else(|| not_understood(accessors, function))?;
    agrees_with_accessor(accessors, &found.client_random, &mut evidence)?;
    Ok(Logged { function, name: "ssl_log_secret", source: found.into(), evidence })
}

fn reached(function: u64, label: u8, sink: &Sink) -> String {
    format!(
        "{} labels reach the function at {function:#x} as argument {label}, by {} calls: {}",
        sink.labels.count_ones(),
        sink.calls.len(),
        names(sink.labels)
    )
}

/// Takes a candidate as `ssl_log_secret(ssl, label, secret, length)`, with the client random where
/// it is known to be.
pub(crate) fn believe(
    accessors: &Accessors<'_, '_>,
    function: u64,
    label: u8,
    sink: &Sink,
    client_random: &Address,
    version: &str,
) -> Result<Logged, KeyError> {
    let mut evidence = vec![reached(function, label, sink)];
    callback_is_tested_inside(accessors, function, sink, &Trace::default(), &mut evidence)?;
    evidence.push(format!("the client random is where {version} has it, as was asked for"));
    let source = KeySource::Logged {
        label,
        client_random: client_random.clone(),
        secret: label + 1,
        secret_len: label + 2,
    };
    Ok(Logged { function, name: "ssl_log_secret", source, evidence })
}

fn not_understood(accessors: &Accessors<'_, '_>, function: u64) -> KeyError {
    if accessors.range(NSS).is_some() {
        return KeyError::Shape(format!(
            "{function:#x} is ssl3_RecordKeyLog of NSS, which takes a key object that need not \
             hold the key's bytes"
        ));
    }
    KeyError::Shape(format!(
        "{function:#x} neither passes label, 32 bytes of its object and a secret on, nor writes \
         them out"
    ))
}

/// The parts of [`KeySource::Logged`].
struct Found {
    label: u8,
    client_random: Path,
    secret: u8,
}

impl From<Found> for KeySource {
    fn from(found: Found) -> Self {
        Self::Logged {
            label: found.label,
            client_random: address(&found.client_random),
            secret: found.secret,
            secret_len: found.secret + 1,
        }
    }
}

/// A path as steps; a bare argument has none.
pub(crate) fn address(path: &Path) -> Address {
    let steps = if path.is_argument(path.argument) { &[] } else { path.steps() };
    Address {
        argument: path.argument,
        steps: steps.iter().filter_map(|&step| u32::try_from(step).ok()).collect(),
    }
}

/// True if every step of the path can be written as an [`Address`].
fn is_forward(path: &Path) -> bool {
    path.steps().iter().all(|&step| (0..0x1_0000).contains(&step))
}

/// `nss_keylog_int(label, ssl, client_random, 32, secret, secret_len)`, called directly.
fn random_argument(label: u8, sink: &Sink) -> Option<Found> {
    let lengths = |call: &Call| {
        let known = call.arguments.map(|value| value.known);
        known.iter().position(|&value| value == Known::Constant(RANDOM))
    };
    let at = one(sink.calls.iter().map(lengths)).flatten()?;
    let random = u8::try_from(at.checked_sub(1)?).ok()?;
    let secret = random + 2;
    (label < random && secret < 5).then(|| Found {
        label,
        client_random: Path::argument(random),
        secret,
    })
}

/// A call inside gets the label, 32 bytes of an object, and two more arguments as they are.
fn passed_on(label: u8, trace: &Trace, evidence: &mut Vec<String>) -> Option<Found> {
    let found = one(trace.calls.iter().filter_map(|call| {
        let known = call.arguments.map(|value| value.known);
        known.iter().position(|value| value.argument() == Some(label))?;
        let length = known.iter().position(|&value| value == Known::Constant(RANDOM))?;
        let random = known.get(length.checked_sub(1)?)?.path()?;
        let secret = known.get(length + 1)?.argument()?;
        let secret_len = known.get(length + 2)?.argument()?;
        let inside = random.argument != label && !random.is_argument(random.argument);
        (inside && is_forward(&random) && secret_len == secret + 1).then_some((random, secret))
    }))?;
    let (client_random, secret) = found;
    evidence.push(format!(
        "it passes the label, {} and 32, and its arguments {secret} and {} on to one function",
        show(&client_random),
        secret + 1
    ));
    Some(Found { label, client_random, secret })
}

/// GnuTLS: `_gnutls_call_keylog_func(session, label, data, size)` puts data and size into a datum
/// on its stack and calls what the session has for it. The client random is where
/// `gnutls_session_get_random` says.
fn handed_over(
    label: u8,
    trace: &Trace,
    accessors: &Accessors<'_, '_>,
    evidence: &mut Vec<String>,
) -> Result<Option<Found>, KeyError> {
    const NAME: &str = "gnutls_session_get_random";
    const DATUM_SIZE: i64 = 8;
    let stored = |at: i64, argument: u8| {
        trace.accesses.iter().any(|access| match access {
            Access::Store { address, value } => {
                *address == Known::Frame(at) && value.argument() == Some(argument)
            }
            Access::Load { .. } => false,
        })
    };
    let secret = label + 1;
    let datum = |call: &Call| {
        let known = call.arguments.map(|value| value.known);
        call.through.path().filter(|path| path.argument < label)?;
        known.iter().position(|value| value.argument() == Some(label))?;
        known.iter().find_map(|value| match *value {
            Known::Frame(at) => {
                (stored(at, secret) && stored(at + DATUM_SIZE, secret + 1)).then_some(())
            }
            _ => None,
        })
    };
    if !trace.calls.iter().any(|call| datum(call).is_some()) {
        return Ok(None);
    }
    let client_random = accessors.stored(NAME, 1).ok_or_else(|| {
        KeyError::Shape(format!(
            "{NAME}, which has the client random, is missing or not understood"
        ))
    })?;
    evidence.push(format!(
        "it calls what its object names with the label and its arguments {secret} and {} as a \
         datum; {NAME} has the client random at {}",
        secret + 1,
        show(&client_random)
    ));
    Ok(Some(Found { label, client_random, secret }))
}

/// It writes the line itself: 32 bytes of an object and a secret, through a function that takes
/// bytes and a length or in loops of its own.
fn written_out(label: u8, trace: &Trace, evidence: &mut Vec<String>) -> Option<Found> {
    let secret = label + 1;
    let handed = |call: &Call| {
        let known = call.arguments.map(|value| value.known);
        known.windows(2).find_map(|pair| match *pair {
            [Known::Path(random), Known::Constant(RANDOM)]
                if random.argument < label && !random.is_argument(random.argument) =>
            {
                Some(random)
            }
            _ => None,
        })
    };
    let pair = |call: &Call| {
        call.arguments.windows(2).any(|pair| match pair {
            [bytes, length] => {
                bytes.known.argument() == Some(secret)
                    && length.known.argument() == Some(secret + 1)
            }
            _ => false,
        })
    };
    if let Some(random) = one(trace.calls.iter().filter_map(handed))
        && is_forward(&random)
        && trace.calls.iter().any(pair)
    {
        evidence.push(format!(
            "it has {} written out as 32 bytes, and its arguments {secret} and {} as bytes and \
             their number",
            show(&random),
            secret + 1
        ));
        return Some(Found { label, client_random: random, secret });
    }
    let bytes: Vec<Path> = trace.accesses.iter().filter_map(byte_of).collect();
    let reads_secret = bytes.iter().any(|path| path.argument == secret);
    let tests_length = trace.tested.iter().any(|tested| tested.argument() == Some(secret + 1));
    let object: Vec<&Path> = bytes.iter().filter(|path| path.argument < label).collect();
    let random = object.iter().min().filter(|path| is_forward(path))?;
    let near = |path: &&&Path| {
        let (first, last) = (random.steps(), path.steps());
        let span = last.last().zip(first.last()).map_or(i64::MAX, |(a, b)| i64::from(a - b));
        first.split_last().map(|(_, head)| head) == last.split_last().map(|(_, head)| head)
            && span < RANDOM as i64
    };
    let one_place = object.iter().all(|path| near(&path));
    (reads_secret && tests_length && one_place).then(|| {
        evidence.push(format!(
            "it reads the bytes at {} and those at its argument {secret}, as many as argument {} \
             says",
            show(random),
            secret + 1
        ));
        Found { label, client_random: **random, secret }
    })
}

/// Where bytes are loaded from, singly or by the vector; their place in the array is left out.
fn byte_of(access: &Access) -> Option<Path> {
    match *access {
        Access::Load { address: Known::Path(at) | Known::Along(at), width: 1 | 16.., .. } => {
            Some(at)
        }
        _ => None,
    }
}

/// The client random by the exported accessor must be the same, where there is one.
fn agrees_with_accessor(
    accessors: &Accessors<'_, '_>,
    random: &Path,
    evidence: &mut Vec<String>,
) -> Result<(), KeyError> {
    const NAME: &str = "SSL_get_client_random";
    match accessors.copied(NAME) {
        Some(other) if other.steps() == random.steps() => {
            evidence.push(format!("{NAME} copies the same 32 bytes, {}", show(&other)));
            Ok(())
        }
        Some(other) => Err(KeyError::Contradiction {
            what: "the client random",
            one: show(random),
            by: "the function that logs",
            other: show(&other),
            otherwise: NAME,
        }),
        None => {
            evidence.push(if accessors.range(NAME).is_some() {
                format!("{NAME} could not be read to check this")
            } else {
                format!("{NAME} is not there to check this")
            });
            Ok(())
        }
    }
}

/// Whether a program asked for a key log must be tested inside, not by the callers: those would
/// not call at all.
fn callback_is_tested_inside(
    accessors: &Accessors<'_, '_>,
    function: u64,
    sink: &Sink,
    trace: &Trace,
    evidence: &mut Vec<String>,
) -> Result<(), KeyError> {
    let accessed = accessors
        .pointer("SSL_get_SSL_CTX")
        .zip(accessors.pointer("SSL_CTX_get_keylog_callback"))
        .map(|(context, callback)| vec![context as i32, callback as i32, 0]);
    // A pointer in an object, not an argument that is called.
    let called = trace.calls.iter().filter_map(|call| call.through.path());
    let called = called.filter(|path| path.steps().len() > 1);
    let callbacks: Vec<Vec<i32>> =
        accessed.clone().into_iter().chain(called.map(|path| path.steps().to_vec())).collect();
    let of_callback = |tested: &Known| {
        tested
            .path()
            .is_some_and(|path| callbacks.iter().any(|callback| path.steps().ends_with(callback)))
    };
    if sink.tested.iter().any(of_callback) {
        return Err(KeyError::Guarded(function));
    }
    if let Some([context, callback, _]) = accessed.as_deref() {
        evidence.push(format!(
            "no caller tests the key log callback first (ctx at ssl+{context:#x} by \
             SSL_get_SSL_CTX, callback at ctx+{callback:#x} by SSL_CTX_get_keylog_callback)"
        ));
    }
    Ok(())
}

/// `ssl+0x30 -> +0x30`, for people.
pub(crate) fn show(path: &Path) -> String {
    let mut text = match path.argument {
        0 => "ssl".to_owned(),
        argument => format!("argument {argument}"),
    };
    for (index, step) in path.steps().iter().enumerate() {
        if index > 0 {
            text.push_str(" -> ");
        }
        let sign = if *step < 0 { '-' } else { '+' };
        let _ = write!(text, "{sign}{:#x}", step.unsigned_abs());
    }
    text
}
