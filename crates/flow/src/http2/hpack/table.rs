//! The static and the dynamic table (RFC 7541 section 2.3).

use std::collections::VecDeque;

/// The dynamic table's size until the peers agree on another (RFC 9113 section 6.5.2).
pub(super) const DEFAULT_SIZE: usize = 4096;

/// What an entry costs beside its bytes (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;

/// RFC 7541 appendix A; the first has index 1.
pub(super) const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[derive(Debug)]
struct Entry {
    bytes: Box<[u8]>,
    name_len: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

/// Both tables in one index space.
///
/// Where entries are not known, those that are known are still counted from the newest, so their
/// indices are right; and as an unknown name counts for less than it is, none is dropped too early.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    cap: usize,
}

impl Table {
    pub(super) fn new(max: usize, cap: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, max: max.min(cap), cap }
    }

    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name, value));
        }
        let entry = self.entries.get(index - STATIC.len())?;
        entry.bytes.split_at_checked(entry.name_len)
    }

    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let entry = Entry { bytes: [name, value].concat().into(), name_len: name.len() };
        self.make_room(self.max.saturating_sub(entry.size()));
        if entry.size() <= self.max {
            self.size += entry.size();
            self.entries.push_front(entry);
        }
    }

    pub(super) fn resize(&mut self, max: usize) {
        self.max = max.min(self.cap);
        self.make_room(self.max);
    }

    /// Drops all entries; how large the table may grow is not known either.
    pub(super) fn forget(&mut self) {
        self.make_room(0);
        self.max = self.cap;
    }

    pub(super) fn held(&self) -> usize {
        self.size
    }

    fn make_room(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to(16);
        }
    }
}
