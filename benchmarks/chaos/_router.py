"""The router as its users run it, `python -m cheaprouter serve`: started, stopped, killed, its books read. Only what was started here is ended."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FAKETIME = next(
    (
        str(path)
        for place in ("/usr/lib", "/usr/local/lib")
        for path in Path(place).glob("**/faketime/libfaketime.so.1")
    ),
    "",
)
START_SECONDS = 60.0


def free_port() -> int:
    """One that nobody listens on, below those that the system gives to others meanwhile."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@dataclass
class Router:
    """One data folder, and the process that serves it from time to time. `product`: the checkout that is run."""

    folder: Path
    config: dict[str, Any]
    product: Path = ROOT
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Serve; returns once it does. Raises RuntimeError where it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "config.yaml"
        file.write_text(json.dumps(self.config))
        command = [
            self.python,
            "-m",
            "cheaprouter",
            "serve",
            "--config",
            str(file),
            "--data",
            str(self.folder / "data"),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, "--host", "127.0.0.1", "--port", str(self.port), stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(self.product), "PYTHONUNBUFFERED": "1", **self.environment},
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.returncode is None:
            with suppress(OSError):
                await self.get("/health")
                return
            await asyncio.sleep(0.02)
        raise RuntimeError(f"the router did not start:\n{self.tail()}")

    async def stop(self) -> None:
        """SIGTERM, and its end."""
        await self._end(signal.SIGTERM, 30)

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL, 10)

    async def _end(self, how: signal.Signals, seconds: float) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self.process = None

    async def get(self, path: str) -> Any:
        """JSON from the running router, seen by the admin. Raises OSError."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            key = self.folder / "data/admin_key"
            bearer = f"Authorization: Bearer {key.read_text().strip()}\r\n" if key.exists() else ""
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Connection: close\r\n\r\n".encode())
            data = await reader.read()
        finally:
            writer.close()
        return json.loads(data.partition(b"\r\n\r\n")[2])

    async def problems(self) -> list[str]:
        """What /health complains of."""
        return [str(words) for words in (await self.get("/health")).get("problems", ())]

    def tail(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    @property
    def database(self) -> Path:
        """Its books."""
        return self.folder / "data/cheaprouter.db"

    def booked(self, column: str = "requested_model") -> dict[str, tuple[int, int]]:
        """By what was asked for (or another column): pico-dollars, requests. While it does not run."""
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            query = f"SELECT {column}, coalesce(error, ''), coalesce(sum(cost), 0), count(*) FROM request GROUP BY 1, 2"
            for name, error, cost, count in connection.execute(query):
                key = "interrupted" if error == "interrupted" and column == "requested_model" else str(name)
                found[key][0] += cost
                found[key][1] += count
        return {name: (cost, count) for name, (cost, count) in found.items()}

    def totals(self) -> int:
        """Pico-dollars of all daily totals."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT coalesce(sum(cost), 0) FROM daily").fetchone()[0])

    def copy(self, folder: Path) -> Router:
        """The same with a copy of all files."""
        shutil.copytree(self.folder, folder)
        return Router(folder, self.config, self.product, self.python, dict(self.environment))

    def another(self) -> Router:
        """A second router on the same folder."""
        return Router(self.folder, self.config, self.product, self.python, dict(self.environment))

    def at(self, moment: str) -> None:
        """From the next start on, let it believe that it is then (`@2099-01-01 00:00:00`, `+40d`); the monotonic clock is left alone."""
        self.environment |= {"LD_PRELOAD": FAKETIME, "FAKETIME": moment, "DONT_FAKE_MONOTONIC": "1"}
        self.environment.pop("FAKETIME_TIMESTAMP_FILE", None)

    def at_file(self, file: Path) -> None:
        """Likewise, as a file says, which may change while it runs."""
        self.environment |= {"LD_PRELOAD": FAKETIME, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
        self.environment["FAKETIME_TIMESTAMP_FILE"] = str(file)
        self.environment.pop("FAKETIME", None)

    def at_true_time(self) -> None:
        """No longer."""
        self.environment.clear()
