//! The HTTP messages of the parsed output, with bodies that came in parts put together.

use crate::line::{Direction, Line};
use std::collections::BTreeMap;

/// A whole message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The line of its head.
    pub head: Line,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// Whether the end was seen.
    pub complete: bool,
}

impl Message {
    /// True for a request.
    pub fn is_request(&self) -> bool {
        self.head.kind == "http_request"
    }
}

/// Puts the messages of some processes together. Fails on anything but whole HTTP messages.
pub fn messages(lines: &[Line], pids: &[u32]) -> Vec<Message> {
    let mut open: BTreeMap<(u64, Direction, u64), usize> = BTreeMap::new();
    let mut messages: Vec<Message> = Vec::new();
    for line in lines.iter().filter(|line| pids.contains(&line.pid)) {
        let exchange = line.exchange.unwrap_or_else(|| panic!("no HTTP message: {line:?}"));
        let key = (line.conn, line.dir, exchange);
        match line.kind.as_str() {
            "http_request" | "http_response" => {
                let follows = line.body_follows == Some(true);
                messages.push(Message {
                    head: line.clone(),
                    body: line.body().unwrap_or_default(),
                    complete: !follows && line.complete == Some(true),
                });
                if follows {
                    assert!(open.insert(key, messages.len() - 1).is_none(), "two heads: {line:?}");
                }
            }
            "http_body" => {
                let at = *open.get(&key).unwrap_or_else(|| panic!("no head before {line:?}"));
                let message = &mut messages[at];
                assert_eq!(line.offset, Some(message.body.len() as u64), "offset of a body part");
                message.body.extend(line.data().expect("data"));
                if line.last == Some(true) {
                    message.complete = true;
                    open.remove(&key);
                }
            }
            other => panic!("unexpected kind {other}: {line:?}"),
        }
    }
    messages
}

/// Only the requests.
pub fn requests(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| message.is_request()).collect()
}

/// Only the responses.
pub fn responses(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| !message.is_request()).collect()
}
