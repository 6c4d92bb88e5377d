//! A message's head: borrowed from the stream while it is parsed, copied if the body has yet to come.

use event::{Field, HttpVersion};
use std::borrow::Cow;

/// The start of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartLine<'a> {
    Request { method: &'a [u8], target: &'a [u8], authority: Option<&'a [u8]> },
    Response { status: u16, reason: &'a [u8] },
}

/// A head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) version: HttpVersion,
    pub(crate) start: StartLine<'a>,
    pub(crate) fields: &'a [Field<'a>],
}

/// A copy of a head, in two allocations whatever the number of its fields.
#[derive(Debug)]
pub(crate) struct HeldHead {
    version: HttpVersion,
    start: HeldStart,
    /// Lengths of each name and value; `bytes` holds them one after the other.
    fields: Box<[(u32, u32)]>,
    bytes: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
enum HeldStart {
    Request { method: u32, target: u32, authority: Option<u32> },
    Response { status: u16, reason: u32 },
}

impl HeldHead {
    pub(crate) fn new(head: &Head<'_>) -> Self {
        let in_fields: usize = head.fields.iter().map(|f| f.name.len() + f.value.len()).sum();
        let (start, in_start): (_, [&[u8]; 3]) = match head.start {
            StartLine::Request { method, target, authority } => {
                let start = HeldStart::Request {
                    method: method.len() as u32,
                    target: target.len() as u32,
                    authority: authority.map(|authority| authority.len() as u32),
                };
                (start, [method, target, authority.unwrap_or_default()])
            }
            StartLine::Response { status, reason } => {
                (HeldStart::Response { status, reason: reason.len() as u32 }, [reason, &[], &[]])
            }
        };
        let in_start_len: usize = in_start.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(in_start_len + in_fields);
        for part in in_start {
            bytes.extend_from_slice(part);
        }
        let fields = head
            .fields
            .iter()
            .map(|field| {
                bytes.extend_from_slice(&field.name);
                bytes.extend_from_slice(&field.value);
                (field.name.len() as u32, field.value.len() as u32)
            })
            .collect();
        Self { version: head.version, start, fields, bytes: bytes.into() }
    }

    /// How much memory it takes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.fields)
    }

    /// Hands the head to `use_it`, with its fields in `fields`.
    pub(crate) fn with<'a, R>(
        &'a self,
        fields: &mut Vec<Field<'a>>,
        use_it: impl FnOnce(&Head<'_>) -> R,
    ) -> R {
        let mut bytes = &*self.bytes;
        let mut take = |len: u32| -> &'a [u8] {
            let (taken, rest) = bytes.split_at(len as usize);
            bytes = rest;
            taken
        };
        let start = match self.start {
            HeldStart::Request { method, target, authority } => StartLine::Request {
                method: take(method),
                target: take(target),
                authority: authority.map(&mut take),
            },
            HeldStart::Response { status, reason } => {
                StartLine::Response { status, reason: take(reason) }
            }
        };
        fields.extend(self.fields.iter().map(|(name, value)| Field {
            name: Cow::Borrowed(take(*name)),
            value: Cow::Borrowed(take(*value)),
        }));
        use_it(&Head { version: self.version, start, fields })
    }
}

/// The members of a comma-separated field value (RFC 9110 section 5.6.1), without white space.
pub(crate) fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// A member's token without its parameters.
pub(crate) fn token(member: &[u8]) -> &[u8] {
    member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_head_is_the_head_that_was_held() {
        let fields = [
            Field { name: b"Host".as_slice().into(), value: b"example.org".as_slice().into() },
            Field { name: b"X".as_slice().into(), value: b"".as_slice().into() },
        ];
        for start in [
            StartLine::Request { method: b"GET", target: b"/a", authority: Some(b"example.org") },
            StartLine::Request { method: b"OPTIONS", target: b"*", authority: None },
            StartLine::Response { status: 404, reason: b"Not Found" },
        ] {
            let head = Head { version: HttpVersion::Http11, start, fields: &fields };
            HeldHead::new(&head).with(&mut Vec::new(), |held| {
                assert_eq!(held.start, start);
                assert_eq!(held.fields, fields);
            });
        }
    }

    #[test]
    fn list_members_are_trimmed_and_empty_ones_dropped() {
        let members: Vec<_> = list(b" gzip ,, br;q=1 ").map(token).collect();
        assert_eq!(members, [b"gzip".as_slice(), b"br"]);
    }
}
