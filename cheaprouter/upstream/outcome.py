"""What a client is told when nobody answered: the truest status, and the shortest real time to wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.errors import UpstreamError
from ..providers.failures import Action, Failure
from .health import UNREACHABLE

_ABOUT_KEYS: Final = frozenset({401, 402, 403})
"""Clients take these for a fault of their own key, and ask their users for another one."""

_CLIENTS_FAULT: Final = frozenset({Action.ADAPT, Action.CONTEXT, Action.FINAL})


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
