"""The one place where limits and budgets are charged.

Everything above speaks to the `Ledger` protocol: in this process now (`MemoryLedger`), a store shared by several instances
later. Each call is one step that nothing can come between, and takes the time it happens as an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from .budget import Period, Spend
from .rate_limit import TokenBucket

PARALLEL_WAIT: Final = 1.0
"""Seconds to suggest where all parallel slots are taken: nobody knows when one is free."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be charged; None: no limit. Requests and tokens a minute, requests at once, pico-dollars a day and month."""

    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    daily: int | None = None
    monthly: int | None = None


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit was in the way and how long it will be, in seconds; None: until a period ends, or for ever."""

    limit: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An account as it stands. Remaining and full_in only where there is a limit; money in pico-dollars, reserved apart."""

    requests_remaining: int | None
    requests_full_in: float
    tokens_remaining: int | None
    tokens_full_in: float
    running: int
    today: int
    month: int
    reserved: int


class Reservation:
    """What a request has taken so far: a slot and a request's token, then tokens and money. Ends with `settle`."""

    __slots__ = ("account", "cost", "open", "refused", "tokens")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.tokens = 0
        self.cost = 0
        self.refused = False
        self.open = True


class Account:
    """A device's buckets, slots and spend."""

    __slots__ = ("requests", "running", "spend", "tokens")

    def __init__(self) -> None:
        self.requests: TokenBucket | None = None
        self.tokens: TokenBucket | None = None
        self.running = 0
        self.spend = Spend()


class Ledger(Protocol):
    """Charges requests. `now`: monotonic seconds; `day`: the local day, as the calendar writes it."""

    def admit(self, device_id: str, limits: Limits, now: float) -> Reservation | Refusal:
        """Take a slot and a request."""

    def reserve(
        self, reservation: Reservation, tokens: int, cost: int, limits: Limits, ceiling: Limits, now: float, day: int
    ) -> Refusal | None:
        """Take tokens and money, both or neither; `ceiling` holds the budget above all devices."""

    def top_up(self, reservation: Reservation, cost: int, limits: Limits, ceiling: Limits, day: int) -> Refusal | None:
        """Raise the reserved money to `cost`, if that is more."""

    def settle(self, reservation: Reservation, tokens: int, cost: int, now: float, day: int) -> bool:
        """Replace what was reserved by what was used and free the slot; False if that was done before."""

    def spent(self, device_id: str | None, day: int) -> tuple[int, int, int]:
        """Pico-dollars that count against the day's and the month's budget, and those reserved; None: all devices."""

    def snapshot(self, device_id: str | None, limits: Limits, now: float, day: int) -> Snapshot:
        """How an account stands; None: all devices together."""

    def book(self, device_id: str | None, day: int, cost: int) -> None:
        """Enter spend of before, at start; None: of devices no longer known, for the sum alone."""

    def forgive(self, device_id: str | None, day: int, period: Period = None) -> tuple[int, int]:
        """Start budgets anew, the day's alone or both; returns what is forgiven of day and month by now."""

    def restore_forgiven(self, device_id: str | None, day: int, day_amount: int, month_amount: int) -> None:
        """Enter what was forgiven before a restart."""

    def forget(self, device_ids: Iterable[str]) -> None:
        """Drop accounts; what they spent stays in the sum."""

    def busy(self, device_id: str) -> bool:
        """Whether requests of the device are under way."""


