"""The router as its users run it: a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

READY = re.compile(rb"serves on port (\d+)")
ROOT = Path(__file__).parents[2]


class Process:
    """A started command; `log` grows while it runs."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.log = b""
        self.port = 0

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def admin(self) -> dict[str, str]:
        """Headers that may change things, and see everything."""
        return {"Authorization": f"Bearer {(self.folder / 'admin_key').read_text().strip()}"}

    async def until(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """Read the log until it matches."""
        assert self.process.stderr is not None
        while (found := pattern.search(self.log)) is None:
            line = await asyncio.wait_for(self.process.stderr.readline(), 30)
            if not line:
                raise AssertionError(f"it ended with {await self.process.wait()}:\n{self.log.decode()}")
            self.log += line
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end, reading what is left of the log; the exit code."""
        assert self.process.stderr is not None
        self.log += await asyncio.wait_for(self.process.stderr.read(), 40)
        return await self.process.wait()


@asynccontextmanager
async def serve(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[Process]:
    """`cheaprouter serve` on a free port; killed at the end if it still runs."""
    command = [
        sys.executable,
        "-m",
        "cheaprouter",
        "serve",
        "--data",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        *arguments,
    ]
    process = Process(
        await asyncio.create_subprocess_exec(
            *command,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        ),
        folder,
    )
    try:
        process.port = int((await process.until(READY))[1])
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.ended()


async def run(*arguments: str, stdin: bytes = b"", **environment: str) -> tuple[int, bytes, bytes]:
    """Run a command to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cheaprouter",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    assert process.returncode is not None
    return process.returncode, out, err
