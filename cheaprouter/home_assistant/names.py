"""What entities are called, in each language that translations/ has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def names(language: str) -> Mapping[str, str]:
    """By the entity's key; written by script/update-strings. `language`: one of those that can be set."""
    text = resources.files(__package__).joinpath("data", "names.json").read_text(encoding="utf-8")
    found: Mapping[str, str] = json.loads(text)[language]
    return found
