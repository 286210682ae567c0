"""Log lines of booked requests, of which there may be hundreds a second: the line that `log_request` writes, for a fifth of its cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from ..books.recorder import Recorder
from ..books.rows import INDEX, Row, from_row
from ..core.access import ACCESS, DOORS, log_booked, told
from ..core.events import EventBus, RequestCompleted
from ..core.logs import JsonFormatter, Redactor, own_handler
from ..core.money import usd_text

_MOST_KNOWN: Final = 1024
_ID, _DEVICE, _ASKED, _MODEL = (INDEX[name] for name in ("id", "device_id", "requested_model", "model_id"))
_INPUT, _OUTPUT, _STATUS = (INDEX[name] for name in ("prompt_tokens", "completion_tokens", "status"))
_MS, _ERROR, _COST, _ATTEMPTS = (INDEX[name] for name in ("latency_ms", "error", "cost", "attempts"))
_VIA: Final = INDEX["via"]


class BookedLog:
    """Writes a line for each booked request where the level lets it; else nobody is told, and nothing is made for it.

    What may hold anything (a device's name, a model's) is made fit to be shown once, and known from then on. While requests
    are under way (`running` says how many, that one with them) lines of the same round of the event loop go out in one write.
    """

    def __init__(self, recorder: Recorder, bus: EventBus, redactor: Redactor, running: Callable[[], int]) -> None:
        self._recorder = recorder
        self._running = running
        self._bus = bus
        self._redactor = redactor
        self._leave: Callable[[], None] | None = None
        self._stream: TextIO | None = None
        self._json = False
        self._second = 0
        self._stamp = ""
        self._known: dict[str, tuple[str, str]] = {}
        self._lines: list[str] = []

    def changed(self) -> None:
        """The level, the format or the secrets may be others."""
        self._flush()
        self._known.clear()
        handler = own_handler()
        self._stream = None if handler is None else handler.stream
        self._json = handler is not None and isinstance(handler.formatter, JsonFormatter)
        if ACCESS.isEnabledFor(logging.INFO):
            self._leave = self._leave or self._bus.on(self._write, RequestCompleted)
        elif self._leave is not None:
            self._leave()
            self._leave = None

    def _write(self, _: RequestCompleted) -> None:
        row = self._recorder.newest  # it is told right after it was booked
        if self._stream is None:  # somebody else's handlers
            log_booked(from_row(row))
            return
        self._lines.append(self._as_json(row) if self._json else self._as_text(row))
        if self._running() <= 1:
            self._flush()
        elif len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        lines, self._lines = "".join(self._lines), []
        if lines and self._stream is not None:
            try:
                self._stream.write(lines)
                self._stream.flush()
            except (OSError, ValueError):
                return  # nobody reads it, or it is closed: as `logging` has it, that is no reason not to serve

    def _as_text(self, row: Row) -> str:
        method, path = DOORS.get(row[_VIA], (row[_VIA], ""))
        now = int(time.time())
        if now != self._second:
            self._second, self._stamp = now, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        model, cost, error, known = row[_MODEL] or row[_ASKED], row[_COST], row[_ERROR], self._known
        return (
            f"{self._stamp} INFO {ACCESS.name}: {method} {path} {row[_STATUS]} {row[_MS]:.0f}ms device={(known.get(row[_DEVICE]) or self._fit(row[_DEVICE]))[1]}"
            f"{f' model={(known.get(model) or self._fit(model))[1]}' if model else ''} input_tokens={row[_INPUT]} output_tokens={row[_OUTPUT]}"
            f"{'' if cost is None else f' cost={usd_text(cost)}'}{'' if row[_ATTEMPTS] == 1 else f' attempts={row[_ATTEMPTS]}'}"
            f"{f' error={self._fit(error)[1]}' if error else ''} id={row[_ID]}\n"
        )

    def _as_json(self, row: Row) -> str:
        method, path = DOORS.get(row[_VIA], (row[_VIA], ""))
        model, cost, error = row[_MODEL] or row[_ASKED], row[_COST], row[_ERROR]
        found: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "logger": ACCESS.name,
            "method": method,
            "path": path,
            "status": row[_STATUS],
            "ms": round(row[_MS], 1),
            "device": self._fit(row[_DEVICE])[0],
            "model": self._fit(model)[0] if model else None,
            "input_tokens": row[_INPUT],
            "output_tokens": row[_OUTPUT],
            "cost": None if cost is None else usd_text(cost),
            "attempts": None if row[_ATTEMPTS] == 1 else row[_ATTEMPTS],
            "error": self._fit(error)[0] if error else None,
            "id": row[_ID],
        }
        return orjson.dumps({name: value for name, value in found.items() if value is not None}).decode() + "\n"

    def _fit(self, text: str) -> tuple[str, str]:
        """A text fit to be shown, by itself and as a line has it."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[text] = told(self._redactor.clean, text)
        return known
