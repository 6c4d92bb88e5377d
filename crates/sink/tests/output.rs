//! Where the bytes go, and what is said when they cannot.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use event::{ConnId, Connection, Content, Data, Direction, Library, Record, Timestamp};
use sink::{Destination, Encoder, Output, OutputState, OutputStats};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock};

static CONN: LazyLock<Connection> = LazyLock::new(|| Connection {
    id: ConnId(1),
    ts: Timestamp(0),
    pid: 1,
    uid: 0,
    comm: "a".into(),
    exe: None,
    library: Arc::new(Library { path: String::new(), build_id: None }),
    local: None,
    remote: None,
});

fn record(bytes: &[u8]) -> Record<'_> {
    let content = Content::Data(Data { offset: 0, bytes, unparsed: None });
    Record { ts: Timestamp(0), conn: &CONN, tid: 1, dir: Direction::Send, content }
}

/// Writes a record's payload and nothing else.
struct Payload;

impl Encoder for Payload {
    fn encode(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let Content::Data(data) = &record.content else { return };
        out.extend_from_slice(data.bytes);
    }

    fn query(&mut self, _: &event::Query, _: &mut Vec<u8>) {
        unreachable!("no statement is written here");
    }

    fn command(&mut self, command: &event::Command, out: &mut Vec<u8>) {
        out.extend_from_slice(&command.line);
    }
}

fn to_socket(socket: UnixStream) -> Output {
    Output::new("socket", Box::new(File::from(OwnedFd::from(socket))), Box::new(Payload))
}

/// A destination that follows a script, one entry for each write, and reports what it took.
struct Scripted {
    script: std::vec::IntoIter<Result<usize, ErrorKind>>,
    taken: Sender<Vec<u8>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.script.next().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        self.taken.send(bytes[..len].to_vec()).unwrap();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Destination for Scripted {
    fn wait_writable(&mut self) -> io::Result<()> {
        self.taken.send(b"<waited>".to_vec()).unwrap();
        Ok(())
    }
}

fn scripted(script: Vec<Result<usize, ErrorKind>>) -> (Output, mpsc::Receiver<Vec<u8>>) {
    let (taken, taken_there) = mpsc::channel();
    let destination = Scripted { script: script.into_iter(), taken };
    (Output::new("script", Box::new(destination), Box::new(Payload)), taken_there)
}

#[test]
fn flush_holds_nothing_back() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut output = to_socket(ours);
    output.write(&record(b"one ")).unwrap();
    output.write(&record(b"two")).unwrap();
    assert_eq!(output.stats(), OutputStats::default());
    output.flush().unwrap();
    let mut got = [0; 7];
    theirs.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one two");
    assert_eq!(output.stats(), OutputStats { records: 2, bytes: 7, discarded: 0 });
}

#[test]
fn a_big_record_does_not_wait_for_the_flush() {
    let (mut output, taken) = scripted(Vec::new());
    let big = vec![b'x'; 4 << 20];
    output.write(&record(&big)).unwrap();
    assert_eq!(taken.try_recv().unwrap(), big);
    assert_eq!(output.stats().records, 1);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut output = to_socket(ours);
    output.write(&record(b"seen")).unwrap();
    assert_eq!(output.flush().unwrap(), OutputState::Open);
    drop(theirs);
    output.write(&record(b"not seen")).unwrap();
    assert_eq!(output.flush().unwrap(), OutputState::Closed);
    assert_eq!(output.write(&record(b"nor this")).unwrap(), OutputState::Closed);
    assert_eq!(output.stats(), OutputStats { records: 1, bytes: 4, discarded: 2 });
}

#[test]
fn partial_and_interrupted_writes_go_on_where_they_stopped() {
    let script = vec![Ok(2), Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock), Ok(3), Ok(1)];
    let (mut output, taken) = scripted(script);
    output.write(&record(b"abcdefgh")).unwrap();
    output.flush().unwrap();
    let taken: Vec<Vec<u8>> = taken.try_iter().collect();
    assert_eq!(taken, [&b"ab"[..], b"<waited>", b"cde", b"f", b"gh"]);
    assert_eq!(output.stats(), OutputStats { records: 1, bytes: 8, discarded: 0 });
}

#[test]
fn a_slow_reader_of_a_non_blocking_pipe_gets_every_byte() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut output = to_socket(ours);
    // Much more than a socket's buffer, so that the writer must wait for the reader.
    let payload: Vec<u8> = (0..4_000_000_u32).map(|i| (i % 251) as u8).collect();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).map(|_| got)
    });
    output.write(&record(&payload)).unwrap();
    output.flush().unwrap();
    assert_eq!(output.stats().bytes, 4_000_000);
    drop(output);
    assert!(reader.join().unwrap().unwrap() == payload);
}

#[test]
fn a_full_disk_is_told_once_with_path_and_bytes() {
    let script = vec![Ok(3), Err(ErrorKind::StorageFull)];
    let (mut output, _taken) = scripted(script);
    output.write(&record(b"abcdef")).unwrap();
    let error = output.flush().unwrap_err();
    assert_eq!((error.name.as_str(), error.written), ("script", 3));
    assert_eq!(output.state(), OutputState::Failed);
    assert_eq!(output.write(&record(b"more")).unwrap(), OutputState::Failed);
    assert_eq!(output.flush().unwrap(), OutputState::Failed);
    assert_eq!(output.stats(), OutputStats { records: 0, bytes: 3, discarded: 2 });
}

#[test]
fn the_error_of_a_full_device_names_it() {
    let mut output = Output::file(Path::new("/dev/full"), Box::new(Payload)).unwrap();
    output.write(&record(b"abcdef")).unwrap();
    let error = output.flush().unwrap_err().to_string();
    assert_eq!(
        error,
        "writing to /dev/full failed after 0 bytes: No space left on device (os error 28)"
    );
}

#[test]
fn a_file_has_what_was_written_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events");
    let mut output = Output::file(&path, Box::new(Payload)).unwrap();
    for word in [&b"a"[..], b"", b"bc"] {
        output.write(&record(word)).unwrap();
    }
    output.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"abc");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(output.stats(), OutputStats { records: 3, bytes: 3, discarded: 0 });
}
