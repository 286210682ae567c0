"""What one request holds of limits and budgets while its reply is written, and how much of it may still be written."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..catalog.prices import NO_COST, Tariff, active_price, tariff
from ..config.settings import BudgetAction
from ..core.errors import LimitError
from ..core.models import Capability, Model, Operation
from ..wire.events import CHARACTERS_OF_A_TOKEN
from .ledger import Limits, Refusal, Reservation
from .policy import Policies, Policy
from .refusals import budget_error, limit_error

if TYPE_CHECKING:
    from .accounts import Accounts

START: Final = 1024
"""Output tokens that a reply is taken to have where nothing was learned of its like."""

LEAST: Final = 64
"""Output tokens of a reply that is worth asking for, where its client does not want fewer still."""

LEAST_THOUGHT: Final = 256
"""The same of a model that thinks before it says anything."""

STEP: Final = 256
"""Output tokens that are reserved at a time while a reply is written; of a long one a quarter of what it has."""

AHEAD: Final = 64
"""Output tokens before the reserved ones are used up that more are reserved: about a second's."""

UNTOLD: Final = 16_384
"""Output tokens that no reply has more of, where neither the client nor the catalogue says how many it may have."""

_SHARE: Final = 4
"""The part of the rest of a budget that one reply may hold which cannot be watched as it is written."""

_FIRST_SHARE: Final = 2
"""The same of one of which nobody knows yet whether it can be."""

_FIRST_MOST: Final = 4 * START
"""Output tokens that the first reply may have although they are more than its share: most are shorter, and are not cut short then."""

_DENSE: Final = 1.5
"""By how much our count of a reply may be over its upstream's: where it was told how long it may be, it is trusted so far."""

_SLACK: Final = 32
"""Tokens of our count that one that is learned to be over may be off by."""


def refused(
    accounts: Accounts,
    device_id: str,
    policies: Policies,
    refusal: Refusal,
    moment: tuple[float, float, int],
    asked: int = 0,
) -> LimitError:
    """The error for a refusal, its event published. `moment`: monotonic and Unix seconds, and the day."""
    now, at, day = moment
    mine = policies.of(device_id)
    if not refusal.limit.endswith("_budget"):
        accounts.alerts.refused(device_id, refusal.limit, refusal.wait, now, at)
        return limit_error(refusal, mine.limits, asked)
    whole = refusal.limit.startswith("global_")
    of = policies.ceiling if whole else mine
    name = None if whole else device_id
    accounts.alerts.spent(name, of, accounts.ledger.spent(name, day), day, at, refused=True)
    ends = accounts.calendar.day_end if "daily" in refusal.limit else accounts.calendar.month_end
    return budget_error(refusal, of, ends(at) - at)


