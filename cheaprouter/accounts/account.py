"""One request's account: opened as it comes in, admitted, reserved, settled, and closed exactly once, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..catalog.prices import billed, cost
from ..config.settings import BudgetAction
from ..core.calendar import Calendar
from ..core.errors import LimitError
from ..core.events import FallbackUsed, RequestCompleted
from ..core.models import Attempt, Caller, Model, Operation, RequestRecord, RouteDecision, Usage
from ..core.money import charge
from .ledger import Refusal, Reservation, reached
from .policy import Policies, Policy
from .refusals import budget_error, limit_error, unpriced_error

if TYPE_CHECKING:
    from .accounts import Accounts

RESERVED_OUTPUT: Final = 1024
"""Most output tokens that a reservation assumes; see the contract of the token limit."""

_BY_PRICE: Final = frozenset({"computed", "estimated", "free"})


class Account:
    """What is known of a request so far. Monotonic times in seconds; the clock is read as it opens and as it closes.

    `policies` and what comes of them hold for the whole request, whatever is set meanwhile. `baseline`: the model that
    savings are counted against.
    """

    __slots__ = (
        "_accounts",
        "_baseline",
        "_budgeted",
        "_reservation",
        "at",
        "attempts",
        "cached",
        "caller",
        "closed",
        "day",
        "decision",
        "first_token",
        "id",
        "model",
        "on_close",
        "operation",
        "policies",
        "policy",
        "started",
        "via",
    )  # fmt: skip

    def __init__(
        self,
        accounts: Accounts,
        policies: Policies,
        operation: Operation,
        caller: Caller,
        request_id: str,
        *,
        via: str,
        baseline: Model | None = None,
    ) -> None:
        self._accounts = accounts
        self._baseline = baseline
        self._reservation: Reservation | None = None
        self.policies = policies
        self.policy: Policy = policies.of(caller.device_id)
        self._budgeted = self.policy.budgeted or policies.ceiling.budgeted
        self.operation = operation
        self.caller = caller
        self.id = request_id
        self.via = via
        clock = accounts.clock
        self.started = clock.monotonic()
        self.at = clock.utcnow()
        self.day = _day(accounts.calendar, self.at)
        self.decision: RouteDecision | None = None
        self.model: Model | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.first_token: float | None = None
        self.cached = False
        self.closed = False
        self.on_close: Callable[[], None] | None = None

    # --- letting in --------------------------------------------------------------------------------------------

    def admit(self) -> BudgetAction | None:
        """Enabled, within its hours, its budget not spent, a slot and a request left. Raises LimitError.

        Returns what spent budgets ask for; None while there is money left.
        """
        accounts, policy = self._accounts, self.policy
        moment = self.at.timestamp()
        accounts.known.seen(self.caller.device_id, int(moment))
        if policy.device.enabled is False:
            raise self._refused(Refusal("disabled"))
        if policy.schedule is not None and not policy.schedule.open(accounts.calendar.local(moment)):
            raise self._refused(Refusal("schedule", policy.schedule.opens_in(moment, accounts.calendar.zone)))
        if self._budgeted and (refusal := self._spent()) is not None:
            raise self._refused(refusal)
        admitted = accounts.ledger.admit(self.caller.device_id, policy.limits, self.started)
        if isinstance(admitted, Refusal):
            raise self._refused(admitted)
        self._reservation = admitted
        return accounts.budget_action(self.policies, self.caller.device_id, self.day) if self._budgeted else None

    def reserve(self, decision: RouteDecision) -> None:
        """Take the tokens and the cost that are expected, both or neither. Raises LimitError, BudgetError.

        A BudgetError whose `action` is `free` may be answered by choosing a model that costs nothing, and reserving again.
        """
        assert self._reservation is not None
        tokens = decision.prompt_tokens + self._reserved_output(decision.model)
        refusal = self._accounts.ledger.reserve(
            self._reservation,
            tokens,
            self._priced(decision.model, decision),
            self.policy.limits,
            self.policies.ceiling.limits,
            self.started,
            self.day,
        )
        if refusal is not None:
            raise self._refused(refusal, tokens)

    def top_up(self, model: Model) -> None:
        """Raise the reserved cost to that of a dearer stand-in. Raises BudgetError."""
        assert self._reservation is not None
        assert self.decision is not None
        refusal = self._accounts.ledger.top_up(
            self._reservation,
            self._priced(model, self.decision),
            self.policy.limits,
            self.policies.ceiling.limits,
            self.day,
        )
        if refusal is not None:
            raise self._refused(refusal)

    def _spent(self) -> Refusal | None:
        for name, prefix, of in ((self.caller.device_id, "", self.policy), (None, "global_", self.policies.ceiling)):
            if of.budgeted and of.action is BudgetAction.REFUSE:
                today, month, _ = self._accounts.ledger.spent(name, self.day)
                if reached(today, of.daily):
                    return Refusal(f"{prefix}daily_budget")
                if reached(month, of.monthly):
                    return Refusal(f"{prefix}monthly_budget")
        return None

    def _reserved_output(self, model: Model) -> int:
        """Most tokens that a reply is taken to have until it is there: what the client allows, or the model usually writes."""
        allowed = self.operation.max_tokens or RESERVED_OUTPUT
        return min(allowed, self._accounts.habits.outputs.get(model.id, RESERVED_OUTPUT), RESERVED_OUTPUT)

    def _priced(self, model: Model, decision: RouteDecision) -> int:
        """Pico-dollars to reserve for a model: none where there is no budget; an unknown price cannot be kept within one."""
        if not self._budgeted:
            return 0
        amount = cost(Usage(decision.prompt_tokens, self._reserved_output(model)), model, self.at)
        if amount is not None:
            return charge(amount)
        assert self._reservation is not None
        self._reservation.refused = True
        self._accounts.alerts.refused(self.caller.device_id, "unpriced", None, self.started, self.at)
        raise unpriced_error()

    def _refused(self, refusal: Refusal, asked: int = 0) -> LimitError:
        """The error for a refusal, its event published."""
        accounts, device_id = self._accounts, self.caller.device_id
        if not refusal.limit.endswith("_budget"):
            accounts.alerts.refused(device_id, refusal.limit, refusal.wait, self.started, self.at)
            return limit_error(refusal, self.policy.limits, asked)
        whole = refusal.limit.startswith("global_")
        of = self.policies.ceiling if whole else self.policy
        accounts.alerts.spent(None if whole else device_id, of, accounts.ledger, self.day, self.at, refused=True)
        moment = self.at.timestamp()
        ends = accounts.calendar.day_end if "daily" in refusal.limit else accounts.calendar.month_end
        return budget_error(refusal, of, ends(moment) - moment)

    # --- on the way --------------------------------------------------------------------------------------------

    def token(self) -> None:
        """The first content is on its way to the client."""
        if self.first_token is None:
            self.first_token = self._accounts.clock.monotonic()

    def tell_fallback(self) -> None:
        """Publish that another model answers than the one chosen first."""
        if self.decision and self.model and self.model.id != self.decision.model.id:
            failed = next((a.outcome for a in reversed(self.attempts) if a.outcome != "ok"), "unknown")
            chosen, device_id = self.decision.model.id, self.caller.device_id
            self._accounts.bus.publish(FallbackUsed(device_id, chosen, self.model.id, failed, self.at))

    def rate_headers(self) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        limits = self.policy.limits
        return {} if limits.rpm is None and limits.tpm is None else self._accounts.rate_headers(self.caller.device_id)

    # --- the end -----------------------------------------------------------------------------------------------

    def close(
        self, status: int, *, usage: Usage | None = None, output_characters: int = 0, error: str | None = None
    ) -> RequestRecord | None:
        """Settle, record, tell. Nothing happens the second time. `usage` None with output: it is estimated.

        One reading of each clock, so that limits and books put the request into the same day.
        """
        if self.closed:
            return None
        self.closed = True
        accounts = self._accounts
        now, at = accounts.clock.monotonic(), accounts.clock.utcnow()
        day = _day(accounts.calendar, at)
        record = self._record(status, self._usage(usage, output_characters), error, now, at)
        try:
            self._settle(record, now, day)
            accounts.recorder.record(record, day)
            if usage is not None and not usage.estimated and self.model and self.decision and not self.cached:
                accounts.habits.observe(self.model.id, self.decision.estimated_prompt, usage)
            accounts.bus.publish(RequestCompleted(record))
        finally:
            if self.on_close is not None:
                self.on_close()
        return record

    def _settle(self, record: RequestRecord, now: float, day: int) -> None:
        if self._reservation is None:
            return
        # An answer from memory used no upstream's tokens, so it takes none of the limit's.
        tokens = 0 if self.cached else record.usage.prompt_tokens + record.usage.completion_tokens
        paid = charge(record.cost) if record.cost else 0
        accounts = self._accounts
        if not accounts.ledger.settle(self._reservation, tokens, paid, now, day) or not paid:
            return
        policies = accounts.policies()  # a budget set meanwhile counts for what is told
        mine, house = policies.of(self.caller.device_id), policies.ceiling
        if mine.budgeted:
            accounts.alerts.spent(self.caller.device_id, mine, accounts.ledger, day, record.timestamp)
        if house.budgeted:
            accounts.alerts.spent(None, house, accounts.ledger, day, record.timestamp)

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
        used = usage.prompt_tokens or usage.completion_tokens or usage.reported_cost is not None
        if self.model is None or not used:
            return Decimal(0), "free"
        return billed(usage, self.model, self.at)

    def _baseline_cost(self, usage: Usage, amount: Decimal | None, source: str) -> Decimal | None:
        """What the same usage would have cost at the baseline's price; None where nothing can be compared."""
        if self.model is self._baseline and source in _BY_PRICE:
            return amount
        return cost(usage, self._baseline, self.at) if self._baseline and self.model else None

    def _record(self, status: int, usage: Usage, error: str | None, now: float, at: datetime) -> RequestRecord:
        amount, source = self._cost(usage)
        decision, model = self.decision, self.model
        difficulty = decision.difficulty if decision else None
        return RequestRecord(
            id=self.id,
            timestamp=at,
            device_id=self.caller.device_id,
            requested_model=self.operation.model,
            model_id=model.id if model else None,
            provider=model.provider if model else None,
            usage=usage,
            status=status,
            latency_ms=(now - self.started) * 1000,
            stream=self.operation.stream,
            first_token_ms=None if self.first_token is None else (self.first_token - self.started) * 1000,
            error=error,
            cost=amount,
            cost_source=source,
            baseline_cost=self._baseline_cost(usage, amount, source),
            attempts=len(self.attempts),
            profile=decision.profile.value if decision and decision.profile else None,
            reason=decision.reason if decision else "",
            tier=difficulty.tier.value if difficulty else None,
            score=difficulty.score if difficulty else None,
            cached=self.cached,
            via=self.via,
            sub_identity=self.caller.sub_identity,
        )


def _day(calendar: Calendar, at: datetime) -> int:
    """The local day of a moment, without asking the calendar twice for the same one."""
    moment = at.timestamp()
    return calendar.current if calendar.begins <= moment < calendar.ends else calendar.day(moment)
