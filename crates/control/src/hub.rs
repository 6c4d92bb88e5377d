//! Messages from the capture to everybody who listens, none of whom can slow it down.

use axum::body::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// Messages that may wait for one client.
const MESSAGES: usize = 256;
/// Bytes that may wait for one client; a single message may be larger.
const BYTES: usize = 16 << 20;
/// Lines of the log that a new client gets.
const LOG_LINES: usize = 128;
/// Clients at a time.
const CLIENTS: usize = 16;

/// What is sent.
#[derive(Debug, Clone)]
pub enum Message {
    /// An encoded `LogEntry`.
    Event(Bytes),
    /// A line of the log.
    Log(Arc<str>),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Event(bytes) => bytes.len(),
            Self::Log(line) => line.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

/// What waits for one client.
#[derive(Debug, Default)]
struct Client {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    clients: Vec<Weak<Client>>,
    log: VecDeque<Arc<str>>,
}

/// The capture's end.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    listening: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

/// One client's end.
pub(crate) struct Subscription {
    client: Arc<Client>,
    listening: Arc<AtomicUsize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// True if there is anybody to send events to.
    pub fn has_listeners(&self) -> bool {
        self.clients() > 0
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.listening.load(Ordering::Acquire)
    }

    /// Messages handed to clients' queues, and messages for which a queue had no room.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// Sends an event, an encoded `LogEntry`.
    pub fn event(&self, entry: Vec<u8>) {
        self.broadcast(&mut lock(&self.state), &Message::Event(entry.into()));
    }

    /// Sends a line of the log, and keeps it for those who come later.
    pub fn log(&self, line: &str) {
        let line: Arc<str> = line.into();
        let mut state = lock(&self.state);
        if state.log.len() == LOG_LINES {
            state.log.pop_front();
        }
        state.log.push_back(Arc::clone(&line));
        self.broadcast(&mut state, &Message::Log(line));
    }

    fn broadcast(&self, state: &mut State, message: &Message) {
        state.clients.retain(|client| {
            let Some(client) = client.upgrade() else { return false };
            let mut queue = lock(&client.queue);
            let full = queue.messages.len() >= MESSAGES
                || (queue.bytes > 0 && queue.bytes + message.len() > BYTES);
            if full {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                queue.bytes += message.len();
                queue.messages.push_back(message.clone());
                self.sent.fetch_add(1, Ordering::Relaxed);
                client.filled.notify_one();
            }
            true
        });
    }

    /// A new client, who gets the log so far and everything from now on. `None`: there are too many.
    pub(crate) fn subscribe(&self) -> Option<Subscription> {
        let mut state = lock(&self.state);
        state.clients.retain(|client| client.strong_count() > 0);
        if state.clients.len() >= CLIENTS {
            return None;
        }
        let messages: VecDeque<Message> = state.log.iter().cloned().map(Message::Log).collect();
        let bytes = messages.iter().map(Message::len).sum();
        let client = Arc::new(Client {
            queue: Mutex::new(Queue { messages, bytes }),
            filled: Notify::new(),
        });
        state.clients.push(Arc::downgrade(&client));
        self.listening.fetch_add(1, Ordering::AcqRel);
        Some(Subscription { client, listening: Arc::clone(&self.listening) })
    }
}

impl Subscription {
    /// Waits for the next message. May be cancelled without losing one.
    pub(crate) async fn next(&self) -> Message {
        loop {
            let filled = self.client.filled.notified();
            {
                let mut queue = lock(&self.client.queue);
                if let Some(message) = queue.messages.pop_front() {
                    queue.bytes -= message.len();
                    return message;
                }
            }
            filled.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.listening.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(subscription: &Subscription) -> Option<Message> {
        let mut queue = lock(&subscription.client.queue);
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.len();
        Some(message)
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let hub = Hub::default();
        let slow = hub.subscribe().unwrap();
        for number in 0..MESSAGES + 5 {
            hub.event(vec![number as u8]);
        }
        assert_eq!(hub.counts(), (MESSAGES as u64, 5));
        assert!(matches!(next(&slow), Some(Message::Event(first)) if first[..] == [0]));
        hub.event(vec![9]);
        assert_eq!(hub.counts(), (MESSAGES as u64 + 1, 5));
    }

    #[test]
    fn memory_for_a_client_is_bounded() {
        let hub = Hub::default();
        let _slow = hub.subscribe().unwrap();
        for _ in 0..10 {
            hub.event(vec![0; BYTES / 4]);
        }
        assert_eq!(hub.counts(), (4, 6));
    }

    #[test]
    fn the_last_lines_of_the_log_are_replayed() {
        let hub = Hub::default();
        for number in 0..=LOG_LINES {
            hub.log(&number.to_string());
        }
        let subscription = hub.subscribe().unwrap();
        hub.log("live");
        let mut lines = Vec::new();
        while let Some(Message::Log(line)) = next(&subscription) {
            lines.push(line.to_string());
        }
        assert_eq!(lines.len(), LOG_LINES + 1);
        assert_eq!((lines[0].as_str(), lines[LOG_LINES].as_str()), ("1", "live"));
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let hub = Hub::default();
        let clients: Vec<_> = (0..CLIENTS).filter_map(|_| hub.subscribe()).collect();
        assert_eq!(hub.clients(), CLIENTS);
        assert!(hub.subscribe().is_none());
        drop(clients);
        assert!(!hub.has_listeners());
        assert!(hub.subscribe().is_some());
    }
}
