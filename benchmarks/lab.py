"""The processes of a benchmark: an upstream, nginx and the router in front of it, a broker; their CPU time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load import a_request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PATIENCE = 30.0
"""Seconds that a process may take to answer first, or to end."""

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000; keepalive_timeout 75s; client_body_buffer_size 64k;
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""


def find(command: str) -> str | None:
    """A program, also where only root's PATH has it."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def everything_on(upstream: int, broker: int | None, *, providers: int = 10, models: int = 3) -> dict[str, Any]:
    """Settings with all that a request may pass: so many models of so many providers, limits, budgets of device and house,
    recording, and MQTT where there is a broker. Each limit is far away."""

    def model(number: int) -> dict[str, Any]:
        """A little dearer and better than the one before."""
        return {
            "id": f"lab{(number - 1) // models}/bench-{number}",
            "upstream": "bench-1",
            "price": {"input": round(0.05 * number, 2), "output": round(0.2 * number, 2)},
            "context": 128_000,
            "quality": min(100, 30 + 2 * number),
            "capabilities": ["tools", "json_schema"],
        }

    rows = [model(number) for number in range(1, providers * models + 1)]
    return {
        "auth": "open",
        "time_zone": "UTC",
        "providers": {
            f"lab{lab}": {
                "kind": "openai",
                "base_url": f"http://127.0.0.1:{upstream}/v1",
                "api_key": "sk-bench",
                "models": rows[lab * models : (lab + 1) * models],
            }
            for lab in range(providers)
        },
        "devices": {"defaults": {"rpm": 10**8, "tpm": 10**9, "daily_budget": 10**5, "monthly_budget": 10**6}},
        "budget": {"daily": 10**6, "monthly": 10**6},
        **({} if broker is None else {"mqtt": {"url": f"mqtt://127.0.0.1:{broker}"}}),
    }


# --- what a process uses


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                todo += map(int, children.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its threads and its children, to the nanosecond."""
    spent = 0
    for each in family(pid):
        for stat in Path(f"/proc/{each}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                spent += int(stat.read_text().split()[0])
    return spent / 1e9


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children, in MiB: shared pages are divided among who shares them."""
    kilobytes = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def busy_seconds() -> float:
    """CPU time that the whole machine has spent on anything."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


# --- starting and ending them


@dataclass
class Target:
    """One that is measured. `starts`: seconds from its start to its first answer. `idle`: MiB soon after that."""

    name: str
    port: int
    pid: int
    starts: list[float] = field(default_factory=list)
    idle: float = 0.0


class Cores:
    """One core for what is measured, another for what measures; nothing is pinned where there is only one."""

    def __init__(self) -> None:
        self._all = sorted(os.sched_getaffinity(0))
        self.pinned = len(self._all) > 1
        self.ours()

    def ours(self) -> None:
        """This process, and what it starts from now on, on the measuring core."""
        if self.pinned:
            os.sched_setaffinity(0, {self._all[1]})

    @contextlib.contextmanager
    def theirs(self) -> Iterator[None]:
        """What is started meanwhile runs on the measured core."""
        if self.pinned:
            os.sched_setaffinity(0, {self._all[0]})
        try:
            yield
        finally:
            self.ours()


def raise_file_limit() -> None:
    """A thousand held streams need more than a thousand files, here and in all that is started."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def first_answer(port: int, process: subprocess.Popen[bytes], *, ask: bytes | None = None) -> None:
    """Wait until a port answers a request with 200, or with `ask` empty, until it takes a connection."""
    ask = a_request("Hello!") if ask is None else ask
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as sock:
            if not ask:
                return
            sock.sendall(ask)
            if sock.recv(64)[9:12] == b"200":
                return
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        time.sleep(0.002)
    raise SystemExit(f"{process.args!r} did not answer on port {port} with 200")


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process while the block runs; all it says is in `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=os.environ | environment
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def upstream(folder: Path) -> Iterator[Target]:
    """The upstream of `upstream.py`; what it says is in `upstream.log`."""
    port = free_port()
    with running([sys.executable, str(HERE / "upstream.py"), str(port)], folder / "upstream.log") as process:
        first_answer(port, process)
        yield Target("direct", port, process.pid)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int | None]:
    """The port of a Mosquitto of our own; None where none is installed."""
    if (binary := find("mosquitto")) is None:
        yield None
        return
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\n")
    with running([binary, "-c", str(config)], folder / "mosquitto.log") as process:
        first_answer(port, process, ask=b"")
        yield port


@contextlib.contextmanager
def target(name: str, port: int, command: Sequence[str], folder: Path, cores: Cores, starts: int) -> Iterator[Target]:
    """Start and end it `starts` times, and once more to be measured."""
    taken = []
    for left in reversed(range(starts)):
        with contextlib.ExitStack() as stack:
            began = time.monotonic()
            with cores.theirs():
                process = stack.enter_context(running(command, folder / f"{name}.log", PYTHONPATH=str(ROOT)))
            first_answer(port, process)
            taken.append(time.monotonic() - began)
            if left == 0:
                time.sleep(1)
                yield Target(name, port, process.pid, taken, pss_mb(process.pid))


def nginx_command(folder: Path, port: int, upstream_port: int) -> list[str] | None:
    """nginx as a plain proxy: one worker, kept connections, no buffering; None where it is not installed."""
    if (binary := find("nginx")) is None:
        return None
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream_port))
    return [binary, "-c", str(config)]


def router_command(folder: Path, port: int, settings: Mapping[str, Any], python: str) -> list[str]:
    """The router, with these settings and a data folder of its own."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "cheaprouter.yaml").write_text(json.dumps(settings))
    serve = ["serve", "--data", str(data), "--host", "127.0.0.1", "--port", str(port)]
    return [python, "-m", "cheaprouter", *serve]


def a_folder() -> contextlib.AbstractContextManager[str]:
    """For configurations, logs and data; nginx's worker must be able to enter it."""
    return tempfile.TemporaryDirectory(prefix="bench-")
