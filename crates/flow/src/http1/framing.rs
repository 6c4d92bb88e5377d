//! Where the body of an HTTP/1 message ends (RFC 9112 section 6).

use super::chunked::Chunked;
use super::head::{Facts, LastCoding};

/// What is left of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked(Chunked),
    /// Everything up to the end of the connection.
    UntilClose,
}

pub(super) fn of_request(facts: &Facts<'_>) -> Result<Framing, &'static str> {
    match facts.transfer_coded {
        Some(LastCoding::Chunked) => Ok(Framing::Chunked(Chunked::default())),
        Some(LastCoding::Other) => Err("the request's last transfer coding is not chunked"),
        None if facts.length_malformed => Err("the content length is malformed"),
        None => Ok(Framing::Length(facts.content_length.unwrap_or(0))),
    }
}

/// `bodiless` says that the request allows no body in the response: `HEAD`.
pub(super) fn of_response(
    status: u16,
    bodiless: bool,
    facts: &Facts<'_>,
) -> Result<Framing, &'static str> {
    if bodiless || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    match facts.transfer_coded {
        Some(LastCoding::Chunked) => Ok(Framing::Chunked(Chunked::default())),
        Some(LastCoding::Other) => Ok(Framing::UntilClose),
        None if facts.length_malformed => Err("the content length is malformed"),
        None => Ok(facts.content_length.map_or(Framing::UntilClose, Framing::Length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Field;

    type Fields = &'static [(&'static str, &'static str)];

    fn fields(list: &[(&'static str, &'static str)]) -> Vec<Field<'static>> {
        list.iter()
            .map(|(name, value)| Field {
                name: name.as_bytes().into(),
                value: value.as_bytes().into(),
            })
            .collect()
    }

    fn chunked() -> Framing {
        Framing::Chunked(Chunked::default())
    }

    #[test]
    fn a_request_without_length_has_no_body() {
        const LENGTH: &str = "Content-Length";
        const TRANSFER: &str = "Transfer-Encoding";
        let table: &[(Fields, Option<Framing>)] = &[
            (&[], Some(Framing::Length(0))),
            (&[(LENGTH, "5")], Some(Framing::Length(5))),
            (&[(LENGTH, "5, 5")], Some(Framing::Length(5))),
            (&[(LENGTH, "5"), (LENGTH, "5")], Some(Framing::Length(5))),
            (&[(LENGTH, "5"), (LENGTH, "6")], None),
            (&[(LENGTH, "-1")], None),
            (&[(LENGTH, "+1")], None),
            (&[(LENGTH, "")], None),
            (&[(LENGTH, "99999999999999999999")], None),
            (&[(TRANSFER, "chunked")], Some(chunked())),
            (&[(TRANSFER, "gzip, Chunked")], Some(chunked())),
            (&[(TRANSFER, "gzip"), (TRANSFER, "chunked")], Some(chunked())),
            (&[(TRANSFER, "chunked"), (LENGTH, "5")], Some(chunked())),
            (&[(TRANSFER, "gzip")], None),
        ];
        for (list, expected) in table {
            let fields = fields(list);
            assert_eq!(of_request(&Facts::of(&fields)).ok(), *expected, "{list:?}");
        }
    }

    #[test]
    fn a_response_without_length_ends_with_the_connection() {
        let table: &[(u16, bool, Fields, Framing)] = &[
            (200, false, &[], Framing::UntilClose),
            (200, false, &[("content-length", "7")], Framing::Length(7)),
            (200, true, &[("content-length", "7")], Framing::Length(0)),
            (200, true, &[("transfer-encoding", "chunked")], Framing::Length(0)),
            (204, false, &[("content-length", "7")], Framing::Length(0)),
            (304, false, &[("content-length", "7")], Framing::Length(0)),
            (100, false, &[], Framing::Length(0)),
            (200, false, &[("transfer-encoding", "gzip")], Framing::UntilClose),
            (200, false, &[("transfer-encoding", "gzip, chunked")], chunked()),
        ];
        for (status, bodiless, list, expected) in table {
            let fields = fields(list);
            let found = of_response(*status, *bodiless, &Facts::of(&fields));
            assert_eq!(found.as_ref(), Ok(expected), "{status} {bodiless} {list:?}");
        }
    }
}
