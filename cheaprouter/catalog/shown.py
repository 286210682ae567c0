"""What `/v1/models` tells of a model beside its id, under `cheaprouter`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..core.models import PIECES, RATES, Capability, Json, Model, Price
from .prices import active_price

_NOTHING: Final[Mapping[Capability, str]] = {}


def of_model(model: Model, at: datetime, refused: Mapping[Capability, str] = _NOTHING) -> Json:
    """Its kind, capabilities, context (tokens, None where unknown), price (see `_priced`) and abilities.

    `refused`: abilities that its server refused it, with the reason. `abilities`: every one that it has or was refused, as
    `{"able": bool, "reason": str | None}`; of what it is not known to have nothing is said.
    """
    abilities: Json = {str(one): {"able": True, "reason": None} for one in model.capabilities}
    abilities |= {str(one): {"able": False, "reason": refused.get(one)} for one in model.lacks}
    return {
        "kind": model.kind,
        "capabilities": sorted(model.capabilities),
        "context": model.context,
        "price": _priced(active_price(model, at)),
        "abilities": dict(sorted(abilities.items())),
    }


def of_profile(models: Iterable[Model]) -> Json:
    """The same of a profile, which picks one of these for each request: what one of them can do, and no price."""
    offered = [model for model in models if model.kind == "chat" and model.priced and not model.hidden]
    able = sorted({str(one) for model in offered for one in model.capabilities})
    return {
        "kind": "chat",
        "capabilities": able,
        "context": max((model.context for model in offered if model.context), default=None),
        "price": None,
        "abilities": {one: {"able": True, "reason": None} for one in able},
    }


def _priced(price: Price | None) -> dict[str, float] | None:
    """USD by the million tokens and by the piece, as settings call them; only what is set. None for an unknown price."""
    if price is None:
        return None
    rates = {name: getattr(price.rates, name) for name in RATES}
    pieces = {name: getattr(price, name) or None for name in PIECES}
    found: dict[str, Decimal | None] = {**rates, **pieces}
    return {name: float(amount) for name, amount in found.items() if amount is not None}
