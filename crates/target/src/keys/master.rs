//! Libraries without a key log: OpenSSL before 1.1.1, LibreSSL. The master key of TLS 1.2 and
//! before is in the session when a handshake has succeeded.
//!
//! The probes are where every handshake ends: in the functions that `SSL_set_connect_state` and
//! `SSL_set_accept_state` take out of the method's table. `SSL_connect`, `SSL_accept`,
//! `SSL_do_handshake`, and an `SSL_read` or `SSL_write` that comes first all end up there.

use super::accessor::{Accessors, one};
use super::error::KeyError;
use super::flow::{Access, Assumed, Known, Path};
use super::known::Layout;
use super::logged::{address, show};
use super::pointers::Pointers;
use super::{Address, KeyPlan, KeyProbe, KeySource};
use crate::site::first_site;
use std::collections::{BTreeMap, BTreeSet};

/// The methods, all of which there may be one table for, or one each.
const METHODS: [&str; 13] = [
    "TLS_method",
    "TLS_client_method",
    "TLS_server_method",
    "SSLv23_method",
    "SSLv23_client_method",
    "SSLv23_server_method",
    "TLSv1_2_method",
    "TLSv1_1_method",
    "TLSv1_method",
    "SSLv3_method",
    "DTLS_method",
    "DTLSv1_2_method",
    "DTLSv1_method",
];

/// What is looked up for this beside the accessors.
pub(crate) const NAMES: [&str; 19] = [
    TLS_1_3,
    "SSL_set_connect_state",
    "SSL_set_accept_state",
    "SSL_SESSION_get_id",
    "SSL_get_finished",
    "SSL_export_keying_material",
    "TLS_method",
    "TLS_client_method",
    "TLS_server_method",
    "SSLv23_method",
    "SSLv23_client_method",
    "SSLv23_server_method",
    "TLSv1_2_method",
    "TLSv1_1_method",
    "TLSv1_method",
    "SSLv3_method",
    "DTLS_method",
    "DTLSv1_2_method",
    "DTLSv1_method",
];

/// What libraries that speak TLS 1.3 export.
const TLS_1_3: &str = "SSL_CTX_set_ciphersuites";
const KEY_LENGTH: u32 = 48;

fn missing(what: &str) -> KeyError {
    KeyError::NoLabels(what.to_owned())
}

/// Makes the plan from accessors; where there are none, from the functions that work with the key.
pub(crate) fn plan(accessors: &Accessors<'_, '_>) -> Result<KeyPlan, KeyError> {
    let mut evidence = Vec::new();
    let session = accessors
        .pointer("SSL_get_session")
        .ok_or_else(|| missing("SSL_get_session is not there or could not be read"))?;
    evidence.push(format!("session at ssl+{session:#x} by SSL_get_session"));
    let version = match accessors.returned("SSL_version") {
        Some(Known::Narrow { at, width: 4 }) if at.argument == 0 => at,
        _ => return Err(missing("SSL_version is not there or could not be read")),
    };
    evidence.push(format!("version at {} by SSL_version", show(&version)));
    let fields = if accessors.range("SSL_SESSION_get_master_key").is_some() {
        by_accessors(accessors, &mut evidence)?
    } else {
        by_exporter(accessors, session, &mut evidence)?
    };
    if accessors.range(TLS_1_3).is_some() {
        evidence.push(
            "it speaks TLS 1.3, but logs no secrets of it: keys are those of TLS 1.2 and before"
                .to_owned(),
        );
    }
    let of_session = |offset: u32| Address { argument: 0, steps: vec![session, offset] };
    let source = KeySource::MasterKey {
        client_random: fields.client_random,
        length: (of_session(fields.length.0), fields.length.1),
        key: of_session(fields.key),
        version: address(&version),
    };
    at_handshakes(accessors, &source, evidence)
}

/// The plan with a known layout.
pub(super) fn plan_with(
    accessors: &Accessors<'_, '_>,
    layout: &Layout,
    version: &str,
) -> Result<KeyPlan, KeyError> {
    let source = layout.source().ok_or_else(|| missing("this version logs its secrets"))?;
    let evidence = vec![format!("session and master key are where {version} has them")];
    at_handshakes(accessors, &source, evidence)
}

fn at_handshakes(
    accessors: &Accessors<'_, '_>,
    source: &KeySource,
    mut evidence: Vec<String>,
) -> Result<KeyPlan, KeyError> {
    let probes: Vec<KeyProbe> = handshakes(accessors, &mut evidence)?
        .into_iter()
        .filter_map(|(function, name)| {
            let entry = first_site(accessors.tracer.image, function)?;
            Some(KeyProbe { name, entry, source: source.clone() })
        })
        .collect();
    if probes.is_empty() {
        return Err(missing("no function of a method's table could be found"));
    }
    Ok(KeyPlan { probes, evidence, labels: Vec::new() })
}

struct Fields {
    client_random: Address,
    /// In the session, and its width.
    length: (u32, u8),
    /// In the session.
    key: u32,
}

