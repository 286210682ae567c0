"""What is written down of a request as its account is closed."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from cheaprouter.accounts.account import Account
from cheaprouter.config.settings import DeviceSettings
from cheaprouter.core.events import RequestCompleted
from cheaprouter.core.models import (
    Attempt,
    Caller,
    Difficulty,
    Price,
    Profile,
    Rates,
    RequestRecord,
    RouteDecision,
    Special,
    Tier,
    Usage,
)
from cheaprouter.gateway import Refused
from tests.builders import a_model


async def test_a_booking_says_everything_of_a_request_in_its_place(home):
    home = home()
    operation = Refused("blockrun/eco", stream=True)
    account = Account(
        home.accounts, home.policies, operation, Caller("kitchen", sub_identity="ann"), "req_9", via="mqtt"
    )
    account.admit()
    price = Price(Rates(Decimal(2), Decimal(4)), per_request=Decimal("0.25"))
    chosen = dataclasses.replace(a_model(), prices=(price,))
    difficulty = Difficulty(0.75, Tier.COMPLEX)
    account.decision = RouteDecision(chosen, (), "cheapest", Profile.ECO, difficulty=difficulty, prompt_tokens=50)
    account.reserve(account.decision)
    account.model, account.attempts = chosen, (Attempt("lab/small", "lab", "ok"),) * 2
    home.later(0.5)
    account.token()
    home.later(1.5)
    account.close(200, usage=Usage(100, 10, 7, 3, 5), error="late")
    assert home.recorder.recent(1) == [
        RequestRecord(
            id="req_9",
            timestamp=home.time.at,
            device_id="kitchen",
            requested_model="blockrun/eco",
            model_id="lab/small",
            provider="lab",
            usage=Usage(100, 10, 7, 3, 5),
            status=200,
            latency_ms=2000.0,
            stream=True,
            first_token_ms=500.0,
            error="late",
            cost=Decimal("0.25024"),
            cost_source="computed",
            baseline_cost=None,
            attempts=2,
            profile="eco",
            reason="cheapest",
            tier="COMPLEX",
            score=0.75,
            cached=False,
            via="mqtt",
            sub_identity="ann",
        )
    ]
    assert account.cost == 250_240_000_000
    assert home.told(RequestCompleted) == [RequestCompleted("kitchen", True, 10, 500.0, 2000.0)]


async def test_what_an_upstream_reports_is_booked_beside_what_the_baseline_would_have_cost(home):
    home = home()
    baseline = a_model("lab/big", price=("3", "6"))
    account = Account(home.accounts, home.policies, Refused("m"), Caller("a"), "req_9", via="http", baseline=baseline)
    account.model = a_model()
    account.close(200, usage=Usage(100_000, 50_000, reported_cost=Decimal("0.5")))
    booked = home.recorder.recent(1)[0]
    assert (booked.cost, booked.cost_source, booked.baseline_cost) == (Decimal("0.5"), "reported", Decimal("0.6"))
    assert booked.usage.reported_cost == Decimal("0.5")


def an_account(home, model=None) -> Account:
    account = Account(home.accounts, home.policies, Refused("m"), Caller("a"), "req_9", via="http")
    account.admit()
    account.decision = RouteDecision(model or a_model(), (), "", prompt_tokens=100)
    account.reserve(account.decision)
    account.model = account.decision.model
    return account


async def test_a_reported_cost_that_cannot_be_is_kept_beside_ours_and_told_once(home, caplog):
    home = home()
    for _ in range(3):
        an_account(home).close(200, usage=Usage(1000, 1000, reported_cost=Decimal(20_000)))
    booked = home.recorder.recent(1)[0]
    assert (booked.cost, booked.cost_source) == (Decimal("0.002"), "disputed")
    assert booked.usage.reported_cost == Decimal(10_000)  # the most that one request can be in the books
    assert [record.getMessage() for record in caplog.records if "reported" in record.getMessage()] == [
        "lab/small: a cost of 10000 USD was reported, which cannot be: 0.002 is booked"
    ]


async def test_an_unknown_cost_takes_what_is_known_of_it_from_the_budget(home):
    home = home(device_defaults=DeviceSettings(daily_budget=Decimal(1)))
    account = an_account(home)
    account.close(200, usage=Usage(1000, 1000, special=Special(audio_output=900)))
    assert (account.cost, home.recorder.recent(1)[0].cost_source) == (None, "unknown")
    assert home.accounts.ledger.spent("a", account.day)[0] == 2 * 10**9


async def test_output_without_a_count_is_estimated_and_the_prompts_count_kept(home):
    home = home()
    an_account(home).close(200, usage=Usage(70, 0), output_characters=10_000)
    usage = home.recorder.recent(1)[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (70, 2500, True)


async def test_a_bill_without_counts_is_booked_with_estimated_tokens(home):
    home = home()
    an_account(home).close(200, usage=Usage(reported_cost=Decimal("0.001")), output_characters=400)
    booked = home.recorder.recent(1)[0]
    assert (booked.cost, booked.cost_source) == (Decimal("0.001"), "reported")
    assert (booked.usage.prompt_tokens, booked.usage.completion_tokens) == (100, 100)


async def test_a_prompt_without_a_count_is_estimated_and_the_outputs_count_kept(home):
    home = home()
    an_account(home).close(200, usage=Usage(0, 5), output_characters=10_000)
    usage = home.recorder.recent(1)[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (100, 5, True)
