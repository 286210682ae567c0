"""What a failed try means and what it asks for: the vocabulary of this package and of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final, NamedTuple

from ...core.records import dataclass
from ..unsupported import Changes

OVERLOAD_COOLDOWN: Final = 15.0
ABSENT_COOLDOWN: Final = 60.0
"""A model that a provider does not have, or not for this key, is not asked for by every single request."""

DAY_COOLDOWN: Final = 900.0
"""After a limit of the day was reached and nobody said when it ends: four tries an hour."""


class Action(StrEnum):
    """What a failure asks for. See `upstream.pool` for how each is done."""

    RETRY = "retry"  # once more, the same model, after a moment
    NEXT = "next"  # the next candidate, at once
    COOL = "cool"  # next, and leave this one alone for a while
    WAIT = "wait"  # rate limited: wait if that is short, else next, and cool for just as long
    KEY = "key"  # this key is no good, or has no money left: use another or the next candidate
    ADAPT = "adapt"  # the request can be changed to what this model takes: once more
    CONTEXT = "context"  # too long for this model: only larger windows
    FINAL = "final"  # the client's own fault, or the model's last word: hand it on


class Reach(StrEnum):
    """How far a failure reaches, and so what rests after it."""

    PROVIDER = "provider"
    KEY = "key"
    TIER = "tier"  # the key's models that cost money, or its free ones: whichever the failed one belongs to
    MODEL = "model"  # behind this key


class Meaning(StrEnum):
    """What an upstream's error says, in one word."""

    RATE_LIMIT = "rate_limit"
    TOO_LARGE = "too_large"  # more than this model's or server's limit lets through at once, however long one waits
    QUOTA = "quota"  # no money left, or the plan's allowance is used up
    UNAFFORDABLE = "unaffordable"  # what is left does not pay for this request
    CONTEXT = "context"
    NO_MODEL = "no_model"
    MODEL_DENIED = "model_denied"  # there, but not for this key
    CAPABILITY = "capability"  # the model has no tools, eyes, ears, …
    PARAMETER = "parameter"
    FILTER = "filter"
    SLIP = "slip"  # the model wrote something that its own server could not read
    MODE = "mode"  # not as a stream, or only as one
    KEY = "key"
    FORBIDDEN = "forbidden"
    WALL = "wall"  # a firewall's page in front of the provider
    OVERLOAD = "overload"
    SERVER = "server"
    REQUEST = "request"  # refused for a reason that nobody here knows


class Verdict(NamedTuple):
    """What a meaning asks for. `status`: what it is told as where the upstream's own status does not fit it."""

    action: Action
    code: str
    status: int
    reach: Reach | None = None
    cooldown: float | None = None


VERDICTS: Final[Mapping[Meaning, Verdict]] = {
    Meaning.RATE_LIMIT: Verdict(Action.WAIT, "rate_limit_exceeded", 429, Reach.MODEL),
    Meaning.TOO_LARGE: Verdict(Action.NEXT, "request_too_large", 413),
    Meaning.QUOTA: Verdict(Action.KEY, "upstream_payment", 402, Reach.TIER),
    Meaning.UNAFFORDABLE: Verdict(Action.KEY, "upstream_payment", 402, Reach.MODEL, ABSENT_COOLDOWN),
    Meaning.CONTEXT: Verdict(Action.CONTEXT, "context_length_exceeded", 400),
    Meaning.NO_MODEL: Verdict(Action.NEXT, "model_not_found", 404, Reach.MODEL, ABSENT_COOLDOWN),
    Meaning.MODEL_DENIED: Verdict(Action.NEXT, "model_not_allowed", 403, Reach.MODEL, ABSENT_COOLDOWN),
    Meaning.CAPABILITY: Verdict(Action.NEXT, "unsupported_capability", 400),
    Meaning.PARAMETER: Verdict(Action.ADAPT, "unsupported_parameter", 400),
    Meaning.FILTER: Verdict(Action.FINAL, "content_filter", 400),
    Meaning.SLIP: Verdict(Action.RETRY, "tool_use_failed", 502),
    Meaning.MODE: Verdict(Action.ADAPT, "unsupported_mode", 400),
    Meaning.KEY: Verdict(Action.KEY, "upstream_authentication", 401, Reach.KEY),
    Meaning.FORBIDDEN: Verdict(Action.KEY, "upstream_forbidden", 403, Reach.KEY),
    Meaning.WALL: Verdict(Action.COOL, "upstream_blocked", 403, Reach.MODEL, OVERLOAD_COOLDOWN),
    Meaning.OVERLOAD: Verdict(Action.COOL, "upstream_overloaded", 503, Reach.MODEL, OVERLOAD_COOLDOWN),
    Meaning.SERVER: Verdict(Action.RETRY, "upstream_error", 502),
    Meaning.REQUEST: Verdict(Action.NEXT, "invalid_value", 400),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed try, judged.

    `retry_after` in seconds, as the upstream said; `message` is clean of secrets; `adapt`: the learned change. `cooldown`: how long
    what it reaches is to rest, in seconds, where nothing was said. `reach` None: as its action says. `capability`: what
    the model turned out to lack (`tools`, `vision`, `audio`, `json_schema`), else empty. `mode`: how the model has to be asked
    (`whole` or `stream`), else empty.
    """

    action: Action
    code: str
    message: str
    status: int | None = None
    retry_after: float | None = None
    error_type: str | None = None
    param: str | None = None
    adapt: Changes = field(default_factory=dict)
    cooldown: float | None = None
    meaning: Meaning | None = None
    reach: Reach | None = None
    capability: str = ""
    mode: str = ""


def degraded(code: str, message: str) -> Failure:
    """A reply of status 200 that is no answer: the next candidate."""
    return Failure(action=Action.NEXT, code=code, message=message, status=502)