fn by_accessors(
    accessors: &Accessors<'_, '_>,
    evidence: &mut Vec<String>,
) -> Result<Fields, KeyError> {
    let random = accessors
        .copied("SSL_get_client_random")
        .ok_or_else(|| missing("SSL_get_client_random could not be read"))?;
    evidence.push(format!("client random at {} by SSL_get_client_random", show(&random)));
    let name = "SSL_SESSION_get_master_key";
    let key = accessors.copied(name).as_ref().and_then(plain_offset);
    let length =
        accessors.looked_at(name).and_then(|(at, width)| Some((plain_offset(&at)?, width)));
    let (Some(key), Some(length)) = (key, length) else {
        return Err(missing("SSL_SESSION_get_master_key could not be read"));
    };
    evidence.push(format!(
        "master key at session+{key:#x}, its length in {} bytes at session+{:#x}, by {name}",
        length.1, length.0
    ));
    Ok(Fields { client_random: address(&random), length, key })
}

/// The offset, if the path is one from the argument itself.
fn plain_offset(path: &Path) -> Option<u32> {
    match path.steps() {
        [offset] => u32::try_from(*offset).ok(),
        _ => None,
    }
}

/// OpenSSL before 1.1.0 and the LibreSSL of its time have no accessors for these fields. Where the
/// key must be by one function, another one must read it.
fn by_exporter(
    accessors: &Accessors<'_, '_>,
    session: u32,
    evidence: &mut Vec<String>,
) -> Result<Fields, KeyError> {
    let refuse =
        |what: &str| missing(&format!("it has no accessors for its master key, and {what}"));
    // `struct ssl_session_st`: the key's length, its 48 bytes, the session id's length, the id.
    let id = accessors
        .trace("SSL_SESSION_get_id", Assumed { object: true, ..Assumed::default() })
        .ok_or_else(|| refuse("SSL_SESSION_get_id could not be read"))?;
    let id_length = one(loads(&id.accesses).filter(|path| path.argument == 0))
        .as_ref()
        .and_then(plain_offset)
        .ok_or_else(|| refuse("SSL_SESSION_get_id does not show where the id's length is"))?;
    let (Some(key), Some(length)) =
        (id_length.checked_sub(KEY_LENGTH), id_length.checked_sub(KEY_LENGTH + 4))
    else {
        return Err(refuse("its session has no room for a key before the session id"));
    };
    evidence.push(format!(
        "master key at session+{key:#x}: its 48 bytes end where SSL_SESSION_get_id has the id's \
         length"
    ));
    let exporters = exporters(accessors);
    if exporters.is_empty() {
        return Err(refuse("no exporter of keying material was found"));
    }
    // Methods of no one version have a function that fails.
    let found = exporters.iter().filter_map(|&exporter| {
        let touched = touched_by(accessors, exporter)?;
        let reads = |at| touched.contains(&(session, at));
        let random = client_random(&touched, session)?;
        (reads(key) && reads(length)).then_some((random, exporter))
    });
    let found: Vec<_> = found.collect();
    let (state, random) = one(found.iter().map(|(random, _)| *random))
        .ok_or_else(|| refuse("its exporter of keying material does not read the key there"))?;
    let functions: Vec<String> =
        found.iter().map(|(_, exporter)| format!("{exporter:#x}")).collect();
    evidence.push(format!(
        "the exporter of keying material at {} reads the key there, its length at \
         session+{length:#x}, and the client's random, then the server's, in front of it, at \
         ssl+{state:#x} -> +{random:#x}",
        functions.join(" and ")
    ));
    Ok(Fields {
        client_random: Address { argument: 0, steps: vec![state, random] },
        length: (length, 4),
        key,
    })
}

/// What a function reads, hands to others or stores of the objects behind its first argument: where
/// the pointer is, and the offset behind it.
fn touched_by(accessors: &Accessors<'_, '_>, function: u64) -> Option<Vec<(u32, u32)>> {
    let range = accessors.bounds.around(function)?;
    let trace = accessors.tracer.trace(&range, Assumed::default())?;
    let handed =
        trace.calls.iter().flat_map(|call| call.arguments).filter_map(|value| value.known.path());
    let stored = trace.accesses.iter().filter_map(|access| match access {
        Access::Store { value, .. } => value.path(),
        Access::Load { .. } => None,
    });
    let offsets = |path: Path| match (path.argument, path.steps()) {
        (0, [pointer, at]) => Some((u32::try_from(*pointer).ok()?, u32::try_from(*at).ok()?)),
        _ => None,
    };
    Some(loads(&trace.accesses).chain(handed).chain(stored).filter_map(offsets).collect())
}

