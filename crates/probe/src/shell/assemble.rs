//! From the ring's records to whole commands.

use super::proc;
use super::record::{self, Body, Start};
use crate::clock::Clock;
use event::{Command, CommandEnding, Library};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Of one command so much is kept.
const LONGEST: usize = 32 << 20;
/// Commands that have not ended, one a shell: as many as the kernel side keeps.
const MOST: usize = 16_384;

/// Which shell a file is. Values as in `enum shell_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// GNU bash.
    Bash = 1,
    /// The Z shell.
    Zsh = 2,
    /// Whatever reads lines with libreadline.
    Readline = 3,
}

/// A shell file that is attached to.
pub(super) struct File {
    pub(super) library: Arc<Library>,
    pub(super) kind: Kind,
}

/// A command that has not ended.
struct Open {
    started: u64,
    /// When its last line was entered, and it began to run.
    run: u64,
    start: Start,
    exe: Option<Arc<str>>,
    text: Vec<u8>,
    /// Where the line at hand begins in `text`.
    line: usize,
    /// Lines come with their line feeds.
    terminated: bool,
    /// The first line has begun.
    begun: bool,
    incomplete: Option<&'static str>,
}

/// Puts commands together.
pub(super) struct Assembler {
    clock: Clock,
    use_btf: bool,
    open: HashMap<u64, Open>,
    pub(super) unknown: u64,
}

impl Assembler {
    pub(super) fn new(clock: Clock, use_btf: bool) -> Self {
        Self { clock, use_btf, open: HashMap::new(), unknown: 0 }
    }

    pub(super) fn take(&mut self, sample: &[u8], files: &[File], handle: &mut impl FnMut(Command)) {
        // Our own programs write the samples: a malformed one cannot be, and is passed over.
        let Some(record) = record::parse(sample) else { return };
        match record.body {
            Body::Start(mut start) => {
                let exe = proc::exe(start.pid);
                if !self.use_btf {
                    proc::complete(&mut start);
                }
                let kind = files.get(start.file as usize).map(|file| file.kind);
                if self.open.len() < MOST {
                    let open = Open {
                        started: record.ts,
                        run: record.ts,
                        start,
                        exe,
                        text: Vec::new(),
                        line: 0,
                        terminated: kind == Some(Kind::Zsh),
                        begun: false,
                        incomplete: None,
                    };
                    self.open.insert(record.id, open);
                } else {
                    self.unknown += 1;
                }
            }
            Body::Line { flags, offset, text } => match self.open.get_mut(&record.id) {
                Some(open) => {
                    open.run = record.ts;
                    open.append(flags, offset, text);
                }
                None => self.unknown += 1,
            },
            Body::End { ending, status } => {
                let Some(open) = self.open.remove(&record.id) else { return };
                let ending = match ending {
                    record::RETURNED => CommandEnding::Returned,
                    record::EXEC => CommandEnding::Exec,
                    record::EXIT => CommandEnding::Exit,
                    // It was cancelled.
                    _ => return,
                };
                let duration = Duration::from_nanos(record.ts.saturating_sub(open.run));
                self.finish(open, files, ending, status, Some(duration), handle);
            }
        }
    }

    /// Hands out the commands that have not ended, in the order in which they were entered.
    pub(super) fn rest(&mut self, files: &[File], handle: &mut impl FnMut(Command)) {
        let mut rest: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        rest.sort_by_key(|open| open.started);
        for open in rest {
            self.finish(open, files, CommandEnding::Running, None, None, handle);
        }
    }

    fn finish(
        &self,
        open: Open,
        files: &[File],
        ending: CommandEnding,
        status: Option<i32>,
        duration: Option<Duration>,
        handle: &mut impl FnMut(Command),
    ) {
        let Some(file) = files.get(open.start.file as usize) else { return };
        let Open { started, start, exe, text, incomplete, .. } = open;
        let mut line = match file.kind {
            Kind::Zsh => unmetafied(text),
            Kind::Bash | Kind::Readline => text,
        };
        while line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.iter().all(u8::is_ascii_whitespace) && incomplete.is_none() {
            return;
        }
        handle(Command {
            ts: self.clock.at(started),
            pid: start.pid,
            tid: start.tid,
            ppid: start.ppid,
            uid: start.uid,
            login_uid: start.login_uid,
            comm: start.comm.into(),
            exe,
            shell: Arc::clone(&file.library),
            tty: start.tty.map(|(major, minor)| proc::tty_name(major, minor)),
            cwd: start.cwd,
            line,
            incomplete,
            ending,
            status,
            duration,
        });
    }
}

impl Open {
    fn append(&mut self, flags: u32, offset: u64, text: &[u8]) {
        if flags & record::FIRST != 0 {
            if self.begun && !self.terminated {
                self.text.push(b'\n');
            }
            self.begun = true;
            self.line = self.text.len();
        }
        if (self.text.len() - self.line) as u64 != offset {
            self.incomplete = Some("lost");
        }
        if flags & record::UNREADABLE != 0 {
            self.incomplete = Some("unreadable");
        }
        if flags & record::TOO_LONG != 0 || self.text.len() + text.len() > LONGEST {
            self.incomplete = Some("too long");
        }
        if self.text.len() + text.len() <= LONGEST {
            self.text.extend_from_slice(text);
        }
    }
}

/// zsh writes some bytes as `Meta` and the byte with bit 5 changed (`utils.c`).
fn unmetafied(text: Vec<u8>) -> Vec<u8> {
    const META: u8 = 0x83;
    let mut bytes = text.into_iter();
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.next() {
        if byte == META {
            plain.extend(bytes.next().map(|byte| byte ^ 32));
        } else {
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_zsh_masks_are_what_was_typed() {
        assert_eq!(unmetafied(b"echo \x83\xa3\x83\x20x".to_vec()), b"echo \x83\0x");
        assert_eq!(unmetafied("echo é".into()), "echo é".as_bytes());
    }

    fn open() -> Open {
        let start = Start {
            pid: 1,
            tid: 1,
            ppid: None,
            uid: 0,
            login_uid: None,
            file: 0,
            tty: None,
            comm: String::new(),
            cwd: None,
        };
        let (text, exe, incomplete) = (Vec::new(), None, None);
        Open {
            started: 0,
            run: 0,
            start,
            exe,
            text,
            line: 0,
            terminated: false,
            begun: false,
            incomplete,
        }
    }

    #[test]
    fn lines_are_joined_and_pieces_are_not() {
        let mut command = open();
        command.append(record::FIRST, 0, b"for i in 1 2");
        command.append(record::FIRST, 0, b"do echo ");
        command.append(0, 8, b"$i; done");
        command.append(record::FIRST, 0, b"");
        command.append(record::FIRST, 0, b"x");
        assert_eq!(command.text, b"for i in 1 2\ndo echo $i; done\n\nx");
        assert_eq!(command.incomplete, None);
    }

    #[test]
    fn a_missing_piece_is_told() {
        let mut command = open();
        command.append(record::FIRST, 0, b"abc");
        command.append(0, 4098, b"xyz");
        assert_eq!(command.incomplete, Some("lost"));
    }
}
