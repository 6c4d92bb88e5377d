//! Command lines that people enter into interactive shells.

use crate::{Library, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// One command: everything that was entered between two primary prompts.
#[derive(Debug, Clone)]
pub struct Command {
    /// When its first line was entered.
    pub ts: Timestamp,
    /// The shell's process (thread group).
    pub pid: u32,
    /// The shell's thread.
    pub tid: u32,
    /// The process that started the shell, if known.
    pub ppid: Option<u32>,
    /// The user.
    pub uid: u32,
    /// The user that logged in, whoever that is now (`/proc/PID/loginuid`), if known.
    pub login_uid: Option<u32>,
    /// The shell's name.
    pub comm: Arc<str>,
    /// The program file of the process, if it could be read.
    pub exe: Option<Arc<str>>,
    /// The file that was probed.
    pub shell: Arc<Library>,
    /// The controlling terminal, `/dev/pts/3`, if there is one.
    pub tty: Option<String>,
    /// The working directory when the command was entered, if known.
    pub cwd: Option<Vec<u8>>,
    /// What was entered, lines joined by line feeds. Any bytes but NUL.
    pub line: Vec<u8>,
    /// Why a part of `line` is missing, if one is.
    pub incomplete: Option<&'static str>,
    /// How it ended.
    pub ending: CommandEnding,
    /// Its exit status: `$?`, or of the shell itself if that ended; if known.
    pub status: Option<i32>,
    /// How long it ran after its last line was entered; none if it had not ended.
    pub duration: Option<Duration>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandEnding {
    /// The shell went on.
    Returned,
    /// Another program took the shell's place.
    Exec,
    /// The shell ended.
    Exit,
    /// It had not when the capture ended.
    Running,
}

impl CommandEnding {
    /// The word used in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Running => "running",
        }
    }
}
