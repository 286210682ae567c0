"""The one place where limits and budgets are charged.

Each call is one step that nothing can come between, and takes the time it happens as an argument. Money is pico-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Final, Literal

from ..core.records import dataclass

MINUTE: Final = 60.0

_ROUNDING: Final = 1e-6
"""A level that misses a whole unit by less than this is whole: sums of fractions are not exact."""

PARALLEL_WAIT: Final = 1.0
"""Seconds to suggest where all parallel slots are taken: nobody knows when one is free."""

_KEPT: Final = 4
"""Days and months remembered: a clock that steps back over midnight must find yesterday's spend again."""

Left = tuple[tuple[int | None, float], tuple[int | None, float]]
"""Of requests and of tokens: how many are left (None: there is no limit), and the seconds until all are again."""

Period = Literal["day"] | None
"""What a reset is about: the day's budget alone, or (None) the month's too."""


class TokenBucket:
    """Holds one minute's limit, starts full, refills evenly.

    `level` may fall below zero where actual use exceeded what was reserved; the debt is paid before anything else.
    A monotonic clock (seconds) is handed in with each call; one that steps back is taken to stand still.
    """

    __slots__ = ("_at", "capacity", "level")

    def __init__(self, capacity: int, now: float) -> None:
        self.capacity = capacity
        self.level = float(capacity)
        self._at = now

    def refill(self, now: float) -> None:
        """Let time pass."""
        if now > self._at:
            level = self.level + (now - self._at) * self.capacity / MINUTE
            self.level = level if level < self.capacity else float(self.capacity)
            self._at = now

    def draw(self, amount: int, now: float) -> float:
        """Take `amount` if it can be taken now, and return 0; else the seconds until it can.

        Infinite where it is more than the bucket ever holds.
        """
        level = self.level
        if now > self._at:  # `refill`, without the call
            level += (now - self._at) * self.capacity / MINUTE
            self.level = level = level if level < self.capacity else float(self.capacity)
            self._at = now
        if level + _ROUNDING >= amount:
            self.level = level - amount
            return 0.0
        if amount > self.capacity:
            return float("inf")
        return (amount - level) * MINUTE / self.capacity

    def give(self, amount: int, now: float) -> None:
        """Put back what was taken and not used; below 0: book what was used beyond that."""
        level = self.level
        if now > self._at:  # likewise
            level += (now - self._at) * self.capacity / MINUTE
            level = level if level < self.capacity else float(self.capacity)
            self._at = now
        level += amount
        self.level = level if level < self.capacity else float(self.capacity)

    def resize(self, capacity: int, now: float) -> None:
        """Change the limit; what was used of the old one stays used, as far as the new one is not simply empty then."""
        if capacity == self.capacity:
            return
        self.refill(now)
        level = self.level + capacity - self.capacity
        self.level = level if level >= 0 else min(0.0, self.level)
        self.capacity = capacity

    def left(self, now: float) -> tuple[int, float]:
        """Whole units that could be taken now, and the seconds until it is full again."""
        level, capacity = self.level, self.capacity
        if now > self._at:
            level += (now - self._at) * capacity / MINUTE
        if level >= capacity:
            return capacity, 0.0
        return int(level + _ROUNDING) if level > 0 else 0, (capacity - level) * MINUTE / capacity


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be charged; None: no limit. Requests and tokens a minute, requests at once, pico-dollars a day and month."""

    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    daily: int | None = None
    monthly: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit was in the way and how long it will be, in seconds; None: until a period ends, or for ever."""

    limit: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A balance as it stands. Remaining and full_in only where there is a limit."""

    requests_remaining: int | None
    requests_full_in: float
    tokens_remaining: int | None
    tokens_full_in: float
    running: int
    today: int
    month: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """What had been spent when budgets were reset on `day`: it no longer counts against them, while the books keep it."""

    day: int = 0
    day_amount: int = 0
    month_amount: int = 0


@dataclass(slots=True)
class Balance:
    """A device's buckets, slots and spend; days are integers such as 20261122, months such as 202611.

    `today` and `month`: what counts against the budgets of `day`, without reservations. Whoever reads them asks for another
    day to `turn` to it first.
    """

    requests: TokenBucket | None = None
    tokens: TokenBucket | None = None
    running: int = 0
    reserved: int = 0
    baseline: Baseline = Baseline()
    day: int = 0
    today: int = 0
    month: int = 0
    booked: int = 0
    _days: dict[int, int] = field(default_factory=dict)
    _months: dict[int, int] = field(default_factory=dict)

    def left(self, limits: Limits, now: float) -> Left:
        """What is left of these limits."""
        requests, rpm = self.requests, limits.rpm
        tokens, tpm = self.tokens, limits.tpm
        if requests is not None and rpm is not None and requests.capacity != rpm:
            requests.resize(rpm, now)
        if tokens is not None and tpm is not None and tokens.capacity != tpm:
            tokens.resize(tpm, now)
        return (
            (rpm, 0.0) if requests is None or rpm is None else requests.left(now),
            (tpm, 0.0) if tokens is None or tpm is None else tokens.left(now),
        )

    def book(self, day: int, amount: int) -> None:
        """Add to a day and its month."""
        if day != self.day:
            self.turn(day)
        self.today += amount
        self.month += amount
        self.booked += amount

    def spent(self, day: int) -> tuple[int, int]:
        """What counts against the day's and against the month's budget, without reservations."""
        if day != self.day:
            self.turn(day)
        return self.today, self.month

    def turn(self, day: int) -> None:
        """Let `today` and `month` be of that day, later or earlier."""
        if self.booked:
            _add(self._days, self.day, self.booked)
            _add(self._months, self.day // 100, self.booked)
            self.booked = 0
        month, baseline = day // 100, self.baseline
        self.day, self.today, self.month = day, self._days.get(day, 0), self._months.get(month, 0)
        if baseline.day == day:
            self.today -= baseline.day_amount
        if baseline.day // 100 == month:
            self.month -= baseline.month_amount

    def reset_baseline(self, day: int, period: Period) -> Baseline:
        """Start the day's budget anew, and with `period` None the month's; returns what is to be kept."""
        self.turn(day)
        month_amount = self._months.get(day // 100, 0)
        if period == "day":
            month_amount = self.baseline.month_amount if self.baseline.day // 100 == day // 100 else 0
        return self.restore_baseline(Baseline(day, self._days.get(day, 0), month_amount))

    def restore_baseline(self, baseline: Baseline) -> Baseline:
        """Take what no longer counts from elsewhere."""
        self.baseline = baseline
        self.turn(self.day)
        return baseline


@dataclass(slots=True)
class Reservation:
    """What a request has taken so far: a slot and a request's token, then tokens and money. Ends with `settle`.

    `slot`: whether it still has that one.
    """

    balance: Balance
    tokens: int = 0
    cost: int = 0
    refused: bool = False
    open: bool = True
    slot: bool = True


class Ledger:
    """Charges requests. `now`: monotonic seconds; `day`: the local day, as the calendar writes it."""

    def __init__(self) -> None:
        self.balances: dict[str, Balance] = {}
        self.everyone = Balance()

    def admit(self, device_id: str, limits: Limits, now: float) -> Reservation | Refusal:
        """Take a slot and a request; a request refused for want of a slot costs nothing."""
        balance = self.balances.get(device_id)
        if balance is None:
            balance = self.balances[device_id] = Balance()
        if limits.parallel is not None and balance.running >= limits.parallel:
            return Refusal("parallel", PARALLEL_WAIT)
        bucket = balance.requests
        if limits.rpm is not None:
            if bucket is None or bucket.capacity != limits.rpm:
                bucket = balance.requests = _bucket(bucket, limits.rpm, now)
            if wait := bucket.draw(1, now):
                return Refusal("requests", wait)
        elif bucket is not None:
            balance.requests = None
        balance.running += 1
        self.everyone.running += 1
        return Reservation(balance)

    def reserve(
        self, reservation: Reservation, tokens: int, cost: int, limits: Limits, ceiling: Limits, now: float, day: int
    ) -> Refusal | None:
        """Take tokens and money, both or neither; `ceiling` holds the budget above all devices.

        A request refused here gives its place in the minute back when settled.
        """
        balance = reservation.balance
        refusal = self._over_budget(reservation, cost, limits, ceiling, day) if cost else None
        bucket = balance.tokens
        if limits.tpm is not None:
            if bucket is None or bucket.capacity != limits.tpm:
                bucket = balance.tokens = _bucket(bucket, limits.tpm, now)
            if refusal is None:
                if wait := bucket.draw(tokens, now):
                    refusal = Refusal("tokens", None if wait == float("inf") else wait)
                else:
                    reservation.tokens += tokens
        elif bucket is not None:
            balance.tokens = None
        reservation.refused = refusal is not None
        if cost and refusal is None:
            reservation.cost += cost
            balance.reserved += cost
            self.everyone.reserved += cost
        return refusal

    def top_up(
        self, reservation: Reservation, tokens: int, cost: int, limits: Limits, ceiling: Limits, now: float, day: int
    ) -> Refusal | None:
        """Raise what is reserved to so many tokens and so much money, both or neither; what is less stays as it is.

        By the limits as they are now, be they others than it was reserved by. One that was settled gets nothing more.
        """
        more, most = tokens - reservation.tokens, cost - reservation.cost
        if not reservation.open:
            return None
        if most > 0 and (refusal := self._over_budget(reservation, most, limits, ceiling, day)) is not None:
            return refusal
        if more > 0 and limits.tpm is not None:
            bucket = reservation.balance.tokens
            if bucket is None or bucket.capacity != limits.tpm:
                bucket = reservation.balance.tokens = _bucket(bucket, limits.tpm, now)
            if wait := bucket.draw(more, now):
                return Refusal("tokens", None if wait == float("inf") else wait)
            reservation.tokens = tokens
        if most > 0:  # as in `reserve`
            reservation.cost += most
            reservation.balance.reserved += most
            self.everyone.reserved += most
        return None

    def ample(self, reservation: Reservation, tokens: int, cost: int, limits: Limits, ceiling: Limits) -> bool:
        """Whether there is room for so many tokens and so much money more than it has just reserved."""
        mine, everyone = reservation.balance, self.everyone
        if limits.tpm is not None and mine.tokens is not None and mine.tokens.level < tokens:
            return False
        return not (
            (limits.daily is not None and limits.daily - mine.today - mine.reserved < cost)
            or (limits.monthly is not None and limits.monthly - mine.month - mine.reserved < cost)
            or (ceiling.daily is not None and ceiling.daily - everyone.today - everyone.reserved < cost)
            or (ceiling.monthly is not None and ceiling.monthly - everyone.month - everyone.reserved < cost)
        )

    def room(
        self, reservation: Reservation, limits: Limits, ceiling: Limits, now: float, day: int
    ) -> tuple[int | None, int | None]:
        """How many tokens and how much money a reservation may hold in all at this moment; None: as much as it wants.

        What others hold is theirs, and what it holds itself is counted in. Below what it holds where a limit was lowered.
        """
        money: int | None = None
        held = reservation.cost
        for balance, of in ((reservation.balance, limits), (self.everyone, ceiling)):
            if of.daily is None and of.monthly is None:
                continue
            if day != balance.day:
                balance.turn(day)
            others = balance.reserved - held
            for budget, spent in ((of.daily, balance.today), (of.monthly, balance.month)):
                if budget is not None and (money is None or budget - spent - others < money):
                    money = budget - spent - others
        if limits.tpm is None:
            return None, money
        bucket = reservation.balance.tokens = _bucket(reservation.balance.tokens, limits.tpm, now)
        return reservation.tokens + bucket.left(now)[0], money

    def charge(self, reservation: Reservation, tokens: int, cost: int, now: float, day: int) -> None:
        """Charge a try that failed at once; what is reserved stays so for the next."""
        balance = reservation.balance
        if balance.tokens is not None:
            balance.tokens.give(-tokens, now)
        balance.book(day, cost)
        self.everyone.book(day, cost)

    def free_slot(self, reservation: Reservation) -> None:
        """Its client has gone, and may ask again; tokens and money stay reserved until it is settled."""
        if reservation.slot:
            reservation.slot = False
            reservation.balance.running -= 1
            self.everyone.running -= 1

    def settle(self, reservation: Reservation, tokens: int, cost: int, now: float, day: int) -> bool:
        """Replace what was reserved by what was used and free the slot; False if that was done before."""
        if not reservation.open:
            return False
        reservation.open = False
        balance, everyone = reservation.balance, self.everyone
        if reservation.slot:  # `free_slot`, without the call
            balance.running -= 1
            everyone.running -= 1
        if reservation.refused and not tokens and balance.requests is not None:
            balance.requests.give(1, now)
        # A limit that was lifted, or set, while the request ran has no bucket to correct, or a fresh one.
        if balance.tokens is not None:
            balance.tokens.give(reservation.tokens - tokens, now)
        held, reservation.cost = reservation.cost, 0
        for each in (balance, everyone):
            each.reserved -= held
            if cost:  # `book`, without the call
                if day != each.day:
                    each.turn(day)
                each.today += cost
                each.month += cost
                each.booked += cost
        return True

    def spent(self, device_id: str | None, day: int) -> tuple[int, int]:
        """What counts against the day's and the month's budget; None: of all devices."""
        balance = self.everyone if device_id is None else self.balances.get(device_id)
        return (0, 0) if balance is None else balance.spent(day)

    def reserved(self, device_id: str | None) -> int:
        """What is held for requests under way; None: of all devices."""
        balance = self.everyone if device_id is None else self.balances.get(device_id)
        return 0 if balance is None else balance.reserved

    def snapshot(self, device_id: str | None, limits: Limits, now: float, day: int) -> Snapshot:
        """How a balance stands; None: all devices together. Creates nothing."""
        balance = self.everyone if device_id is None else self.balances.get(device_id)
        if balance is None:
            return Snapshot(limits.rpm, 0.0, limits.tpm, 0.0, 0, 0, 0, 0)
        requests, tokens = balance.left(limits, now)
        return Snapshot(*requests, *tokens, balance.running, *balance.spent(day), balance.reserved)

    def left(self, device_id: str, limits: Limits, now: float) -> Left:
        """What is left of a device's limits."""
        balance = self.balances.get(device_id)
        if balance is None:
            return (limits.rpm, 0.0), (limits.tpm, 0.0)
        return balance.left(limits, now)

    def book(self, device_id: str | None, day: int, cost: int) -> None:
        """Enter spend of before, at start; None: of devices no longer known, for the sum alone."""
        self.everyone.book(day, cost)
        if device_id is not None:
            self._named(device_id).book(day, cost)

    def reset_baseline(self, device_id: str | None, day: int, period: Period) -> Baseline:
        """Start budgets anew; None: the one above all devices."""
        return self._named(device_id).reset_baseline(day, period)

    def restore_baseline(self, device_id: str | None, baseline: Baseline) -> None:
        """Enter a reset of before a restart."""
        self._named(device_id).restore_baseline(baseline)

    def forget(self, device_ids: Iterable[str]) -> None:
        """Drop balances; what they spent stays in the sum."""
        for device_id in device_ids:
            self.balances.pop(device_id, None)

    def busy(self, device_id: str) -> bool:
        """Whether requests of the device are under way."""
        balance = self.balances.get(device_id)
        return balance is not None and balance.running > 0

    def _named(self, device_id: str | None) -> Balance:
        return self.everyone if device_id is None else self.balances.setdefault(device_id, Balance())

    def _over_budget(self, mine: Reservation, more: int, limits: Limits, ceiling: Limits, day: int) -> Refusal | None:
        """Whether a request that is to hold `more` than it does would not fit, the device's own budget first."""
        held, cost = mine.cost, mine.cost + more
        for balance, of, prefix in ((mine.balance, limits, ""), (self.everyone, ceiling, "global_")):
            if day != balance.day:
                balance.turn(day)
            others = balance.reserved - held
            if of.daily is not None and of.daily - balance.today - cost < others:
                return _no_room(f"{prefix}daily_budget", of.daily - balance.today - cost)
            if of.monthly is not None and of.monthly - balance.month - cost < others:
                return _no_room(f"{prefix}monthly_budget", of.monthly - balance.month - cost)
        return None


def _add(spent: dict[int, int], period: int, amount: int) -> None:
    spent[period] = spent.get(period, 0) + amount
    if len(spent) > _KEPT:
        del spent[min(spent)]


def _bucket(bucket: TokenBucket | None, capacity: int, now: float) -> TokenBucket:
    if bucket is None:
        return TokenBucket(capacity, now)
    bucket.resize(capacity, now)
    return bucket


def _no_room(budget: str, left: int) -> Refusal:
    # Others hold the rest for now, and may give some of it back when they are done.
    return Refusal(budget, PARALLEL_WAIT if left >= 0 else None)


def reached(spent: int, budget: int | None) -> bool:
    """Whether a budget is spent; None is no budget."""
    return budget is not None and spent >= budget