/// Where the client random is, by what an exporter touches behind which pointers, in its order.
///
/// It concatenates the client's random and the server's (RFC 5705, section 4), and
/// `struct ssl3_state_st` has them side by side the other way round. Both must hold.
fn client_random(touched: &[(u32, u32)], session: u32) -> Option<(u32, u32)> {
    const RANDOM: u32 = 32;
    let others = || touched.iter().filter(|(pointer, _)| *pointer != session);
    let state = one(others().map(|(pointer, _)| *pointer))?;
    let first = others().map(|(_, at)| *at).next()?;
    let lowest = others().map(|(_, at)| *at).min()?;
    let highest = others().map(|(_, at)| *at).max()?;
    (first == lowest.checked_add(RANDOM)? && highest < first.checked_add(RANDOM)?)
        .then_some((state, first))
}

fn loads(accesses: &[Access]) -> impl Iterator<Item = Path> + '_ {
    accesses.iter().filter_map(|access| match access {
        Access::Load { address, .. } => address.path(),
        Access::Store { .. } => None,
    })
}

/// The functions that `SSL_export_keying_material` calls through the tables of the methods.
fn exporters(accessors: &Accessors<'_, '_>) -> BTreeSet<u64> {
    let called = || {
        let trace = accessors.trace("SSL_export_keying_material", Assumed::default())?;
        trace.calls.iter().find_map(|call| match call.through.path()?.steps() {
            [_, inner, function, 0] => Some((*inner, *function)),
            _ => None,
        })
    };
    let Some((inner, function)) = called() else { return BTreeSet::new() };
    let pointers = Pointers::new(accessors.tracer.image);
    let of_method = |name: &&str| {
        let table = method(accessors, &pointers, name)?;
        let encryption = pointers.at(table.checked_add_signed(inner.into())?)?;
        pointers.at(encryption.checked_add_signed(function.into())?)
    };
    METHODS.iter().filter_map(of_method).collect()
}

/// The table that a method's function returns the address of; of one that is exported, it takes the
/// address from where the loader leaves it.
fn method(accessors: &Accessors<'_, '_>, pointers: &Pointers<'_, '_>, name: &str) -> Option<u64> {
    let trace = accessors.trace(name, Assumed::default())?;
    match trace.returns.as_slice() {
        [Known::Constant(table)] => Some(*table),
        [Known::Slot(slot)] => pointers.at(*slot),
        _ => None,
    }
}

/// The functions that carry a handshake through: address and what they do.
fn handshakes(
    accessors: &Accessors<'_, '_>,
    evidence: &mut Vec<String>,
) -> Result<BTreeMap<u64, String>, KeyError> {
    let pointers = Pointers::new(accessors.tracer.image);
    let mut found: BTreeMap<u64, String> = BTreeMap::new();
    for (setter, name) in [("SSL_set_connect_state", "connect"), ("SSL_set_accept_state", "accept")]
    {
        let entry = table_entry(accessors, setter)
            .ok_or_else(|| missing(&format!("{setter} could not be read")))?;
        for method_name in METHODS {
            let function = method(accessors, &pointers, method_name)
                .and_then(|table| pointers.at(table.checked_add(entry)?));
            if let Some(function) = function
                && accessors.tracer.image.elf.code_at(function).is_some()
            {
                let known = found.entry(function).or_default();
                if !known.contains(name) {
                    if !known.is_empty() {
                        known.push('/');
                    }
                    known.push_str(name);
                }
            }
        }
    }
    // What a method lacks, the other half of another one too, is one function that fails.
    found.retain(|_, name| !name.contains('/'));
    evidence.push(format!(
        "{} functions carry handshakes through, by the tables of the methods and what \
         SSL_set_connect_state and SSL_set_accept_state take from them",
        found.len()
    ));
    Ok(found)
}

/// The place in a method's table of the pointer that the function puts into the object.
fn table_entry(accessors: &Accessors<'_, '_>, setter: &str) -> Option<u64> {
    let trace = accessors.trace(setter, Assumed { object: true, ..Assumed::default() })?;
    trace.accesses.iter().find_map(|access| match access {
        Access::Store { address: Known::Path(to), value: Known::Path(from) }
            if to.argument == 0 && to.steps().len() == 1 =>
        {
            match from.steps() {
                [_, entry, 0] => u64::try_from(*entry).ok(),
                _ => None,
            }
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::client_random;

    const SESSION: u32 = 0x130;

    #[test]
    fn the_random_that_comes_first_and_lies_second_is_the_client_s() {
        let touched = [(0x80, 0xc4), (0x80, 0xd4), (SESSION, 0x10), (0x80, 0xa4), (0x80, 0xb4)];
        assert_eq!(client_random(&touched, SESSION), Some((0x80, 0xc4)));
    }

    #[test]
    fn randoms_in_another_order_or_at_another_distance_are_refused() {
        for touched in [
            &[(0x80, 0xa4), (0x80, 0xc4)][..],
            &[(0x80, 0xc4), (0x80, 0xa0)],
            &[(0x80, 0xc4), (0x80, 0xa4), (0x80, 0xe4)],
            &[(0x80, 0xc4), (0x88, 0xa4)],
            &[(0x80, 0xc4)],
            &[(SESSION, 0xc4), (SESSION, 0xa4)],
            &[],
        ] {
            assert_eq!(client_random(touched, SESSION), None, "{touched:x?}");
        }
    }
}
