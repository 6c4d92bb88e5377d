"""Compares request rates with and without a capture, and measures what a capture costs.

script/bench runs this; see its --help.
"""
import argparse
import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import document
from scene import Bpftrace, CONNECTIONS, Ecapture, load, nginx

# What watches, and the arguments of `ecapture tls`.
VARIANTS = {
    "no capture": None,
    "`ecapture tls`": [],
    "`ecapture tls --format json`": ["--format", "json"],
    "`ecapture tls --placement entry`": ["--placement", "entry"],
    "bpftrace, 200 bytes a call": "bpftrace",
}
BASE, TEXT, JSON, ENTRY, OTHER = VARIANTS
WORKLOADS = {"small": "about 200 B", "mib": "1 MiB"}


class Options:
    """How long everything takes."""

    def __init__(self, quick, rounds):
        self.rounds = rounds or (2 if quick else 7)
        self.seconds = 2 if quick else 5
        self.starts = 3 if quick else 15
        self.loss_seconds = 5 if quick else 30
        self.idle_seconds = 10 if quick else 60


def measure_once(binary, variant, url, worker, seconds):
    """The request rate under one variant, and what it lost."""
    arguments = VARIANTS[variant]
    if arguments is None:
        return load(url, seconds)[0], 0
    if arguments == "bpftrace":
        other = Bpftrace(worker)
        load(url, 1)
        rate = load(url, seconds)[0]
        other.stop()
        return rate, None
    capture = Ecapture(binary, arguments)
    rate = load(url, seconds)[0]
    return rate, capture.stop()["lost"]["bytes"]


def rates(binary, options, workload):
    """Rates by variant, a value for each round; the variants take turns within a round."""
    result = {variant: [] for variant in VARIANTS}
    lost = dict.fromkeys(VARIANTS, 0)
    with nginx() as (url, worker):
        load(f"{url}/{workload}", 1)
        for number in range(options.rounds):
            for variant in VARIANTS:
                rate, gone = measure_once(
                    binary, variant, f"{url}/{workload}", worker, options.seconds
                )
                result[variant].append(rate)
                lost[variant] = None if gone is None else lost[variant] + gone
                print(f"round {number + 1}, {workload}, {variant}: {rate:.0f}/s", file=sys.stderr)
    return result, lost


def bpftrace_losses(options):
    """How many of the small calls' events bpftrace lost, and how many it printed."""
    with nginx() as (url, worker), tempfile.TemporaryFile() as output:
        other = Bpftrace(worker, output)
        load(f"{url}/small", options.seconds)
        other.stop()
        output.seek(0)
        lost = printed = 0
        for line in output:
            match = re.match(rb"Lost (\d+) events", line)
            lost += int(match[1]) if match else 0
            printed += b" uretprobe:" in line
    return lost, printed


def starts(binary, options):
    """Seconds from exec to ready."""
    times = []
    for _ in range(options.starts):
        capture = Ecapture(binary, [])
        times.append(capture.seconds_to_ready)
        capture.stop()
    return times


def long_run(binary, options):
    """Loss, balance and memory of one long capture under load, as JSON into a file."""
    with nginx() as (url, _), tempfile.TemporaryFile() as output:
        capture = Ecapture(binary, ["--format", "json", "--no-parse"], output)
        rate, requests = load(f"{url}/small", options.loss_seconds)
        memory = capture.memory_mib()
        summary = capture.stop()
        output.seek(0)
        written = sum(int(re.search(rb'"len":(\d+)', line)[1]) for line in output)
    counted = summary["bytes"]["send"] + summary["bytes"]["recv"]
    return {
        "rate": rate,
        "requests": requests,
        "memory": memory,
        "lost": summary["lost"],
        "written": written,
        "counted": counted,
    }


def idle(binary, options):
    """CPU seconds of a capture with nothing to see."""
    capture = Ecapture(binary, [])
    before = capture.cpu_seconds()
    time.sleep(options.idle_seconds)
    used = capture.cpu_seconds() - before
    capture.stop()
    return used


def ratio(rates, variant, to):
    """The median over the rounds of one variant's rate to another's in the same round."""
    return statistics.median(a / b for a, b in zip(rates[variant], rates[to]))


def rate_table(workload, rates, lost):
    """One workload as a table."""
    lines = [
        f"### Responses of {WORKLOADS[workload]}",
        "",
        "| what watches | requests/s (median) | lowest to highest | of uncaptured | bytes lost |",
        "|---|---:|---:|---:|---:|",
    ]
    for variant, values in rates.items():
        gone = "see below" if lost[variant] is None else f"{lost[variant]}"
        lines.append(
            f"| {variant} | {statistics.median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f}"
            f" | {ratio(rates, variant, BASE):.0%} | {'' if variant == BASE else gone} |"
        )
    return lines + [""]


