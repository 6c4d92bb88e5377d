//! The file: entries are appended before its end, which is then written anew.

use super::entry::Entry;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

const TAIL: &str = "\n]}}\n";

pub(super) struct Document {
    file: File,
    /// Entries as text, each after a separator.
    buffer: Vec<u8>,
    buffered: u64,
    /// Where the next entry goes; `None` if the file cannot be positioned in (a FIFO).
    end: Option<u64>,
    first: bool,
    ended: bool,
}

impl Document {
    pub(super) fn new(mut file: File, creator_version: &str) -> Self {
        let end = file.stream_position().ok();
        let head = serde_json::json!({ "name": "ecapture", "version": creator_version });
        let buffer = format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{head},\"entries\":[")
            .into_bytes();
        Self { file, buffer, buffered: 0, end, first: true, ended: false }
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        self.buffer.extend_from_slice(if self.first { b"\n" } else { b",\n" });
        self.first = false;
        // Writing to a vector cannot fail, and an entry has only keys that are strings.
        let _ = serde_json::to_writer(&mut self.buffer, entry);
        self.buffered += 1;
    }

    /// No more entries will come.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Writes what is buffered, and an end. Returns how many entries that were.
    pub(super) fn write(&mut self) -> io::Result<u64> {
        if self.buffer.is_empty() && !self.ended {
            return Ok(0);
        }
        if let Some(end) = &mut self.end {
            self.file.seek(SeekFrom::Start(*end))?;
            *end += self.buffer.len() as u64;
            self.buffer.extend_from_slice(TAIL.as_bytes());
        } else if self.ended {
            self.buffer.extend_from_slice(TAIL.as_bytes());
        }
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        Ok(std::mem::take(&mut self.buffered))
    }

    /// Forgets what is buffered. Returns how many entries that were.
    pub(super) fn discard(&mut self) -> u64 {
        self.buffer.clear();
        std::mem::take(&mut self.buffered)
    }
}
