//! Libraries without a key log: OpenSSL before 1.1.1, LibreSSL. The master key of TLS 1.2 and
//! before is in the session when a handshake has succeeded.
//!
//! The probes are where every handshake ends: in the functions that `SSL_set_connect_state` and
//! `SSL_set_accept_state` take out of the method's table. `SSL_connect`, `SSL_accept`,
//! `SSL_do_handshake`, and an `SSL_read` or `SSL_write` that comes first all end up there.

use super::accessor::Accessors;
use super::error::KeyError;
use super::flow::{Access, Assumed, Known, Path};
use super::known::Layout;
use super::logged::{address, show};
use super::pointers::Pointers;
use super::{Address, KeyPlan, KeyProbe, KeySource};
use crate::site::first_site;
use std::collections::BTreeMap;

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
const KEY_LENGTH: i32 = 48;

fn missing(what: &str) -> KeyError {
    KeyError::NoLabels(what.to_owned())
}

/// Makes the plan from accessors; where there are none, from the layout of OpenSSL 1.0.2, if the
/// library at hand has it.
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
        by_layout(accessors, session, &mut evidence)?
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

/// OpenSSL 1.0.2 has no accessors for these fields. Its layout is known; each part of it must
/// show in functions of the library at hand.
fn by_layout(
    accessors: &Accessors<'_, '_>,
    session: u32,
    evidence: &mut Vec<String>,
) -> Result<Fields, KeyError> {
    const SESSION: u32 = 0x130;
    const S3: i32 = 0x80;
    const CLIENT_RANDOM: i32 = 0xc4;
    const SERVER_RANDOM: i32 = 0xa4;
    const LENGTH: u32 = 0x10;
    const KEY: u32 = 0x14;
    let refuse = |what: &str| {
        missing(&format!("it has no accessors, and is not OpenSSL 1.0.2 as known: {what}"))
    };
    if session != SESSION {
        return Err(refuse(&format!("its session is at ssl+{session:#x}, not {SESSION:#x}")));
    }
    // The key's 48 bytes end where the session id's length is, as SSL_SESSION_get_id has it.
    let id = accessors
        .trace("SSL_SESSION_get_id", Assumed { object: true, ..Assumed::default() })
        .ok_or_else(|| refuse("SSL_SESSION_get_id could not be read"))?;
    let behind_key = KEY as i32 + KEY_LENGTH;
    let id_length = loads(&id.accesses).any(|path| path.steps() == [behind_key]);
    if !id_length {
        return Err(refuse("no session id length right behind the master key"));
    }
    evidence.push(format!(
        "master key at session+{KEY:#x} as in OpenSSL 1.0.2: SSL_SESSION_get_id has the id's \
         length right behind its 48 bytes"
    ));
    let exporter = exporter(accessors).ok_or_else(|| refuse("no exporter of keying material"))?;
    let trace = accessors
        .bounds
        .around(exporter)
        .and_then(|range| accessors.tracer.trace(&range, Assumed::default()))
        .ok_or_else(|| refuse("its exporter of keying material could not be followed"))?;
    let handed =
        trace.calls.iter().flat_map(|call| call.arguments).filter_map(|value| value.known.path());
    let stored = trace.accesses.iter().filter_map(|access| match access {
        Access::Store { value, .. } => value.path(),
        Access::Load { .. } => None,
    });
    let touched: Vec<Path> = loads(&trace.accesses).chain(handed).chain(stored).collect();
    let has = |offset: i32| touched.iter().any(|path| path.steps() == [S3, offset]);
    if !has(CLIENT_RANDOM) || !has(SERVER_RANDOM) {
        return Err(refuse("its exporter does not read the randoms where 1.0.2 has them"));
    }
    let session_fields =
        |offset: u32| touched.iter().any(|path| path.steps() == [SESSION as i32, offset as i32]);
    if !session_fields(LENGTH) || !session_fields(KEY) {
        return Err(refuse("its exporter does not read the master key where 1.0.2 has it"));
    }
    evidence.push(format!(
        "client random at ssl+{S3:#x} -> +{CLIENT_RANDOM:#x} and master key length at \
         session+{LENGTH:#x} as in OpenSSL 1.0.2: the exporter of keying material at \
         {exporter:#x} reads both randoms, the key and its length there"
    ));
    Ok(Fields {
        client_random: Address { argument: 0, steps: vec![S3 as u32, CLIENT_RANDOM as u32] },
        length: (LENGTH, 4),
        key: KEY,
    })
}

fn loads(accesses: &[Access]) -> impl Iterator<Item = Path> + '_ {
    accesses.iter().filter_map(|access| match access {
        Access::Load { address, .. } => address.path(),
        Access::Store { .. } => None,
    })
}

/// The function that `SSL_export_keying_material` calls through the tables of a method.
fn exporter(accessors: &Accessors<'_, '_>) -> Option<u64> {
    let trace = accessors.trace("SSL_export_keying_material", Assumed::default())?;
    let (inner, function) = trace.calls.iter().find_map(|call| {
        let path = call.through.path()?;
        match path.steps() {
            [_, inner, function, 0] => Some((*inner, *function)),
            _ => None,
        }
    })?;
    let pointers = Pointers::new(accessors.tracer.image);
    METHODS.iter().find_map(|name| {
        let table = method(accessors, name)?;
        let encryption = pointers.at(table.checked_add_signed(inner.into())?)?;
        pointers.at(encryption.checked_add_signed(function.into())?)
    })
}

/// The table that a method's function returns the address of.
fn method(accessors: &Accessors<'_, '_>, name: &str) -> Option<u64> {
    let trace = accessors.trace(name, Assumed::default())?;
    match trace.returns.as_slice() {
        [Known::Constant(table)] => Some(*table),
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
            let function = method(accessors, method_name)
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
