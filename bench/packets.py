"""Compares what capturing packets leaves a server with what tcpdump leaves it.

script/bench runs this with --packets; see its --help.
"""
import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import tempfile

import document
from scene import Ecapture, Tcpdump, children_seconds, cpu_seconds, empty_program, load, nginx

# What records, and the arguments besides the file: everything on loopback.
RECORDERS = {
    "no capture": None,
    "`tcpdump -i lo -w`": "tcpdump",
    "`tcpdump -i lo -B 262144 -w`": "tcpdump -B 262144",
    "`ecapture tls -m pcapng -i lo -w`": ["-m", "pcapng", "-i", "lo"],
}
NONE, TCPDUMP, LOSSLESS, PCAPNG = RECORDERS
# A filter that takes nothing of the load, and the least that could run in its place.
EXCLUDED = {
    "no capture": None,
    "an empty TC program": "empty",
    "`-m pcapng … udp port 9`": ["-m", "pcapng", "-i", "lo", "udp port 9"],
    "`-m pcapng … --pid` of another": ["-m", "pcapng", "-i", "lo", "--pid", "PID"],
}
_, EMPTY, EXPRESSION, PID = EXCLUDED
WORKLOADS = {"small": "about 200 B", "mib": "1 MiB"}
BAR = 0.95


# Bytes that a round writes at most, of each workload.
WRITTEN = {"small": 1 << 29, "mib": 4 << 30}


def memory_file():
    """A path in memory for what is recorded."""
    return tempfile.mktemp(prefix="ecapture-bench-packets-", dir="/dev/shm")


def touch_memory(size):
    """Writes so much and frees it: what a virtual machine touches first costs more than the rest."""
    path = pathlib.Path(memory_file())
    try:
        with path.open("wb") as file:
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                file.write(block)
    finally:
        path.unlink()


@contextlib.contextmanager
def watching(binary, how):
    """Something that watches; gives a dictionary with its process, the rest is filled in at the end."""
    path, result = memory_file(), {}
    try:
        if how is None:
            yield result
        elif how == "empty":
            with empty_program():
                yield result
        elif isinstance(how, str):
            recorder = Tcpdump(path, how.split()[1:])
            result["pid"] = recorder.process.pid
            yield result
            result["seen"], result["lost"] = recorder.stop()
        else:
            how = [str(os.getpid()) if word == "PID" else word for word in how]
            capture = Ecapture(binary, [*how, "-w", path])
            result["pid"] = capture.process.pid
            yield result
            packets = capture.stop()["packets"]
            result["seen"], result["lost"] = packets["seen"], packets["lost"]
            if packets["seen"] != packets["written"] + packets["lost"]:
                raise SystemExit(f"the balance does not add up: {packets}")
            result["bytes"] = packets["seen_bytes"]
    finally:
        pathlib.Path(path).unlink(missing_ok=True)


def rates(binary, variants, workload, rounds, seconds):
    """By variant, a value for each round: rates, CPU time of server, client and recorder for each
    request, and what was seen and lost. They take turns."""
    result = {variant: [] for variant in variants}
    used = {variant: [] for variant in variants}
    seen = {variant: {"seen": 0, "lost": 0, "bytes": 0} for variant in variants}
    with nginx() as (url, worker):
        load(f"{url}/{workload}", 1)
        for number in range(rounds):
            for variant, how in variants.items():
                touch_memory(WRITTEN[workload])
                with watching(binary, how) as packets:
                    pids = [worker, *([packets.pop("pid")] if "pid" in packets else [])]
                    before = sum(map(cpu_seconds, pids)) + children_seconds()
                    rate, requests = load(f"{url}/{workload}", seconds)
                    after = sum(map(cpu_seconds, pids)) + children_seconds()
                result[variant].append(rate)
                used[variant].append((after - before) / requests)
                for key, value in packets.items():
                    seen[variant][key] += value
                print(
                    f"round {number + 1}, {workload}, {variant}: {rate:.0f}/s,"
                    f" {used[variant][-1] * 1e6:.1f} us, {packets}",
                    file=sys.stderr,
                )
    return result, used, seen


def ratio(rates, variant, to):
    """The median over the rounds of one variant's rate to another's in the same round."""
    return statistics.median(a / b for a, b in zip(rates[variant], rates[to]))


def table(title, rates, used, seen, base, seconds):
    """One comparison."""
    lines = [
        f"### {title}",
        "",
        "| what watches | requests/s (median) | lowest to highest | of uncaptured"
        f" | of {base} | CPU for each request | packets seen | lost |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for variant, values in rates.items():
        packets = seen[variant]
        counted = f"{packets['seen']:,} | {packets['lost']:,}" if packets["seen"] else " | "
        if packets["bytes"]:
            gbit = packets["bytes"] * 8 / len(values) / seconds / 1e9
            counted = f"{packets['seen']:,} ({gbit:.1f} Gbit/s) | {packets['lost']:,}"
        lines.append(
            f"| {variant} | {statistics.median(values):,.0f} | {min(values):,.0f} to"
            f" {max(values):,.0f} | {ratio(rates, variant, NONE):.0%} | {ratio(rates, variant, base):.1%}"
            f" | {statistics.median(used[variant]) * 1e6:,.1f} µs | {counted} |"
        )
    return lines + [""]


def report(binary, rounds, seconds):
    """The section of docs/performance.md about packets."""
    lines = [
        "## Packets",
        "",
        "Written by `script/bench --packets`. Each recorder writes every packet of loopback whole to a"
        f" file in memory while wrk loads nginx; they take turns, {rounds} rounds of {seconds} s; ratios"
        " are the median of those within a round. By default tcpdump has a buffer of 2 MiB; with a larger"
        " one it too has to write everything. (What tcpdump counts as lost includes packets on their way"
        " out to loopback, which it records only when they come in.)",
        "",
    ]
    bars = ["| what | measured | bar | |", "|---|---:|---:|---|"]

    def bar(what, value):
        bars.append(f"| {what} | {value:.1%} | ≥ {BAR:.0%} | {'met' if value >= BAR else '**not met**'} |")

    for workload, size in WORKLOADS.items():
        measured, used, seen = rates(binary, RECORDERS, workload, rounds, seconds)
        lines += table(f"Responses of {size}", measured, used, seen, TCPDUMP, seconds)
        for other in (TCPDUMP, LOSSLESS):
            bar(f"{size}: rate of what {other} leaves", ratio(measured, PCAPNG, other))
    measured, used, seen = rates(binary, EXCLUDED, "small", rounds, seconds)
    title = f"Filters that take nothing of it (responses of {WORKLOADS['small']})"
    lines += table(title, measured, used, seen, EMPTY, seconds)
    for variant in (EXPRESSION, PID):
        bar(f"{variant}: rate of what an empty TC program leaves", ratio(measured, variant, EMPTY))
    return "\n".join([*lines, *bars, ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--write")
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 5)
    section = report(options.binary, rounds, options.seconds)
    print(section)
    if options.write:
        document.write_section(options.write, section)


if __name__ == "__main__":
    main()
