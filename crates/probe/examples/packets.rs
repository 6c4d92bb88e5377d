//! Writes packets to a capture file, and what is known of them to stdout: for trying out the kernel half
//! of packet captures by itself.
//!
//! `packets [-i INTERFACE]... [--pid PID]... [--uid UID] [--cgroup DIRECTORY] [--snaplen N] [-w FILE]
//! [-q] [FILTER]`; ends when its stdin does.

use event::{Direction, Packet};
use probe::features::Without;
use probe::packets::{Options, Packets};
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options {
        interfaces: Vec::new(),
        filter: None,
        snaplen: 262_144,
        ring_bytes: 4 << 20,
        queue_bytes: 128 << 20,
        pids: None,
        follow_children: false,
        uid: None,
        cgroup: None,
        use_btf: true,
        without: Without::from_environment()?,
    };
    let mut file = None;
    let mut quiet = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "-i" => options.interfaces.push(value()?),
            "-w" => file = Some(BufWriter::with_capacity(1 << 20, File::create(value()?)?)),
            "-q" => quiet = true,
            "--pid" => options.pids.get_or_insert_default().push(value()?.parse()?),
            "--follow" => options.follow_children = true,
            "--uid" => options.uid = Some(value()?.parse()?),
            "--cgroup" => options.cgroup = Some(File::open(value()?)?.into()),
            "--snaplen" => options.snaplen = value()?.parse()?,
            "--ring" => options.ring_bytes = value()?.parse()?,
            "--no-btf" => options.use_btf = false,
            filter => options.filter = Some(filter.to_owned()),
        }
    }
    let mut packets = Packets::load(options)?;
    let names: Vec<String> = packets.interfaces().iter().map(|i| i.name.clone()).collect();
    if let Some(file) = &mut file {
        let link_type = packets.interfaces().first().map_or(1, |i| i.link_type.number());
        // Times in nanoseconds, version 2.4.
        for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, u32::from(link_type)] {
            file.write_all(&u32::to_ne_bytes(word))?;
        }
    }
    let mut out = io::stdout().lock();
    for note in packets.notes() {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out, "capturing {}", names.join(" "))?;
    out.flush()?;
    let mut handle = |packet: Packet<'_>| -> io::Result<()> {
        if let Some(file) = &mut file {
            let time = packet.ts.0;
            let words = [
                (time / 1_000_000_000) as u32,
                (time % 1_000_000_000) as u32,
                packet.bytes.len() as u32,
                packet.original_len,
            ];
            for word in words {
                file.write_all(&word.to_ne_bytes())?;
            }
            file.write_all(packet.bytes)?;
        }
        if quiet {
            return Ok(());
        }
        let owner = packet.owner.map_or_else(|| "-".to_owned(), |o| format!("{} {} {}", o.pid, o.uid, o.comm));
        let name = names.get(packet.interface as usize).map_or("?", String::as_str);
        let dir = if packet.dir == Direction::Send { "send" } else { "recv" };
        writeln!(out, "{} {name} {dir} {} {} {owner}", packet.ts.0, packet.original_len, packet.bytes.len())?;
        out.flush()
    };
    let stdin = io::stdin();
    loop {
        let mut fds =
            [PollFd::from_borrowed_fd(packets.fd(), PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        poll(&mut fds, None)?;
        let ended = !fds[1].revents().is_empty();
        let mut result = Ok(());
        while packets.drain(|packet| if result.is_ok() { result = handle(packet) }).more {}
        result?;
        if ended {
            break;
        }
    }
    packets.detach();
    let mut result = Ok(());
    while !packets.is_drained() {
        packets.drain(|packet| if result.is_ok() { result = handle(packet) });
    }
    result?;
    drop(out);
    for (name, tally) in names.iter().zip(packets.tally()) {
        println!("{name}: {tally:?}");
    }
    Ok(())
}