def report(binary, options, command):
    """Measures everything; gives the text of docs/performance.md."""
    small, small_lost = rates(binary, options, "small")
    large, large_lost = rates(binary, options, "mib")
    other_lost, other_printed = bpftrace_losses(options)
    start = starts(binary, options)
    long = long_run(binary, options)
    used = idle(binary, options)

    def yes(condition):
        return "met" if condition else "**not met**"

    def at_least(value, bar, unit):
        return f"{value:{unit}} | ≥ {bar:{unit}} | {yes(value >= bar)}"

    def at_most(value, bar, unit, name):
        return f"{value:{unit}} {name} | ≤ {bar} {name} | {yes(value <= bar)}"

    share = other_lost / max(1, other_lost + other_printed)
    bars = [
        ("small responses, text: rate of uncaptured", at_least(ratio(small, TEXT, BASE), 0.40, ".0%")),
        ("small responses, JSON: rate of uncaptured", at_least(ratio(small, JSON, BASE), 0.40, ".0%")),
        ("small responses, text: times the rate of `--placement entry`", at_least(ratio(small, TEXT, ENTRY), 2.0, ".2f")),
        ("small responses, text: times the rate of bpftrace", at_least(ratio(small, TEXT, OTHER), 3.0, ".2f")),
        ("1 MiB responses, text: rate of uncaptured", at_least(ratio(large, TEXT, BASE), 0.45, ".0%")),
        ("1 MiB responses, JSON: rate of uncaptured", at_least(ratio(large, JSON, BASE), 0.45, ".0%")),
        (f"from exec to ready, median of {len(start)}", at_most(statistics.median(start) * 1000, 300, ".0f", "ms")),
        (f"from exec to ready, longest of {len(start)}", at_most(max(start) * 1000, 300, ".0f", "ms")),
        (f"resident memory after {options.loss_seconds} s of load", at_most(long["memory"][0], 64, ".1f", "MiB")),
        ("resident memory at its peak", at_most(long["memory"][1], 64, ".1f", "MiB")),
        (f"bytes lost in these {options.loss_seconds} s, JSON to a file", at_most(long["lost"]["bytes"], 0, "d", "B")),
        ("bytes in the file less bytes in the balance", at_most(abs(long["written"] - long["counted"]), 0, "d", "B")),
        (f"CPU in {options.idle_seconds} s with no traffic", at_most(used, 0.1, ".2f", "s")),
    ]
    lines = [
        "# Performance",
        "",
        "Written by `script/bench --write`; run it to compare on your machine.",
        "",
        f"- Command: `{command}`",
        f"- Date: {datetime.date.today().isoformat()}",
        f"- Machine: {machine()}",
        f"- Programs: {programs()}",
        "",
        "nginx with one worker serves wrk over HTTPS on loopback, with"
        f" {CONNECTIONS} connections that stay open. Both are on the same machine and both are"
        " captured, so each request costs four probed calls or more, and the capturing program has"
        " to share the cores with them. All output goes to `/dev/null`. The variants take turns,"
        f" {options.rounds} rounds of {options.seconds} s; ratios are the median of those within a"
        " round.",
        "",
        "## Request rates",
        "",
        *rate_table("small", small, small_lost),
        *rate_table("mib", large, large_lost),
        f"bpftrace with its output to a file lost {other_lost:,} of {other_lost + other_printed:,}"
        f" events ({share:.1%}) under small responses, and shows no more than 200 bytes of each call"
        " (`bench/sslprint.bt`).",
        "",
        "## Against the bars",
        "",
        "| what | measured | bar | |",
        "|---|---:|---:|---|",
        *(f"| {name} | {value} |" for name, value in bars),
        "",
        f"The long run captured {long['requests']:,} requests ({long['rate']:,.0f}/s) and wrote"
        f" {long['written']:,} bytes of plaintext.",
        "",
    ]
    return "\n".join(lines)


def machine():
    """The processor, memory and kernel."""
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    name = cpu[1] if cpu else platform.machine()
    return f"{name}, {os.cpu_count()} CPUs, {memory:.0f} GiB, Linux {platform.release()}"


def programs():
    """The versions of what takes part."""

    def first_line(*command):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        return (run.stdout + run.stderr).strip().splitlines()[0]

    nginx_version = first_line("nginx", "-v").rpartition(": ")[2]
    openssl = " ".join(first_line("openssl", "version").split()[:2])
    wrk = " ".join(first_line("wrk", "-v").split()[:2])
    return ", ".join([nginx_version, wrk, openssl, first_line("bpftrace", "--version")])


def main():
    """Parses the arguments, measures, and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--write", type=pathlib.Path)
    arguments = parser.parse_args()
    rounds = f" --rounds={arguments.rounds}" if arguments.rounds else ""
    command = "script/bench" + " --quick" * arguments.quick + rounds + " --write" * bool(arguments.write)
    text = report(arguments.binary, Options(arguments.quick, arguments.rounds), command)
    print(text)
    if arguments.write:
        document.write_first(arguments.write, text)


main()
