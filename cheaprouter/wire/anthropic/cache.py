"""Anthropic's prompt caching: where breakpoints pay."""

from __future__ import annotations

from typing import Final

import orjson

from ...core.models import Json
from .turns import THOUGHTS

LEAST_BYTES: Final = 4 * 4096
"""About 4096 tokens: the largest of the models' minimums for a cached beginning."""

_MARK: Final = {"type": "ephemeral"}


def mark_cache(wire: Json) -> None:
    """Where prompt caching pays: breakpoints for long beginnings that will be sent again; none where the client set its own.

    Writing costs a quarter more than plain input, reading a tenth of it (https://docs.claude.com/en/docs/build-with-claude/
    prompt-caching, 2026), so one repeat within five minutes pays. A repeat is likely in a conversation, and where tools
    are offered: their results come back with the same beginning.
    """
    turns = wire["messages"]
    talk = any(turn["role"] == "assistant" for turn in turns)
    if not (talk or wire.get("tools")) or _marked(wire):
        return
    size = len(orjson.dumps([wire.get("tools"), wire.get("system")]))
    if size >= LEAST_BYTES:
        _mark_last(wire.get("system") or wire.get("tools") or [])
    if talk and size + len(orjson.dumps(turns)) >= LEAST_BYTES:
        _mark_last(turns[-1]["content"])


def _mark_last(blocks: list[Json]) -> None:
    for place, block in reversed([*enumerate(blocks)]):
        if block.get("type") not in THOUGHTS:
            blocks[place] = {**block, "cache_control": _MARK}
            return


def _marked(wire: Json) -> bool:
    said = (block for turn in wire["messages"] for block in turn["content"])
    return any("cache_control" in block for block in (*wire.get("system", ()), *wire.get("tools", ()), *said))