class Hold:
    """Made where a request reserves, of use until it is settled. `output`: tokens of output that are reserved.

    `characters`, `pieces`: once a reply has so many, whoever reads it asks for `more`; see `StreamReader`. Both are looked at
    for each piece, so they are plain numbers. `opened`: when the request came (Unix seconds), by which it is priced. `grown`: told
    of the tokens that a reply has where more is asked for.
    """

    __slots__ = (
        "_accounts", "_all", "_ample", "_dense", "_device_id", "_grown", "_limited", "_model", "_opened", "_operation", "_reservation", "_tariff", "_wanted", "characters", "output", "pieces",
        "prompt",
    )  # fmt: skip

    def __init__(
        self,
        accounts: Accounts,
        device_id: str,
        reservation: Reservation,
        operation: Operation,
        prompt: int,
        opened: float,
        grown: Callable[[int], None],
    ) -> None:
        self._accounts = accounts
        self._grown = grown
        self._device_id = device_id
        self._reservation = reservation
        self._operation = operation
        self._opened = opened
        self._model: Model | None = None
        self._tariff: Tariff | None = None
        self._limited = self._all = False
        self._ample: tuple[Limits, Limits, float, int] | None = None
        self._dense = 1.0
        self._wanted = 0
        self.prompt = prompt
        self.output = self.characters = self.pieces = 0

    # --- before it is sent ---------------------------------------------------------------------------------------

    def reserve(
        self, model: Model, cost: Tariff | None, mine: Policy, house: Policy, now: float, day: int
    ) -> Refusal | None:
        """Take what a reply of this model usually needs, tokens and money, both or neither.

        `cost` None: there is no budget. Where a budget's rest is less, and nothing cheaper is to stand in, what is left of it
        is taken, if it is worth asking with.
        """
        limits, ceiling, output = mine.limits, house.limits, self._asks(model)
        tpm = limits.tpm
        if tpm is not None and self.prompt + output > tpm > self.prompt:
            output = tpm - self.prompt  # more never fits, and may not be needed
        self._limited, self.output = tpm is not None or cost is not None, output
        each = cost or NO_COST
        ledger, reservation = self._accounts.ledger, self._reservation
        refusal = ledger.reserve(
            reservation, self.prompt + output, each.begun + output * each.each, limits, ceiling, now, day
        )
        if refusal is not None and refusal.limit.endswith("_budget") and each.each:
            of = house if refusal.limit.startswith("global_") else mine
            _, money = ledger.room(reservation, limits, ceiling, now, day)
            rest = 0 if money is None else (money - each.begun) // each.each
            if of.action is BudgetAction.REFUSE and self._least(model) <= rest < output:
                output = rest
                refusal = ledger.reserve(
                    reservation, self.prompt + output, each.begun + output * each.each, limits, ceiling, now, day
                )
        if refusal is None:
            self._model, self._tariff, self._ample = model, cost, None
            self._dense = self._accounts.habits.dense.get(model.id, 1.0)
            self._holds(output)
            if self._limited:
                more = (self._wanted - output) * _SHARE
                if ledger.ample(reservation, more, more * each.each, limits, ceiling):
                    self._ample = limits, ceiling, now, day
        return refusal

    def switch(self, model: Model, prompt: int, cost: Tariff | None, mine: Policy, house: Policy) -> Refusal | None:
        """Before a further try: hold what that model's reply needs, beside what tries before it were charged."""
        self.prompt = prompt
        output, each, ledger = self._asks(model), cost or NO_COST, self._accounts.ledger
        _, _, now, day = self._in_force()
        tokens, _ = ledger.room(self._reservation, mine.limits, house.limits, now, day)
        if tokens is not None:
            output = max(1, min(output, tokens - prompt))  # it may be cut short, and need not be
        refusal = ledger.top_up(
            self._reservation,
            prompt + output,
            each.begun + output * each.each,
            mine.limits,
            house.limits,
            now,
            day,
        )
        if refusal is None:
            self._model, self._tariff, self._ample = model, cost, None
            self._dense = self._accounts.habits.dense.get(model.id, 1.0)
            self._holds(output)
        return refusal

    def ceiling(self, model: Model, *, whole: bool) -> int | None:
        """Tokens that each of the replies may have, where that is less than they may want; None: there is room enough.

        `whole`: nothing is seen of it before its end. What cannot be watched may not have more than is reserved for it, so
        a larger part of the rest is. So it is with models that keep their thoughts, and until it was seen that one does not.
        """
        if not self._limited:
            return None
        hides = self._accounts.habits.hiding.get(model.id)
        blind = (whole or hides != 0) and self._tariff is not None and self.output < self._wanted
        if self._ample is not None:
            limits, ceiling, at, today = self._ample
            if not blind or self._raise(self._wanted, limits, ceiling, at, today) is None:
                return None
        mine, house, now, day = self._in_force()
        room = self._room(self._accounts.ledger.room(self._reservation, mine.limits, house.limits, now, day))
        most = self._wanted
        if room is None:
            return None
        if blind:
            share = room // _SHARE if whole or hides else max(room // _FIRST_SHARE, min(room, _FIRST_MOST))
            self._raise(min(most, max(self.output, share)), mine.limits, house.limits, now, day)
            room = min(room, self.output)
        return None if room >= most else max(1, room // self._operation.n)

    def _asks(self, model: Model) -> int:
        """Output tokens that few replies like this have more of; and in `_wanted`, those that it may have at all.

        By that model, kind and number, and as client and model allow.
        """
        operation, most = self._operation, model.max_output
        n, asked = operation.n, operation.max_tokens
        if asked is not None:
            most = asked if most is None or asked < most else most
        elif most is None:  # what would not fit beside the prompt is not asked for: some refuse to be
            most = UNTOLD if model.context is None else max(1, min(UNTOLD, model.context - self.prompt))
        each = self._accounts.habits.long.get((model.id, operation.kind, n > 1), START)
        self._wanted = most * n
        return min(most, each) * n

    def _least(self, model: Model) -> int:
        """Output tokens of a reply that is worth paying for."""
        least = LEAST_THOUGHT if Capability.REASONING in model.capabilities else LEAST
        asked = self._operation.max_tokens
        return (least if asked is None or asked > least else asked) * self._operation.n

    # --- while it is written -------------------------------------------------------------------------------------

    def more(self, written: int) -> LimitError | None:
        """Reserve more for a reply that has so many characters, by the limits as they are now; the error where it must end."""
        counted = -(-written // CHARACTERS_OF_A_TOKEN)
        seen = counted if self._dense == 1 else math.ceil(max(0, counted - _SLACK) / self._dense)
        self._grown(seen)
        mine, house, now, day = self._in_force()
        limits, ceiling = mine.limits, house.limits
        self._price(mine, house)
        if self._raise(max(seen, self.output) + max(STEP, seen // 4), limits, ceiling, now, day) is None:
            return None
        room = self._room(self._accounts.ledger.room(self._reservation, limits, ceiling, now, day))
        if room is not None and room > self.output:
            self._raise(room, limits, ceiling, now, day)
        if seen < self._end():
            self._watch(self._end())  # the rest may do, and may be had until then
            return None
        refusal = self._raise(seen + 1, limits, ceiling, now, day)
        if refusal is None:
            return None
        policies, at = self._accounts.policies(), self._accounts.clock.unix()
        error = refused(self._accounts, self._device_id, policies, refusal, (now, at, day), self.prompt + seen)
        error.message = f"The answer is cut off here. {error.message}"
        return error

    def _in_force(self) -> tuple[Policy, Policy, float, int]:
        """What holds for the device and for all, and when that is."""
        accounts = self._accounts
        policies, clock, calendar = accounts.policies(), accounts.clock, accounts.calendar
        at = clock.unix()
        day = calendar.current if calendar.begins <= at < calendar.ends else calendar.day(at)
        return policies.of(self._device_id), policies.ceiling, clock.monotonic(), day

    def _price(self, mine: Policy, house: Policy) -> None:
        """A budget that was set meanwhile holds for what is still written."""
        if self._tariff is None and self._model is not None and (mine.budgeted or house.budgeted):
            price = self._model.flat or active_price(self._model, datetime.fromtimestamp(self._opened, UTC))
            self._tariff = NO_COST if price is None else tariff(price, self.prompt, self._operation.body)

    def _room(self, room: tuple[int | None, int | None]) -> int | None:
        """Tokens of output that may be reserved in all; None: as many as are wanted."""
        tokens, money = room
        if tokens is not None:
            tokens -= self.prompt
        each = self._tariff
        if money is None or each is None or not each.each:
            return tokens
        paid = (money - each.begun) // each.each
        return paid if tokens is None or paid < tokens else tokens

    def _raise(self, output: int, limits: Limits, ceiling: Limits, now: float, day: int) -> Refusal | None:
        """Reserve so many tokens of output in all."""
        each = self._tariff or NO_COST
        refusal = self._accounts.ledger.top_up(
            self._reservation,
            self.prompt + output,
            0 if self._tariff is None else each.begun + output * each.each,
            limits,
            ceiling,
            now,
            day,
        )
        if refusal is None and output > self.output:
            self._holds(output)
        return refusal

    def _holds(self, output: int) -> None:
        """So many tokens of output are reserved now."""
        self.output = output
        # All that it may have is there, and it is told so: only one that does not keep to that needs more.
        self._all = output == self._wanted
        tokens = int(output * _DENSE) if self._all else output - (AHEAD if output > 4 * AHEAD else output // 4)
        if self._dense != 1:
            tokens = int(tokens * self._dense) + _SLACK
        self.characters, self.pieces = tokens * CHARACTERS_OF_A_TOKEN, tokens  # `_watch`, without the call

    def _end(self) -> int:
        """Tokens at which what is reserved is used up."""
        return int(self.output * _DENSE) if self._all else self.output

    def _watch(self, tokens: int) -> None:
        """Ask again at so many tokens, be they more by our count."""
        counted = max(1, tokens if self._dense == 1 else int(tokens * self._dense) + _SLACK)
        self.characters, self.pieces = counted * CHARACTERS_OF_A_TOKEN, counted
