"""What a request is about: models that are equally good in general differ most by that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import Final

from ..core.models import Kind
from .features import Features
from .measures import COUNTS
from .tools import NO_TOOLS, Toolbox

LONG_PROMPT: Final = 32_000
"""Estimated tokens of a prompt from which reading it is what models differ at."""

_SHORT: Final = log1p(160)
"""A command or a question about the home is not longer (letters)."""
_ONE, _TWO = log1p(1) - 1e-6, log1p(2) - 1e-6
"""Counts are logarithms; so many words of a list."""

_AT: Final = {name: place for place, name in enumerate(COUNTS)}
_LENGTH, _EVERYDAY, _CODED = _AT["length"], _AT["everyday"], _AT["code_attached"]
_PROOF, _MATHS, _OPENING, _STEPS, _NUMBERS = (_AT[n] for n in ("proof", "maths", "opening", "steps", "quantities"))
_CODE, _DESIGN, _SYSTEMS = _AT["code"], _AT["design"], _AT["systems"]


def around(features: Features, box: Toolbox) -> int:
    """What else than its text and pictures decides on an ask's score and kind, as a number that tells one case from another."""
    return box.key ^ (features.prompt_tokens >= LONG_PROMPT)


def kind_of(row: Sequence[float], features: Features | None, box: Toolbox = NO_TOOLS) -> Kind:
    """The kind of an ask by its counts, empty where nothing is asked; what came with it in `features`, None: it alone."""
    if features is not None and (features.images or features.prompt_tokens >= LONG_PROMPT):
        return Kind.VISION if features.images else Kind.LONG
    if row and (kind := _by_counts(row)) is not None:
        return kind
    if features is None or not features.tools:
        return Kind.GENERAL
    return Kind.HOME if box.home else Kind.TOOLS


def _by_counts(row: Sequence[float]) -> Kind | None:
    if row[_PROOF] or row[_MATHS] >= _TWO or row[_OPENING] == 2.0 or (row[_STEPS] >= _TWO and row[_NUMBERS] >= _TWO):
        return Kind.MATHS
    if row[_CODED] or row[_CODE] + row[_DESIGN] + row[_SYSTEMS] >= _TWO:
        return Kind.CODE
    return Kind.HOME if row[_EVERYDAY] >= _ONE and row[_LENGTH] <= _SHORT else None
