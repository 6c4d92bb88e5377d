"""Servers and wrk on this host, and the programs that watch them."""
import contextlib
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
LIMIT = 60
CONNECTIONS = 16


class Lines:
    """The lines of a pipe, each waited for with a limit."""

    def __init__(self, pipe, name):
        self.pipe, self.name, self.rest, self.seen = pipe, name, b"", []

    def wait_for(self, what):
        end = time.monotonic() + LIMIT
        while True:
            line, found, self.rest = self.rest.partition(b"\n")
            if found:
                self.seen.append(line.decode(errors="replace"))
                if what in self.seen[-1]:
                    return self.seen[-1]
                continue
            self.rest = line
            left = max(0, end - time.monotonic())
            if not select.select([self.pipe], [], [], left)[0]:
                raise SystemExit(f"{self.name}: no {what!r} after {LIMIT} s: {self.seen}")
            part = os.read(self.pipe.fileno(), 1 << 16)
            if not part:
                raise SystemExit(f"{self.name} ended without {what!r}: {self.seen}")
            self.rest += part


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def libraries(name):
    """The folder that `cargo xtask libs NAME` makes."""
    root = os.environ.get("ECAPTURE_LIBS") or pathlib.Path.home() / ".cache/ecapture/libs"
    folder = pathlib.Path(root) / name
    if not (folder / ".complete").exists():
        raise SystemExit(f"{folder} is not there: cargo xtask libs {name}")
    return folder.resolve()


def certify(folder):
    """Puts certificate.pem and key.pem there."""
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -subj /CN=localhost -keyout {folder}/key.pem -out {folder}/certificate.pem".split(),
        check=True,
        stderr=subprocess.DEVNULL,
    )


def cpu_seconds(pid):
    """What the threads of a process used so far."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def children_seconds():
    """What children used that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def nginx():
    """An nginx with one worker; gives its base URL and the worker's pid."""
    with tempfile.TemporaryDirectory(prefix="ecapture-bench-") as folder:
        certify(folder)
        letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \n"
        mib = bytes(letters[byte % len(letters)] for byte in os.urandom(1 << 20))
        pathlib.Path(folder, "mib").write_bytes(mib)
        port = free_port()
        configuration = pathlib.Path(folder, "nginx.conf")
        configuration.write_text(
            (HERE / "nginx.conf").read_text().replace("FOLDER", folder).replace("PORT", str(port))
        )
        process = subprocess.Popen(
            ["nginx", "-c", configuration, "-p", folder, "-e", "stderr"], stderr=subprocess.PIPE
        )
        try:
            line = Lines(process.stderr, "nginx").wait_for("start worker process ")
            yield f"https://127.0.0.1:{port}", int(line.rsplit(" ", 1)[1])
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def go_server(version):
    """bench/server.go, built by that Go; gives its URL, its pid and the executable."""
    goroot = libraries(f"go-{version}") / f"usr/lib/go-{version}"
    with tempfile.TemporaryDirectory(prefix="ecapture-bench-") as folder:
        certify(folder)
        subprocess.run(
            [goroot / "bin/go", "build", "-o", f"{folder}/server", HERE / "server.go"],
            check=True,
            env=os.environ
            | {
                "GOROOT": str(goroot),
                "GOPATH": f"{folder}/gopath",
                "GOCACHE": str(pathlib.Path.home() / ".cache/ecapture/go-cache" / version),
                "GOTOOLCHAIN": "local",
                "GO111MODULE": "off",
                "GOFLAGS": "",
            },
        )
        process = subprocess.Popen(
            [f"{folder}/server", f"{folder}/certificate.pem", f"{folder}/key.pem"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # It reports each connection that wrk only tries.
            stderr=subprocess.DEVNULL,
        )
        try:
            port = Lines(process.stdout, "server").wait_for("port ").split()[1]
            yield f"https://127.0.0.1:{port}/", process.pid, f"{folder}/server"
        finally:
            process.stdin.close()
            process.wait()


def load(url, seconds):
    """Runs wrk; gives the requests per second and their number."""
    run = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url],
        check=True,
        capture_output=True,
        text=True,
    )
    if "errors" in run.stdout or "Non-2xx" in run.stdout:
        raise SystemExit(f"wrk: {run.stdout}")
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", run.stdout)[1])
    return rate, int(re.search(r"(\d+) requests in", run.stdout)[1])


