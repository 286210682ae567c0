"""What the pool gives back: an answer, whole or coming, or what a client is told when nobody answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ..core.errors import UpstreamError
from ..core.models import Attempt, Model, Usage
from ..providers.failures import Action, Failure
from ..wire.events import Piece
from .health import UNREACHABLE

_ABOUT_KEYS: Final = frozenset({401, 402, 403})
"""Clients take these for a fault of their own key, and ask their users for another one."""

_CLIENTS_FAULT: Final = frozenset({Action.ADAPT, Action.CONTEXT, Action.FINAL})


TopUp = Callable[[Model], None]
"""Called before a stand-in is tried; raises a LimitError where its price cannot be reserved."""


@dataclass(slots=True)
class WholeReply:
    """A complete answer. `usage` None: the upstream told none."""

    model: Model
    attempts: tuple[Attempt, ...]
    body: bytes
    usage: Usage | None
    finish_reason: str | None = None
    output_characters: int = 0


@dataclass(slots=True)
class StreamReply:
    """An answer that is coming, in the wire that the operation names. Its first content is at hand, so the status is 200.

    Iterate `chunks` to the end, or `close` it. `usage`, `finish_reason`, `error_code` and `output_characters` grow
    while it runs; an `error_code` means that an error went out last.
    """

    model: Model
    attempts: tuple[Attempt, ...]
    chunks: AsyncIterator[Piece]
    close: Callable[[], None]
    usage: Usage | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    output_characters: int = 0


class UpstreamFailed(Exception):  # noqa: N818 - it is the outcome of a request, raised once, not an error of ours
    """No candidate answered. `attempts`: all that was tried; `error`: what the client should see."""

    def __init__(self, attempts: tuple[Attempt, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.attempts = attempts
        self.error = error


def final_error(failures: Sequence[Failure], waits: Sequence[float]) -> UpstreamError:
    """One error for all failures.

    `waits`: seconds until each candidate that is cooling down may be asked
    again; none for a sole one, which stays usable.

    What is temporary wins over what is the request's fault, for a retry may then help; a provider that refused *our*
    key is never told as 401: the caller's own key is fine.
    """
    wait = min((w for w in waits if w > 0), default=None)
    faults = [f for f in failures if _is_clients(f)]
    others = [f for f in failures if not _is_clients(f) and f.action is not Action.KEY]
    if final := next((f for f in failures if f.action is Action.FINAL), None):
        return _as_it_came(final)
    if others:
        return _temporary(others, wait)
    if faults:
        return _as_it_came(faults[0])
    if failures:
        return UpstreamError(
            f"No provider accepts its key: {failures[-1].message}", status=502, code=failures[-1].code, retry=False
        )
    return UpstreamError(
        "No model that could answer is available just now.", status=503, code="all_down", retry_after=wait
    )


def _is_clients(failure: Failure) -> bool:
    return failure.action in _CLIENTS_FAULT or (
        failure.action is Action.NEXT and failure.status is not None and 400 <= failure.status < 500
    )


def _as_it_came(failure: Failure) -> UpstreamError:
    status = failure.status or 400
    if status in _ABOUT_KEYS:
        status = 404 if failure.code == "model_not_allowed" else 400
    kind = "invalid_request_error" if status < 500 else "server_error"
    return UpstreamError(
        failure.message,
        status=status if 400 <= status < 500 else 400,
        code=failure.code,
        error_type=failure.error_type or kind,
        param=failure.param,
    )


def _temporary(failures: Sequence[Failure], wait: float | None) -> UpstreamError:
    last = failures[-1]
    told = min((f.retry_after for f in failures if f.retry_after is not None), default=None)
    if told is not None:
        wait = told if wait is None else min(wait, told)
    if all(f.action is Action.WAIT for f in failures):
        return UpstreamError(
            last.message, status=429, code="rate_limit_exceeded", error_type="rate_limit_error", retry_after=wait
        )
    if all(f.code == "upstream_timeout" for f in failures):
        return UpstreamError(last.message, status=504, code="upstream_timeout")
    if any(
        f.action is Action.COOL or f.action is Action.WAIT or f.code in UNREACHABLE or f.code == "all_down"
        for f in failures
    ):
        return UpstreamError(last.message, status=503, code=last.code, retry_after=wait)
    return UpstreamError(last.message, status=502, code=last.code)