class MemoryLedger:
    """The ledger of one process."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._all = Account()

    def admit(self, device_id: str, limits: Limits, now: float) -> Reservation | Refusal:
        """Take a slot and a request; a request refused for want of a slot costs nothing."""
        account = self._account(device_id)
        if limits.parallel is not None and account.running >= limits.parallel:
            return Refusal("parallel", PARALLEL_WAIT)
        if limits.rpm is not None:
            bucket = _bucket(account.requests, limits.rpm, now)
            account.requests = bucket
            if wait := bucket.wait(1, now):
                return Refusal("requests", wait)
            bucket.take(1)
        else:
            account.requests = None
        account.running += 1
        self._all.running += 1
        return Reservation(account)

    def reserve(
        self, reservation: Reservation, tokens: int, cost: int, limits: Limits, ceiling: Limits, now: float, day: int
    ) -> Refusal | None:
        """Take tokens and money, both or neither. A request refused here gives its place in the minute back when settled."""
        account = reservation.account
        bucket = None
        wait = 0.0
        if limits.tpm is not None:
            bucket = account.tokens = _bucket(account.tokens, limits.tpm, now)
            wait = bucket.wait(tokens, now)
        else:
            account.tokens = None
        refusal = self._over_budget(reservation, cost, limits, ceiling, day)
        if wait and refusal is None:
            refusal = Refusal("tokens", None if wait == float("inf") else wait)
        if refusal is not None:
            reservation.refused = True
            return refusal
        reservation.refused = False
        if bucket is not None:
            bucket.take(tokens)
            reservation.tokens += tokens
        self._hold(reservation, cost)
        return None

    def top_up(self, reservation: Reservation, cost: int, limits: Limits, ceiling: Limits, day: int) -> Refusal | None:
        """Raise the reserved money to `cost`, if that is more."""
        more = cost - reservation.cost
        if more <= 0:
            return None
        refusal = self._over_budget(reservation, more, limits, ceiling, day)
        if refusal is None:
            self._hold(reservation, more)
        return refusal

    def settle(self, reservation: Reservation, tokens: int, cost: int, now: float, day: int) -> bool:
        """Replace what was reserved by what was used and free the slot; False if that was done before."""
        if not reservation.open:
            return False
        reservation.open = False
        account = reservation.account
        account.running -= 1
        self._all.running -= 1
        if reservation.refused and not tokens and account.requests is not None:
            account.requests.give(1)
        # A limit that was lifted, or set, while the request ran has no bucket to correct, or a fresh one.
        if account.tokens is not None:
            account.tokens.refill(now)
            account.tokens.give(reservation.tokens - tokens)
        self._hold(reservation, -reservation.cost)
        if cost:
            account.spend.book(day, cost)
            self._all.spend.book(day, cost)
        return True

    def spent(self, device_id: str | None, day: int) -> tuple[int, int, int]:
        """Pico-dollars that count against the day's and the month's budget, and those reserved; None: all devices."""
        account = self._all if device_id is None else self._accounts.get(device_id)
        if account is None:
            return 0, 0, 0
        spend = account.spend
        return spend.today(day), spend.month(day), spend.reserved

    def snapshot(self, device_id: str | None, limits: Limits, now: float, day: int) -> Snapshot:
        """How an account stands; None: all devices together. Creates nothing."""
        account = self._all if device_id is None else self._accounts.get(device_id)
        if account is None:
            return Snapshot(limits.rpm, 0.0, limits.tpm, 0.0, 0, 0, 0, 0)
        requests, tokens = account.requests, account.tokens
        if requests is not None and limits.rpm is not None:
            requests.resize(limits.rpm, now)
        if tokens is not None and limits.tpm is not None:
            tokens.resize(limits.tpm, now)
        spend = account.spend
        return Snapshot(
            limits.rpm if requests is None or limits.rpm is None else requests.remaining(now),
            0.0 if requests is None or limits.rpm is None else requests.full_in(now),
            limits.tpm if tokens is None or limits.tpm is None else tokens.remaining(now),
            0.0 if tokens is None or limits.tpm is None else tokens.full_in(now),
            account.running,
            spend.today(day),
            spend.month(day),
            spend.reserved,
        )

    def book(self, device_id: str | None, day: int, cost: int) -> None:
        """Enter spend of before, at start; None: of devices no longer known, for the sum alone."""
        self._all.spend.book(day, cost)
        if device_id is not None:
            self._account(device_id).spend.book(day, cost)

    def forgive(self, device_id: str | None, day: int, period: Period = None) -> tuple[int, int]:
        """Start budgets anew, the day's alone or both; returns what is forgiven of day and month by now."""
        return self._named(device_id).spend.forgive(day, period)

    def restore_forgiven(self, device_id: str | None, day: int, day_amount: int, month_amount: int) -> None:
        """Enter what was forgiven before a restart."""
        self._named(device_id).spend.restore_forgiven(day, day_amount, month_amount)

    def forget(self, device_ids: Iterable[str]) -> None:
        """Drop accounts; what they spent stays in the sum."""
        for device_id in device_ids:
            self._accounts.pop(device_id, None)

    def busy(self, device_id: str) -> bool:
        """Whether requests of the device are under way."""
        account = self._accounts.get(device_id)
        return account is not None and account.running > 0

    def _account(self, device_id: str) -> Account:
        account = self._accounts.get(device_id)
        if account is None:
            account = self._accounts[device_id] = Account()
        return account

    def _named(self, device_id: str | None) -> Account:
        return self._all if device_id is None else self._account(device_id)

    def _over_budget(
        self, reservation: Reservation, more: int, limits: Limits, ceiling: Limits, day: int
    ) -> Refusal | None:
        if more <= 0:
            return None
        held, cost = reservation.cost, reservation.cost + more
        mine, everyone = reservation.account.spend, self._all.spend
        return _over(mine, cost, held, limits, day, "") or _over(everyone, cost, held, ceiling, day, "global_")

    def _hold(self, reservation: Reservation, cost: int) -> None:
        reservation.cost += cost
        reservation.account.spend.reserved += cost
        self._all.spend.reserved += cost


def _bucket(bucket: TokenBucket | None, capacity: int, now: float) -> TokenBucket:
    if bucket is None:
        return TokenBucket(capacity, now)
    bucket.resize(capacity, now)
    return bucket


def _over(spend: Spend, cost: int, held: int, limits: Limits, day: int, prefix: str) -> Refusal | None:
    """Whether a request of that cost, `held` of it reserved already, does not fit."""
    others = spend.reserved - held
    for limit, spent, name in ((limits.daily, spend.today, "daily"), (limits.monthly, spend.month, "monthly")):
        if limit is not None and (left := limit - spent(day) - cost) < others:
            # Others hold the rest for now, and may give some of it back when they are done.
            return Refusal(f"{prefix}{name}_budget", PARALLEL_WAIT if left >= 0 else None)
    return None
