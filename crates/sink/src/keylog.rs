//! TLS secrets as lines of an NSS key log (`draft-ietf-tls-keylogfile`), which Wireshark follows while it
//! grows.
//!
//! Each line is one `write`, so that whoever reads along never sees half of one, and is in the file when
//! [`KeyLog::write`] returns. No line is written twice, nor one that the file held already.

use crate::output::Destination;
use crate::private_file::append_private;
use crate::{OutputError, OutputState, PrivateFileError};
use event::Secret;
use rustix::fs::{FileType, SeekFrom, fstat, ftruncate, seek};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _};
use std::os::fd::AsFd;
use std::path::Path;

/// Of a file that is there already, so much of its end is read.
const OLD_BYTES: u64 = 64 << 20;
/// Longer lines are not ours: the longest label and secret make 240 bytes.
const LONGEST_LINE: usize = 512;

/// What became of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// It is a new line.
    Written,
    /// The line is there already.
    Duplicate,
    /// Nobody takes lines any more.
    Discarded,
}

/// What a key log has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyLogStats {
    /// Lines that were written.
    pub written: u64,
    /// Secrets whose line was there already.
    pub duplicate: u64,
    /// Secrets that were given to a closed or failed key log, or could not be written.
    pub discarded: u64,
}

/// A key log that is being written.
pub struct KeyLog {
    name: String,
    file: File,
    known: KnownLines,
    line: String,
    /// What is there does not end with a line end.
    unfinished: bool,
    state: OutputState,
    stats: KeyLogStats,
}

impl KeyLog {
    /// Appends to `path`, or writes to standard output if it is `-`.
    ///
    /// A new file gets mode 0600. One that is there must be a regular file of the caller's with one
    /// name, which becomes 0600, or a FIFO; symbolic links are not followed.
    pub fn open(path: &Path) -> Result<Self, PrivateFileError> {
        if path == Path::new("-") {
            let system = |source| PrivateFileError::System { path: "stdout".into(), source };
            let fd = io::stdout().as_fd().try_clone_to_owned().map_err(system)?;
            return Ok(Self::new("stdout".to_owned(), File::from(fd), KnownLines::new(), false));
        }
        let (file, old) = append_private(path)?;
        let mut known = KnownLines::new();
        let unfinished = match old {
            Some(old) => known
                .read(old)
                .map_err(|source| PrivateFileError::System { path: path.to_path_buf(), source })?,
            None => false,
        };
        Ok(Self::new(path.display().to_string(), file, known, unfinished))
    }

    fn new(name: String, file: File, known: KnownLines, unfinished: bool) -> Self {
        Self {
            name,
            file,
            known,
            line: String::with_capacity(LONGEST_LINE),
            unfinished,
            state: OutputState::Open,
            stats: KeyLogStats::default(),
        }
    }

    /// Writes the secret's line, unless it is there.
    pub fn write(&mut self, secret: &Secret) -> Result<Logged, OutputError> {
        if self.state != OutputState::Open {
            self.stats.discarded += 1;
            return Ok(Logged::Discarded);
        }
        self.line.clear();
        if self.unfinished {
            self.line.push('\n');
        }
        let start = self.line.len();
        format(secret, &mut self.line);
        if !self.known.insert(&self.line.as_bytes()[start..]) {
            self.stats.duplicate += 1;
            return Ok(Logged::Duplicate);
        }
        self.line.push('\n');
        match self.write_out() {
            Ok(()) => {
                self.unfinished = false;
                self.stats.written += 1;
                Ok(Logged::Written)
            }
            Err(source) => {
                self.stats.discarded += 1;
                if source.kind() == ErrorKind::BrokenPipe {
                    self.state = OutputState::Closed;
                    return Ok(Logged::Discarded);
                }
                self.state = OutputState::Failed;
                Err(OutputError { name: self.name.clone(), written: self.stats.written, source })
            }
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let line = self.line.as_bytes();
        let mut done = 0;
        while done < line.len() {
            match io::Write::write(&mut self.file, &line[done..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => self.file.wait_writable()?,
                    _ => {
                        take_back(&self.file, done);
                        return Err(error);
                    }
                },
            }
        }
        Ok(())
    }

    /// Whether anybody still takes lines.
    pub fn state(&self) -> OutputState {
        self.state
    }

    /// What was written so far.
    pub fn stats(&self) -> KeyLogStats {
        self.stats
    }
}

/// Removes the start of a line that there was no room to finish, if nothing was written after it.
fn take_back(file: &File, written: usize) {
    let (Ok(stat), Ok(end)) = (fstat(file), seek(file, SeekFrom::Current(0))) else { return };
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if written > 0 && is_file && u64::try_from(stat.st_size) == Ok(end) {
        // Should this fail, the file is as it is: an error is under way already.
        let _ = ftruncate(file, end.saturating_sub(written as u64));
    }
}

fn format(secret: &Secret, line: &mut String) {
    line.push_str(&secret.label);
    for bytes in [secret.client_random.as_slice(), &secret.secret] {
        line.push(' ');
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(line, "{byte:02x}");
        }
    }
}

