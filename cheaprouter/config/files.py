"""The files that settings are read from: which there are, what they hold, what they held when all was good, when they change.

The last good configuration is `<data>/last_good.json`, for its owner alone, since keys are inside: written after each good
load, read at a start that finds the files broken.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import hashlib
import logging
import os
import select
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import orjson

from ..core.errors import ConfigurationError
from ..core.private_files import replace_private

_LOG: Final = logging.getLogger(__name__)
FILE_NAME: Final = "cheaprouter.yaml"
APP_FOLDER: Final = Path("/config")
OPTIONS: Final = "options.json"
CONFIG_VARIABLE: Final = "CHEAPROUTER_CONFIG"
LAST_GOOD: Final = "last_good.json"
MOST_BYTES: Final = 1 << 20
"""Of a file are read at most; YAML is read to a tenth of that (`strict_yaml.MOST_CHARACTERS`)."""

PIPE_SECONDS: Final = 10.0
"""How long a named pipe may take to say all."""

NOTHING: Final[Mapping[Path, str]] = {}
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_VERSION: Final = 1
INTERVAL: Final = 2.0
SETTLE: Final = 0.3
"""Seconds that a changed file must stay as it is: editors write in pieces."""

PATIENCE: Final = 8.0
"""The same for one that may be unfinished."""

_T = TypeVar("_T")
_Stamp = tuple[int, int, int] | None


def is_named(config_file: Path | None, environ: Mapping[str, str]) -> bool:
    """Whether the user says which file it is; then nothing else will do."""
    return config_file is not None or bool(environ.get(CONFIG_VARIABLE))


def find(
    config_file: Path | None, data: Path, environ: Mapping[str, str], app_folder: Path = APP_FOLDER
) -> tuple[Path, ...]:
    """Lowest precedence first."""
    options = data / OPTIONS
    if config_file is None and environ.get(CONFIG_VARIABLE):
        config_file = Path(environ[CONFIG_VARIABLE])
    if config_file is not None:
        return (options, config_file)
    found = [options, data / FILE_NAME]
    if environ.get("SUPERVISOR_TOKEN"):
        found.append(app_folder / FILE_NAME)
    return tuple(found)


def read(
    files: tuple[Path, ...], *, required: bool = False, poured: Mapping[Path, str] | None = None
) -> tuple[dict[Path, str], list[str]]:
    """What the files hold that are there, and what could not be read.

    `required`: the last of them has to be. `poured`: it may be a pipe, such as a shell's `<(command)`, and what came out of it
    before: nobody can read it twice.
    """
    texts, problems = {}, []
    for path in files:
        before = None if poured is None or path != files[-1] else poured
        try:
            if before is not None and path in before and _is_pipe(path):
                texts[path] = before[path]
            else:
                texts[path] = _text(_content(path, or_pipe=before is not None))
        except FileNotFoundError:
            if required and path == files[-1]:
                problems.append(f"{path}: there is no such file")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            problems.append(f"{path}: line {line}: cannot be read (it is not UTF-8 text)")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
    return texts, problems


def _content(path: Path, *, or_pipe: bool = False) -> bytes:
    """What a file holds, as far as anybody would read it. Raises OSError, also for what is no file: a pipe may never end."""
    with open(path, "rb", opener=_open_at_once) as file:
        mode = os.fstat(file.fileno()).st_mode
        if or_pipe and stat.S_ISFIFO(mode):
            return _poured(file.fileno())
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(MOST_BYTES + 1)


def _poured(pipe: int) -> bytes:
    """What comes out of a pipe until its end, as far as anybody would read it. Raises OSError where that takes too long."""
    found, ends = b"", time.monotonic() + PIPE_SECONDS
    while len(found) <= MOST_BYTES:
        if not select.select([pipe], [], [], max(0.0, ends - time.monotonic()))[0]:
            raise OSError(
                errno.ETIMEDOUT,
                f"nothing more came out of the pipe, and not its end, within {PIPE_SECONDS:.0f} seconds",
            )
        piece = os.read(pipe, MOST_BYTES)
        if not piece:
            break
        found += piece
    return found


def _is_pipe(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(path.stat().st_mode)
    return False


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _text(content: bytes) -> str:
    """By its byte order mark, as Windows' editors write it, else UTF-8; lines end in one way."""
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    # Where more is there than is read, its last character may be cut in two.
    text = codecs.getincrementaldecoder(encoding)().decode(content[len(mark) :], final=len(content) <= MOST_BYTES)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def folder_problem(data: Path) -> str | None:
    """Why a folder for state cannot be used or made; None: it can, as far as that can be told without trying."""
    place = data
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if place.is_dir():
        missing = place != data and not os.access(place, os.W_OK | os.X_OK)
        return f"{data}: cannot be made, since {place} cannot be written to" if missing else None
    what = "there is a file in its place" if place == data and place.exists() else f"{place} is no folder"
    return f"{data}: cannot be the folder for state ({what})"


