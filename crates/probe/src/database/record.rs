//! The Rust side of `query.h`. Reads never trust a length.

use crate::error::Error;
use crate::record::{self, Header};

pub(super) const BEGIN: u8 = 16;
pub(super) const END: u8 = 17;
pub(super) const MAX_SERVERS: usize = 256;

const NAME: usize = 256;
const BEGIN_SIZE: usize = 48 + 2 * NAME;
const END_SIZE: usize = 16 + TAG;
const TAG: usize = 32;

pub(super) const HAS_ROWS: u32 = 1;
pub(super) const HAS_ERROR: u32 = 2;
pub(super) const EXECUTED: u32 = 4;
pub(super) const IS_SIMPLE: u32 = 8;

/// `struct query_begin`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) connection: Option<u64>,
    pub(super) tgid: u32,
    pub(super) tid: u32,
    pub(super) uid: u32,
    pub(super) server: u32,
    pub(super) command: u32,
    pub(super) comm: String,
    pub(super) user: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) title: Option<String>,
}

/// `struct query_end`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) rows: u64,
    pub(super) error: u32,
    pub(super) flags: u32,
    pub(super) tag: String,
}

/// One sample of the rings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sample<'a> {
    Begin(Box<Begin>),
    Text { bytes: &'a [u8] },
    Unreadable,
    End(End),
}

/// What a sample says, and of what.
pub(super) fn parse(sample: &[u8]) -> Option<(Header, Sample<'_>)> {
    let (header, payload) = record::parse(sample)?;
    let content = match header.kind {
        BEGIN => Sample::Begin(Box::new(begin(payload)?)),
        record::DATA => Sample::Text { bytes: payload.get(..header.len as usize)? },
        record::UNREADABLE => Sample::Unreadable,
        END => Sample::End(end(payload)?),
        _ => return None,
    };
    Some((header, content))
}

fn begin(payload: &[u8]) -> Option<Begin> {
    let body = payload.get(..BEGIN_SIZE)?;
    let [has_connection, has_user, has_schema, has_title] = *body.get(28..32)?.first_chunk()?;
    let (user, schema) = (text(body.get(48..48 + NAME)?), text(body.get(48 + NAME..)?));
    let has = |flag: u8, text: &str| (flag != 0).then(|| text.to_owned());
    Some(Begin {
        connection: (has_connection != 0).then_some(u64_at(body, 0)?),
        tgid: u32_at(body, 8)?,
        tid: u32_at(body, 12)?,
        uid: u32_at(body, 16)?,
        server: u32_at(body, 20)?,
        command: u32_at(body, 24)?,
        comm: text(body.get(32..48)?),
        user: has(has_user, &user),
        schema: has(has_schema, &schema),
        title: has(has_title, &user),
    })
}

fn end(payload: &[u8]) -> Option<End> {
    let body = payload.get(..END_SIZE)?;
    Some(End {
        rows: u64_at(body, 0)?,
        error: u32_at(body, 8)?,
        flags: u32_at(body, 12)?,
        tag: text(body.get(16..)?),
    })
}

/// A C string.
fn text(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Where a session object holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// If set, the pointer at this offset of the session leads to the object that holds it.
    pub through: Option<u32>,
    /// Its offset there.
    pub offset: u32,
    /// Its size in bytes: 4 or 8.
    pub size: u8,
}

/// What is known of one server's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// The connection's number.
    pub connection: Option<Place>,
    /// Points at the statement that is executed; its length is in the word behind it.
    pub statement: Option<Place>,
    /// Points at the name of the schema.
    pub schema: Option<Place>,
    /// Points at the name of the user.
    pub user: Option<Place>,
    /// The number of the error that the last statement ended with.
    pub error: Option<Place>,
    /// A number beside it, and its value if there is an error.
    pub error_tag: Option<(Place, u32)>,
    /// From the site in `pgstat_report_activity` to `MyProcPort`.
    pub client: Option<i64>,
    /// PostgreSQL: reports from this level on are errors.
    pub error_level: u32,
}

impl Memory {
    /// `struct server`
    pub(super) fn to_bytes(self, path: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(112);
        let (error_tag, error_value) = self.error_tag.unzip();
        for place in
            [self.connection, self.statement, self.schema, self.user, self.error, error_tag]
        {
            let (through, offset, size) = match place {
                None => (-1, -1, 0),
                Some(Place { through, offset, size }) => {
                    let fits = |offset: u32| {
                        i32::try_from(offset).map_err(|_| Error::Full {
                            path: path.to_owned(),
                            what: "bytes of an object",
                            limit: i32::MAX as usize,
                        })
                    };
                    (through.map_or(Ok(-1), fits)?, fits(offset)?, u32::from(size))
                }
            };
            bytes.extend_from_slice(&through.to_ne_bytes());
            bytes.extend_from_slice(&offset.to_ne_bytes());
            bytes.extend_from_slice(&size.to_ne_bytes());
            bytes.extend_from_slice(&0_u32.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.client.unwrap_or(0).to_ne_bytes());
        bytes.extend_from_slice(&self.error_level.to_ne_bytes());
        bytes.extend_from_slice(&error_value.unwrap_or(0).to_ne_bytes());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        bytes[24..28].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
        bytes[32] = kind;
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn short_samples_are_refused() {
        for (kind, size) in [(BEGIN, BEGIN_SIZE), (END, END_SIZE)] {
            let whole = sample(kind, &vec![1; size]);
            assert!(parse(&whole).is_some());
            for len in 0..whole.len() {
                assert_eq!(parse(&whole[..len]), None);
            }
        }
    }

    #[test]
    fn a_name_is_read_up_to_its_end() {
        let mut payload = vec![0; BEGIN_SIZE];
        payload[29] = 1;
        payload[48..53].copy_from_slice(b"alice");
        let whole = sample(BEGIN, &payload);
        let Some((_, Sample::Begin(begin))) = parse(&whole) else { panic!() };
        assert_eq!(begin.user.as_deref(), Some("alice"));
        assert_eq!((begin.schema, begin.title), (None, None));
    }

    #[test]
    fn text_is_not_longer_than_its_record() {
        let mut whole = sample(record::DATA, b"SELECT 1");
        assert!(matches!(parse(&whole), Some((_, Sample::Text { bytes: b"SELECT 1" }))));
        whole[24] = 9;
        assert_eq!(parse(&whole), None);
    }
}
