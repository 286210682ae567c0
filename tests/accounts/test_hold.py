"""What a request holds while its reply is written: never more than there is, and no reply is written that nobody pays."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cheaprouter.accounts.ledger import Ledger, Limits, Refusal
from cheaprouter.catalog.prices import Tariff, tariff
from cheaprouter.config.settings import BudgetAction, BudgetSettings, DeviceSettings
from cheaprouter.core.errors import BudgetError, LimitError
from cheaprouter.core.models import Caller, Capability, Model, Price, PriceTier, Rates, RouteDecision, Usage
from cheaprouter.gateway import Refused

DAY = 20261122
CENT = 10**10
"""Pico-dollars."""


class Running(RuleBasedStateMachine):
    """Requests of two devices under their own and one common budget, in any order; limits change, days turn, clocks step."""

    replies = Bundle("replies")

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.now, self.day = 0.0, DAY
        self.limits = Limits(tpm=3000, daily=10_000, monthly=40_000)
        self.house = Limits(daily=15_000)

    @rule(seconds=st.floats(-5, 60))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(day=st.sampled_from([DAY, DAY + 1, DAY + 100]))
    def the_day_turns(self, day):
        self.day = day

    @rule(daily=st.one_of(st.none(), st.integers(0, 20_000)), tpm=st.one_of(st.none(), st.integers(1, 5000)))
    def limits_change(self, daily, tpm):
        self.limits = Limits(tpm=tpm, daily=daily, monthly=40_000)

    @rule(target=replies, device=st.sampled_from("ab"), tokens=st.integers(0, 1500), cost=st.integers(0, 5000))
    def begin(self, device, tokens, cost):
        reservation = self.ledger.admit(device, self.limits, self.now)
        assert not isinstance(reservation, Refusal)
        room = self._room(reservation)
        refusal = self.ledger.reserve(reservation, tokens, cost, self.limits, self.house, self.now, self.day)
        assert (refusal is None) == self._fits(room, tokens, cost)
        return reservation

    @rule(reservation=replies, tokens=st.integers(0, 3000), cost=st.integers(0, 9000))
    def go_on(self, reservation, tokens, cost):
        if not reservation.open:
            return
        before = reservation.tokens, reservation.cost
        room = self._room(reservation)
        refusal = self.ledger.top_up(reservation, tokens, cost, self.limits, self.house, self.now, self.day)
        if refusal is not None:
            assert (reservation.tokens, reservation.cost) == before
            assert not self._fits(room, tokens, cost)
        else:
            assert reservation.cost == max(before[1], cost)
            assert self._fits(room, tokens if tokens > before[0] else 0, cost if cost > before[1] else 0)

    @rule(reservation=consumes(replies), share=st.floats(0, 1))
    def end(self, reservation, share):
        tokens, cost = int(reservation.tokens * share), int(reservation.cost * share)
        assert self.ledger.settle(reservation, tokens, cost, self.now, self.day)
        assert not self.ledger.settle(reservation, tokens, cost, self.now, self.day)

    def _room(self, reservation):
        return self.ledger.room(reservation, self.limits, self.house, self.now, self.day)

    @staticmethod
    def _fits(room, tokens, cost):
        most_tokens, most_money = room
        # what costs nothing is let through however much was overspent
        return (most_tokens is None or tokens <= most_tokens or not tokens) and (
            most_money is None or not cost or cost <= most_money
        )

    @invariant()
    def what_is_held_is_what_requests_hold(self):
        everyone = self.ledger.everyone
        assert everyone.reserved == sum(balance.reserved for balance in self.ledger.balances.values()) >= 0
        assert everyone.running == sum(balance.running for balance in self.ledger.balances.values())


class OneDay(Running):
    """The same without other days: then what is spent and what is held are never over, whatever is done."""

    @rule(day=st.just(DAY))
    def the_day_turns(self, day):
        self.day = day

    @invariant()
    def the_house_is_never_over_its_budget(self):
        """Its limit never changes here, and nobody uses more than is reserved."""
        today, _ = self.ledger.spent(None, self.day)
        assert today + self.ledger.everyone.reserved <= 15_000


TestRunning, TestOneDay = Running.TestCase, OneDay.TestCase
TestRunning.settings = TestOneDay.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


# --- a whole account ---------------------------------------------------------------------------------------------

PAID = Model("lab/paid", "lab", "paid", (Price(Rates(Decimal(1), Decimal(10))),))
TEN = 10 * 10**6
"""Pico-dollars of a token of output."""


def asks(home, device="kitchen", *, model=PAID, prompt=10, **fields):
    """An account that has reserved. Raises LimitError."""
    account = home.admit(Caller(device))
    account.operation = Refused("lab/paid", **fields)
    account.decision = RouteDecision(model, (), "", prompt_tokens=prompt)
    try:
        account.reserve(account.decision)
    except LimitError as error:
        account.close(error.status, error=error.code)
        raise
    account.model = model
    return account


def budget(amount, **more):
    return {"device_defaults": DeviceSettings(daily_budget=Decimal(amount), **more)}


def taught(home, *sizes, n=1, seen=None):
    for size in sizes:
        home.habits.observe("lab/paid", 0, Usage(10, size * n), n=n, seen=size * n if seen is None else seen)


async def test_what_is_reserved_is_what_few_replies_have_more_of(home):
    home = home(**budget(1))
    assert asks(home).hold.output == 1024
    taught(home, *[20] * 30, 400, 500)
    assert asks(home).hold.output == 400 + 100 + 32
    assert asks(home, max_tokens=50).hold.output == 50
    assert asks(home, n=3).hold.output == 3 * 1024
    taught(home, *[20] * 30, n=3)
    assert asks(home, n=3).hold.output == 3 * (20 + 5 + 32)
    assert asks(home, max_tokens=64_000).hold.output == 532


async def test_a_reply_goes_on_while_there_is_money_and_not_a_step_longer(home):
    home = home(**budget("0.05"))
    taught(home, 100, 100, 100)
    account = asks(home)
    written = 0
    while (error := account.hold.more(written)) is None:
        written = account.hold.characters
        assert home.accounts.ledger.reserved("kitchen") <= 5 * CENT
    assert isinstance(error, BudgetError)
    assert (error.code, error.limit) == ("insufficient_quota", "daily_budget")
    assert error.message.startswith("The answer is cut off here.")
    assert written // 4 * TEN <= 5 * CENT
    assert written // 4 > 4900
    account.close(429, output_characters=written, error=error.code)
    assert home.accounts.ledger.reserved(None) == 0


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3000)), max_size=60),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_replies_in_parallel_never_hold_more_than_there_is(steps, cents):
    ledger, limits, house = Ledger(), Limits(daily=cents * CENT, tpm=20_000), Limits(daily=10 * CENT)
    running, written, stopped = [], [], []
    for which, more in steps:
        if which >= len(running):
            reservation = ledger.admit(str(which % 3), limits, 0.0)
            if ledger.reserve(reservation, 100, 100 * TEN, limits, house, 0.0, DAY) is not None:
                ledger.settle(reservation, 0, 0, 0.0, DAY)
                continue
            running.append(reservation)
            written.append(0)
            continue
        if which in stopped:
            continue
        wanted = written[which] + more
        if ledger.top_up(running[which], wanted, wanted * TEN, limits, house, 0.0, DAY) is None:
            written[which] = wanted
        else:
            stopped.append(which)
    assert sum(written) * TEN <= min(house.daily, 3 * limits.daily)
    assert ledger.reserved(None) <= house.daily
    for reservation, tokens in zip(running, written, strict=True):
        ledger.settle(reservation, tokens, tokens * TEN, 0.0, DAY)
    assert ledger.spent(None, DAY)[0] <= house.daily
    assert ledger.reserved(None) == 0


async def test_the_rest_of_a_budget_is_enough_where_something_can_be_said_with_it(home):
    home = home(**budget("0.002"))
    assert asks(home).hold.output == (2 * CENT // 10 - 10 * 10**6) // TEN
    with pytest.raises(BudgetError):
        asks(home)  # the first one holds all of it
    poor = asks(home, "other", prompt=1200)
    assert poor.hold.output == 80
    with pytest.raises(BudgetError):
        asks(home, "third", prompt=1500)


async def test_where_something_free_may_stand_in_the_rest_is_not_scraped_together(home):
    home = home(**budget("0.002", budget_action=BudgetAction.FREE))
    with pytest.raises(BudgetError) as caught:
        asks(home)
    assert caught.value.action == "free"


async def test_an_upstream_may_write_what_is_affordable_and_others_do_not_hold(home):
    home = home(**budget("0.05"))
    taught(home, 100, 100, 100)
    first = asks(home, max_tokens=64_000)
    affordable = (5 * CENT - 10 * 10**6) // TEN
    assert first.hold.ceiling(PAID, whole=False) == affordable
    second = asks(home, max_tokens=64_000)
    assert second.hold.ceiling(PAID, whole=False) == affordable - first.hold.output - 1
    assert asks(home, max_tokens=50).hold.ceiling(PAID, whole=False) is None


async def test_several_replies_share_what_is_affordable(home):
    home = home(**budget("0.05"))
    taught(home, 100, 100, 100, n=8)
    assert asks(home, n=8).hold.ceiling(PAID, whole=False) == (5 * CENT - 10 * 10**6) // TEN // 8


async def test_what_cannot_be_watched_may_have_no_more_than_is_reserved(home):
    home = home(**budget("0.05"))
    taught(home, 100, 100, 100)
    account = asks(home, max_tokens=8000)
    most = account.hold.ceiling(PAID, whole=True)
    assert most == account.hold.output == (5 * CENT - 10 * 10**6) // TEN // 4
    assert home.accounts.ledger.reserved("kitchen") == 10 * 10**6 + most * TEN


@pytest.mark.parametrize(("seen", "watched"), [(100, True), (1, False)])
async def test_whether_a_model_can_be_watched_is_learned(home, seen, watched):
    home = home(**budget("0.05"))
    taught(home, 300, 300, 300, seen=seen if not watched else 300)
    account = asks(home, max_tokens=8000)
    assert (account.hold.ceiling(PAID, whole=False) > account.hold.output) is watched


async def test_with_money_enough_nothing_is_told_upstream(home):
    home = home(**budget(10))
    for fields in ({}, {"max_tokens": 64_000}, {"n": 4}):
        assert asks(home, **fields).hold.ceiling(PAID, whole=False) is None
    assert asks(home).hold.ceiling(PAID, whole=True) is None


async def test_what_does_not_fit_into_the_window_is_not_asked_for(home):
    home = home(**budget("0.05"))
    small = Model("lab/paid", "lab", "paid", PAID.prices, context=2000)
    taught(home, 100, 100, 100)
    assert asks(home, model=small).hold.ceiling(small, whole=False) is None
    assert asks(home, model=small, prompt=1999).hold.output == 1


async def test_without_limits_nothing_is_held_and_a_budget_that_is_set_meanwhile_holds(home):
    home = home()
    account = asks(home)
    assert account.hold.ceiling(PAID, whole=False) is None
    assert account.hold.more(10**6) is None
    assert home.accounts.ledger.reserved(None) == 0
    home.set("kitchen", "daily_budget", 0.01)
    assert account.hold.more(2 * 10**6).code == "insufficient_quota"
    home.set("kitchen", "daily_budget", 100)
    assert account.hold.more(2 * 10**6) is None
    account.close(499)
    assert home.accounts.ledger.reserved(None) == 0


async def test_tokens_a_minute_end_a_reply_with_their_own_code(home):
    home = home(device_defaults=DeviceSettings(tpm=2000))
    account = asks(home)
    assert account.hold.more(4 * 1500) is None
    error = account.hold.more(4 * 2100)
    assert (error.code, error.limit) == ("rate_limit_exceeded", "tokens")


async def test_a_prompt_is_only_refused_for_good_where_it_alone_is_above_a_minutes_tokens(home):
    home = home(device_defaults=DeviceSettings(tpm=500))
    account = asks(home, prompt=100)
    assert account.hold.output == 400
    account.close(200, usage=Usage(100, 20))
    with pytest.raises(LimitError) as caught:
        asks(home, prompt=501)
    assert caught.value.retry_after is None


async def test_a_reply_that_runs_over_midnight_is_held_against_the_new_day(home):
    home = home(at="2026-11-22T23:59:00", budget=BudgetSettings(daily=Decimal("0.05")))
    account = asks(home)
    home.later(120)
    assert account.hold.more(4 * 3000) is None
    account.close(200, usage=Usage(10, 3000))
    assert home.accounts.ledger.spent(None, 20261123)[0] == 10 * 10**6 + 3000 * TEN
    assert home.accounts.ledger.reserved(None) == 0


@pytest.mark.parametrize(
    ("price", "body", "expected"),
    [
        (Price(Rates(Decimal(1), Decimal(2))), {}, Tariff(100 * 10**6, 2 * 10**6)),
        (Price(Rates(Decimal(1), Decimal(2), cache_write=Decimal(4))), {}, Tariff(400 * 10**6, 2 * 10**6)),
        (Price(Rates(Decimal(1), Decimal(2), reasoning=Decimal(8))), {}, Tariff(100 * 10**6, 8 * 10**6)),
        (Price(Rates(Decimal(1), Decimal(2)), per_request=Decimal("0.01")), {}, Tariff(CENT + 100 * 10**6, 2 * 10**6)),
        (Price(Rates(Decimal(1), Decimal(2))), {"service_tier": "priority"}, Tariff(200 * 10**6, 4 * 10**6)),
        (Price(Rates(Decimal(1), Decimal(2))), {"service_tier": "flex"}, Tariff(100 * 10**6, 2 * 10**6)),
        (
            Price(Rates(Decimal(1), Decimal(2)), (PriceTier(50, Rates(Decimal(2), Decimal(4))),)),
            {},
            Tariff(200 * 10**6, 4 * 10**6),
        ),
        (Price(Rates(Decimal("0.0000015"), Decimal("0.0000005"))), {}, Tariff(150, 1)),
        (Price(Rates(Decimal(0), Decimal(0))), {}, Tariff(0, 0)),
    ],
)
def test_what_a_request_is_reserved_by_is_the_dearest_that_may_apply(price, body, expected):
    assert tariff(price, 100, body) == expected


async def test_a_model_that_thinks_needs_more_to_be_worth_asking(home):
    home = home(**budget("0.002"))
    thinker = Model("lab/paid", "lab", "paid", PAID.prices, capabilities=frozenset({Capability.REASONING}))
    with pytest.raises(BudgetError):
        asks(home, model=thinker, prompt=1200)
    assert asks(home, prompt=1200).hold.output == 80
