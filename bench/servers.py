"""What a capture leaves an HTTPS server in Go, and a PostgreSQL server.

script/bench runs this with --servers; see its --help.
"""
import argparse
import statistics
import sys

import document
from postgres import CLIENTS, postgres
from scene import CONNECTIONS, Ecapture, children_seconds, cpu_seconds, go_server, load

# One with arguments on the stack, one with arguments in registers.
GO_VERSIONS = ("1.15", "1.27")
SUITE = "trixie"
# What watches, and the arguments of the module.
NONE, TEXT, JSON = "no capture", "text", "JSON"
VARIANTS = {NONE: None, TEXT: [], JSON: ["--format", "json"]}
# pgbench's scripts, and the protocols.
PGBENCH = (
    ("select-only", "simple"),
    ("select-only", "extended"),
    ("select-only", "prepared"),
    ("tpcb-like", "simple"),
)
BAR = 0.50


class Round:
    """What one round measured of one variant."""

    def __init__(self, rate, cpu=0, seen=0, lost=0):
        self.rate, self.cpu, self.seen, self.lost = rate, cpu, seen, lost


def go_round(binary, how, server, seconds):
    """One round with the server in Go; its calls for each request, and the CPU time that one takes."""
    url, pid, file = server
    capture = None if how is None else Ecapture(binary, ["--elfpath", file, *how], module="gotls")
    pids = [pid] if capture is None else [pid, capture.process.pid]
    before = sum(map(cpu_seconds, pids)) + children_seconds()
    rate, requests = load(url, seconds)
    used = (sum(map(cpu_seconds, pids)) + children_seconds() - before) / requests
    if capture is None:
        return Round(rate, used)
    summary = capture.stop()
    return Round(rate, used, sum(summary["calls"].values()) / requests, summary["lost"]["bytes"])


def postgres_round(binary, how, server, script, protocol, seconds):
    """One round with PostgreSQL; its statements for each transaction."""
    if how is None:
        return Round(server.load(script, protocol, seconds)[0])
    file = str(server.programs / "postgres")
    capture = Ecapture(binary, ["--postgres", file, *how], module="postgres")
    rate, transactions = server.load(script, protocol, seconds)
    summary = capture.stop()
    return Round(rate, 0, summary["queries"] / transactions, summary["lost"]["events"])


def rounds(what, number, measure):
    """By variant, its rounds: they take turns."""
    result = {variant: [] for variant in VARIANTS}
    for _ in range(number):
        for variant, how in VARIANTS.items():
            result[variant].append(measure(how))
            one = result[variant][-1]
            print(f"{what}, {variant}: {vars(one)}", file=sys.stderr)
    return result


def ratio(measured, variant):
    """The median over the rounds of a variant's rate to the uncaptured one in the same round."""
    return statistics.median(a.rate / b.rate for a, b in zip(measured[variant], measured[NONE]))


def row(name, variant, measured, columns):
    """A line of a table."""
    values = measured[variant]
    rates = [one.rate for one in values]
    cells = [
        name,
        variant,
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        f"{ratio(measured, variant):.0%}",
    ]
    if "cpu" in columns:
        cells.append(f"{statistics.median(one.cpu for one in values) * 1e6:.1f} µs")
    if variant != NONE:
        cells.append(f"{statistics.median(one.seen for one in values):.2f}")
        cells.append(f"{sum(one.lost for one in values):,}")
    else:
        cells += ["", ""]
    return f"| {' | '.join(cells)} |"


def report(binary, number, seconds, command):
    """The section of docs/performance.md about servers."""
    lines = [
        "## Servers",
        "",
        f"Written by `{command}`. Captured and not take turns, {number} rounds of {seconds} s each; ratios"
        " are the median of those within a round. Everything is on the same machine, and the capturing"
        " program, whose output goes to `/dev/null`, shares the cores with server and client.",
        "",
        "### HTTPS by Go's net/http, responses with bodies of 200 B",
        "",
        f"wrk, with {CONNECTIONS} connections that stay open, is not captured: `ecapture gotls` watches the"
        " server, whose requests and responses are one probed call each. The CPU time is that of server, wrk"
        " and the capturing program together; on a busy machine it is steadier than the rates.",
        "",
        "| Go | what watches | requests/s (median) | lowest to highest | of uncaptured"
        " | CPU for each request | calls for each request | bytes lost |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    bars = ["| what | measured | bar | |", "|---|---:|---:|---|"]
    for version in GO_VERSIONS:
        with go_server(version) as server:
            load(server[0], 1)
            measured = rounds(
                f"Go {version}", number, lambda how: go_round(binary, how, server, seconds)
            )
        lines += [row(version, variant, measured, ["cpu"]) for variant in VARIANTS]
        for variant in (TEXT, JSON):
            part = ratio(measured, variant)
            verdict = "met" if part >= BAR else "**not met**"
            bars.append(
                f"| Go {version}, {variant}: rate of uncaptured | {part:.0%} | ≥ {BAR:.0%} | {verdict} |"
            )
    lines += ["", *bars, ""]
    with postgres(SUITE) as server:
        name = server.programs.parent.name
        lines += [
            f"### PostgreSQL {name} and pgbench",
            "",
            f"pgbench with {CLIENTS} clients over a Unix socket, its tables in memory and without `fsync`:"
            " `select-only` is one SELECT by primary key, the least work that a statement can be;"
            " `tpcb-like` is seven statements.",
            "",
            "| script, protocol | what watches | transactions/s (median) | lowest to highest"
            " | of uncaptured | statements for each | events lost |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        for script, protocol in PGBENCH:
            what = f"{script}, {protocol}"
            server.load(script, protocol, 1)
            measured = rounds(
                what,
                number,
                lambda how: postgres_round(binary, how, server, script, protocol, seconds),
            )
            lines += [row(what, variant, measured, []) for variant in VARIANTS]
    return "\n".join([*lines, ""])


def main():
    """Parses the arguments, measures, and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--write")
    options = parser.parse_args()
    number = options.rounds or (2 if options.quick else 5)
    chosen = f" --rounds={options.rounds}" if options.rounds else ""
    command = "script/bench --servers" + " --quick" * options.quick + chosen
    section = report(options.binary, number, 2 if options.quick else 3, command)
    print(section)
    if options.write:
        document.write_section(options.write, section)


main()
