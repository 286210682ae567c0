"""Newer prices for the shipped catalogue: made of what genai-prices publishes, kept in a file, and read again from there."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Final

import orjson

from ..core.models import Json
from ..core.private_files import replace_private
from ..wire.weigh import loads
from . import genai

FILE: Final = "prices.json"
MOST_TIMES: Final = 10
"""A price that is more than so many times the shipped one, or less than that part of it, is a mistake, and is not taken."""

_ONLY_ON_REQUEST: Final = ":free"
_LOG: Final = logging.getLogger(__name__)


def refreshed(published: bytes, snapshot: Json, now: float, today: str) -> Json:
    """The prices of the snapshot's models that are published now and are others. Raises ValueError for anything unreadable.

    `now`: Unix seconds, kept as the time they were read; `today`: the day (UTC) as ISO writes it. Takes up to half a second:
    for a thread.
    """
    providers = genai.providers_in(loads(published))
    if not any(providers.get(theirs) for theirs in genai.PROVIDERS.values()):
        raise ValueError("none of the providers is listed")
    models: dict[str, Json] = {}
    for kind, entries in snapshot["models"].items():
        listed = providers.get(genai.PROVIDERS.get(kind, ""), [])
        for model_id, entry in entries.items():
            if listed and (prices := _prices(model_id, entry, listed, today)):
                models.setdefault(kind, {})[model_id] = prices
    return {"read": now, "source": f"genai-prices as published, read {today}", "models": models}


def _prices(model_id: str, entry: Json, listed: list[Json], today: str) -> list[Json]:
    """A model's new prices; none where they are as shipped, or cannot be."""
    found = None if model_id.endswith(_ONLY_ON_REQUEST) else genai.listing(model_id, listed, patterns=False)
    if found is None or found.get("deprecated"):
        return []
    prices = genai.prices_of(found, today)
    new, old = genai.current(prices, today), genai.current(entry["prices"], today)
    if new is None or old is None or _same(new, old):
        return []
    if not all(_plausible(Decimal(new[rate]), Decimal(old[rate])) for rate in ("input", "output")):
        _LOG.warning("A published price of %s is not taken, since it cannot be: %s", model_id, new)
        return []
    genai.add_sound(prices, entry.get("capabilities", ()))
    return prices


def _same(new: Json, old: Json) -> bool:
    """Whether it says nothing that the shipped one does not: that may know of more kinds."""
    return all(value == old.get(name) for name, value in new.items() if name != "from")


def _plausible(new: Decimal, old: Decimal) -> bool:
    return new == old if not (new and old) else old / MOST_TIMES <= new <= old * MOST_TIMES


def keep(folder: Path, found: Json) -> None:
    """Raises OSError."""
    replace_private(folder / FILE, orjson.dumps(found))


def kept(folder: Path) -> Json | None:
    """What was kept last; None where there is nothing that can be read."""
    try:
        found = loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    readable = isinstance(found, dict) and isinstance(found.get("models"), dict)
    return found if readable and isinstance(found.get("read"), int | float) else None
