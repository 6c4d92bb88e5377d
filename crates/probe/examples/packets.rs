//! Writes packets to a capture file, and what is known of them to stdout: for trying out the kernel half
//! of packet captures by itself.
//!
//! `packets [-i INTERFACE]... [--pid PID]... [--follow] [--uid UID] [--cgroup DIRECTORY] [--snaplen N]
//! [--ring BYTES] [--no-btf] [-w FILE] [-q] [FILTER]`; ends when its stdin does.

use event::{Direction, Packet};
use probe::features::Without;
use probe::packets::{Options, Packets};
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, file, quiet) = arguments()?;
    let mut packets = Packets::load(options)?;
    let names: Vec<String> = packets.interfaces().iter().map(|i| i.name.clone()).collect();
    for note in packets.notes() {
        println!("note: {note}");
    }
    println!("capturing {}", names.join(" "));
    let link_type = packets.interfaces().first().map_or(1, |i| i.link_type.number());
    let mut output = Output::new(file, quiet, names, link_type)?;
    let stdin = io::stdin();
    let mut ended = false;
    while !ended {
        let mut fds = [
            PollFd::from_borrowed_fd(packets.fd(), PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        poll(&mut fds, None)?;
        ended = !fds[1].revents().is_empty();
        while packets.drain(|packet| output.write(&packet)).more {}
    }
    packets.detach();
    while !packets.is_drained() {
        packets.drain(|packet| output.write(&packet));
    }
    output.result?;
    for (name, tally) in output.names.iter().zip(packets.tally()) {
        println!("{name}: {tally:?}");
    }
    Ok(())
}

fn arguments() -> Result<(Options, Option<File>, bool), Box<dyn Error>> {
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
    let (mut file, mut quiet) = (None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "-i" => options.interfaces.push(value()?),
            "-w" => file = Some(File::create(value()?)?),
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
    Ok((options, file, quiet))
}

struct Output {
    file: Option<BufWriter<File>>,
    quiet: bool,
    names: Vec<String>,
    /// The first failure to write.
    result: io::Result<()>,
}

impl Output {
    fn new(
        file: Option<File>,
        quiet: bool,
        names: Vec<String>,
        link_type: u16,
    ) -> io::Result<Self> {
        let mut file = file.map(|file| BufWriter::with_capacity(1 << 20, file));
        if let Some(file) = &mut file {
            // Times in nanoseconds, version 2.4.
            for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, u32::from(link_type)] {
                file.write_all(&u32::to_ne_bytes(word))?;
            }
        }
        Ok(Self { file, quiet, names, result: Ok(()) })
    }

    fn write(&mut self, packet: &Packet<'_>) {
        if self.result.is_ok() {
            self.result = self.try_write(packet);
        }
    }

    fn try_write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let time = packet.ts.0;
        let len = packet.bytes.len();
        if let Some(file) = &mut self.file {
            let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
            for word in [seconds as u32, rest as u32, len as u32, packet.original_len] {
                file.write_all(&word.to_ne_bytes())?;
            }
            file.write_all(packet.bytes)?;
        }
        if self.quiet {
            return Ok(());
        }
        let owner = match &packet.owner {
            Some(owner) => format!("{} {} {}", owner.pid, owner.uid, owner.comm),
            None => "-".to_owned(),
        };
        let name = self.names.get(packet.interface as usize).map_or("?", String::as_str);
        let dir = if packet.dir == Direction::Send { "send" } else { "recv" };
        writeln!(io::stdout(), "{time} {name} {dir} {} {len} {owner}", packet.original_len)
    }
}
