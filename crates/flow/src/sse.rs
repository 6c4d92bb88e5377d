//! Event streams (WHATWG HTML section 9.2), cut into events as they come.

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StreamEvent<'a> {
    /// Its lines with their ends.
    pub(crate) raw: &'a [u8],
    pub(crate) event: Option<&'a [u8]>,
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) data: &'a [u8],
}

/// The part of an event that has come so far.
#[derive(Debug, Default)]
pub(crate) struct EventStream {
    /// From the beginning of the event.
    held: Vec<u8>,
    /// Where the line that is being read begins in `held`.
    line: usize,
    /// How far `held` has been read.
    read: usize,
    /// The last byte that was read is a carriage return: a line feed after it ends no line.
    after_return: bool,
    /// A byte order mark may only precede the first event.
    begun: bool,
}

impl EventStream {
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes what has come of an event that will not be shown as one.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(self).held
    }

    pub(crate) fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&StreamEvent<'_>)) {
        self.held.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(found) =
            memchr::memchr2(b'\n', b'\r', self.held.get(self.read..).unwrap_or_default())
        {
            let end = self.read + found;
            let feed = self.held.get(end) == Some(&b'\n');
            let second_half = feed && self.after_return && found == 0;
            self.after_return = !feed;
            self.read = end + 1;
            if !second_half && end == self.line {
                // A blank line ends the event.
                let raw = self.held.get(begin..end).unwrap_or_default();
                if !raw.is_empty() {
                    show(raw, &mut self.begun, sink);
                }
                begin = self.read;
            } else if second_half && begin == end {
                begin = self.read;
            }
            self.line = self.read;
        }
        if self.read < self.held.len() {
            self.after_return = false;
            self.read = self.held.len();
        }
        self.held.drain(..begin);
        self.line -= begin;
        self.read -= begin;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }
}

fn show(raw: &[u8], begun: &mut bool, sink: &mut dyn FnMut(&StreamEvent<'_>)) {
    let text = if *begun { raw } else { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) };
    *begun = true;
    let (mut event, mut id) = (None, None);
    let mut first: Option<&[u8]> = None;
    let mut joined: Vec<u8> = Vec::new();
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => event = Some(value),
            b"id" if !value.contains(&0) => id = Some(value),
            b"data" => match first {
                None => first = Some(value),
                Some(first) => {
                    if joined.is_empty() {
                        joined.extend_from_slice(first);
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    let data = if joined.is_empty() { first.unwrap_or_default() } else { &joined };
    sink(&StreamEvent { raw, event, id, data });
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

    fn events(pieces: &[&[u8]]) -> (Vec<Owned>, Vec<u8>) {
        let mut stream = EventStream::default();
        let mut found = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut |event| {
                found.push((
                    event.data.to_vec(),
                    event.event.map(<[u8]>::to_vec),
                    event.id.map(<[u8]>::to_vec),
                ));
            });
        }
        (found, stream.take_rest())
    }

    fn data(data: &[u8]) -> Owned {
        (data.to_vec(), None, None)
    }

    #[test]
    fn an_event_ends_at_a_blank_line_whatever_the_line_ends() {
        for end in ["\n", "\r", "\r\n"] {
            let text = [
                "data: a", "data:b", "", "event: x", "id: 7", "data", "", "", ": note", "",
                "data: c",
            ]
            .join(end);
            let (found, rest) = events(&[text.as_bytes()]);
            let named = (b"".to_vec(), Some(b"x".to_vec()), Some(b"7".to_vec()));
            assert_eq!(found, [data(b"a\nb"), named, data(b"")], "{end:?}");
            assert_eq!(rest, b"data: c");
        }
    }

    #[test]
    fn events_do_not_depend_on_how_the_bytes_come() {
        let text =
            b"\xef\xbb\xbfdata: a\r\n\r\n\r\ndata: b\rdata: c\r\rdata: d\n\r\nid: 1\n\ndata:\n\n";
        let whole = events(&[text]);
        assert_eq!(whole.0.len(), 5);
        assert_eq!(whole.0[0], data(b"a"));
        let single: Vec<_> = text.chunks(1).collect();
        assert_eq!(events(&single), whole);
        for cut in 0..text.len() {
            assert_eq!(events(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }
}
