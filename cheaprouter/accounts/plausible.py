"""Whether as many tokens can have been used as an upstream says: beyond some bounds nobody is believed, and our own figure is booked."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..core.models import Usage

SURE: Final = 2_000_000
"""Tokens of a prompt, or of an answer, that need no second look: windows as wide as that are on sale."""

TIMES: Final = 100
"""Beyond, no more than so many times what was counted here: pictures and thoughts are among them."""


def corrected(usage: Usage, prompt: int, characters: int) -> Usage:
    """The usage with our own figures for what cannot be, and then `estimated`; the same where all of it can.

    `prompt`: its tokens as estimated. `characters`: of the answer, as they came.
    """
    output = (characters + 3) // 4
    read, wrote = usage.prompt_tokens, usage.completion_tokens
    if read > SURE and read > TIMES * prompt:
        usage = replace(
            usage, prompt_tokens=prompt, cached_tokens=0, cache_write_tokens=0, special=None, estimated=True
        )
    if wrote > SURE and wrote > TIMES * output:
        usage = replace(usage, completion_tokens=output, reasoning_tokens=0, special=None, estimated=True)
    return usage
