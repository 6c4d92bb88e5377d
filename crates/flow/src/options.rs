//! What a flow may be told: whether to parse, and how much it may hold.

use std::time::Duration;

/// How a [`crate::Flow`] works. Every limit bounds memory; none loses bytes: what no longer fits is
/// shown at once instead of held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Recognise protocols and show messages. Without it every chunk is shown as it comes.
    pub parse: bool,
    /// Find out which large bodies are plain text, for those who write them as they are.
    pub look_for_text: bool,
    /// Bytes of one message body that are held to show it whole; a larger body follows its head in
    /// parts.
    pub body_limit: usize,
    /// An incomplete message that is older than this at a tick is shown with what is there.
    pub stream_after: Duration,
    /// Bytes of one message head or of one HTTP/2 header block.
    pub head_limit: usize,
    /// Connections whose parsing state is kept; beyond that the state of one that has been idle is
    /// given up, and what it held is shown.
    pub connection_limit: usize,
    /// HTTP/2 streams in flight per connection; beyond that the oldest is shown as truncated.
    pub stream_limit: usize,
    /// Bytes of one direction that may wait for a gap before them to fill.
    pub reorder_limit: usize,
    /// Bytes held over all connections: of bodies, and of what waits for its rest or for a gap to fill.
    /// What any idle connection needs is not refused: HPACK tables, up to 4 KiB of a beginning.
    pub held_limit: usize,
    /// How many times larger than its coded form a body may become before it is shown as sent;
    /// applies only beyond `body_limit`.
    pub expansion_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parse: true,
            look_for_text: false,
            body_limit: 1 << 20,
            stream_after: Duration::from_secs(1),
            head_limit: 256 << 10,
            connection_limit: 16 << 10,
            stream_limit: 1024,
            reorder_limit: 4 << 20,
            held_limit: 32 << 20,
            expansion_limit: 1000,
        }
    }
}
