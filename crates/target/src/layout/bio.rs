//! Where a BIO keeps its file descriptor and its method.
//!
//! No accessor returns `bio->num`. In all versions of all families the `int` fields before it
//! are `shutdown`, `flags`, `retry_reason`, then `num`, and the pointer `ptr` (`BIO_get_data`)
//! follows (in BoringSSL and AWS-LC after a reference count, in OpenSSL 1.0.2 `next_bio` comes
//! after `ptr`). Two accessors of that neighbourhood must agree.

use super::accessor::{field, returned};
use crate::code::Value;
use crate::image::Image;
use serde::Serialize;

/// Offsets in a `BIO`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BioLayout {
    /// Offset of the `int` that socket and fd BIOs keep their descriptor in.
    pub num: u32,
    /// Offset of the pointer to the `BIO_METHOD`, whose first `int` is its type.
    pub method: Option<u32>,
    /// Which accessors said so.
    pub derivation: String,
}

/// The accessors to look up.
pub(crate) const ACCESSORS: [&str; 5] =
    ["BIO_get_shutdown", "BIO_get_retry_reason", "BIO_get_data", "BIO_next", "BIO_method_type"];
/// Type of a BIO method: the connect, accept and socket ones have a descriptor.
const LARGEST_BIO: u32 = 0x400;

/// Derives the offsets from the `BIO_*` accessors of a libcrypto, or of a program that links it
/// statically.
pub fn libcrypto_layout(bytes: &[u8]) -> Option<BioLayout> {
    let image = Image::new(bytes, &ACCESSORS).ok()?;
    bio_layout(&image).ok()
}

/// As [`libcrypto_layout`], with the reason for a failure.
pub(crate) fn bio_layout(image: &Image<'_>) -> Result<BioLayout, String> {
    let int = |name| field(image, name, 4).map(|(offset, _)| offset);
    let pointer = |name| field(image, name, 8).map(|(offset, _)| offset);
    let (before, first) = match (int("BIO_get_shutdown"), int("BIO_get_retry_reason")) {
        (Ok(shutdown), _) => (shutdown.checked_add(12), "BIO_get_shutdown + 12"),
        (Err(_), Ok(reason)) => (reason.checked_add(4), "BIO_get_retry_reason + 4"),
        (Err(error), Err(_)) => return Err(error.to_string()),
    };
    let num = before.filter(|num| *num <= LARGEST_BIO && num % 4 == 0).ok_or("offset too large")?;
    let (ptr, second) = match (pointer("BIO_get_data"), pointer("BIO_next")) {
        (Ok(ptr), _) => (ptr, "BIO_get_data"),
        (Err(_), Ok(next)) => (next.saturating_sub(8), "BIO_next - 8"),
        (Err(error), Err(_)) => return Err(error.to_string()),
    };
    // `num`, then four bytes of padding or a reference count, then the pointer.
    if num % 8 != 0 || ptr != num + 8 {
        return Err(format!("{first} gives {num:#x}, which doesn't precede {second} at {ptr:#x}"));
    }
    if let Ok(reason) = int("BIO_get_retry_reason")
        && reason + 4 != num
    {
        return Err(format!("{first} gives {num:#x} but BIO_get_retry_reason lies at {reason:#x}"));
    }
    let method = match returned(image, "BIO_method_type").map(|loaded| loaded.value) {
        Ok(Value::Pointee { outer, inner: 0 }) => Some(outer),
        _ => None,
    };
    let derivation = format!("{first}, confirmed by {second}");
    Ok(BioLayout { num, method, derivation })
}
