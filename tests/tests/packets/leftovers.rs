//! What stays in the kernel when the tool is killed: nothing, or what the next start removes.
//!
//! In a network namespace of its own, whose hooks belong to no other capture.

use super::network::Network;
use e2e::capture::binary;
use e2e::process::{LIMIT, Process, command, run};
use e2e::{Scratch, peer};
use rustix::process::Signal;
use std::process::Stdio;
use std::time::Instant;

impl Network {
    /// The programs at hooks, queueing disciplines, and filters.
    fn hooks(&self) -> String {
        let programs = self.run("bpftool", &["net", "show"]);
        let disciplines = self.run("tc", &["qdisc", "show"]);
        let filters = ["ingress", "egress"]
            .map(|side| self.run("tc", &["filter", "show", "dev", "lo", side]));
        [programs, disciplines, filters.concat()].join("\n")
    }

    /// Captures until it is killed; what was attached meanwhile.
    fn kill_a_capture(&self, scratch: &Scratch, without: &str) -> String {
        let (mut capture, mut stderr) = self.capture(scratch, without);
        stderr.wait_for("\"ready\"", |line| line.contains("ecapture: ready"));
        let attached = self.hooks();
        capture.signal(Signal::KILL);
        capture.wait();
        attached
    }

    fn capture(&self, scratch: &Scratch, without: &str) -> (Process, e2e::process::Lines) {
        let mut ecapture = self.inside(binary());
        ecapture.args(["tls", "-m", "pcapng", "-i", "lo", "-w"]).arg(scratch.join("killed.pcapng"));
        ecapture.arg("--libssl").arg(peer::libssl()).env("ECAPTURE_WITHOUT", without);
        ecapture.arg("tcp").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut capture = Process::start(&mut ecapture);
        let stderr = capture.stderr_lines();
        (capture, stderr)
    }
}

/// The links that a process holds: kind and number.
fn links(pid: u32) -> Vec<(String, String)> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let field = |info: &str, name| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    infos
        .filter_map(|info| Some((field(&info, "link_type:")?, field(&info, "link_id:")?)))
        .collect()
}

#[test]
fn links_go_with_a_killed_process() {
    e2e::needs_bpf!();
    let (network, scratch) = (Network::new(), Scratch::new());
    let (mut capture, mut stderr) = network.capture(&scratch, "");
    stderr.wait_for("\"ready\"", |line| line.contains("ecapture: ready"));
    let links = links(capture.pid());
    // Where the kernel has none for this hook, filters stand in, which the other test is about.
    let hooked = links.iter().any(|(kind, _)| kind == "tcx");
    assert!(hooked || network.hooks().contains("clsact/ingress"), "{links:?}");
    assert!(links.len() > 2, "probes and owners too: {links:?}");
    capture.signal(Signal::KILL);
    capture.wait();
    // The kernel frees a link after the process is gone.
    let limit = Instant::now() + LIMIT;
    let is_there = |id| run(command("bpftool").args(["link", "show", "id", id])).status.success();
    for (kind, id) in &links {
        while is_there(id) {
            assert!(Instant::now() < limit, "{kind} link {id} stays");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_next_start_removes_the_filters_of_a_killed_process_and_no_others() {
    e2e::needs_bpf!();
    for other in [false, true] {
        let (network, scratch) = (Network::new(), Scratch::new());
        if other {
            network.run("tc", &["qdisc", "add", "dev", "lo", "clsact"]);
            let filter = ["filter", "add", "dev", "lo", "ingress", "prio", "7", "bpf"];
            network.run("tc", &[&filter[..], &["bytecode", "1,6 0 0 0"]].concat());
        }
        let before = network.hooks();
        let attached = network.kill_a_capture(&scratch, "tcx");
        assert!(attached.contains("clsact/ingress"), "{attached}");
        assert_ne!(network.hooks(), before, "the filter stays until the next start");

        // Of whichever way to attach.
        let (mut capture, mut stderr) = network.capture(&scratch, if other { "tcx" } else { "" });
        stderr.wait_for("\"ready\"", |line| line.contains("ecapture: ready"));
        capture.signal(Signal::INT);
        assert!(capture.wait().success(), "{}", stderr.finish().join("\n"));
        let limit = Instant::now() + LIMIT;
        while network.hooks() != before {
            assert!(Instant::now() < limit, "{}\nbut before: {before}", network.hooks());
            std::thread::yield_now();
        }
    }
}
