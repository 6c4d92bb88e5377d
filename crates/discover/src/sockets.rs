//! Which addresses a file descriptor of a process is connected to, by `/proc`: for kernels where
//! programs can't follow the kernel's own structures.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Local and remote address of a TCP socket; IPv4-mapped IPv6 addresses as IPv4.
///
/// This reads the table of all TCP sockets in the process's network namespace: do it once for a
/// connection, not once for a call.
pub fn lookup(pid: u32, fd: u32) -> Option<(SocketAddr, SocketAddr)> {
    let link = fs::read_link(crate::process::path(pid, &format!("fd/{fd}"))).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
    ["net/tcp", "net/tcp6"].into_iter().find_map(|table| {
        let table = BufReader::new(File::open(crate::process::path(pid, table)).ok()?);
        table.lines().map_while(Result::ok).find_map(|line| parse_line(&line, &inode))
    })
}

/// The addresses in a line of `/proc/net/tcp` or `tcp6`, if it is about this inode.
fn parse_line(line: &str, inode: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let remote = fields.next()?;
    (fields.nth(6)? == inode).then_some(())?;
    let remote = parse_address(remote)?;
    // A listening socket has no other end.
    (remote.port() != 0).then_some(())?;
    Some((parse_address(local)?, remote))
}

/// `0100007F:1F90`: the address in 32-bit words of the host's byte order, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    const WORD_DIGITS: usize = 8;
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address
        .as_bytes()
        .chunks(WORD_DIGITS)
        .map(|digits| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    let ip = match words[..] {
        [word] if address.len() == WORD_DIGITS => Ipv4Addr::from(word.to_ne_bytes()).into(),
        [a, b, c, d] if address.len() == 4 * WORD_DIGITS => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
                *place = word.to_ne_bytes();
            }
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[cfg(target_endian = "little")]
    #[test]
    fn recorded_lines_are_read() {
        let v4 = "   1: 0100007F:0016 0200A8C0:D431 01 00000000:00000000 02:000A 00000000  1000        0 12345 4 0000000000000000 20 4 30 10 -1";
        let v6 = "   0: B80D01200000000000000000010000A0:01BB 0000000000000000FFFF00000100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000 100 0 0 10 0";
        assert_eq!(
            parse_line(v4, "12345"),
            Some(("127.0.0.1:22".parse().unwrap(), "192.168.0.2:54321".parse().unwrap()))
        );
        assert_eq!(parse_line(v4, "1234"), None);
        assert_eq!(
            parse_line(v6, "77"),
            Some(("[2001:db8::a000:1]:443".parse().unwrap(), "127.0.0.1:49153".parse().unwrap()))
        );
    }

    #[test]
    fn a_real_connection_is_found_in_both_families() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else {
                eprintln!("skipped: {bind} is not available here");
                continue;
            };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let fd = u32::try_from(stream.as_raw_fd()).unwrap();
            assert_eq!(
                lookup(std::process::id(), fd),
                Some((stream.local_addr().unwrap(), stream.peer_addr().unwrap()))
            );
        }
    }

    #[test]
    fn a_listening_socket_has_no_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = u32::try_from(listener.as_raw_fd()).unwrap();
        assert_eq!(lookup(std::process::id(), fd), None);
    }

    #[test]
    fn something_else_than_a_socket_has_no_addresses() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(lookup(std::process::id(), u32::try_from(file.as_raw_fd()).unwrap()), None);
        assert_eq!(lookup(u32::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,120}", address in "[0-9A-F:é]{0,40}") {
            let _ = parse_line(&line, "1");
            let _ = parse_address(&address);
        }
    }
}
