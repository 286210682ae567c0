"""What the router costs beside nginx, on this machine: `script/bench`. See README.md for what each figure means."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lab
import table
from load import Load, Make, Taken, a_request, all_new, the_same

ROUTER = "CheapRouter"
PARTS = ("start", "growth")
"""Measured by files of their own beside this one: `NAME.py --json FILE`."""

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Phase:
    """One load: how many connections ask, for how long, and for what. `seconds` is what a whole run takes."""

    name: str
    connections: int
    seconds: float
    make: Make
    streamed: bool = False


PHASES = (
    Phase("one", 1, 2.0, all_new()),
    Phase("many", 32, 3.0, all_new()),
    Phase("same", 32, 2.0, the_same()),
    Phase("first", 1, 1.5, all_new(stream=True, marker="[[n=4 d=1]]"), streamed=True),
    Phase("paced", 25, 2.5, all_new(stream=True, marker="[[n=40 d=20]]"), streamed=True),
    Phase("burst", 8, 2.0, all_new(stream=True, marker="[[n=200 d=0]]"), streamed=True),
)
HELD_SECONDS = 6
HELD = all_new(stream=True, marker=f"[[n={HELD_SECONDS} d=1000]]")
VERSION = """
import importlib.util, platform
print(platform.python_version(), "with uvloop" * bool(importlib.util.find_spec("uvloop")))
"""
SETTLED = 3.0
"""Seconds after the last load until memory is read again."""


def quantile(values: list[float], percent: int) -> float | None:
    """None where there are too few."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else None


def measured(target: lab.Target, phase: Phase, scale: float, targets: list[lab.Target]) -> dict[str, Any]:
    """One phase of one target; `other`: cores that anything beside the benchmark used meanwhile."""

    def used() -> tuple[float, float]:
        ours = time.process_time() + sum(lab.cpu_seconds(each.pid) for each in targets)
        return lab.cpu_seconds(target.pid), lab.busy_seconds() - ours

    cpu, others = used()
    taken = Load(target.port, phase.make, streamed=phase.streamed).closed_loop(phase.connections, phase.seconds * scale)
    cpu, others = (now - before for now, before in zip(used(), (cpu, others), strict=True))
    return figures(phase.name, taken, cpu) | {"errors": taken.errors, "other": max(0.0, others / taken.seconds)}


def figures(phase: str, taken: Taken, cpu: float) -> Figures:
    """What a phase is for. Microseconds; `cpu`: seconds of it that the target used."""
    if phase == "one":
        return {"p50": quantile(taken.latencies, 50), "p99": quantile(taken.latencies, 99)}
    if phase in {"many", "same"}:
        return {"rate": taken.done / taken.seconds, "cpu": 1e6 * cpu / max(1, taken.done)}
    if phase == "first":
        return {"p50": quantile(taken.firsts, 50), "delay": quantile(taken.delays, 50)}
    return {"rate": taken.events / taken.seconds, "cpu": 1e6 * cpu / max(1, taken.events)}


def held(target: lab.Target, streams: int) -> Figures:
    """Many streams at once, an event a second each: the highest memory, and CPU while all of them are there."""
    memory: list[float] = []
    used: list[tuple[float, float]] = []

    def look() -> None:
        memory.append(lab.pss_mb(target.pid))
        used.append((time.monotonic(), lab.cpu_seconds(target.pid)))

    began = time.monotonic()
    taken = Load(target.port, HELD, streamed=True, tick=look).once_each(streams, streams / 2.5)
    all_there, first_ends = began + 3.0, began + HELD_SECONDS - 0.2
    steady = [at for at in used if all_there < at[0] < first_ends]
    percent = 100 * (steady[-1][1] - steady[0][1]) / (steady[-1][0] - steady[0][0]) if len(steady) > 1 else None
    return {"peak": max(memory), "cpu": percent, "errors": taken.errors, "done": taken.done}


def hang_up(target: lab.Target, log: Path) -> float | None:
    """Milliseconds from a client's leaving in mid-stream until the upstream sees it: what is paid for and nobody reads."""
    before = log.read_text().count("lost")
    with socket.create_connection(("127.0.0.1", target.port), 10) as sock:
        sock.sendall(a_request("Tell me a story. [[n=1000 d=20]]", stream=True))
        while b'"content":"' not in sock.recv(65_536):
            pass
        left = time.monotonic_ns()
    end = time.monotonic() + 5
    while log.read_text().count("lost") == before:
        if time.monotonic() > end:
            return None
        time.sleep(0.0005)
    return (int(log.read_text().split()[-1]) - left) / 1e6


