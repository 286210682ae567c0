from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cheaprouter.accounts.ledger import Balance, Baseline, Ledger, Limits, Refusal

DAY = 20261122
LIMITS = Limits(rpm=50, tpm=1000, parallel=5, daily=10_000, monthly=50_000)
CEILING = Limits(daily=15_000)


class Books(RuleBasedStateMachine):
    """Any order of requests of two devices, with time passing, days changing and the clock stepping back."""

    open_requests = Bundle("open_requests")

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.now = 0.0
        self.day = DAY
        self.running = {"a": 0, "b": 0}
        self.reserved = {"a": 0, "b": 0}
        self.spent = {}
        self.estimate_error = 0

    @rule(seconds=st.floats(-5, 60))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(step=st.sampled_from([1, -1]))
    def the_day_changes(self, step):
        self.day = DAY if self.day != DAY else DAY + step

    @rule(target=open_requests, device=st.sampled_from("ab"), tokens=st.integers(0, 1200), cost=st.integers(0, 4000))
    def begin(self, device, tokens, cost):
        reservation = self.ledger.admit(device, LIMITS, self.now)
        if isinstance(reservation, Refusal):
            return None
        self.running[device] += 1
        today = self._spent(device) + self.reserved[device]
        everyone = self._spent("a") + self._spent("b") + sum(self.reserved.values())
        refusal = self.ledger.reserve(reservation, tokens, cost, LIMITS, CEILING, self.now, self.day)
        if refusal is None:
            assert cost == 0 or (today + cost <= LIMITS.daily and everyone + cost <= CEILING.daily)
            self.reserved[device] += cost
        return (device, reservation, cost if refusal is None else 0)

    @rule(request=consumes(open_requests), tokens=st.integers(0, 1500), share=st.floats(0, 1))
    def end(self, request, tokens, share):
        if request is None:
            return
        device, reservation, cost = request
        paid = int(cost * share)
        assert self.ledger.settle(reservation, tokens, paid, self.now, self.day)
        assert not self.ledger.settle(reservation, tokens, paid, self.now, self.day)
        self.running[device] -= 1
        self.reserved[device] -= cost
        self.spent[device, self.day] = self._spent(device) + paid

    def _spent(self, device):
        return self.spent.get((device, self.day), 0)

    @invariant()
    def nothing_leaks(self):
        for device in "ab":
            snapshot = self.ledger.snapshot(device, LIMITS, self.now, self.day)
            assert snapshot.running == self.running[device] <= LIMITS.parallel
            assert snapshot.reserved == self.reserved[device]
            assert snapshot.today == self._spent(device)
        whole = self.ledger.snapshot(None, Limits(), self.now, self.day)
        assert whole.reserved == sum(self.reserved.values())
        assert whole.running == sum(self.running.values())
        assert whole.today == self._spent("a") + self._spent("b")

    @invariant()
    def no_budget_is_overspent(self):
        """Nobody pays more than was reserved here, so no day may ever be over."""
        for device in "ab":
            assert self._spent(device) <= LIMITS.daily
        assert self._spent("a") + self._spent("b") <= CEILING.daily


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 500)), max_size=40), st.integers(0, 2**32))
def test_parallel_calls_never_overshoot_by_more_than_their_estimates_were_wrong(calls, seed):
    ledger, shuffled = Ledger(), random.Random(seed)
    limits, running, passed, wrong = Limits(tpm=1000), [], 0, 0
    for reserved, used in calls:
        reservation = ledger.admit("a", limits, 0.0)
        assert not isinstance(reservation, Refusal)
        if ledger.reserve(reservation, reserved, 0, limits, Limits(), 0.0, DAY) is None:
            running.append((reservation, reserved, used))
        else:
            ledger.settle(reservation, 0, 0, 0.0, DAY)
        if running and shuffled.random() < 0.4:
            done, held, really = running.pop(shuffled.randrange(len(running)))
            ledger.settle(done, really, 0, 0.0, DAY)
            passed += really
            wrong += max(0, really - held)
    for done, held, really in running:
        ledger.settle(done, really, 0, 0.0, DAY)
        passed += really
        wrong += max(0, really - held)
    assert passed <= 1000 + wrong


