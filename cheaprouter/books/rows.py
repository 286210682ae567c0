"""A request's record as one flat row: the same in the journal and in SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..core.models import RequestRecord, Usage
from ..core.money import charge, from_pico

Row = tuple[Any, ...]

COLUMNS: Final = (
    "seq", "id", "at", "day", "device_id", "requested_model", "model_id", "provider",
    "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "estimated",
    "status", "latency_ms", "stream", "first_token_ms", "error", "cost", "cost_source", "baseline_cost", "attempts",
    "profile", "reason", "tier", "score", "cached", "via", "sub_identity", "reported_cost",
)  # fmt: skip
"""`seq`: the order of booking, never used twice. `at`: microseconds since 1970, UTC. `day`: the local day it counts to.
Costs are pico-dollars."""

INDEX: Final = {name: index for index, name in enumerate(COLUMNS)}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXT: Final = 256
"""Longest text kept: a model's name comes from the client, and could be megabytes."""
_REASON: Final = 500
_MOST_TOKENS: Final = 2**53


def microseconds(moment: datetime) -> int:
    """An aware time as microseconds since 1970."""
    return int(moment.timestamp() * 1_000_000 + 0.5)


def moment(at: int) -> datetime:
    """Microseconds since 1970 as an aware UTC time, exact."""
    return _EPOCH + at * _MICROSECOND


def to_row(seq: int, day: int, record: RequestRecord) -> Row:
    """Flatten a record. Texts are cut, impossible token counts too."""
    usage = record.usage
    cost, baseline, reported = record.cost, record.baseline_cost, usage.reported_cost
    return (
        seq,
        _text(record.id),
        microseconds(record.timestamp),
        day,
        _text(record.device_id),
        _text(record.requested_model),
        record.model_id,
        record.provider,
        _tokens(usage.prompt_tokens),
        _tokens(usage.completion_tokens),
        _tokens(usage.cached_tokens),
        _tokens(usage.cache_write_tokens),
        _tokens(usage.reasoning_tokens),
        int(usage.estimated),
        record.status,
        record.latency_ms,
        int(record.stream),
        record.first_token_ms,
        record.error,
        None if cost is None else charge(cost),
        record.cost_source,
        None if baseline is None else charge(baseline),
        record.attempts,
        record.profile,
        _text(record.reason, _REASON),
        record.tier,
        record.score,
        int(record.cached),
        record.via,
        _text(record.sub_identity),
        None if reported is None else charge(reported),
    )


def from_row(row: Row) -> RequestRecord:
    """The record that a row was made of, times and money exact."""
    value = dict(zip(COLUMNS, row, strict=True))
    return RequestRecord(
        id=value["id"],
        timestamp=moment(value["at"]),
        device_id=value["device_id"],
        requested_model=value["requested_model"],
        model_id=value["model_id"],
        provider=value["provider"],
        usage=Usage(
            prompt_tokens=value["prompt_tokens"],
            completion_tokens=value["completion_tokens"],
            cached_tokens=value["cached_tokens"],
            cache_write_tokens=value["cache_write_tokens"],
            reasoning_tokens=value["reasoning_tokens"],
            estimated=bool(value["estimated"]),
            reported_cost=None if value["reported_cost"] is None else from_pico(value["reported_cost"]),
        ),
        status=value["status"],
        latency_ms=value["latency_ms"],
        stream=bool(value["stream"]),
        first_token_ms=value["first_token_ms"],
        error=value["error"],
        cost=None if value["cost"] is None else from_pico(value["cost"]),
        cost_source=value["cost_source"],
        baseline_cost=None if value["baseline_cost"] is None else from_pico(value["baseline_cost"]),
        attempts=value["attempts"],
        profile=value["profile"],
        reason=value["reason"],
        tier=value["tier"],
        score=value["score"],
        cached=bool(value["cached"]),
        via=value["via"],
        sub_identity=value["sub_identity"],
    )


def limit_hit(status: int, attempts: int) -> bool:
    """Whether a request was refused by one of our own limits, before any upstream was asked."""
    return status == 429 and attempts == 0


def failed(status: int, attempts: int) -> bool:
    """Whether a request counts as an error: neither refused by a limit nor given up by the client (499)."""
    return status >= 400 and status != 499 and not limit_hit(status, attempts)


def _tokens(count: int) -> int:
    return count if 0 <= count <= _MOST_TOKENS else max(0, min(_MOST_TOKENS, count))


def _text(text: str, longest: int = _TEXT) -> str:
    """Cut, and without halves of surrogate pairs, which no UTF-8 can hold."""
    short = text[:longest]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()
