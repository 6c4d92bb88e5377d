#!/usr/bin/env python3
"""What `ecapture postgres` costs: pgbench with and without a capture, in turns, one after the other.

Run as root: bench/pgbench.py BINARY [--suite trixie] [--rounds 5] [--seconds 5]. It needs the suite's
servers (`cargo xtask libs SUITE-databases`) and wants the machine for itself. Prints a table in Markdown:
the rate with a capture as a part of the rate without, for each protocol of pgbench.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

ENTER = """
set -e
files=$1 root=$2; shift 2
mount --bind "$files/usr" "$root/usr"
for folder in lib lib64; do
	[ ! -d "$files/$folder" ] || mount --bind "$files/$folder" "$root/$folder"
done
for device in null urandom; do mount --bind /dev/$device "$root/dev/$device"; done
mount --bind /proc "$root/proc"
exec env -i PATH=/usr/sbin:/usr/bin:/bin LC_ALL=C chroot --userspec=65534:65534 "$root" "$@"
"""
CLIENTS = 4


class Server:
    """A PostgreSQL server of a suite, in a root of its own."""

    def __init__(self, files, folder):
        self.files, self.root = files, pathlib.Path(folder)
        self.programs = next(files.glob("usr/lib/postgresql/*/bin"))
        for name in ("usr", "bin", "etc", "tmp", "dev", "proc", "data"):
            (self.root / name).mkdir()
        (self.root / "tmp").chmod(0o777)
        os.chown(self.root / "data", 65534, 65534)
        self.root.chmod(0o755)
        for name in ("lib", "lib64"):
            if (files / name).is_dir():
                (self.root / name).mkdir()
            else:
                (self.root / name).symlink_to(f"usr/{name}")
        for name in ("null", "urandom"):
            (self.root / "dev" / name).touch()
        (self.root / "etc/passwd").write_text("nobody:x:65534:65534::/data:/bin/sh\n")
        shell = next(path for path in (files / "bin/busybox", files / "usr/bin/busybox")
                     if path.exists())
        (self.root / "bin/sh").write_bytes(shell.read_bytes())
        (self.root / "bin/sh").chmod(0o755)
        self.run("initdb", "-D", "/data/pg", "-N", "-A", "trust", "-U", "postgres")
        self.process = subprocess.Popen(
            self.command("postgres", "-D", "/data/pg", "-h", "", "-k", "/tmp", "-F"),
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "ready to accept connections" in line:
                break
        self.run("pgbench", "-h", "/tmp", "-U", "postgres", "-i", "-q", "-s", "5", "postgres")

    def command(self, program, *arguments):
        path = "/" + str((self.programs / program).relative_to(self.files))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "enter",
                str(self.files), str(self.root), path, *arguments]

    def run(self, program, *arguments):
        return subprocess.run(self.command(program, *arguments), check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def rate(self, protocol, seconds):
        """Transactions a second; each is one SELECT."""
        text = self.run("pgbench", "-h", "/tmp", "-U", "postgres", "-n", "-S", "-c", str(CLIENTS),
                        "-M", protocol, "-T", str(seconds), "postgres")
        return float(re.search(r"tps = ([0-9.]+) \(without", text).group(1))

    def stop(self):
        self.process.terminate()
        self.process.wait()


def captured(binary, server, measure):
    """What `measure` gives while everything is captured, and the balance of the capture."""
    file = server.programs / "postgres"
    capture = subprocess.Popen(
        [binary, "postgres", "--postgres", str(file), "--format", "json", "-o", "/dev/null"],
        stderr=subprocess.PIPE, text=True)
    for line in capture.stderr:
        if "ecapture: ready" in line:
            break
    result = measure()
    capture.terminate()
    return result, capture.stderr.read().strip().splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    cache = os.environ.get("ECAPTURE_LIBS") or pathlib.Path.home() / ".cache/ecapture/libs"
    files = (pathlib.Path(cache) / f"{options.suite}-databases").resolve()
    with tempfile.TemporaryDirectory(prefix="ecapture-bench-") as folder:
        server = Server(files, folder)
        try:
            print("| protocol | SELECTs/s without | with a capture | part |\n|---|---|---|---|")
            for protocol in ("simple", "extended", "prepared"):
                pairs = []
                for _ in range(options.rounds):
                    measure = lambda: server.rate(protocol, options.seconds)
                    without = measure()
                    rate, balance = captured(options.binary, server, measure)
                    pairs.append((without, rate))
                without, rate = (statistics.median(column) for column in zip(*pairs))
                part = statistics.median(rate / without for without, rate in pairs)
                print(f"| {protocol} | {without:.0f} | {rate:.0f} | {part:.0%} |", flush=True)
            print(f"\nThe last capture: {balance}")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