def make_folder(data: Path) -> None:
    """Make the folder for state, where it is not there. Raises ConfigurationError."""
    if (problem := folder_problem(data)) is not None:
        raise ConfigurationError([problem])
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([f"{data}: cannot be made ({error.strerror})"]) from None


def read_last_good(data: Path) -> dict[Path, str]:
    """The files' texts, lowest precedence first; nothing where there is no such configuration, or it makes no sense."""
    try:
        kept = orjson.loads((data / LAST_GOOD).read_bytes())
        if kept["version"] != _VERSION:
            return {}
        return {Path(str(file["path"])): str(file["text"]) for file in kept["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write_last_good(data: Path, texts: Mapping[Path, str]) -> None:
    """Keep them, or nothing where no file sets anything. Never raises: without it a start needs good files, that is all."""
    path = data / LAST_GOOD
    files = [{"path": str(path), "text": text} for path, text in texts.items()]
    content = orjson.dumps({"version": _VERSION, "files": files})
    try:
        if not texts:
            path.unlink(missing_ok=True)
        elif not _holds(path, content):
            replace_private(path, content)
    except OSError as error:
        _LOG.warning("the last good configuration cannot be kept: %s", error.strerror)


def _holds(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == content
    return False


class ConfigWatcher(Generic[_T]):
    """Polls files by modification time and size, and reads them only when those change: the content decides.

    `load` gives the new settings or raises ConfigurationError; then the old ones stay and `on_problem` is told, once for each
    content. `on_change` is called in the event loop; where it raises, that is a problem as well. `may_grow`: whether new settings
    may be those of a file that somebody is still writing; it then has to stay as it is for longer. `sleep`: injected for tests.
    """

    def __init__(
        self,
        files: Sequence[Path],
        load: Callable[[], _T],
        on_change: Callable[[_T], Awaitable[None]],
        *,
        on_problem: Callable[[list[str]], None],
        may_grow: Callable[[_T], bool] = lambda _: False,
        interval: float = INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files = tuple(files)
        self._load = load
        self._on_change = on_change
        self._on_problem = on_problem
        self._may_grow = may_grow
        self._interval = interval
        self._sleep = sleep
        self._stamps = self._look()
        self._digest = _digest(self._files)

    async def run(self) -> None:
        while True:
            await self._sleep(self._interval)
            await self.poll()

    async def poll(self) -> bool:
        """Look once; True where new settings were handed on."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        await self._sleep(SETTLE)
        if self._look() != stamps:
            return False  # somebody is still writing: the next look will tell
        self._stamps = stamps
        digest = await asyncio.to_thread(_digest, self._files)
        if digest == self._digest:
            return False
        self._digest = digest
        return await self._take()

    async def _take(self) -> bool:
        try:
            loaded = await asyncio.to_thread(self._load)
            if self._may_grow(loaded) and not await self._stays():
                return False
            await self._on_change(loaded)
        except ConfigurationError as error:
            self._on_problem(error.problems)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a file does to us, the old settings stay
            _LOG.exception("the changed configuration could not be taken")
            self._on_problem([f"the changed configuration could not be taken ({type(error).__name__})"])
        else:
            return True
        return False

    async def _stays(self) -> bool:
        await self._sleep(PATIENCE)
        if self._look() == self._stamps:
            return True
        self._digest = ""  # what was read is not in force: whatever comes next is news
        return False

    def _look(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> _Stamp:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(_content(path))
        except OSError:
            digest.update(b"\0absent")
        digest.update(b"\0\0")
    return digest.hexdigest()
