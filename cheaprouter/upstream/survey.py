"""How the providers are: for people, for `cheaprouter providers`, and to find what local servers have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ..core.calendar import Clock
from ..core.models import Json
from ..providers import details
from ..providers.adapter import Adapter
from ..providers.failures import Action, Failure
from ..providers.listing import parse_listing
from ..providers.transport import Transport, TransportError, WireRequest
from ..providers.unsupported import Learned
from .call import transport_failure
from .health import TIERS, Breaker, Health, Observer, State, Target

CHECK_SECONDS: Final = 10.0
_LONGEST_LISTING: Final = 16 * 1024 * 1024
_SHORT: Final = 16 * 1024


def describe(
    adapter: Adapter, health: Health, learned: Learned, observer: Observer, *, now: float, paused: bool
) -> Json:
    """One provider's state, without asking it."""
    breakers = list(health.of_provider(adapter.name))
    down = observer.down_since(adapter.name)
    cooling = [_cooldown(scope, breaker, now) for scope, breaker in breakers if not breaker.allows(now)]
    state = "paused" if paused else "down" if down is not None and cooling else "degraded" if cooling else "available"
    prefix = adapter.name + "/"
    return {
        "name": adapter.name,
        "kind": adapter.kind,
        "base_url": adapter.clean(adapter.shown_url),
        "local": adapter.local,
        "state": state,
        "keys": len(adapter.api_keys),
        "cooldowns": cooling,
        "learned": learned.status(adapter.name),
        "lacking": learned.lacks(adapter.name),
        "first_token_ms": {m: round(ms, 1) for m, ms in observer.latency.items() if m.startswith(prefix)},
    }


def _cooldown(scope: tuple[str, int, str], breaker: Breaker, now: float) -> Json:
    _, key, model = scope
    return {
        "key": key + 1 if key >= 0 else None,
        "model": TIERS.get(model, model) or None,
        "state": str(breaker.state(now)),
        "reason": breaker.reason,
        "message": breaker.message,
        "seconds": round(max(0.0, (breaker.until or now) - now), 1),
    }


def blocked(health: Health, target: Target, now: float) -> Failure | None:
    """Why a target was not even tried, as a failure."""
    breaker = health.blocking(target, now)
    if breaker is None:
        return None
    action = Action.WAIT if breaker.reason == "rate_limit_exceeded" else Action.COOL
    state = "being probed" if breaker.state(now) is State.PROBING else "cooling down"
    message = f"{target.model.id} is {state} after: {breaker.message}"
    return Failure(action, breaker.reason if action is Action.WAIT else "all_down", message, status=breaker.status)


async def check(adapter: Adapter, transport: Transport, clock: Clock) -> Json:
    """Ask for the list of models with each key."""
    keys: Sequence[str | None] = adapter.api_keys or (None,)
    results = [await _ask(adapter, key, transport, clock) for key in keys]
    best = next((r for r in results if r["ok"]), results[0])
    told = [{"key": place, "ok": r["ok"], "error": r["error"]} for place, r in enumerate(results, 1)]
    return {"name": adapter.name, **best, "keys": told}


async def _ask(adapter: Adapter, key: str | None, transport: Transport, clock: Clock) -> Json:
    started = clock.monotonic()
    models: list[Json] = []
    error = None
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            if (wire := adapter.key_request(key)) is not None:
                await _get(adapter, wire, transport, clock)
            models = await listing(adapter, key, transport, clock)
    except TimeoutError:
        error = f"{adapter.name} did not answer within {CHECK_SECONDS:g} s."
    except (TransportError, ListingError) as failed:
        error = str(failed)
    latency = round((clock.monotonic() - started) * 1000, 1)
    return {"ok": error is None, "latency_ms": latency, "models": [m["id"] for m in models], "error": error}


class ListingError(Exception):
    """The list of models could not be had; says why, clean of secrets."""


async def listing(adapter: Adapter, key: str | None, transport: Transport, clock: Clock) -> list[Json]:
    """What a provider says it has. Raises ListingError."""
    try:
        return await _apart(parse_listing, await _get(adapter, adapter.models_request(key), transport, clock))
    except ValueError as error:
        raise ListingError(f"{adapter.name} did not answer with a list of models.") from error


async def _detailed(adapter: Adapter, key: str | None, raw: bytes, transport: Transport, clock: Clock) -> list[Json]:
    """The list with what a local server says of its models beside it, as far as it answers."""
    models = await _apart(parse_listing, raw)
    server = details.dialect(adapter.kind, raw) if adapter.local else ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_SECONDS):
            for question in details.questions(server, models):
                with contextlib.suppress(ListingError, ValueError):
                    wire = adapter.own_request(question.path, question.body, key)
                    body = await _get(adapter, wire, transport, clock)
                    models = await _apart(partial(_told, question, models), body)
    return models


def _told(question: details.Question, known: Sequence[Json], body: bytes) -> list[Json]:
    return details.answered(question, body, known)


async def _apart(read: Callable[[bytes], list[Json]], body: bytes) -> list[Json]:
    """Read a body: a long one in a thread, since it takes up to a second, in which others are to be served."""
    return read(body) if len(body) <= _SHORT else await asyncio.to_thread(read, body)


async def _get(adapter: Adapter, wire: WireRequest, transport: Transport, clock: Clock) -> bytes:
    """The body of a reply of status 200. Raises ListingError for anything else."""
    try:
        response = await transport.open(wire, adapter.timeouts.connect)
        try:
            body = await response.read(_LONGEST_LISTING)
        except BaseException:
            response.abort()
            raise
    except TransportError as error:
        raise ListingError(transport_failure(adapter, error).message) from error
    if response.status != 200:
        now = clock.utcnow().timestamp()
        raise ListingError(adapter.judge(response.status, response.headers, body, now).message)
    return body


async def discover(adapters: Sequence[Adapter], transport: Transport, clock: Clock) -> dict[str, list[Json]]:
    """All lists at once; a server that does not answer in time is as good as not there."""

    async def one(adapter: Adapter) -> list[Json] | None:
        key = adapter.api_keys[0] if adapter.api_keys else None
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                raw = await _get(adapter, adapter.models_request(key), transport, clock)
            return await _detailed(adapter, key, raw, transport, clock)
        except (TimeoutError, ListingError, ValueError):
            return None

    async with asyncio.TaskGroup() as group:
        tasks = {a.name: group.create_task(one(a), name=f"discover {a.name}") for a in adapters}
    return {name: models for name, task in tasks.items() if (models := task.result()) is not None}
