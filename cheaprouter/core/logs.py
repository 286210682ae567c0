"""Logging to stderr: every registered secret blotted out, every line one line, so that it can be pasted anywhere."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

MASK: Final = "***"
FORMATS: Final = ("text", "json")

_SHORTEST: Final = 6
"""Shorter values are not masked: they would blot out ordinary words, and are no keys."""

_KEY_SHAPES: Final = re.compile(r"\b(?:cr|sk|gsk|brk_live|xai|nvapi)[-_][A-Za-z0-9_\-]{12,}")
"""Keys by their looks, for those that nobody registered: a caller's own, say."""

_LOGIN: Final = re.compile(r"(//|/(?=[^\s/?#@:]{0,64}:))[^\s/?#@]{1,256}@")
"""The login in a URL, or in a path that somebody took for one: `/name:password@host/`."""

_UNSEEN: Final = {
    n: f"\\u{n:04x}" if n > 0xFF else f"\\x{n:02x}"
    for n in (*range(32), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
}
"""What moves a terminal's cursor, colours it, breaks a line or turns its direction, as it is written instead."""

_UNSEEN_BUT_LINES: Final = {n: text for n, text in _UNSEEN.items() if n != 10}


class Redactor(logging.Filter):
    """Replaces secrets in a record's text before any handler sees it."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secrets: Iterable[str]) -> None:
        """Add values that no log line may show."""
        self._secrets.update(s for s in secrets if len(s) >= _SHORTEST)
        ordered = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(self, text: str) -> str:
        """The same text without secrets; for errors and pages as well as logs."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if "@" in text:
            text = _LOGIN.sub(rf"\1{MASK}@", text)
        return _KEY_SHAPES.sub(MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the rendered message, the fields and the traceback, and let the record pass."""
        record.msg, record.args = self.clean(record.getMessage()), ()
        fields: Mapping[str, Any] | None = getattr(record, "fields", None)
        if fields is not None:
            record.fields = {k: self.clean(v) if isinstance(v, str) else v for k, v in fields.items()}
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.clean(record.exc_text)
        return True


def visible(text: str, *, lines: bool = False) -> str:
    """The same text with all that a terminal would obey written out. `lines`: but for the ends of lines."""
    if text.isprintable():
        return text
    return text.translate(_UNSEEN_BUT_LINES if lines else _UNSEEN)


class TextFormatter(logging.Formatter):
    """For people: time, level, where from, and what. A traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        at = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        line = f"{at} {record.levelname} {record.name}: {visible(record.getMessage())}"
        return f"{line}\n{visible(record.exc_text, lines=True)}" if record.exc_text else line


class JsonFormatter(logging.Formatter):
    """For programs: one object a line. A request's figures are keys of their own."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "logger": record.name}
        fields: Mapping[str, Any] | None = getattr(record, "fields", None)
        said |= {"message": record.getMessage()} if fields is None else fields
        if record.exc_text:
            said["exception"] = record.exc_text
        said = {
            name: visible(value, lines=name == "exception") if isinstance(value, str) else value
            for name, value in said.items()
        }
        try:
            return orjson.dumps(said, default=str).decode()
        except TypeError:  # halves of surrogate pairs
            return orjson.dumps(
                {k: str(v).encode("ascii", "backslashreplace").decode() for k, v in said.items()}
            ).decode()


def setup(level: str, form: str, redactor: Redactor) -> None:
    """Send everything to stderr at `level` (Python's names, lower case allowed), through the redactor. `form`: of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(redactor)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # Broken HTTP from port scanners is not worth a traceback each; what our handlers raise is logged by `api.errors`.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    change(level, form)


def change(level: str, form: str) -> None:
    """Go on at another level or in another format."""
    logging.getLogger().setLevel(level.upper())
    if (handler := own_handler()) is not None:
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())


def own_handler() -> logging.StreamHandler[Any] | None:
    """What `setup` has made; None where it was not called, or others have put handlers of theirs beside it."""
    handlers = logging.getLogger().handlers
    found = handlers[0] if len(handlers) == 1 else None
    if isinstance(found, logging.StreamHandler) and any(isinstance(f, Redactor) for f in found.filters):
        return found
    return None
