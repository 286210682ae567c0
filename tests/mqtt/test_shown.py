from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.calendar import Calendar
from cheaprouter.core.errors import SettingError
from cheaprouter.mqtt import shown
from tests.fakes.mosquitto import watching

STATE = "cheaprouter/device/kitchen/state"


@pytest.mark.parametrize(
    ("zone", "day", "month"),
    [
        ("UTC", "2026-11-28T00:00:00+00:00", "2026-11-01T00:00:00+00:00"),
        ("America/New_York", "2026-11-28T00:00:00-05:00", "2026-11-01T00:00:00-04:00"),
        ("Asia/Tokyo", "2026-11-28T00:00:00+09:00", "2026-11-01T00:00:00+09:00"),
    ],
)
def test_a_day_and_a_month_begin_by_the_routers_own_calendar(zone, day, month):
    now = dt.datetime(2026, 11, 28, 14, tzinfo=dt.UTC).timestamp()
    assert shown.periods(Calendar(ZoneInfo(zone)), now) == {"day_began": day, "month_began": month}


async def test_a_device_that_follows_the_hub_says_so(home):
    home.add("kitchen")
    home.control.set_hub("profile", "eco")
    assert shown.state(home.control, "kitchen")["profile"] == "default"
    home.control.set_device("kitchen", "profile", "eco")
    assert shown.state(home.control, "kitchen")["profile"] == "eco"


async def test_the_profile_that_holds_is_among_the_details(broker, run, home):
    home.add("kitchen")
    home.control.set_hub("profile", "eco")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
    assert orjson.loads(seen.retained["cheaprouter/device/kitchen/details"])["profile"] == "eco"


async def test_costs_and_budgets_are_in_one_currency_and_the_rate_is_stated(broker, run, home):
    home.add("kitchen")
    await home.reconfigure(currency="EUR", usd_rate="0.92")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await seen.client.publish("cheaprouter/device/kitchen/daily_budget/set", b"4.60", qos=1)
        await seen.until(lambda: b'"daily_budget":4.6' in seen.retained[STATE])
        details = orjson.loads(seen.retained["cheaprouter/details"])
        config = orjson.loads(seen.retained["homeassistant/device/cheaprouter_0123456789ab_kitchen/config"])
    assert home.state("kitchen")["daily_budget"] == 5.0
    assert (details["currency"], details["usd_rate"]) == ("EUR", 0.92)
    units = {config["cmps"][name]["unit_of_measurement"] for name in ("cost_today", "daily_budget", "monthly_budget")}
    assert units == {"EUR"}


async def test_a_budget_set_by_a_question_is_in_that_currency_too(broker, run, home):
    home.add("kitchen")
    await home.reconfigure(currency="JPY", usd_rate="150")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        body = {"device": "kitchen", "monthly_budget": 1500}
        answer = await seen.ask("cheaprouter/request/set_device", body, "cheaprouter/response/set_device")
    assert answer["data"]["monthly_budget"] == 1500
    assert home.state("kitchen")["monthly_budget"] == 10


@pytest.mark.parametrize("value", ["-1", "0", "unlimited", None, "five", True, [1], "1e999999", "9" * 50, "nan"])
async def test_what_is_no_amount_is_left_for_the_table_to_judge(home, value):
    await home.reconfigure(currency="EUR", usd_rate="0.92")
    assert shown.taken(home.control, "daily_budget", value) == value


@pytest.mark.parametrize("value", ["1e14", 10**14, "2000", "1e-19", "1e-900", "1_000", "\u0661"])
async def test_an_amount_beyond_all_bounds_in_another_currency_is_refused_as_in_usd(home, value):
    home.add("kitchen")
    await home.reconfigure(currency="XXX", usd_rate="0.000001")
    with pytest.raises(SettingError):
        home.control.set_device("kitchen", "daily_budget", shown.taken(home.control, "daily_budget", value))


@given(amount=st.decimals("0.01", 100_000, places=2), rate=st.decimals("0.001", 20_000, places=3))
def test_what_is_typed_in_another_currency_comes_back_as_it_was_typed(amount, rate):
    in_usd = (amount / rate).quantize(shown._EXACT)
    assert shown._times(float(in_usd), rate) == float(amount)
