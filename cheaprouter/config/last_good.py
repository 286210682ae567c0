"""The last good configuration on disk: the texts of its files, for a start that finds them broken.

`<data>/last_good.json`, for its owner alone, since keys are inside. It is written after each good load and read at the start.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

FILE_NAME: Final = "last_good.json"
VERSION: Final = 1
_LOG: Final = logging.getLogger(__name__)


def read(data: Path) -> dict[Path, str]:
    """The files' texts, lowest precedence first; nothing where there is no such configuration, or it makes no sense."""
    try:
        kept = orjson.loads((data / FILE_NAME).read_bytes())
        if kept["version"] != VERSION:
            return {}
        return {Path(str(file["path"])): str(file["text"]) for file in kept["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write(data: Path, texts: Mapping[Path, str]) -> None:
    """Keep them, or nothing where no file sets anything. Never raises: without it a start needs good files, that is all."""
    path = data / FILE_NAME
    files = [{"path": str(path), "text": text} for path, text in texts.items()]
    content = orjson.dumps({"version": VERSION, "files": files})
    try:
        if not texts:
            path.unlink(missing_ok=True)
        elif not _holds(path, content):
            _replace(path, content)
    except OSError as error:
        _LOG.warning("the last good configuration cannot be kept: %s", error.strerror)


def _holds(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == content
    return False


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
