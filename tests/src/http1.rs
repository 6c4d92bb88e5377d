//! Just enough of HTTP/1.1 (RFC 9112) to find the bodies in a byte stream.

/// The bodies of the messages, one after the other; those that have none are empty. Fails if the bytes
/// do not end with a whole message.
pub fn bodies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let after = &bytes[end + 4..];
        let (body, rest) = if value("transfer-encoding: ") == Some("chunked") {
            chunks(after)
        } else {
            let len = value("content-length: ").map_or(0, |len| len.parse().unwrap());
            let (body, rest) = after.split_at_checked(len).expect("a whole body");
            (body.to_vec(), rest)
        };
        bodies.push(body);
        bytes = rest;
    }
    bodies
}

/// A body in chunks without trailers (section 7.1), and what follows it.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = bytes[end + 2..].split_at_checked(size).expect("a whole chunk");
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").expect("the end of a chunk");
        if size == 0 {
            return (body, bytes);
        }
    }
}