def test_a_request_refused_for_its_tokens_gives_its_place_back():
    ledger, limits = Ledger(), Limits(rpm=2, tpm=100)
    for _ in range(5):
        reservation = ledger.admit("a", limits, 0.0)
        assert not isinstance(reservation, Refusal)
        assert ledger.reserve(reservation, 500, 0, limits, Limits(), 0.0, DAY) == Refusal("tokens", None)
        ledger.settle(reservation, 0, 0, 0.0, DAY)
    assert ledger.snapshot("a", limits, 0.0, DAY).requests_remaining == 2


def test_a_request_that_failed_upstream_has_used_its_place():
    ledger, limits = Ledger(), Limits(rpm=2)
    reservation = ledger.admit("a", limits, 0.0)
    ledger.settle(reservation, 0, 0, 0.0, DAY)
    assert ledger.snapshot("a", limits, 0.0, DAY).requests_remaining == 1


def test_a_slot_refused_costs_no_request():
    ledger, limits = Ledger(), Limits(rpm=10, parallel=1)
    ledger.admit("a", limits, 0.0)
    assert ledger.admit("a", limits, 0.0) == Refusal("parallel", 1.0)
    assert ledger.snapshot("a", limits, 0.0, DAY).requests_remaining == 9


def test_the_rest_of_a_budget_held_by_others_is_worth_a_short_wait():
    ledger, limits = Ledger(), Limits(daily=100)
    first, second = (ledger.admit("a", limits, 0.0) for _ in range(2))
    assert ledger.reserve(first, 0, 80, limits, Limits(), 0.0, DAY) is None
    assert ledger.reserve(second, 0, 30, limits, Limits(), 0.0, DAY) == Refusal("daily_budget", 1.0)
    ledger.settle(first, 0, 80, 0.0, DAY)
    assert ledger.reserve(second, 0, 30, limits, Limits(), 0.0, DAY) == Refusal("daily_budget", None)


def test_tokens_and_money_are_taken_both_or_neither():
    ledger, limits = Ledger(), Limits(tpm=100, daily=100)
    reservation = ledger.admit("a", limits, 0.0)
    assert ledger.reserve(reservation, 50, 200, limits, Limits(), 0.0, DAY) is not None
    assert ledger.reserve(reservation, 200, 50, limits, Limits(), 0.0, DAY) is not None
    snapshot = ledger.snapshot("a", limits, 0.0, DAY)
    assert (snapshot.tokens_remaining, snapshot.reserved) == (100, 0)


def test_a_dearer_stand_in_is_topped_up_and_a_cheaper_one_is_not():
    ledger, limits = Ledger(), Limits(daily=100)
    reservation = ledger.admit("a", limits, 0.0)
    ledger.reserve(reservation, 0, 40, limits, Limits(), 0.0, DAY)
    assert ledger.top_up(reservation, 0, 10, limits, Limits(), 0.0, DAY) is None
    assert ledger.top_up(reservation, 0, 90, limits, Limits(), 0.0, DAY) is None
    assert ledger.snapshot("a", limits, 0.0, DAY).reserved == 90
    assert ledger.top_up(reservation, 0, 101, limits, Limits(), 0.0, DAY) == Refusal("daily_budget", None)
    ledger.settle(reservation, 0, 60, 0.0, DAY)
    assert ledger.snapshot("a", limits, 0.0, DAY).today == 60


def test_forgotten_devices_stay_in_the_sum():
    ledger = Ledger()
    ledger.book("a", DAY, 70)
    ledger.forget(["a"])
    assert ledger.spent("a", DAY) == (0, 0)
    assert ledger.spent(None, DAY) == (70, 70)


def test_a_reset_forgives_what_was_spent_and_nothing_that_comes():
    spend = Balance()
    spend.book(DAY, 100)
    spend.reset_baseline(DAY, None)
    spend.book(DAY, 30)
    assert spend.spent(DAY) == (30, 30)
    assert spend.spent(DAY + 100)[1] == 0


