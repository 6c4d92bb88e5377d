//! A network namespace of one test.

use e2e::Payload;
use e2e::process::{command, program, run};
use std::process::Command;

/// A network namespace with loopback up; removed when dropped.
pub(super) struct Network {
    pub(super) name: String,
}

impl Network {
    pub(super) fn new() -> Self {
        // Interface and namespace names are short.
        let name = Payload::marker()[..12].to_owned();
        let _ = run(command("ip").args(["netns", "add", &name])).success();
        let network = Self { name };
        network.run("ip", &["link", "set", "lo", "up"]);
        network
    }

    /// A command in it. Not `ip netns exec`, which hides the cgroup file system.
    pub(super) fn inside(&self, path: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut nsenter = command("nsenter");
        nsenter.arg(format!("--net=/run/netns/{}", self.name)).arg(path);
        nsenter
    }

    pub(super) fn run(&self, name: &str, arguments: &[&str]) -> String {
        let outcome = run(self.inside(program(name)).args(arguments)).success();
        String::from_utf8(outcome.stdout).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It fails only if the namespace is gone, which is what is wanted.
        let _ = run(command("ip").args(["netns", "del", &self.name]));
    }
}
