"""The product as a process of its own, what an attack made of it, and the judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _house_watch import Watch, create

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
READY = re.compile(rb"serves on port (\d+)")
SILENCE = 50.0
"""ms that the loop may be silent at most; for bodies from 16 to 64 MiB `SILENCE_LARGE`."""

SILENCE_LARGE = 200.0
BASE = 30.0
"""MB that any input may take beside three times its own size."""

LONGEST_LOG = 64


@dataclass
class Line:
    """What one attack did. `silence`: ms as somebody else saw it; `turn`: ms that the longest callback of the loop had a core, and
    `whose` it was; `peak`: MB more than before; `size`: MB of the input; `lost`: what went wrong."""

    name: str
    silence: float
    peak: float
    size: float = 0.0
    large: bool = False
    waited: float = 0.0
    turn: float = 0.0
    whose: str = ""
    said: str = ""
    lost: list[str] = field(default_factory=list)

    def faults(self, silence: float = SILENCE) -> list[str]:
        """Which promises it broke. `silence`: ms that are allowed."""
        most, memory = (max(silence, SILENCE_LARGE) if self.large else silence), 3 * self.size + BASE
        found = [f"silent for more than {most:.0f} ms"] if self.silence > most else []
        found += [f"a callback took more than {most:.0f} ms ({self.whose})"] if self.turn > most else []
        found += [f"took more than {memory:.0f} MB"] if self.peak > memory else []
        return [*found, *self.lost]

    def told(self, silence: float = SILENCE) -> str:
        """As it is printed."""
        verdict = "; ".join(self.faults(silence)) or "held"
        figures = f"{self.silence:6.0f} ms  {self.turn:6.1f} ms  {max(0.0, self.peak):6.1f} MB"
        return f"{self.name:<46} {figures}  {self.said:<28} {verdict}"


HEAD = f"{'attack':<46} {'silence':>9}  {'callback':>9}  {'memory':>9}  {'':<28} verdict"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Product:
    """A running `cheaprouter serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, data: Path, log: Path, watch: Watch) -> None:
        self.process, self.port, self.data, self.log, self.watch = process, port, data, log, watch
        self._seen = 0
        self._pulse = subprocess.Popen(
            [sys.executable, str(HERE / "_house_pulse.py"), str(port), str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pulse()

    @property
    def admin(self) -> dict[str, str]:
        """Headers that may change things."""
        return {"Authorization": f"Bearer {(self.data / 'admin_key').read_text().strip()}"}

    def pulse(self, *, rest: bool = False) -> dict[str, Any]:
        """The heartbeat since the last call; with `rest` there is none until the next."""
        assert self._pulse.stdin is not None
        assert self._pulse.stdout is not None
        self._pulse.stdin.write(b"rest\n" if rest else b"go on\n")
        self._pulse.stdin.flush()
        found: dict[str, Any] = json.loads(self._pulse.stdout.readline())
        return found

    def new_in_log(self) -> list[str]:
        """Tracebacks since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._seen)
            text = file.read()
        self._seen += len(text)
        found = []
        for part in text.split(b"Traceback (most recent call last)")[1:]:
            lines = [line for line in part.decode("utf-8", "replace").splitlines() if line.strip()]
            last = next((line for line in lines[1:] if not line.startswith(" ")), lines[-1] if lines else "?")
            frames = [line.strip() for line in lines if line.startswith("  File")]
            where = frames[-1].replace(str(ROOT), "") if frames else ""
            found.append(f"traceback: {last[:120]} {where}")
        return [*dict.fromkeys(found)]

    @contextlib.asynccontextmanager
    async def attack(self, name: str, *, size: float = 0.0, large: bool = False) -> AsyncIterator[Line]:
        """Judge what happens in the block; what was before it has a moment to go."""
        await asyncio.sleep(0.2)
        before = (await asyncio.to_thread(self.pulse))["now"]
        self.watch.told()
        line = Line(name, 0.0, 0.0, size, large)
        yield line
        await asyncio.sleep(0.05)
        beats = await asyncio.to_thread(self.pulse)
        line.turn, line.whose = self.watch.told()
        line.silence, line.waited, line.peak = beats["longest"], beats["waited"], beats["peak"] - before
        if beats["failed"]:
            line.lost.append(f"{beats['failed']} heartbeats were not answered")
        line.lost += self.new_in_log()
        if self.process.poll() is not None:
            line.lost.append(f"the process ended with {self.process.returncode}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self._pulse.kill()
        self._pulse.communicate()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start(
    data: Path,
    settings: dict[str, Any] | None,
    *,
    limit: tuple[int, int] | None = None,
    patience: float = 30.0,
    product: Path = ROOT,
) -> Product:
    """Serve; `limit`: a resource of the system and how much of it there is; `product`: the checkout. Raises RuntimeError where it
    does not come up."""
    data.mkdir(parents=True, exist_ok=True)
    if settings is not None:
        (data / "cheaprouter.yaml").write_text(json.dumps(settings))
    log, watch = data.parent / f"{data.name}.log", data.parent / f"{data.name}.watch"
    create(watch)
    command = [sys.executable, str(HERE / "_house_watch.py"), str(watch)]
    command += ["serve", "--data", str(data), "--host", "127.0.0.1", "--port", "0"]

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHEAPROUTER_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stderr=file,
            stdout=subprocess.DEVNULL,
            cwd=product,
            preexec_fn=limited,  # noqa: PLW1509 - no threads of ours hold a lock here
            env={**environment, "PYTHONPATH": str(product)},
        )
    began = time.monotonic()
    while time.monotonic() - began < patience:
        with log.open("rb") as file:
            found = [*READY.finditer(file.read())]
        if found and process.poll() is None:
            return Product(process, int(found[-1][1]), data, log, Watch(watch))
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    tail = log.read_text(errors="replace")[-400:]
    raise RuntimeError(f"it did not come up (exit {process.returncode}): {tail}")


@contextlib.contextmanager
def running(data: Path, settings: dict[str, Any] | None, **more: Any) -> Iterator[Product]:
    """Serve while the block runs."""
    product = start(data, settings, **more)
    try:
        yield product
    finally:
        product.stop()


Attack = Callable[..., AsyncIterator[Line]]