def test_a_reset_of_the_day_keeps_the_months_spend_and_what_was_forgiven_of_it():
    ledger = Ledger()
    ledger.book("a", DAY, 100)
    assert ledger.reset_baseline("a", DAY, "day") == Baseline(DAY, 100, 0)
    assert ledger.spent("a", DAY) == (0, 100)
    assert ledger.reset_baseline("a", DAY, None) == Baseline(DAY, 100, 100)
    ledger.book("a", DAY, 30)
    assert ledger.reset_baseline("a", DAY, "day") == Baseline(DAY, 130, 100)
    assert ledger.spent("a", DAY) == (0, 30)
    ledger.book("a", DAY + 100, 5)
    assert ledger.reset_baseline("a", DAY + 100, "day") == Baseline(DAY + 100, 5, 0)
    assert ledger.spent("a", DAY + 100) == (0, 5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1000)), max_size=60))
def test_a_clock_that_steps_back_over_midnight_finds_yesterdays_spend(bookings):
    spend, wanted = Balance(), {}
    for ahead, amount in bookings:
        spend.book(DAY + ahead, amount)
        wanted[DAY + ahead] = wanted.get(DAY + ahead, 0) + amount
    for day, amount in wanted.items():
        assert spend.spent(day)[0] == amount
    assert spend.spent(DAY)[1] == sum(wanted.values())


def test_spend_of_years_takes_no_more_memory_than_of_days():
    spend = Balance()
    for year in range(2026, 2036):
        for month in range(1, 13):
            spend.book(year * 10000 + month * 100 + 1, 1)
    assert len(spend._days) <= 4
    assert len(spend._months) <= 4


def test_what_is_used_while_a_limit_is_lifted_is_no_debt_to_the_next_one():
    ledger, limits = Ledger(), Limits(rpm=1, tpm=100)
    for limit in (limits, Limits()):
        reservation = ledger.admit("a", limit, 0.0)
        assert not isinstance(reservation, Refusal)
        assert ledger.reserve(reservation, 100, 0, limit, Limits(), 0.0, DAY) is None
        ledger.settle(reservation, 100, 0, 0.0, DAY)
    snapshot = ledger.snapshot("a", limits, 0.0, DAY)
    assert (snapshot.requests_remaining, snapshot.tokens_remaining) == (1, 100)


days = st.sampled_from([DAY - 100, DAY - 1, DAY, DAY + 1])
steps = st.tuples(st.sampled_from(["book", "ask", "reset the day", "reset all"]), days, st.integers(1, 1000))


@given(st.lists(steps, max_size=60))
def test_the_sums_at_hand_are_those_of_all_bookings(steps):
    """Whatever the order of days, and of resets: what is spent is what was booked less what was forgiven of it."""
    balance, booked, forgiven = Balance(), {}, (0, 0, 0)
    for what, day, amount in steps:
        of_day = booked.get(day, 0)
        of_month = sum(cost for each, cost in booked.items() if each // 100 == day // 100)
        if what == "book":
            balance.book(day, amount)
            booked[day] = of_day + amount
            of_day, of_month = of_day + amount, of_month + amount
        elif what != "ask":
            balance.reset_baseline(day, "day" if what == "reset the day" else None)
            before = forgiven[2] if forgiven[0] // 100 == day // 100 else 0
            forgiven = (day, of_day, before if what == "reset the day" else of_month)
        today = of_day - (forgiven[1] if forgiven[0] == day else 0)
        month = of_month - (forgiven[2] if forgiven[0] // 100 == day // 100 else 0)
        assert balance.spent(day) == (balance.today, balance.month) == (today, month)


@given(st.lists(st.tuples(days, st.integers(0, 4000), st.integers(0, 4000)), max_size=40))
def test_a_request_is_refused_exactly_when_its_cost_is_more_than_is_left(requests):
    """From a budget that nobody has touched to one that is spent, for the device and for all."""
    ledger = Ledger()
    for day, cost, paid in requests:
        reservation = ledger.admit("a", LIMITS, 0.0)
        if isinstance(reservation, Refusal):
            break
        (today, month), (all_today, _) = ledger.spent("a", day), ledger.spent(None, day)
        fits = today + cost <= LIMITS.daily and month + cost <= LIMITS.monthly and all_today + cost <= CEILING.daily
        refusal = ledger.reserve(reservation, 0, cost, LIMITS, CEILING, 0.0, day)
        assert (refusal is None) is (fits or not cost)
        ledger.settle(reservation, 0, paid if refusal is None else 0, 0.0, day)
        assert ledger.reserved("a") == ledger.reserved(None) == 0
