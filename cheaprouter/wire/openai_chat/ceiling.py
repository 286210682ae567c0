"""A request whose reply may not be longer than somebody can pay for."""

from __future__ import annotations

from typing import Any, Final

from ...core.models import Json

_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_THOUGHTS: Final = (("thinking", "budget_tokens"), ("reasoning", "max_tokens"))
"""Where clients say how many tokens thoughts may have (Anthropic's field, and OpenRouter's): they are part of the reply, and those
who have such a field refuse one that leaves nothing for the answer."""

_LEAST_THOUGHTS: Final = 1024
"""Anthropic takes no fewer: https://platform.claude.com/docs/en/build-with-claude/extended-thinking"""


def capped(body: Json, most: int) -> Json:
    """A copy in which a reply may have at most `most` tokens, thoughts among them. Which field says so the client has chosen.

    Where it has not it is `max_tokens`, which everybody knows, and adapters rename where it is called otherwise.
    """
    given = [name for name in _LIMITS if body.get(name) is not None]
    made = {**body, **{name: min(most, int(body[name])) for name in given}}
    if not given:
        made["max_tokens"] = most
    for name, field in _THOUGHTS:
        if isinstance(wanted := body.get(name), dict) and _too_many(wanted.get(field), most):
            if most >= 2 * _LEAST_THOUGHTS:
                made[name] = {**wanted, field: most // 2}
            else:
                del made[name]
    return made


def _too_many(thoughts: Any, most: int) -> bool:
    return isinstance(thoughts, int | float) and thoughts >= most
