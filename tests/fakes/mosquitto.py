"""A real Mosquitto on a free port, and a plain client that watches it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import orjson

from tests.builders import free_port

BINARY = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
PASSWD = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"


class Mosquitto:
    """One broker in one directory; `start` after `kill` or `stop` keeps its port, and its messages where `persistence`."""

    def __init__(
        self,
        folder: Path,
        *,
        users: dict[str, str] | None = None,
        acl: str | None = None,
        tls: bool = False,
        persistence: bool = False,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.ca = folder / "ca.crt"
        self._users, self._acl, self._persistence = users, acl, persistence
        self._process: asyncio.subprocess.Process | None = None

    def _configure(self) -> Path:
        lines = [
            "per_listener_settings false",
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'false' if self._users else 'true'}",
            f"persistence {'true' if self._persistence else 'false'}",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            f"log_dest file {self.folder}/log",
            "log_type all",
            "max_queued_messages 0",
            "user root",
        ]
        if self._users:
            password_file = self.folder / "passwd"
            password_file.touch(mode=0o600)
            for user, password in self._users.items():
                subprocess.run([PASSWD, "-b", str(password_file), user, password], check=True, capture_output=True)
            lines.append(f"password_file {password_file}")
        if self._acl is not None:
            acl_file = self.folder / "acl"
            acl_file.touch(mode=0o600)
            acl_file.write_text(self._acl)
            lines.append(f"acl_file {acl_file}")
        if self.tls_port is not None:
            self._make_certificates()
            lines += [
                f"listener {self.tls_port} 127.0.0.1",
                f"certfile {self.folder}/server.crt",
                f"keyfile {self.folder}/server.key",
            ]
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return path

    def _make_certificates(self) -> None:
        def openssl(*args: str) -> None:
            subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *key, "-days", "3", "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.crt")
        openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "3", "-extfile", "ext", "-out", "server.crt")  # fmt: skip

    async def start(self) -> None:
        path = self.folder / "mosquitto.conf"
        if not path.exists():
            path = self._configure()
        self._process = await asyncio.create_subprocess_exec(
            BINARY, "-c", str(path), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        for port in filter(None, (self.port, self.tls_port)):
            await self._wait_for(port)

    async def _wait_for(self, port: int) -> None:
        for _ in range(500):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)
        raise AssertionError("mosquitto did not start")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            await self._process.wait()
            self._process = None

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    def wipe(self) -> None:
        """Forget everything retained, as a user who deletes the database does."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def mosquitto(folder: Path, **options: object) -> AsyncIterator[Mosquitto]:
    folder.mkdir(parents=True, exist_ok=True)
    broker = Mosquitto(folder, **options)  # type: ignore[arg-type]
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


class Watcher:
    """Sees everything that is published; `retained` is what the broker would tell a newcomer, as far as seen."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.seen: list[aiomqtt.Message] = []
        self.retained: dict[str, bytes] = {}
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        async for message in self.client.messages:
            self.seen.append(message)
            if message.payload:
                self.retained[str(message.topic)] = message.payload
            else:
                self.retained.pop(str(message.topic), None)
            self._changed.set()

    async def until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait for a condition on what was seen; fails with the topics seen last."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            last = [(str(m.topic), m.payload[:80]) for m in self.seen[-15:]]
            raise AssertionError(f"never came; last seen: {last}") from None

    async def online(self, prefix: str = "cheaprouter") -> None:
        """Wait until the router has said all that it says on a connection: `online` comes first, and once more at the end."""
        status = f"{prefix}/status"
        await self.until(lambda: self.on(status)[-2:] == [b"online", b"online"])

    async def ask(self, topic: str, payload: Any, answer: str, **options: Any) -> Any:
        """Publish (bytes, or what is dumped as JSON), and return the next JSON on the topic `answer`."""
        count = len(self.on(answer))
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        await self.client.publish(topic, body, qos=1, **options)
        await self.until(lambda: len(self.on(answer)) > count)
        return orjson.loads(self.on(answer)[-1])

    def on(self, topic: str) -> list[bytes]:
        """Payloads seen on a topic, in order."""
        return [m.payload for m in self.seen if str(m.topic) == topic]


@contextlib.asynccontextmanager
async def watching(
    port: int,
    topic: str = "#",
    username: str | None = None,
    password: str | None = None,
    protocol: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5,
) -> AsyncIterator[Watcher]:
    async with aiomqtt.Client("127.0.0.1", port, username=username, password=password, protocol=protocol) as client:
        await client.subscribe(topic, qos=1)
        watcher = Watcher(client)
        task = asyncio.create_task(watcher.listen())
        try:
            yield watcher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
