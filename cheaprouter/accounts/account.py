"""One request's account: opened when it is admitted, closed exactly once, however it ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ..books.averages import Averages
from ..books.recorder import Recorder
from ..catalog.prices import billed, cost
from ..core.clock import Clock
from ..core.events import EventBus, FallbackUsed, RequestCompleted
from ..core.models import Attempt, Caller, Model, RequestRecord, RouteDecision, Usage
from ..wire.openai_chat.request import ChatRequest
from .service import Admission, Devices

_UNSAFE: Final = re.compile(r"[^\x20-\x7e]+")
_LONGEST_HEADER: Final = 300


def ascii_header(text: str) -> str:
    """A header value that any client can read: printable ASCII, one line, not endless."""
    if len(text) <= _LONGEST_HEADER and text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("?", text)[:_LONGEST_HEADER]


@dataclass(frozen=True, slots=True)
class Books:
    """Where a request is booked."""

    devices: Devices
    recorder: Recorder
    averages: Averages
    bus: EventBus
    clock: Clock


@dataclass(slots=True)
class Account:
    """What is known of a request so far. Times are monotonic seconds."""

    books: Books
    request: ChatRequest
    caller: Caller
    id: str
    via: str
    started: float
    baseline: Model | None = None
    admission: Admission | None = None
    decision: RouteDecision | None = None
    model: Model | None = None
    attempts: tuple[Attempt, ...] = ()
    first_token: float | None = None
    cached: bool = False
    closed: bool = False
    on_close: list[Callable[[RequestRecord], None]] = field(default_factory=list)

    def token(self) -> None:
        """The first content is on its way to the client."""
        if self.first_token is None:
            self.first_token = self.books.clock.monotonic()

    def close(
        self, status: int, *, usage: Usage | None = None, output_characters: int = 0, error: str | None = None
    ) -> RequestRecord | None:
        """Settle, record, tell. Nothing happens the second time. `usage` None with output: it is estimated."""
        if self.closed:
            return None
        self.closed = True
        counted = self._usage(usage, output_characters)
        record = self._record(status, counted, error)
        if self.admission is not None:
            # An answer from memory used no upstream's tokens, so it takes none of the limit's.
            self.books.devices.settle(self.admission, Usage() if self.cached else counted, record.cost)
        self.books.recorder.record(record)
        self._learn(usage)
        self.books.bus.publish(RequestCompleted(record))
        for callback in self.on_close:
            callback(record)
        return record

    def _usage(self, usage: Usage | None, output_characters: int) -> Usage:
        if usage is not None:
            return usage
        if self.model is None or (output_characters == 0 and self.first_token is None):
            return Usage()
        prompt = self.decision.prompt_tokens if self.decision else 0
        return Usage(prompt_tokens=prompt, completion_tokens=(output_characters + 3) // 4, estimated=True)

    def _cost(self, usage: Usage) -> tuple[Decimal | None, str]:
        if self.cached:
            return Decimal(0), "cache"
        if self.model is None or (usage.total_tokens == 0 and usage.reported_cost is None):
            return Decimal(0), "free"
        return billed(usage, self.model, self.books.clock.utcnow())

    def _record(self, status: int, usage: Usage, error: str | None) -> RequestRecord:
        now, at = self.books.clock.monotonic(), self.books.clock.utcnow()
        amount, source = self._cost(usage)
        decision = self.decision
        difficulty = decision.difficulty if decision else None
        return RequestRecord(
            id=self.id,
            timestamp=at,
            device_id=self.caller.device_id,
            requested_model=self.request.model,
            model_id=self.model.id if self.model else None,
            provider=self.model.provider if self.model else None,
            usage=usage,
            status=status,
            latency_ms=(now - self.started) * 1000,
            stream=self.request.stream,
            first_token_ms=None if self.first_token is None else (self.first_token - self.started) * 1000,
            error=error,
            cost=amount,
            cost_source=source,
            baseline_cost=cost(usage, self.baseline, at) if self.baseline and self.model else None,
            attempts=len(self.attempts),
            profile=decision.profile.value if decision and decision.profile else None,
            reason=decision.reason if decision else "",
            tier=difficulty.tier.value if difficulty else None,
            score=difficulty.score if difficulty else None,
            cached=self.cached,
            via=self.via,
            sub_identity=self.caller.sub_identity,
        )

    def _learn(self, usage: Usage | None) -> None:
        if usage is not None and not usage.estimated and self.model and self.decision and not self.cached:
            self.books.averages.observe(self.model.id, self.decision.estimated_prompt, usage)

    def tell_fallback(self) -> None:
        """Publish that another model answers than the one chosen first."""
        if self.decision and self.model and self.model.id != self.decision.model.id:
            failed = next((a for a in reversed(self.attempts) if a.outcome != "ok"), None)
            self.books.bus.publish(
                FallbackUsed(
                    self.caller.device_id,
                    self.decision.model.id,
                    self.model.id,
                    failed.outcome if failed else "unknown",
                    self.books.clock.utcnow(),
                )
            )