def rounds(targets: list[lab.Target], log: Path, scale: float, count: int) -> dict[str, dict[str, list[Any]]]:
    """All phases of all targets, in an order that is another one each round."""
    found: dict[str, dict[str, list[Any]]] = {target.name: {} for target in targets}
    for target in targets:
        Load(target.port, all_new()).closed_loop(16, 0.6)
        Load(target.port, all_new(stream=True), streamed=True).closed_loop(8, 0.4)
    for number in range(count):
        order = targets[:]
        random.Random(number).shuffle(order)
        for target in order:
            for phase in PHASES:
                found[target.name].setdefault(phase.name, []).append(measured(target, phase, scale, targets))
            found[target.name].setdefault("left", []).append({"ms": hang_up(target, log)})
            print(f"round {number + 1}: {target.name}", file=sys.stderr)
    return found


def part(name: str, python: str, *, quick: bool) -> Any:
    """What another benchmark beside this one found; None where it is not there, failed, or knows no quick way when in haste."""
    file = lab.HERE / f"{name}.py"
    if not file.exists() or (quick and "--quick" not in file.read_text()):
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        ended = subprocess.run(
            [python, str(file), "--json", str(out), *["--quick"] * quick],
            env=os.environ | {"PYTHONPATH": str(lab.ROOT)},
            stdout=sys.stderr,
            check=False,
        )
        if ended.returncode or not out.exists():
            print(f"{name}.py failed: its part is missing", file=sys.stderr)
            return None
        return json.loads(out.read_text())


@contextlib.contextmanager
def everyone(folder: Path, python: str, starts: int) -> Iterator[tuple[list[lab.Target], list[str]]]:
    """The upstream alone, nginx before it, and the router before it; what is missing, in words."""
    cores, missing = lab.Cores(), []
    if not cores.pinned:
        missing.append("one core alone: the load shares it with what is measured")
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(lab.upstream(folder))
        broker = stack.enter_context(lab.broker(folder))
        if broker is None:
            missing.append("no Mosquitto: without MQTT")
        targets = [direct]
        port = lab.free_port()
        command = lab.nginx_command(folder, port, direct.port)
        if command is None:
            missing.append("no nginx: without ratios")
        else:
            targets.append(stack.enter_context(lab.target("nginx", port, command, folder, cores, starts)))
        port = lab.free_port()
        command = lab.router_command(folder, port, lab.everything_on(direct.port, broker), python)
        targets.append(stack.enter_context(lab.target(ROUTER, port, command, folder, cores, starts)))
        yield targets, missing


def run(python: str, *, quick: bool) -> dict[str, Any]:
    """All figures, as they are kept in JSON."""
    with lab.a_folder() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with everyone(folder, python, 2 if quick else 5) as (targets, missing):
            found = rounds(targets, folder / "upstream.log", 0.4 if quick else 1.0, 2 if quick else 5)
            for target in targets[1:]:
                loaded = lab.pss_mb(target.pid)
                kept = held(target, 1000)
                time.sleep(SETTLED)
                after = lab.pss_mb(target.pid)
                memory = {"idle": target.idle, "loaded": loaded, "after": after}
                found[target.name] |= {"start": [{"s": s} for s in target.starts], "held": [kept], "memory": [memory]}
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "python": ask(python, VERSION),
        "quick": quick,
        "missing": missing,
        "targets": found,
    }


def machine() -> str:
    """Which processor, how many cores, which system."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{cpu}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def ask(python: str, code: str) -> str:
    """What another Python says."""
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure, print the table, keep it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of five, and noisier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures there")
    parser.add_argument("--python", default=sys.executable, metavar="EXE", help="what runs the router")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print kept figures again, and measure nothing")
    parser.add_argument("--alone", action="store_true", help="without the parts on starting and growth")
    args = parser.parse_args()
    if args.show:
        found = json.loads(args.show.read_text())
    else:
        lab.raise_file_limit()
        affinity = os.sched_getaffinity(0)
        found = run(args.python, quick=args.quick)
        os.sched_setaffinity(0, affinity)
        if not args.alone:
            found["parts"] = {name: part(name, args.python, quick=args.quick) for name in PARTS}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    text = table.render(found)
    print(text)
    if args.readme:
        table.into(lab.ROOT / "README.md", text)


if __name__ == "__main__":
    main()
