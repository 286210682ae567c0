"""One log line for each request: who asked what, what became of it, how long it took and what it cost. Never any text of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from .logs import visible
from .models import RequestRecord

ACCESS: Final = logging.getLogger("cheaprouter.access")
LONGEST_PATH: Final = 200

DOORS: Final = {"http": ("POST", "/v1/chat/completions"), "mqtt": ("MQTT", "chat/request")}
"""What a booked request came in by, as its line tells."""

_PLAIN: Final = re.compile(r"[\w./:+$@-]+", re.ASCII)
_OF_ADDRESS: Final = "lan-"


def log_request(method: str, path: str, status: int, ms: float, **about: Any) -> None:
    """Write a request's line. `path`: without its query. What of `about` is None is left out. Only where `ACCESS` is on."""
    fields: dict[str, Any] = {"method": method, "path": path[:LONGEST_PATH], "status": status, "ms": round(ms, 1)}
    fields |= {name: value for name, value in about.items() if value is not None}
    if "device" in fields:
        fields["device"] = shown_device(fields["device"])
    rest = "".join(f" {name}={_quoted(str(fields[name]))}" for name in about if name in fields)
    text = f"{method} {fields['path']} {status} {ms:.0f}ms{rest}"
    record = logging.LogRecord(ACCESS.name, logging.INFO, "", 0, text, None, None)
    record.fields = fields
    ACCESS.handle(record)


def log_booked(record: RequestRecord) -> None:
    """The same of a request that was booked."""
    method, path = DOORS.get(record.via, (record.via, ""))
    log_request(
        method,
        path,
        record.status,
        record.latency_ms,
        device=record.device_id,
        model=record.model_id or record.requested_model or None,
        input_tokens=record.usage.prompt_tokens,
        output_tokens=record.usage.completion_tokens,
        cost=None if record.cost is None else f"{record.cost.normalize():f}",
        attempts=record.attempts if record.attempts != 1 else None,
        error=record.error,
        id=record.id,
    )


@lru_cache(maxsize=1024)
def shown_device(device_id: str) -> str:
    """A device as logs tell it: of an address that the whole internet knows only the end, which tells nobody whose home it is."""
    if not device_id.startswith(_OF_ADDRESS):
        return device_id
    try:
        address = ip_address(device_id[len(_OF_ADDRESS) :])
    except ValueError:
        return device_id
    if not address.is_global:
        return device_id
    end = address.exploded[-4:] if isinstance(address, IPv6Address) else str(address).rpartition(".")[2]
    return f"{_OF_ADDRESS}(public)-{end}"


def told(clean: Callable[[str], str], text: str) -> tuple[str, str]:
    """A device, model or error as a line has it: by itself, and among others. `clean`: takes secrets out."""
    text = shown_device(text).encode("utf-8", "backslashreplace").decode()
    return visible(clean(text)), visible(clean(_quoted(text)))


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else '"{}"'.format(text.replace('"', "'"))
