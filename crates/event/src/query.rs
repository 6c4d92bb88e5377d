//! Statements that database servers execute.

use crate::{Library, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// One statement of a client, or one step of it where the protocol has several.
#[derive(Debug, Clone)]
pub struct Query {
    /// When the server had it.
    pub ts: Timestamp,
    /// The server's process (thread group); with PostgreSQL the client's backend.
    pub pid: u32,
    /// The thread that worked on it first.
    pub tid: u32,
    /// The server's user.
    pub uid: u32,
    /// The thread's name.
    pub comm: Arc<str>,
    /// The program file of the process, if it could be read.
    pub exe: Option<Arc<str>>,
    /// The file that was probed.
    pub server: Arc<Library>,
    /// Which server it is.
    pub system: DatabaseSystem,
    /// What was done with the statement, if that is known.
    pub operation: Option<QueryOperation>,
    /// The connection's number within the server, if known (MySQL, MariaDB).
    pub connection: Option<u64>,
    /// The client's database user, if known.
    pub user: Option<String>,
    /// The schema (MySQL) or database (PostgreSQL) that the session was in, if known.
    pub schema: Option<String>,
    /// Where the client is, as the server says it: `127.0.0.1(51282)`, `[local]`; if known.
    pub client: Option<String>,
    /// The statement. Any bytes; none if it is not known.
    pub text: Option<Vec<u8>>,
    /// Why a part of `text` is missing, if one is.
    pub incomplete: Option<&'static str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Rows that it returned or changed, as far as the server's answer says it.
    pub rows: Option<u64>,
    /// From `ts` until it was answered; none if it was not.
    pub duration: Option<Duration>,
}

/// Which database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseSystem {
    /// MySQL from 5.7 on.
    MySql,
    /// MariaDB.
    MariaDb,
    /// PostgreSQL.
    PostgreSql,
}

impl DatabaseSystem {
    /// The word used in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::PostgreSql => "postgresql",
        }
    }
}

/// What was done with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryOperation {
    /// It was executed at once (`COM_QUERY`, the simple protocol).
    Query,
    /// It was parsed, to be executed later (`COM_STMT_PREPARE`, Parse).
    Prepare,
    /// It was given its parameters (Bind).
    Bind,
    /// A prepared one was executed (`COM_STMT_EXECUTE`, Execute).
    Execute,
}

impl QueryOperation {
    /// The word used in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Prepare => "prepare",
            Self::Bind => "bind",
            Self::Execute => "execute",
        }
    }
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Done,
    /// With an error that the client was told: MySQL's number, or PostgreSQL's SQLSTATE.
    Failed(String),
    /// It had not when the capture ended, or its end was not seen.
    Unfinished,
}
