# ruff: noqa: ASYNC110, ASYNC240 - a benchmark may block: it measures another process
"""What CheapRouter adds to a direct call: latency, throughput, streaming, disconnects, memory, start-up. See README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

HERE = Path(__file__).parent
PROMPT = "Turn off the lights in the kitchen and tell me the temperature in the living room."


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> float:
    """Seconds until a TCP connection succeeds."""
    began = time.monotonic()
    while time.monotonic() - began < 20:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - began
        if process.poll() is not None:
            raise SystemExit(f"it ended with {process.returncode}")
        time.sleep(0.002)
    raise SystemExit("it did not start")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """Proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def running(*command: str, port: int, out: Path | None = None) -> Iterator[tuple[int, float]]:
    """A process that serves a port: its pid and the seconds it took to start."""
    with (out or Path(os.devnull)).open("wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL)
        try:
            yield process.pid, wait_for(port, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def body(*, stream: bool, marker: str = "") -> bytes:
    """A typical home request."""
    return json.dumps(
        {"model": "blockrun/auto", "messages": [{"role": "user", "content": f"{PROMPT} {marker}"}], "stream": stream}
    ).encode()


async def latencies(session: aiohttp.ClientSession, url: str, count: int) -> list[float]:
    """Microseconds of sequential whole replies."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        async with session.post(url, data=body(stream=False), headers={"Content-Type": "application/json"}) as reply:
            await reply.read()
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


async def throughput(session: aiohttp.ClientSession, url: str, count: int, parallel: int) -> float:
    """Requests a second over `parallel` connections."""
    began = time.perf_counter()
    await asyncio.gather(*(latencies(session, url, count // parallel) for _ in range(parallel)))
    return count / (time.perf_counter() - began)


async def stream_delays(session: aiohttp.ClientSession, url: str, marker: str) -> tuple[float, list[float]]:
    """Microseconds to the first content, and each event's one-way delay."""
    delays: list[float] = []
    began, first = time.monotonic_ns(), 0.0
    async with session.post(
        url, data=body(stream=True, marker=marker), headers={"Content-Type": "application/json"}
    ) as reply:
        async for line in reply.content:
            now = time.monotonic_ns()
            if (at := line.find(b'"content":"')) >= 0 and (stamp := line[at + 11 :].split(b" ", 1)[0]).isdigit():
                first = first or (now - began) / 1000
                delays.append((now - int(stamp)) / 1000)
    return first, delays


async def disconnect(session: aiohttp.ClientSession, url: str, log: Path) -> float:
    """Milliseconds from our hanging up in mid-stream until the upstream saw its connection close."""
    before = log.read_text().count("lost")
    reply = await session.post(
        url, data=body(stream=True, marker="[[n=1000 d=20]]"), headers={"Content-Type": "application/json"}
    )
    await reply.content.readline()
    left = time.monotonic_ns()
    reply.close()
    while log.read_text().count("lost") == before:
        await asyncio.sleep(0.001)
    return (int(log.read_text().split()[-1]) - left) / 1e6


async def measure(url: str, pid: int, log: Path, scale: int) -> dict[str, float]:
    """All figures of one target."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await latencies(session, url, 200)
        single = await latencies(session, url, 1000 * scale)
        used = cpu_seconds(pid)
        rate = await throughput(session, url, 4000 * scale, 32)
        cpu = (cpu_seconds(pid) - used) / (4000 * scale) * 1e6
        firsts = [(await stream_delays(session, url, "[[n=5 d=1]]"))[0] for _ in range(100 * scale)]
        _, paced = await stream_delays(session, url, f"[[n={200 * scale} d=2]]")
        began = time.perf_counter()
        used = cpu_seconds(pid)
        await asyncio.gather(*(stream_delays(session, url, "[[n=500 d=0]]") for _ in range(8)))
        burst = 4000 / (time.perf_counter() - began)
        event_cpu = (cpu_seconds(pid) - used) / 4000 * 1e6
        gone = [await disconnect(session, url, log) for _ in range(10)]
    return {
        "p50 us": statistics.median(single),
        "p99 us": statistics.quantiles(single, n=100)[98],
        "requests/s, 32 connections": rate,
        "CPU us a request": cpu,
        "first content p50 us": statistics.median(firsts),
        "event delay p50 us": statistics.median(paced),
        "burst events/s": burst,
        "CPU us an event (burst)": event_cpu,
        "disconnect seen upstream, median ms": statistics.median(gone),
        "memory PSS MiB": pss_mib(pid),
    }


def main() -> None:
    """Run both targets and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    scale = 1 if parser.parse_args().quick else 3
    up, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder), Path(folder) / "upstream.log"
        (data / "cheaprouter.yaml").write_text(
            f"auth: open\nproviders:\n  lab:\n    kind: openai\n    base_url: http://127.0.0.1:{up}/v1\n    api_key: sk-bench\n"
            "    models: [{id: lab/bench, upstream: bench-1, price: {input: 0.1, output: 0.4}, context: 128000}]\n"
        )
        serve = (
            sys.executable,
            "-m",
            "cheaprouter",
            "serve",
            "--data",
            folder,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        )
        with running(sys.executable, str(HERE / "upstream.py"), str(up), port=up, out=log) as (up_pid, _):
            direct = asyncio.run(measure(f"http://127.0.0.1:{up}/v1/chat/completions", up_pid, log, scale))
            with running(*serve, port=port) as (pid, started):
                time.sleep(1)
                idle = pss_mib(pid)
                routed = asyncio.run(measure(f"http://127.0.0.1:{port}/v1/chat/completions", pid, log, scale))
    print(f"{'':38} {'direct':>10} {'router':>10} {'added':>10} {'ratio':>7}")
    for key, value in routed.items():
        base = direct[key]
        print(f"{key:38} {base:10.1f} {value:10.1f} {value - base:10.1f} {value / base if base else 0:7.2f}")
    print(f"{'start to listening, s':38} {'':10} {started:10.2f}")
    print(f"{'idle PSS MiB':38} {'':10} {idle:10.1f}")


if __name__ == "__main__":
    main()
