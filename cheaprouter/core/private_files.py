"""Files that nobody but their owner can read, synced to the disk: they hold keys, or what people asked."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, data: bytes, *, more: bool = False) -> None:
    """Write and sync a new file that nobody else can read, or `more` of it. Raises OSError."""
    if not more:
        path.unlink(missing_ok=True)
    how = os.O_APPEND if more else os.O_EXCL
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, data: bytes) -> None:
    """The same in place of what is there: whenever the power goes, the old file or the new one is whole. Raises OSError."""
    # A command of ours may write the same file beside the router.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    write_private(partial, data)
    partial.replace(path)
