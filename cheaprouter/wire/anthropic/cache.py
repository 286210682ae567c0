"""Anthropic's prompt caching: where breakpoints pay."""

from __future__ import annotations

from typing import Final

import orjson

from ...core.models import Json
from ..prompt_cache import least_of
from .turns import THOUGHTS

LEAST_TOKENS: Final = 4096
"""The largest of the models' minimums for a cached beginning: what counts for a name that says nothing."""

BYTES_PER_TOKEN: Final = 4
"""Of English and of JSON; other texts have more bytes to a token, and are marked a little early, which costs nothing."""

_MARK: Final = {"type": "ephemeral"}


def mark_cache(wire: Json) -> None:
    """Where prompt caching pays: breakpoints for long beginnings that will be sent again; none where the client set its own.

    Writing costs a quarter more than plain input, reading a tenth of it (https://docs.claude.com/en/docs/build-with-claude/
    prompt-caching, 2026), so one repeat within five minutes pays. A repeat is likely in a conversation, and where tools
    are offered: their results come back with the same beginning. In a conversation the end of the request before is marked
    beside this one's: what was written there is looked for no more than 20 blocks before a breakpoint.
    """
    turns = wire["messages"]
    talk = any(turn["role"] == "assistant" for turn in turns)
    if not (talk or wire.get("tools")) or _marked(wire):
        return
    least = BYTES_PER_TOKEN * (least_of(str(wire.get("model") or "")) or LEAST_TOKENS)
    size = tools = len(orjson.dumps(wire.get("tools")))
    if wire.get("system"):
        size += len(orjson.dumps(wire["system"]))
        if size >= least:
            _mark_last(wire["system"])
    if tools >= least:  # a system prompt may tell the time: what comes before it is kept all the same
        _mark_last(wire["tools"])
    if talk and size + len(orjson.dumps(turns)) >= least:
        for turn in _ends(turns):
            _mark_last(turn["content"])


def _ends(turns: list[Json]) -> list[Json]:
    """The last turn, and the one that the request before ended with."""
    asked = [turn for turn in turns[:-1] if turn["role"] == "user"]
    return [turns[-1], *asked[-1:]]


def _mark_last(blocks: list[Json]) -> None:
    for place, block in reversed([*enumerate(blocks)]):
        if block.get("type") not in THOUGHTS:
            blocks[place] = {**block, "cache_control": _MARK}
            return


def _marked(wire: Json) -> bool:
    said = (block for turn in wire["messages"] for block in turn["content"])
    return any("cache_control" in block for block in (*wire.get("system", ()), *wire.get("tools", ()), *said))
