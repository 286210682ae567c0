"""Tokens and money that cannot be: not believed, not printed, and no column of the books stops being one of integers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.accounts.account import Account
from cheaprouter.accounts.plausible import SURE, TIMES, corrected
from cheaprouter.core.models import Caller, RouteDecision, Usage
from cheaprouter.core.money import MOST_CHARGE
from cheaprouter.gateway import Refused
from cheaprouter.wire.usage import parse_usage
from tests.builders import a_model

counts = st.integers(0, 10**9)


@given(counts, counts, counts, st.integers(0, 10**6), st.integers(0, 10**7))
def test_what_is_booked_is_within_bounds_of_what_was_seen(read, wrote, cached, prompt, characters) -> None:
    told = Usage(read, wrote, min(cached, read), 0, min(cached, wrote))
    usage = corrected(told, prompt, characters)
    assert usage.prompt_tokens <= max(SURE, TIMES * prompt)
    assert usage.completion_tokens <= max(SURE, TIMES * (characters + 3) // 4 + TIMES)
    assert usage.cached_tokens <= usage.prompt_tokens
    assert usage.reasoning_tokens <= usage.completion_tokens
    assert usage.estimated is (usage is not told)


@given(st.integers(0, SURE), st.integers(0, SURE))
def test_what_fits_into_a_window_is_taken_as_it_is(read, wrote) -> None:
    told = Usage(read, wrote)
    assert corrected(told, 0, 0) is told


def closed(home, usage: Usage | None, characters: int = 40):
    account = Account(home.accounts, home.policies, Refused("m"), Caller("a"), "req_9", via="http")
    account.admit()
    account.decision = RouteDecision(a_model(), (), "", prompt_tokens=100)
    account.reserve(account.decision)
    account.model = account.decision.model
    account.close(200, usage=usage, output_characters=characters)
    return home.recorder.recent(1)[0]


async def test_a_prompt_that_was_never_sent_is_booked_as_estimated_and_told_once(home, caplog) -> None:
    home = home()
    for _ in range(2):
        booked = closed(home, Usage(900_000_000, 10))
    assert (booked.usage, booked.cost_source) == (Usage(100, 10, estimated=True), "estimated")
    (told,) = [record.getMessage() for record in caplog.records if "reported" in record.getMessage()]
    assert told == (
        "lab/small: 900000000 tokens of input and 10 of output were reported, which cannot be: our own count is booked"
    )


async def test_so_is_an_answer_that_was_never_given(home) -> None:
    assert closed(home(), Usage(100, 900_000_000), characters=40).usage == Usage(100, 10, estimated=True)


ODD = ["20000", "1e308", "1e999999", "-1e999999", "NaN", "Infinity", -1, -1e308, 1e308, float("inf"), float("nan"), True,
       10**30, 10**5000, "9" * 5000, "", " 1 ", "0x10", None, [], {}, {"total": "1e308"}, "1_000", "\uff11\uff12", 5e-324]  # fmt: skip


@pytest.mark.parametrize(
    "odd",
    ODD,
    ids=lambda odd: repr(odd)[:20] if not isinstance(odd, int) else f"{odd:.1e}" if abs(odd) < 1e300 else "huge",
)
@pytest.mark.parametrize(
    "name", ["cost", "total_cost", "cost_in_usd_ticks", "prompt_tokens", "completion_tokens", "total_tokens"]
)
async def test_no_amount_of_an_upstream_makes_the_books_inexact(home, name, odd) -> None:
    home = home()
    booked = closed(home, parse_usage({"prompt_tokens": 11, "completion_tokens": 7, name: odd}))
    assert booked.cost is not None
    assert Decimal(0) <= booked.cost <= Decimal("0.026"), "as computed, or as reported within reason"
    await home.recorder.flush()
    kinds = await home.accounts.database.read(
        lambda c: c.execute(
            "SELECT typeof(cost), typeof(reported_cost), typeof(prompt_tokens), typeof(completion_tokens) FROM request"
        ).fetchone()
    )
    assert set(kinds) <= {"integer", "null"}


async def test_sums_stay_whole_numbers_however_much_is_booked(home) -> None:
    home = home()
    price = Usage(10, 10, reported_cost=Decimal(99))
    for _ in range(3):
        closed(home, price)
    await home.recorder.flush()

    def swell(connection):
        connection.execute("UPDATE daily SET cost = ?", (2**62 - 5,))
        connection.execute("UPDATE rollup SET cost = ?", (2**62 - 5,))

    await home.accounts.database.run(swell)
    for _ in range(3):
        closed(home, Usage(1_900_000, 10))
    await home.recorder.flush()
    for table in ("daily", "rollup"):
        found = await home.accounts.database.read(
            lambda c, table=table: c.execute(f"SELECT typeof(cost), max(cost) FROM {table} GROUP BY 1").fetchall()
        )
        assert found == [("integer", 2**62)]
    assert MOST_CHARGE < 2**62
