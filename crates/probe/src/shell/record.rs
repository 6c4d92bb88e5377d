//! The Rust side of `shell.h`. Reads never trust a length.

/// `enum shell_ending`
pub(super) const RETURNED: u32 = 1;
pub(super) const EXEC: u32 = 2;
pub(super) const EXIT: u32 = 3;

/// Flags of `struct shell_line`.
pub(super) const FIRST: u32 = 1;
pub(super) const UNREADABLE: u32 = 2;
pub(super) const TOO_LONG: u32 = 4;

pub(super) const MAX_FILES: usize = 4096;
/// `SHELL_NONE`
const NONE: u32 = u32::MAX;
/// `struct shell_record`, and the parts of what follows that come before text.
const HEAD: usize = 24;
const START: usize = 56;
const LINE: usize = 16;

/// A record of the ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) ts: u64,
    pub(super) id: u64,
    pub(super) body: Body<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Start(Start),
    Line { flags: u32, offset: u64, text: &'a [u8] },
    End { ending: u32, status: Option<i32> },
}

/// `struct shell_start`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) ppid: Option<u32>,
    pub(super) uid: u32,
    pub(super) login_uid: Option<u32>,
    pub(super) file: u32,
    pub(super) tty: Option<(u32, u32)>,
    pub(super) comm: String,
    pub(super) cwd: Option<Vec<u8>>,
}

pub(super) fn parse(sample: &[u8]) -> Option<Record<'_>> {
    let (head, rest) = sample.split_at_checked(HEAD)?;
    let len = usize::try_from(u32_at(head, 20)?).ok()?;
    let body = match u32_at(head, 16)? {
        1 => Body::Start(start(rest)?),
        2 => Body::Line {
            flags: u32_at(rest, 0)?,
            offset: u64_at(rest, 8)?,
            text: rest.get(LINE..LINE.checked_add(len)?)?,
        },
        3 => Body::End {
            ending: u32_at(rest, 0)?,
            status: (u32_at(rest, 4)? != 0).then_some(u32_at(rest, 8)? as i32),
        },
        _ => return None,
    };
    Some(Record { ts: u64_at(head, 0)?, id: u64_at(head, 8)?, body })
}

fn start(body: &[u8]) -> Option<Start> {
    let known = |value: u32| (value != NONE).then_some(value);
    let comm = body.get(32..48)?;
    let comm = &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len())];
    let path_len = u32_at(body, 48)?;
    let cwd = match path_len {
        0 => None,
        NONE => Some(b"/".to_vec()),
        len => Some(path(body.get(START..START.checked_add(usize::try_from(len).ok()?)?)?)),
    };
    Some(Start {
        pid: u32_at(body, 0)?,
        tid: u32_at(body, 4)?,
        ppid: Some(u32_at(body, 8)?).filter(|ppid| *ppid != 0),
        uid: u32_at(body, 12)?,
        login_uid: known(u32_at(body, 16)?),
        file: u32_at(body, 20)?,
        tty: known(u32_at(body, 24)?).zip(known(u32_at(body, 28)?)),
        comm: String::from_utf8_lossy(comm).into_owned(),
        cwd,
    })
}

/// The path whose components are given last first, each with a NUL.
fn path(components: &[u8]) -> Vec<u8> {
    let components = components.strip_suffix(&[0]).unwrap_or(components);
    components.rsplit(|byte| *byte == 0).fold(Vec::new(), |mut path, component| {
        path.push(b'/');
        path.extend_from_slice(component);
        path
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// `struct shell_configuration`
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Configuration {
    pub(super) wanted_uid: u32,
    pub(super) filter_pid: bool,
    pub(super) filter_uid: bool,
    pub(super) filter_cgroup: bool,
    pub(super) follow_children: bool,
    pub(super) have_cookie: bool,
    pub(super) changeable: bool,
}

impl Configuration {
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.wanted_uid.to_ne_bytes());
        bytes[4..9].copy_from_slice(&[
            u8::from(self.filter_pid),
            u8::from(self.filter_uid),
            u8::from(self.filter_cgroup),
            u8::from(self.follow_children),
            u8::from(self.have_cookie),
        ]);
        // After `never`.
        bytes[10] = u8::from(self.changeable);
        bytes
    }
}

/// `struct shell_file`
pub(super) fn file(variables: [u64; 3], kind: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, value) in variables.into_iter().enumerate() {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_ne_bytes());
    }
    bytes[24..28].copy_from_slice(&kind.to_ne_bytes());
    bytes
}

/// `struct shell_counters`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    pub(super) commands: u64,
    pub(super) bytes: u64,
    pub(super) ring_full: [u64; 2],
    pub(super) unreadable: u64,
    pub(super) too_long: u64,
}

impl Counters {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            commands: u64_at(bytes, 0)?,
            bytes: u64_at(bytes, 8)?,
            ring_full: [u64_at(bytes, 16)?, u64_at(bytes, 24)?],
            unreadable: u64_at(bytes, 32)?,
            too_long: u64_at(bytes, 40)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, len: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = [7_u64.to_ne_bytes(), 9_u64.to_ne_bytes()].concat();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(len.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_working_directory_is_put_together_from_its_end() {
        assert_eq!(path(b"x y\0user\0home\0"), b"/home/user/x y");
        assert_eq!(path(b"tmp\0"), b"/tmp");
    }

    #[test]
    fn short_records_are_refused() {
        let mut body = vec![0; START];
        body[48..52].copy_from_slice(&0_u32.to_ne_bytes());
        let whole = record(1, 0, &body);
        assert!(parse(&whole).is_some());
        for len in 0..HEAD + 52 {
            assert_eq!(parse(&whole[..len]), None);
        }
        let line = record(2, 5, b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0hello");
        assert!(matches!(
            parse(&line),
            Some(Record { body: Body::Line { flags: 1, offset: 0, text: b"hello" }, .. })
        ));
        for len in 0..line.len() {
            assert_eq!(parse(&line[..len]), None);
        }
    }

    #[test]
    fn a_path_longer_than_its_record_is_refused() {
        let mut body = vec![0; START];
        body[48..52].copy_from_slice(&9_u32.to_ne_bytes());
        assert_eq!(parse(&record(1, 0, &body)), None);
    }
}