/// The lines that were written or read last: at least [`KnownLines::KEPT`] of them, in at most 12 MiB.
///
/// Lines are known by 128 bits of a hash whose key nobody else knows. When one half of them is full, the
/// older half is forgotten.
struct KnownLines {
    hashers: [RandomState; 2],
    young: HashSet<u128>,
    old: HashSet<u128>,
    kept: usize,
}

impl KnownLines {
    const KEPT: usize = 128 << 10;

    fn new() -> Self {
        Self {
            hashers: std::array::from_fn(|_| RandomState::new()),
            young: HashSet::new(),
            old: HashSet::new(),
            kept: Self::KEPT,
        }
    }

    /// False if the line is known.
    fn insert(&mut self, line: &[u8]) -> bool {
        let [high, low] = &self.hashers;
        let hash = u128::from(high.hash_one(line)) << 64 | u128::from(low.hash_one(line));
        if self.young.contains(&hash) || self.old.contains(&hash) {
            return false;
        }
        if self.young.len() >= self.kept {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash)
    }

    /// Learns the lines of `file`. True if the last one has no end.
    fn read(&mut self, mut file: File) -> io::Result<bool> {
        let size = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(size.saturating_sub(OLD_BYTES)))?;
        // Whoever writes to it too does not keep us here.
        let mut reader = BufReader::new(file.take(OLD_BYTES));
        let mut line = Vec::new();
        let mut unfinished = false;
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line)? == 0 {
                return Ok(unfinished);
            }
            unfinished = !line.ends_with(b"\n");
            let text = line.trim_ascii_end();
            if !text.is_empty() && !text.starts_with(b"#") {
                self.insert(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Library, Timestamp};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;
    use std::sync::Arc;

    fn secret(label: &str, byte: u8) -> Secret {
        Secret {
            ts: Timestamp(1),
            pid: 1,
            tid: 1,
            uid: 0,
            comm: "curl".into(),
            library: Arc::new(Library { path: "/lib/libssl.so.3".to_owned(), build_id: None }),
            label: label.to_owned(),
            client_random: [0x0a; 32],
            secret: vec![byte; 48],
        }
    }

    fn line(label: &str, byte: u8) -> String {
        format!("{label} {} {}\n", "0a".repeat(32), format!("{byte:02x}").repeat(48))
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.log");
        (dir, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_line_is_there_when_write_returns() {
        let (_dir, path) = scratch();
        let mut log = KeyLog::open(&path).unwrap();
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 0xb1)).unwrap(), Logged::Written);
        assert_eq!(fs::read_to_string(&path).unwrap(), line("CLIENT_RANDOM", 0xb1));
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn no_line_is_written_twice() {
        let (_dir, path) = scratch();
        let mut log = KeyLog::open(&path).unwrap();
        let written = [("CLIENT_RANDOM", 1), ("CLIENT_RANDOM", 2), ("EXPORTER_SECRET", 1)];
        for (label, byte) in written.into_iter().chain(written) {
            log.write(&secret(label, byte)).unwrap();
        }
        let lines = written.map(|(label, byte)| line(label, byte)).concat();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines);
        assert_eq!(log.stats(), KeyLogStats { written: 3, duplicate: 3, discarded: 0 });
    }

    #[test]
    fn what_the_file_holds_is_kept_and_not_written_again() {
        let (_dir, path) = scratch();
        let old = format!("# comment\n{}", line("CLIENT_RANDOM", 1));
        fs::write(&path, &old).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut log = KeyLog::open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 1)).unwrap(), Logged::Duplicate);
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 2)).unwrap(), Logged::Written);
        assert_eq!(fs::read_to_string(&path).unwrap(), old + &line("CLIENT_RANDOM", 2));
    }

    #[test]
    fn a_file_without_a_last_line_end_gets_one() {
        let (_dir, path) = scratch();
        let half = line("CLIENT_RANDOM", 1);
        let half = &half[..half.len() - 20];
        fs::write(&path, half).unwrap();
        let mut log = KeyLog::open(&path).unwrap();
        for byte in [1, 2] {
            assert_eq!(log.write(&secret("CLIENT_RANDOM", byte)).unwrap(), Logged::Written);
        }
        let whole = format!("{half}\n{}{}", line("CLIENT_RANDOM", 1), line("CLIENT_RANDOM", 2));
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn a_symlink_is_refused_and_its_target_is_untouched() {
        let (dir, path) = scratch();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        let error = KeyLog::open(&path).err().unwrap();
        assert!(matches!(error, PrivateFileError::Symlink { .. }), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn devices_and_folders_are_refused() {
        let (dir, _) = scratch();
        for path in [Path::new("/dev/null"), dir.path()] {
            let error = KeyLog::open(path).err().unwrap();
            assert!(matches!(error, PrivateFileError::NotAFile { .. }), "{error}");
        }
    }

    #[test]
    fn when_nobody_reads_any_more_the_log_is_closed() {
        let (read, write) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(write));
        let mut log = KeyLog::new("pipe".to_owned(), file, KnownLines::new(), false);
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 1)).unwrap(), Logged::Written);
        drop(read);
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 2)).unwrap(), Logged::Discarded);
        assert_eq!(log.state(), OutputState::Closed);
    }

    #[test]
    fn a_full_disk_fails_once_and_is_told() {
        let file = File::options().append(true).open("/dev/full").unwrap();
        let mut log = KeyLog::new("full".to_owned(), file, KnownLines::new(), false);
        assert!(log.write(&secret("CLIENT_RANDOM", 1)).is_err());
        assert_eq!(log.state(), OutputState::Failed);
        assert_eq!(log.write(&secret("CLIENT_RANDOM", 2)).unwrap(), Logged::Discarded);
        assert_eq!(log.stats().discarded, 2);
    }

    #[test]
    fn the_start_of_a_line_is_taken_back() {
        let (_dir, path) = scratch();
        fs::write(&path, "whole\n").unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, b"CLIENT_RAN").unwrap();
        take_back(&file, 10);
        assert_eq!(fs::read(&path).unwrap(), b"whole\n");
    }

    #[test]
    fn memory_of_lines_is_bounded_and_the_last_are_known() {
        let mut known = KnownLines { kept: 100, ..KnownLines::new() };
        for number in 0..1000_u32 {
            assert!(known.insert(&number.to_ne_bytes()));
            assert!(known.young.len() + known.old.len() <= 200);
        }
        for number in 900..1000_u32 {
            assert!(!known.insert(&number.to_ne_bytes()));
        }
    }

    #[test]
    fn a_file_of_one_endless_line_is_read_in_bounded_pieces() {
        let (_dir, path) = scratch();
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        let mut log = KeyLog::open(&path).unwrap();
        log.write(&secret("CLIENT_RANDOM", 1)).unwrap();
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with(&format!("x\n{}", line("CLIENT_RANDOM", 1)))
        );
    }
}
