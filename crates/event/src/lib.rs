//! The vocabulary that the parts of ecapture share.
//!
//! Borders between them are defined here, and nothing else:
//!
//! * [`Event`]: what `probe` says and `flow` listens to, in the order in which it happened;
//! * [`Record`]: what `flow` makes of it and `sink` writes;
//! * [`Secret`] and [`Packet`]: what `probe` says of keys and packets;
//! * [`Command`]: what `probe` says of command lines;
//! * [`Query`]: what `probe` says of statements in database servers.
//!
//! `Send`/`Recv`, `local`/`remote` are always from the traced program's view.

mod body;
mod command;
mod connection;
mod input;
mod loss;
mod output;
mod packet;
mod query;
mod secret;
mod time;

pub use body::{Body, HeldBody, plain_len};
pub use command::{Command, CommandEnding};
pub use connection::{ConnId, Connection, Direction, Library};
pub use input::{Chunk, Event, Hole, HoleCause};
pub use loss::{Loss, LossTable};
pub use output::{
    Answered, BodyCoding, BodyPart, Completeness, Content, Data, Field, HttpMessage, HttpVersion,
    Record, RequestLine, ServerSentEvent, Start, StatusLine, Unparsed, WebSocketMessage,
    WebSocketMessageKind,
};
pub use packet::{Owner, Packet};
pub use query::{DatabaseSystem, Outcome, Query, QueryOperation};
pub use secret::Secret;
pub use time::Timestamp;
