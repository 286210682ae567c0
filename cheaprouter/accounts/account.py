"""One request's account: opened as it comes in, admitted, reserved, settled, and closed exactly once, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ..books.rows import INTENT
from ..catalog.prices import Tariff, active_price, at_least, billed, charged, tariff
from ..config.settings import BudgetAction
from ..core.errors import LimitError
from ..core.events import AnswerCaught, FallbackUsed, RequestCompleted
from ..core.ids import ascii_header
from ..core.models import Attempt, Caller, Model, Operation, RouteDecision, Usage
from ..core.money import charge
from .hold import Hold, refused
from .ledger import Refusal, Reservation, reached
from .plausible import SURE, corrected
from .policy import Policies, Policy
from .refusals import rate_headers, unpriced_error
from .tries import Tries

if TYPE_CHECKING:
    from .accounts import Accounts

_LONG: Final = 4
"""Times its usual length that an answer is taken to have at most, of which nothing but the time is known."""

_COST: Final = INTENT.index("stream") - 1
"""Values of an intent up to its cost, without its first."""

_BY_PRICE: Final = frozenset({"computed", "estimated", "free", "disputed"})


class Account:
    """What is known of a request so far. Each clock is read as it opens and as it is settled.

    `started` and `first_token`: monotonic seconds; `opened`: Unix seconds. `policies` and what comes of them hold for the
    whole request, whatever is set meanwhile. `baseline`: the model that savings are counted against. `cost`: what it is
    booked at, in pico-dollars, once it is settled; None where nobody knows. `seq`: the number of its booking. `hold`: what it
    holds of limits and budgets, once it has reserved. `left`: the try that was under way when its client left, see
    `upstream.left`.
    """

    __slots__ = (
        "_accounts",
        "_answer",
        "_baseline",
        "_budgeted",
        "_intent",
        "_long",
        "_reservation",
        "_settled",
        "_tries",
        "attempts",
        "cached",
        "caller",
        "closed",
        "cost",
        "day",
        "decision",
        "first_token",
        "hold",
        "id",
        "left",
        "model",
        "on_close",
        "opened",
        "operation",
        "policies",
        "policy",
        "seen",
        "seq",
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
        self._settled: tuple[Usage, bool, str, float, float, int] | None = None
        self._tries: Tries | None = None
        self._intent: tuple[Any, ...] = ()
        self._long = 0  # tokens from which on what has come of an answer is put into the intent
        self._answer: Usage | None = None  # what of the usage is the answer's, where there were other tries
        self.policies = policies
        self.policy: Policy = policies.of(caller.device_id)
        self._budgeted = self.policy.budgeted or policies.ceiling.budgeted
        self.operation = operation
        self.caller = caller
        self.id = request_id
        self.via = via
        clock = accounts.clock
        self.started = clock.monotonic()
        self.opened = clock.unix()
        calendar = accounts.calendar
        self.day = calendar.current if calendar.begins <= self.opened < calendar.ends else calendar.day(self.opened)
        self.decision: RouteDecision | None = None
        self.model: Model | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.first_token: float | None = None
        self.left: Any = None
        self.cached = False
        self.closed = False
        self.cost: int | None = None
        self.seq = self.seen = 0
        self.hold: Hold | None = None
        self.on_close: Callable[[], None] | None = None

    @property
    def at(self) -> datetime:
        """When it was opened, as aware UTC."""
        return datetime.fromtimestamp(self.opened, UTC)

    # --- letting in --------------------------------------------------------------------------------------------

    def admit(self) -> BudgetAction | None:
        """Enabled, within its hours, its budget not spent, a slot and a request left. Raises LimitError.

        Returns what spent budgets ask for; None while there is money left.
        """
        accounts, policy = self._accounts, self.policy
        moment = self.opened
        accounts.known.seen(self.caller.device_id, int(moment))
        if policy.device.enabled is False:
            raise self._refused(Refusal("disabled"))
        if policy.schedule is not None and not policy.schedule.open(accounts.calendar.local(moment)):
            raise self._refused(Refusal("schedule", policy.schedule.opens_in(moment, accounts.calendar.zone)))
        action = None
        if self._budgeted:
            action = accounts.asked_for(policy, self.policies.ceiling, self.caller.device_id, self.day)
            if action is BudgetAction.REFUSE:
                raise self._refused(self._spent())
        admitted = accounts.ledger.admit(self.caller.device_id, policy.limits, self.started)
        if isinstance(admitted, Refusal):
            raise self._refused(admitted)
        self._reservation = admitted
        return action

    def reserve(self, decision: RouteDecision) -> None:
        """Take the tokens and the cost that are expected, both or neither. Raises LimitError, BudgetError.

        A BudgetError whose `action` is `free` may be answered by choosing a model that costs nothing, and reserving again.
        """
        assert self._reservation is not None
        model, prompt = decision.model, decision.prompt_tokens
        accounts, house = self._accounts, self.policies.ceiling
        hold = self.hold = Hold(
            accounts, self.caller.device_id, self._reservation, self.operation, prompt, self.opened, self._grown
        )
        cost = self._tariff(model, prompt) if self._budgeted else None
        refusal = hold.reserve(model, cost, self.policy, house, self.started, self.day)
        if refusal is not None:
            raise self._refused(refusal, prompt + hold.output)

    def top_up(self, model: Model, rate: int = 0, wait: float = 0.0) -> None:
        """Before each try: see that a stand-in, or a further try, can be paid, and write down what is about to be asked.

        `rate`: tokens a second that the model writes, from `wait` seconds on; 0 for an answer that is written to its end
        whoever reads it. Raises BudgetError.
        """
        decision, tries, hold = self.decision, self._tries, self.hold
        assert decision is not None
        if hold is not None and (tries is not None or model is not decision.model):
            prompt = self._prompt(model)
            cost = self._tariff(model, prompt) if self._budgeted else None
            refusal = hold.switch(model, prompt, cost, self.policy, self.policies.ceiling)
            if refusal is not None:
                raise self._refused(refusal)
        self._intend(model, decision, tries, rate, wait)

    def go_on(self, model: Model, rate: int, used: Usage | None) -> None:
        """Before a turn that its upstream paused is asked to go on: what it used so far stands in the intent, too."""
        tries = replace(self._tries) if self._tries else Tries(model)
        if used is not None:
            self._add(tries, model, used)
        assert self.decision is not None
        self._intend(model, self.decision, tries, rate)

    def _intend(self, model: Model, decision: RouteDecision, tries: Tries | None, rate: int, wait: float = 0.0) -> None:
        """What is booked should nothing more be heard of this request: what it cost so far, and this try's estimate."""
        first, habits = tries is None and model is decision.model, self._accounts.habits
        prompt = decision.prompt_tokens if first else self._prompt(model)
        usual = habits.outputs.get(model.id) or decision.expected_output
        asked = self.operation.max_tokens
        most = _LONG * usual if asked is None else asked * self.operation.n
        price = model.flat or active_price(model, self.at)
        cost, each = None, 0
        if price is not None:
            cost = charged(price, prompt, 0)
            each = pico[1] if (pico := price.rates.pico) and not price.tiers else charged(price, prompt, 1) - cost
        output, count = 0, 1
        if tries is not None:
            prompt, output, count = prompt + tries.prompt_tokens, tries.completion_tokens, 1 + tries.count
            cost = None if cost is None else cost + tries.paid
        caller = self.caller
        self._long = min(most, usual)
        self._intent = (
            self.id,
            round(self.opened * 1_000_000),
            self.day,
            caller.device_id,
            self.operation.model,
            model.id,
            model.provider,
            prompt,
            output,
            cost,
            int(self.operation.stream),
            count,
            decision.profile,
            self.via,
            caller.sub_identity,
            round(((self.opened if first else self._accounts.clock.unix()) + wait) * 1_000_000),
            rate,
            min(most, usual),
            most,
            each,
        )
        self._accounts.recorder.intend(self._intent)

    def _grown(self, tokens: int) -> None:
        """An answer is longer than usual: what has come of it stands in the intent, too, and once more each time that it doubled."""
        if tokens < self._long or not self._intent:
            return
        self._long = 2 * tokens
        *told, output, cost = self._intent[:_COST]
        *asked, began, rate, usual, most, each = self._intent[_COST:]
        now = round(self._accounts.clock.unix() * 1_000_000)
        if rate and now > began:  # this answer's own, all of its `n` together
            rate = max(1, tokens * 1_000_000 // (now - began))
        asks = self.operation.max_tokens
        rest = _LONG * tokens if asks is None else max(0, most - tokens)
        paid = None if cost is None else cost + tokens * each
        self._accounts.recorder.intend((*told, output + tokens, paid, *asked, now, rate, min(usual, rest), rest, each))

    def tried(self, model: Model, usage: Usage) -> None:
        """A try came to nothing, and its upstream bills it all the same: it is charged at once, and booked with the rest.

        `usage`: as told, or `estimated`; a prompt that nobody counted is as estimated.
        """
        self._put_down(model, usage)

    def put_aside(self, model: Model, usage: Usage) -> Callable[[], None]:
        """As `tried`, of an answer that goes out after all if nothing better comes: what is returned takes it back."""
        before = None if self._tries is None else replace(self._tries)
        tokens, paid = self._put_down(model, usage)

        def take_back() -> None:
            self._tries = before
            self._charge_now(-tokens, -paid)

        return take_back

    def _put_down(self, model: Model, usage: Usage) -> tuple[int, int]:
        """Charge a try; returns its tokens and what it cost."""
        if not usage.prompt_tokens:
            usage = replace(usage, prompt_tokens=self._prompt(model), estimated=True)
        if self._tries is None:
            self._tries = Tries(model)
        paid = self._add(self._tries, model, usage)
        tokens = usage.prompt_tokens + usage.completion_tokens
        self._charge_now(tokens, paid)
        return tokens, paid

    def _charge_now(self, tokens: int, paid: int) -> None:
        if self._reservation is not None:
            self._accounts.ledger.charge(self._reservation, tokens, paid, self._accounts.clock.monotonic(), self.day)

    def _add(self, tries: Tries, model: Model, usage: Usage) -> int:
        """Add a try; returns what it cost, as far as that is known."""
        price = model.flat or active_price(model, self.at)
        amount, source = billed(usage, model, price)
        paid = at_least(usage, price) if amount is None else amount
        tries.add(model, usage, source, paid)
        return paid

    def leave(self, left: Any) -> None:
        """The client leaves during a try."""
        self.left = left

    def free_slot(self) -> None:
        """The client has left, and what it asked for is read on: another of its requests may run beside that."""
        if self._reservation is not None:
            self._accounts.ledger.free_slot(self._reservation)

    def _prompt(self, model: Model) -> int:
        """Tokens of the prompt as that model's upstream will count them."""
        decision = self.decision
        if decision is None or model is decision.model or not decision.estimated_prompt:
            return 0 if decision is None else decision.prompt_tokens
        return max(1, round(decision.estimated_prompt * self._accounts.habits.corrections.get(model.id, 1.0)))

    def _spent(self) -> Refusal:
        """The budget that is spent and refuses, the device's own first."""
        found = []
        for name, prefix, of in ((self.caller.device_id, "", self.policy), (None, "global_", self.policies.ceiling)):
            if of.action is BudgetAction.REFUSE:
                today, month = self._accounts.ledger.spent(name, self.day)
                spent = (("daily", reached(today, of.daily)), ("monthly", reached(month, of.monthly)))
                found += [f"{prefix}{period}_budget" for period, gone in spent if gone]
        return Refusal(found[0])

    def _tariff(self, model: Model, prompt: int) -> Tariff:
        """What a request to a model is reserved by; one of an unknown price cannot be kept within a budget."""
        price = model.flat or active_price(model, self.at)
        if price is not None:
            return tariff(price, prompt, self.operation.body)
        assert self._reservation is not None
        self._reservation.refused = True
        self._accounts.alerts.refused(self.caller.device_id, "unpriced", None, self.started, self.opened)
        raise unpriced_error()

    def _refused(self, refusal: Refusal, asked: int = 0) -> LimitError:
        """The error for a refusal, its event published."""
        moment = self.started, self.opened, self.day
        return refused(self._accounts, self.caller.device_id, self.policies, refusal, moment, asked)

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

    def tell_caught(self, model_id: str, fault: str, why: str, *, replaced: bool) -> None:
        """Say in the request's reason what was wrong with a model's answer, and publish it. See `AnswerCaught`."""
        if self.decision is not None:
            told = f"{model_id}: {why}" + (", so a better model was asked instead" if replaced else "")
            self.decision.reason = (
                f"{ascii_header(told)}; {self.decision.reason}"  # a header shows no more than its beginning
            )
        self._accounts.bus.publish(AnswerCaught(self.id, self.caller.device_id, model_id, fault, replaced))

    def rate_headers(self) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        accounts, limits, reservation = self._accounts, self.policy.limits, self._reservation
        if limits.rpm is None and limits.tpm is None:
            return {}
        if reservation is None or accounts.policies() is not self.policies:
            return accounts.rate_headers(self.caller.device_id)
        return rate_headers(limits, reservation.balance.left(limits, accounts.clock.monotonic()))

    # --- the end -----------------------------------------------------------------------------------------------

    def settle(self, usage: Usage | None, output_characters: int = 0) -> None:
        """Charge what was used; nothing happens the second time. `usage` None with output: it is estimated.

        One reading of each clock, so that limits and books put the request into the same day.
        """
        if self._settled is not None:
            return
        accounts = self._accounts
        now, at = accounts.clock.monotonic(), accounts.clock.unix()
        calendar = accounts.calendar
        day = calendar.current if calendar.begins <= at < calendar.ends else calendar.day(at)
        if usage is not None and (usage.prompt_tokens > SURE or usage.completion_tokens > SURE):
            usage = self._believed(usage, output_characters)
        told = usage is not None and usage.completion_tokens and usage.prompt_tokens
        used = usage if usage is not None and told else self._estimated(usage, output_characters)
        self.cost, source = self._cost(used)
        self._settled = used, usage is not None, source, now, at, day
        self.seen = (output_characters + 3) // 4
        self._charge(used, self._unknown(used) if self.cost is None else self.cost, now, at, day)
        if self._tries is not None:
            self._add_tries(self._tries, used)

    def _add_tries(self, tries: Tries, answer: Usage) -> None:
        """One booking for the answer and what was paid before it, which was charged already."""
        assert self._settled is not None
        _, told, source, now, at, day = self._settled
        self.cost, source = tries.cost_with(self.cost, source)
        self._answer, self.model = answer, self.model or tries.model
        self._settled = tries.usage_with(answer), told, source, now, at, day

    def close(
        self, status: int, *, usage: Usage | None = None, output_characters: int = 0, error: str | None = None
    ) -> None:
        """Settle where that was not done yet, record, tell. Nothing happens the second time."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._settled is None:
                self.settle(usage, output_characters)
            self._book(status, error)
        finally:
            if self.on_close is not None:
                self.on_close()

    def _book(self, status: int, error: str | None) -> None:
        assert self._settled is not None
        accounts, model, decision, amount = self._accounts, self.model, self.decision, self.cost
        usage, told, source, now, at, day = self._settled
        answer = usage if self._answer is None else self._answer
        latency_ms = (now - self.started) * 1000
        first_token_ms = None if self.first_token is None else (self.first_token - self.started) * 1000
        difficulty = decision.difficulty if decision else None
        self.seq = accounts.recorder.record(
            (
                self.id,
                round(at * 1_000_000),
                day,
                self.caller.device_id,
                self.operation.model,
                model.id if model else None,
                model.provider if model else None,
                usage.prompt_tokens,
                usage.completion_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
                int(usage.estimated),
                status,
                latency_ms,
                int(self.operation.stream),
                first_token_ms,
                error,
                amount,
                source,
                self._baseline_cost(answer, amount, source),
                len(self.attempts),
                str(decision.profile) if decision and decision.profile else None,
                decision.reason if decision else "",
                str(difficulty.tier) if difficulty else None,
                difficulty.score if difficulty else None,
                int(self.cached),
                self.via,
                self.caller.sub_identity,
                None if usage.reported_cost is None else charge(usage.reported_cost),
            )
        )
        if told and not answer.estimated and model and decision and not self.cached:
            operation = self.operation
            accounts.habits.observe(
                model.id, decision.estimated_prompt, answer, kind=operation.kind, n=operation.n, seen=self.seen
            )
        if accounts.bus.listeners(RequestCompleted):
            stream, output = self.operation.stream, usage.completion_tokens
            accounts.bus.publish(RequestCompleted(self.caller.device_id, stream, output, first_token_ms, latency_ms))

    def _charge(self, usage: Usage, paid: int, now: float, at: float, day: int) -> None:
        if self._reservation is None:
            return
        # An answer from memory used no upstream's tokens, so it takes none of the limit's.
        tokens = 0 if self.cached else usage.prompt_tokens + usage.completion_tokens
        accounts, balance = self._accounts, self._reservation.balance
        if not accounts.ledger.settle(self._reservation, tokens, paid, now, day):
            return
        if not paid and self._tries is None:
            return
        policies, mine = accounts.policies(), self.policy  # a budget set meanwhile counts for what is told
        if policies is not self.policies:
            mine = policies.of(self.caller.device_id)
        if balance.today >= mine.warn_daily or balance.month >= mine.warn_monthly:
            device_id = self.caller.device_id
            accounts.alerts.spent(device_id, mine, accounts.ledger.spent(device_id, day), day, at)
        house, everyone = policies.ceiling, accounts.ledger.everyone
        if everyone.today >= house.warn_daily or everyone.month >= house.warn_monthly:
            accounts.alerts.spent(None, house, (everyone.today, everyone.month), day, at)

    def _estimated(self, told: Usage | None, output_characters: int) -> Usage:
        """Usage that no upstream told, or not of the prompt or the output, though there is some."""
        if told is not None and told.completion_tokens:
            asked = 0 if self.model is None or self.cached else self._prompt(self.model)
            return replace(told, prompt_tokens=asked, estimated=True) if asked else told
        output = (output_characters + 3) // 4
        if self.model is None or self.cached or not (output or (told is None and self.first_token is not None)):
            return told or Usage()
        if told is not None and told.prompt_tokens:
            return replace(told, completion_tokens=output, estimated=True)
        prompt = self._prompt(self.model)
        return Usage(prompt, output, estimated=True, reported_cost=None if told is None else told.reported_cost)

    def _believed(self, told: Usage, output_characters: int) -> Usage:
        """What an upstream told, as far as that can be."""
        usage = corrected(told, self.decision.prompt_tokens if self.decision else 0, output_characters)
        if usage is not told and self.model is not None:
            self._accounts.alerts.miscounted(self.model.id, told.prompt_tokens, told.completion_tokens)
        return usage

    def _cost(self, usage: Usage) -> tuple[int | None, str]:
        if self.cached:
            return 0, "cache"
        used = usage.prompt_tokens or usage.completion_tokens or usage.reported_cost is not None
        if self.model is None or not used:
            return 0, "free"
        amount, source = billed(usage, self.model, self.model.flat or active_price(self.model, self.at))
        if source == "disputed" and usage.reported_cost is not None:
            self._accounts.alerts.disputed(self.model.id, charge(usage.reported_cost), amount)
        return amount, source

    def _unknown(self, usage: Usage) -> int:
        """What a request whose cost is not known takes from budgets all the same."""
        return 0 if self.model is None else at_least(usage, self.model.flat or active_price(self.model, self.at))

    def _baseline_cost(self, usage: Usage, amount: int | None, source: str) -> int | None:
        """What the same usage would have cost at the baseline's price; None where nothing can be compared."""
        if self._answer is None:
            if self.model is self._baseline and source in _BY_PRICE:
                return amount
        elif not usage.total_tokens:
            return None  # there was no answer that anybody else could have given
        if self._baseline is None or self.model is None:
            return None
        price = self._baseline.flat or active_price(self._baseline, self.at)
        if price is None:
            return None
        return charged(
            price, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens
        )