class Ecapture:
    """A running `ecapture tls`, or another module."""

    def __init__(self, binary, arguments, output=subprocess.DEVNULL, module="tls"):
        handle, self.summary_path = tempfile.mkstemp(prefix="ecapture-summary-")
        os.close(handle)
        os.unlink(self.summary_path)
        started = time.monotonic()
        self.process = subprocess.Popen(
            [binary, module, *arguments, "--summary", self.summary_path],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        Lines(self.process.stderr, "ecapture").wait_for("ecapture: ready")
        self.seconds_to_ready = time.monotonic() - started

    def cpu_seconds(self):
        """What it used of the CPU so far, by the kernel's clock ticks."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        """Its resident memory: now, and at its peak."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return tuple(int(re.search(rf"{key}:\s*(\d+)", status)[1]) / 1024 for key in ("VmRSS", "VmHWM"))

    def stop(self):
        """Ends it; gives its summary."""
        self.process.send_signal(signal.SIGINT)
        error = self.process.stderr.read().decode(errors="replace")
        if self.process.wait(LIMIT) != 0:
            raise SystemExit(f"ecapture: status {self.process.returncode}: {error}")
        with open(self.summary_path, encoding="utf-8") as file:
            summary = json.load(file)
        os.unlink(self.summary_path)
        return summary


def libssl_of(pid):
    """The libssl that a process maps."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "/libssl.so" in line:
            return line.split()[5]
    raise SystemExit(f"{pid} maps no libssl")


class Tcpdump:
    """tcpdump recording loopback."""

    def __init__(self, path, arguments=()):
        self.process = subprocess.Popen(
            ["tcpdump", "-i", "lo", *arguments, "-Z", "root", "-w", path],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        Lines(self.process.stderr, "tcpdump").wait_for("listening on")

    def stop(self):
        """Ends it; gives the packets that it wrote, and those that the kernel dropped."""
        self.process.send_signal(signal.SIGINT)
        error = self.process.stderr.read().decode(errors="replace")
        self.process.wait(LIMIT)
        count = {what: int(number) for number, what in re.findall(r"(\d+) packets? (\w+)", error)}
        return count["captured"], count["dropped"]


@contextlib.contextmanager
def empty_program():
    """A program at the ingress hook of loopback, where captures are, that does nothing.

    Classic BPF through tc: return, which says that the packet goes on.
    """
    hook = ["dev", "lo", "ingress"]
    there = "clsact" in subprocess.run(
        ["tc", "qdisc", "show", "dev", "lo"], check=True, capture_output=True, text=True
    ).stdout
    if not there:
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "clsact"], check=True)
    subprocess.run(
        ["tc", "filter", "add", *hook, "prio", "40", "bpf", "bytecode", "1,6 0 0 0"], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["tc", "filter", "del", *hook, "prio", "40"], check=True)
        if not there:
            subprocess.run(["tc", "qdisc", "del", "dev", "lo", "clsact"], check=True)


class Bpftrace:
    """bench/sslprint.bt at work."""

    def __init__(self, worker, output=subprocess.DEVNULL):
        library = libssl_of(worker)
        script = (HERE / "sslprint.bt").read_text().replace("LIBSSL", library)
        self.process = subprocess.Popen(
            ["bpftrace", "-e", script],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"BPFTRACE_STRLEN": "200"},
        )
        # It does not say when it has attached, and no event tells: but it then holds a perf event
        # for each of its four probes, besides one for the output of each CPU.
        end = time.monotonic() + LIMIT
        while self.perf_events() < 4 + os.cpu_count():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit("bpftrace did not attach")
            time.sleep(0.05)

    def perf_events(self):
        """How many it holds open."""
        count = 0
        for entry in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += os.readlink(entry) == "anon_inode:[perf_event]"
        return count

    def stop(self):
        """Ends it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT)
