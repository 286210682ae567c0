"""Limits and budgets as the gateway meets them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from cheaprouter.accounts.refusals import duration
from cheaprouter.books import totals
from cheaprouter.config.settings import BudgetAction, BudgetSettings, DeviceSettings
from cheaprouter.core.errors import BudgetError, LimitError
from cheaprouter.core.events import BudgetReached, BudgetWarning, FallbackUsed, RateLimited
from cheaprouter.core.models import Caller, Usage


def defaults(**settings):
    return DeviceSettings(**settings)


def refused(home, kind=LimitError, **asked):
    with pytest.raises(kind) as caught:
        home.ask(**asked)
    return caught.value


async def test_without_limits_nothing_is_refused_and_no_header_is_sent(home):
    home = home()
    for _ in range(200):
        home.ask(tokens=10**6)
    assert home.accounts.rate_headers("kitchen") == {}


async def test_requests_beyond_the_minutes_limit_wait_for_their_turn(home):
    home = home(device_defaults=defaults(rpm=2))
    home.ask()
    home.ask()
    error = refused(home)
    assert (error.status, error.type, error.code, error.limit) == (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "requests",
    )
    assert error.headers == {"retry-after": "30", "retry-after-ms": "30000"}
    home.later(30)
    home.ask()


async def test_one_devices_limit_is_not_anothers(home):
    home = home(device_defaults=defaults(rpm=1))
    home.ask("kitchen")
    home.ask("den")
    refused(home, device="kitchen")


async def test_tokens_are_reserved_and_settled_by_what_was_used(home):
    home = home(device_defaults=defaults(tpm=1000))
    home.ask(tokens=800, used=300)
    assert home.accounts.limits_state("kitchen")["tokens_remaining"] == 700
    error = refused(home, tokens=800)
    assert (error.limit, error.headers["retry-after"]) == ("tokens", "6")


async def test_a_request_above_the_whole_limit_is_told_not_to_retry(home):
    home = home(device_defaults=defaults(tpm=1000))
    error = refused(home, tokens=1001)
    assert error.headers == {"x-should-retry": "false"}
    assert error.code == "rate_limit_exceeded"
    assert "1001" in error.message


async def test_use_beyond_the_estimate_is_a_debt(home):
    home = home(device_defaults=defaults(tpm=600))
    home.ask(tokens=100, used=900)
    assert home.accounts.limits_state("kitchen")["tokens_remaining"] == 0
    assert refused(home, tokens=100).headers["retry-after"] == "40"


async def test_a_wait_longer_than_the_sdks_obey_tells_them_not_to_retry(home):
    home = home(device_defaults=defaults(tpm=600))
    home.ask(tokens=100, used=6000)
    assert refused(home).headers["x-should-retry"] == "false"


async def test_parallel_requests_are_counted_while_they_run(home):
    home = home(device_defaults=defaults(parallel=2))
    first, second = (home.admit(Caller("kitchen")) for _ in range(2))
    error = refused(home)
    assert (error.limit, error.headers["retry-after"]) == ("parallel", "1")
    home.release(first)
    home.ask()
    home.release(second)
    home.release(second)
    third = [home.admit(Caller("kitchen")) for _ in range(2)]
    refused(home)
    assert len(third) == 2


async def test_a_device_that_is_switched_off_is_refused(home):
    home = home(devices={"kitchen": defaults(enabled=False)})
    error = refused(home)
    assert (error.code, error.limit, error.headers) == ("device_disabled", "disabled", {"x-should-retry": "false"})
    home.ask("den")


async def test_out_of_hours_it_says_how_long_to_wait(home):
    home = home(at="2026-11-22T22:30:00", devices={"kitchen": defaults(schedule=("07:00-22:00",))})
    error = refused(home)
    assert (error.code, error.retry_after) == ("outside_schedule", 8.5 * 3600)
    home.later(8.5 * 3600)
    home.ask()


async def test_headers_tell_what_is_left(home):
    home = home(device_defaults=defaults(rpm=10, tpm=60_000))
    home.ask(tokens=30_000)
    assert home.accounts.rate_headers("kitchen") == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "30000",
        "x-ratelimit-reset-tokens": "30s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (0.0001, "1ms"),
        (0.9999, "1000ms"),
        (1, "1s"),
        (1.2, "2s"),
        (360, "6m0s"),
        (7200, "2h0m0s"),
    ],
)
def test_a_span_is_written_as_openai_does(seconds, text):
    assert duration(seconds) == text


async def test_a_limit_is_told_once_a_window_not_once_a_request(home):
    home = home(device_defaults=defaults(rpm=1))
    home.ask()
    for _ in range(20):
        refused(home)
    told = home.told(RateLimited)
    assert [(e.device_id, e.limit, e.retry_after) for e in told] == [("kitchen", "requests", 60.0)]
    home.later(61)
    home.ask()
    refused(home)
    assert len(home.told(RateLimited)) == 2


async def test_another_limit_is_told_on_its_own(home):
    home = home(device_defaults=defaults(rpm=1, tpm=100))
    refused(home, tokens=1000)
    home.ask(tokens=1)
    refused(home, tokens=1)
    assert [e.limit for e in home.told(RateLimited)] == ["tokens", "requests"]


async def test_rate_limited_is_a_state_that_passes(home):
    home = home(device_defaults=defaults(rpm=1))
    home.ask()
    assert not home.accounts.limits_state("kitchen")["rate_limited"]
    refused(home)
    assert home.accounts.limits_state("kitchen")["rate_limited"]
    assert home.accounts.limits_state(None)["rate_limited"]
    assert not home.accounts.limits_state("den")["rate_limited"]
    home.later(60)
    assert not home.accounts.limits_state("kitchen")["rate_limited"]


async def test_a_spent_budget_refuses_until_the_day_ends(home):
    home = home(at="2026-11-22T20:00:00", device_defaults=defaults(daily_budget=Decimal("0.05")))
    for _ in range(5):
        home.ask(cost="0.01")
    error = refused(home, BudgetError)
    assert (error.status, error.type, error.code, error.limit) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "daily_budget",
    )
    assert error.headers == {"retry-after": "14400", "retry-after-ms": "14400000", "x-should-retry": "false"}
    home.later(4 * 3600)
    home.ask()


async def test_a_day_of_twenty_five_hours_is_one_day(home):
    home = home(at="2026-10-25T00:00:00", device_defaults=defaults(daily_budget=Decimal("0.01")))
    home.ask()
    assert refused(home, BudgetError).retry_after == 25 * 3600
    home.later(25 * 3600 - 1)
    refused(home, BudgetError)
    home.later(1)
    home.ask()


async def test_a_day_of_twenty_three_hours_ends_in_time(home):
    home = home(at="2026-03-29T00:00:00", device_defaults=defaults(daily_budget=Decimal("0.01")))
    home.ask()
    assert refused(home, BudgetError).retry_after == 23 * 3600


async def test_a_month_is_the_calendars(home):
    home = home(at="2026-11-30T23:00:00", device_defaults=defaults(monthly_budget=Decimal("0.01")))
    home.ask()
    assert refused(home, BudgetError).retry_after == 3600
    home.later(3600)
    home.ask()


async def test_a_request_that_does_not_fit_into_the_rest_is_refused(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.05")))
    home.ask(cost="0.04")
    error = refused(home, BudgetError, cost="0.02")
    assert "rest is too small" in error.message
    home.ask(cost="0.01")


async def test_parallel_requests_cannot_overspend(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.05")))
    running = []
    for _ in range(5):
        admission = home.admit(Caller("kitchen"))
        home.reserve(admission, 1, Decimal("0.01"))
        running.append(admission)
    assert refused(home, BudgetError).retry_after == 1
    for admission in running:
        home.done(admission, 1, "0.01")
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 100


async def test_a_budget_of_nothing_refuses_everything(home):
    home = home(device_defaults=defaults(daily_budget=Decimal(0)))
    refused(home, BudgetError, cost="0")


async def test_the_budget_above_all_holds_for_everyone_together(home):
    home = home(budget=BudgetSettings(daily=Decimal("0.03")), device_defaults=defaults(daily_budget=Decimal("0.02")))
    home.ask("kitchen")
    home.ask("den")
    home.ask("attic")
    assert refused(home, BudgetError, device="hall").limit == "global_daily_budget"


async def test_a_model_without_a_price_is_refused_under_a_budget(home):
    home = home(device_defaults=defaults(monthly_budget=Decimal(5)))
    error = refused(home, BudgetError, cost=None)
    assert error.headers == {"x-should-retry": "false"}
    assert "price" in error.message


async def test_and_served_where_there_is_none(home):
    home().ask(cost=None)


async def test_after_the_budget_free_models_answer_where_so_chosen(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.02"), budget_action=BudgetAction.FREE))
    home.ask(cost="0.01")
    assert home.budget_action("kitchen") is None
    assert refused(home, BudgetError, cost="0.02").action == "free"
    home.ask(cost="0.01")
    assert home.budget_action("kitchen") is BudgetAction.FREE
    home.ask(cost="0")


async def test_after_the_budget_eco_goes_on_spending(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01"), budget_action=BudgetAction.ECO))
    home.ask(cost="0.01")
    assert home.budget_action("kitchen") is BudgetAction.ECO
    home.ask(cost="0.01")


async def test_the_strictest_budget_decides(home):
    home = home(
        budget=BudgetSettings(daily=Decimal("0.01"), action=BudgetAction.FREE),
        device_defaults=defaults(daily_budget=Decimal("0.01"), budget_action=BudgetAction.ECO),
    )
    home.ask(cost="0.01")
    assert home.budget_action("kitchen") is BudgetAction.FREE


async def test_a_warning_comes_once_at_the_threshold_then_the_end_once(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.10")))
    for _ in range(7):
        home.ask(cost="0.01")
    assert home.told(BudgetWarning) == []
    home.ask(cost="0.01")
    home.ask(cost="0.01")
    (warning,) = home.told(BudgetWarning)
    assert (warning.device_id, warning.period, warning.percent, warning.budget) == (
        "kitchen",
        "daily",
        80.0,
        Decimal("0.10"),
    )
    home.ask(cost="0.01")
    for _ in range(5):
        refused(home, BudgetError)
    (reached,) = home.told(BudgetReached)
    assert (reached.device_id, reached.period, reached.spent, reached.action) == (
        "kitchen",
        "daily",
        Decimal("0.10"),
        "refuse",
    )
    assert home.told(RateLimited) == []


async def test_the_next_day_warns_anew(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01")))
    home.ask()
    home.later(86_400)
    home.ask()
    assert len(home.told(BudgetReached)) == 2


async def test_a_request_that_does_not_fit_tells_of_a_nearly_spent_budget(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.10")))
    refused(home, BudgetError, cost="5")
    assert home.told(BudgetReached) == []
    home.ask(cost="0.09")
    refused(home, BudgetError, cost="0.02")
    assert len(home.told(BudgetReached)) == 1


async def test_the_budget_above_all_warns_without_a_device(home):
    home = home(budget=BudgetSettings(monthly=Decimal("0.01"), warn_percent=50))
    home.ask(cost="0.005")
    assert [(e.device_id, e.period) for e in home.told(BudgetWarning)] == [(None, "monthly")]


async def test_a_reset_begins_anew_and_the_books_stay(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01"), monthly_budget=Decimal("0.01")))
    home.ask()
    refused(home, BudgetError)
    home.accounts.reset_budget("kitchen")
    home.ask()
    assert home.metrics.snapshot("kitchen")["cost_today"] == 0.02
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 100
    home.accounts.reset_budget("kitchen")
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 0


async def test_a_reset_of_today_leaves_the_month_as_it_is(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01"), monthly_budget=Decimal("0.02")))
    home.ask()
    home.accounts.reset_budget("kitchen", "day")
    await home.restart()
    home.ask()
    assert refused(home, BudgetError).limit == "daily_budget"
    home.accounts.reset_budget("kitchen", "day")
    assert refused(home, BudgetError).limit == "monthly_budget"


async def test_a_reset_of_today_does_not_take_back_the_months_reset_of_before(home):
    home = home(device_defaults=defaults(monthly_budget=Decimal("0.02")))
    home.ask(cost="0.02")
    home.accounts.reset_budget("kitchen")
    home.later(86_400)
    home.accounts.reset_budget("kitchen", "day")
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 0


async def test_a_request_that_ends_at_midnight_is_in_one_day_for_limits_and_books(home):
    home = home(at="2026-11-22T23:59:00", device_defaults=defaults(daily_budget=Decimal(1)))
    account = home.admit(Caller("kitchen"))
    home.reserve(account, 10, "0.01")
    readings = iter(["2026-11-22T23:59:59.9999"])

    def utcnow():
        home.local(next(readings, "2026-11-23T00:00:00.0001"))
        return home.time.at

    home.accounts.clock = dataclasses.replace(home.clock, utcnow=utcnow)
    home.done(account, 10, "0.01")
    await home.recorder.flush()
    ((_, booked, cost),) = await home.database.read(lambda c: totals.spend(c, 0))
    assert home.accounts.ledger.spent("kitchen", booked)[0] == cost > 0


async def test_with_books_in_doubt_a_hard_budget_lets_only_free_models_be_asked(home):
    home = home(device_defaults=defaults(daily_budget=Decimal(1)))
    home.database.add_damage(["some rows are lost"])
    assert home.budget_action("kitchen") is BudgetAction.FREE
    home.database.acknowledge()
    assert home.budget_action("kitchen") is None


async def test_with_books_that_cannot_be_opened_or_read_a_hard_budget_is_in_doubt(home, tmp_path):
    home = home(device_defaults=defaults(daily_budget=Decimal(1)))
    await home.database.run(lambda c: c.execute("ALTER TABLE daily RENAME TO gone"))
    home.accounts.restore()
    assert home.budget_action("kitchen") is BudgetAction.FREE
    home.database.acknowledge()
    home.database.close_sync()
    (tmp_path / "cheaprouter.db").rename(tmp_path / "elsewhere")
    (tmp_path / "cheaprouter.db").mkdir()
    home.open()
    assert home.budget_action("kitchen") is BudgetAction.FREE
    home.database.acknowledge()
    assert home.budget_action("kitchen") is None


async def test_books_in_doubt_concern_nobody_without_a_hard_budget(home):
    home = home(device_defaults=defaults(daily_budget=Decimal(1), budget_action=BudgetAction.ECO))
    home.database.add_damage(["some rows are lost"])
    assert home.budget_action("kitchen") is None


async def test_a_reset_of_the_day_keeps_the_month(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.02"), monthly_budget=Decimal("0.04")))
    home.ask()
    home.ask()
    home.accounts.reset_budget("kitchen", "day")
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 50
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 50


async def test_a_reset_of_the_day_keeps_what_was_forgiven_of_the_month_before(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.02"), monthly_budget=Decimal("0.04")))
    home.ask()
    home.accounts.reset_budget("kitchen")
    home.ask()
    home.accounts.reset_budget("kitchen", "day")
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 25
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 25
    home.time.at += timedelta(days=30)
    home.accounts.reset_budget("kitchen", "day")
    home.ask()
    await home.restart()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 50


async def test_a_reset_of_the_day_does_not_tell_of_the_month_again(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01"), monthly_budget=Decimal("0.01")))
    home.ask()
    home.accounts.reset_budget("kitchen", "day")
    refused(home, BudgetError)
    assert [e.period for e in home.told(BudgetReached)] == ["daily", "monthly"]


async def test_a_dearer_stand_in_must_fit_too(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.05")))
    admission = home.admit(Caller("kitchen"))
    home.reserve(admission, 10, Decimal("0.01"))
    home.top_up(admission, Decimal("0.05"))
    with pytest.raises(BudgetError):
        home.top_up(admission, Decimal("0.06"))
    with pytest.raises(BudgetError):
        home.top_up(admission, None)
    home.done(admission, 10, "0.05")
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 100


async def test_a_provider_that_reports_a_negative_cost_earns_nobody_anything(home):
    home = home(device_defaults=defaults(daily_budget=Decimal("0.01")))
    home.ask(cost="0.005", paid="-100")
    home.ask(cost="0.01", paid="0.01")
    refused(home, BudgetError)
    assert home.metrics.snapshot("kitchen")["cost_total"] == 0.01


async def test_a_request_that_used_nothing_costs_nothing_even_where_each_request_has_a_price(home):
    home = home(device_defaults=defaults(daily_budget=Decimal(1)))
    account = home.admit(Caller("kitchen"))
    home.reserve(account, 100, "0.01")
    account.model = account.decision.model
    account.close(502, usage=Usage(), error="upstream_error")
    assert account.cost == 0
    assert home.accounts.ledger.spent("kitchen", 20261122) == (0, 0)


async def test_output_without_counts_is_estimated_at_four_characters_a_token(home):
    home = home()
    account = home.admit(Caller("kitchen"))
    home.reserve(account, 100, "0.01")
    account.model = account.decision.model
    account.close(200, output_characters=9)
    usage = home.recorder.recent(1)[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (99, 3, True)


async def test_the_model_that_was_chosen_is_no_fallback(home):
    home = home()
    account = home.admit(Caller("kitchen"))
    home.reserve(account, 100, "0.01")
    account.model = account.decision.model
    account.tell_fallback()
    account.model = dataclasses.replace(account.model, id="lab/spare")
    account.tell_fallback()
    assert [(event.from_model, event.to_model) for event in home.told(FallbackUsed)] == [("lab/small", "lab/spare")]
