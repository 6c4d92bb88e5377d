//! What one accessor function loads from the object it is given.

use crate::code::{Assumptions, End, Value, explore};
use crate::image::Image;

/// A load from the object, and what it took to follow the accessor to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) value: Value,
    /// The path depends on the object's type tag (`*(int *)object == 0`).
    pub(crate) tests_type: bool,
}

/// Why an accessor can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("{0} is not defined here")]
    Missing(&'static str),
    #[error("{0} has no path, for a non-null object of the plain type, that returns one field")]
    NotAField(&'static str),
    #[error("{name} may return either of two fields, {first:#x} and {second:#x}")]
    TwoFields { name: &'static str, first: u32, second: u32 },
}

/// The one field that the accessor returns on paths that call nothing, for an object that is not
/// null and whose type tag, if it is looked at, is 0 (a plain connection, not QUIC).
pub(crate) fn returned(image: &Image<'_>, name: &'static str) -> Result<Loaded, Unread> {
    let symbol = image.function(name).ok_or(Unread::Missing(name))?;
    let assumptions = Assumptions { object_not_null: true, type_is_zero: true };
    let paths = explore(image, symbol.vaddr, symbol.size, assumptions)
        .map_err(|_| Unread::NotAField(name))?;
    let mut found: Option<Loaded> = None;
    for path in paths.iter().filter(|path| path.calls.is_empty()) {
        let End::Return(value) = path.end else { continue };
        let (Value::Field { offset, .. } | Value::Pointee { outer: offset, .. }) = value else {
            continue;
        };
        match found {
            Some(before) if before.value != value => {
                let first = match before.value {
                    Value::Field { offset, .. } | Value::Pointee { outer: offset, .. } => offset,
                    _ => 0,
                };
                return Err(Unread::TwoFields { name, first, second: offset });
            }
            _ => found = Some(Loaded { value, tests_type: path.used_type }),
        }
    }
    found.ok_or(Unread::NotAField(name))
}

/// The displacement of a field of `size` bytes that the accessor returns.
pub(crate) fn field(
    image: &Image<'_>,
    name: &'static str,
    size: u8,
) -> Result<(u32, bool), Unread> {
    match returned(image, name)? {
        Loaded { value: Value::Field { offset, size: loaded }, tests_type } if loaded == size => {
            Ok((offset, tests_type))
        }
        _ => Err(Unread::NotAField(name)),
    }
}
