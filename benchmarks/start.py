"""What a start costs, beside a bare aiohttp server and client: time and CPU to the first answer, idle memory, installed size.

Each round spawns both, one after the other, with an upstream that answers at once and a broker that is not there. CPU time is
the steadiest figure; compare ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SETTLED = 0.3
"""Seconds from the first answer until memory is read: what starts after it has started by then."""

BARE = """
import asyncio, sys
from aiohttp import ClientSession, ClientTimeout, web

async def main(port, upstream):
    session = ClientSession(timeout=ClientTimeout(total=None))

    async def chat(request):
        async with session.post(upstream, json=await request.json()) as reply:
            return web.json_response(await reply.json(), status=reply.status)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""
"""The yardstick: aiohttp's server and client, one route, and nothing else."""

BODY = json.dumps({"model": "blockrun/auto", "messages": [{"role": "user", "content": "Turn off the kitchen lights."}]})
REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    f"X-Device-ID: bench\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def configuration(upstream: int, broker: int) -> str:
    """Everything on: 30 models of 10 providers, limits, budgets of device and house, recording, MQTT."""
    lines = ["auth: open", "providers:"]
    for lab in range(10):
        lines += [
            f"  lab{lab}:",
            "    kind: openai",
            f"    base_url: http://127.0.0.1:{upstream}/v1",
            "    api_key: sk-bench",
            "    models:",
        ]
        for n in range(3 * lab + 1, 3 * lab + 4):
            price = f"{{input: {n * 0.05:.2f}, output: {n * 0.2:.2f}}}"
            lines.append(
                f"      - {{id: lab{lab}/bench-{n}, upstream: bench-1, price: {price}, context: 128000, quality: {30 + 2 * n},"
                " capabilities: [tools, json_schema]}"
            )
    lines += [
        "devices:",
        "  defaults: {rpm: 100000000, tpm: 1000000000, daily_budget: 100000, monthly_budget: 1000000}",
        "budget: {daily: 100000, monthly: 1000000}",
        f'mqtt: {{url: "mqtt://127.0.0.1:{broker}"}}',
    ]
    return "\n".join(lines) + "\n"


def answers(port: int) -> bool:
    """Whether a chat request is answered with 200."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(REQUEST)
        return sock.recv(64)[9:12] == b"200"
    return False


def cpu_ms(pid: int) -> float:
    """CPU time of all threads that there are, in milliseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def pss_mb(pid: int) -> float:
    """Proportional set size in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextmanager
def spawned(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def one_start(command: list[str], environment: Mapping[str, str], port: int) -> dict[str, float]:
    """Spawn, wait for the first answer, let it settle, read, end."""
    began = time.monotonic()
    with spawned(command, environment) as process:
        while not answers(port):
            if process.poll() is not None or time.monotonic() - began > 30:
                raise SystemExit(f"it did not start: {' '.join(command)}")
            time.sleep(0.002)
        taken, used = time.monotonic() - began, cpu_ms(process.pid)
        time.sleep(SETTLED)
        return {
            "start to first answer, ms": taken * 1000,
            "CPU to first answer, ms": used,
            "idle PSS, MiB": pss_mb(process.pid),
        }


def install(folder: Path) -> dict[str, str]:
    """Install as the Dockerfile does, with this Python; returns the environment to run it in."""
    source, venv, package = folder / "source", folder / "venv", folder / "cheaprouter"
    for name in ("pyproject.toml", "constraints.txt", "LICENSE", "README.md"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "cheaprouter", source / "cheaprouter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "addon" / "requirements.py", source)

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, cwd=source)
        return done.stdout

    (source / "requirements.txt").write_text(run("requirements.py", "pyproject.toml"), encoding="utf-8")
    run("-m", "venv", "--without-pip", str(venv))
    pip = ("-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--no-cache-dir", "--no-compile")
    run(*pip, "--only-binary=:all:", "--constraint", "constraints.txt", "--requirement", "requirements.txt")
    run("requirements.py", "--finish", str(venv))
    run(*pip, "--no-deps", "--target", str(package), ".")
    run("requirements.py", "--finish", str(package))
    return {
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",
    }


def size_mb(*folders: Path) -> float:
    """What the files below take, in MB."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def rounds(folder: Path, environment: Mapping[str, str], count: int) -> dict[str, list[dict[str, float]]]:
    """Starts of both, in turns; the first start of each is not counted: it makes the database and warms the disk's cache."""
    upstream, port, broker = free_port(), free_port(), free_port()
    python = shutil.which("python", path=environment["PATH"]) or sys.executable
    (folder / "cheaprouter.yaml").write_text(configuration(upstream, broker), encoding="utf-8")
    (folder / "bare.py").write_text(BARE, encoding="utf-8")
    serve = ["-m", "cheaprouter", "serve", "--data", str(folder / "data"), "--config", str(folder / "cheaprouter.yaml")]
    commands = {
        "bare aiohttp": [
            python,
            str(folder / "bare.py"),
            str(port),
            f"http://127.0.0.1:{upstream}/v1/chat/completions",
        ],
        "cheaprouter": [python, *serve, "--host", "127.0.0.1", "--port", str(port)],
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    with spawned([sys.executable, str(HERE / "upstream.py"), str(upstream)], {}):
        for number in range(count + 1):
            for name, command in commands.items():
                figures = one_start(command, environment, port)
                if number:
                    taken[name].append(figures)
    return taken


def main() -> None:
    """Measure, print, and keep the figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--here", action="store_true", help="run this checkout with this Python: no installing, no size"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        sizes = {}
        if not args.here:
            environment = install(folder)
            sizes = {"installed, MB": size_mb(folder / "venv", folder / "cheaprouter")}
        taken = rounds(folder, environment, args.rounds)
    bare, ours = (summed(taken[name]) for name in ("bare aiohttp", "cheaprouter"))
    print(
        f"{'Python ' + platform.python_version():28} {'bare aiohttp':>12} {'cheaprouter':>12} {'added':>8} {'ratio':>6}"
    )
    for key, value in ours.items():
        print(f"{key:28} {bare[key]:12.1f} {value:12.1f} {value - bare[key]:8.1f} {value / bare[key]:6.2f}")
    for key, value in sizes.items():
        print(f"{key:28} {'':12} {value:12.1f}")
    if args.json:
        kept = {"python": platform.python_version(), "bare aiohttp": bare, "cheaprouter": {**ours, **sizes}}
        args.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def summed(starts: list[dict[str, float]]) -> dict[str, float]:
    """The median of memory; the least of times, to which other work on the machine can only add."""
    return {key: (statistics.median if "PSS" in key else min)(start[key] for start in starts) for key in starts[0]}


if __name__ == "__main__":
    main()
