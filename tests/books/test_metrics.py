from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import metrics as module
from cheaprouter.books.metrics import Metrics, Times, percentile
from cheaprouter.core.calendar import Calendar, Clock
from cheaprouter.core.events import DeviceRemoved
from tests.builders import NOON, a_record, to_row

STATE_KEYS = [
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "errors",
    "limit_hits",
    "cost_today",
    "cost_month",
    "cost_total",
    "saved_month",
    "saved_cache_month",
    "cached_percent",
    "latency_p50_ms",
    "first_token_p50_ms",
    "requests_remaining",
    "tokens_remaining",
    "budget_percent",
    "rate_limited",
    "last_model",
    "last_reason",
    "last_seen",
]


async def test_a_state_has_exactly_the_keys_that_mqtt_publishes(office):
    office = office()
    office.book()
    for device_id in ("kitchen", None, "nobody"):
        assert list(office.metrics.snapshot(device_id)) == STATE_KEYS
        orjson.dumps(office.metrics.snapshot(device_id))


async def test_everything_is_counted_for_the_device_and_for_all(office):
    office = office()
    office.book()
    office.book(device_id="den", model_id="lab/big", cost=Decimal("0.5"), baseline_cost=None)
    office.refuse()
    office.book(status=502, error="upstream_error")
    office.book(status=499, error="client_disconnected")
    office.book(cost=None)
    kitchen, whole = office.metrics.snapshot("kitchen"), office.metrics.snapshot(None)
    assert (kitchen["requests"], kitchen["errors"], kitchen["limit_hits"]) == (5, 1, 1)
    assert (whole["requests"], whole["input_tokens"], whole["output_tokens"], whole["cached_tokens"]) == (
        6,
        500,
        100,
        50,
    )
    assert whole["cost_total"] == 0.503
    assert kitchen["saved_month"] == pytest.approx(0.006)
    assert whole["last_model"] == "lab/small"


async def test_a_refusal_leaves_the_last_model_alone_and_counts_no_latency(office):
    office = office()
    office.book(latency_ms=100.0)
    office.refuse(latency_ms=0.1)
    state = office.metrics.snapshot("kitchen")
    assert (state["last_model"], state["last_reason"], state["latency_p50_ms"]) == (
        "lab/small",
        "the cheapest that fits",
        100.0,
    )


async def test_today_ends_at_local_midnight_and_the_month_with_the_month(office):
    office = office(at="2026-11-30T23:59:00")
    office.book()
    assert office.metrics.snapshot("kitchen")["cost_today"] == 0.001
    office.later(minutes=1)
    state = office.metrics.snapshot("kitchen")
    assert (state["cost_today"], state["cost_month"], state["saved_month"], state["cost_total"]) == (0, 0, 0, 0.001)


async def test_a_clock_that_steps_back_over_midnight_loses_nothing_of_today(office):
    office = office(at="2026-11-22T23:59:59")
    office.later(seconds=2)
    office.book()
    office.later(seconds=-2)
    office.book()
    office.later(seconds=2)
    state = office.metrics.snapshot("kitchen")
    assert (state["cost_today"], state["cost_total"]) == (0.001, 0.002)


@pytest.mark.parametrize("crash", [True, False])
async def test_figures_survive_a_restart(office, crash):
    office = office(at="2026-11-21T12:00:00")
    office.book()
    office.later(days=1)
    office.book(latency_ms=20.0, device_id="den")
    office.refuse()
    before = [office.metrics.snapshot(d) for d in (None, "kitchen", "den")]
    periods = office.metrics.periods(None)
    if crash:
        office.database.close_sync()
        office.open()
    else:
        await office.restart()
    assert [office.metrics.snapshot(d) for d in (None, "kitchen", "den")] == before
    assert office.metrics.periods(None) == periods


async def test_a_forgotten_device_stays_in_the_sums_only(office):
    office = office()
    office.book()
    office.metrics.on_event(DeviceRemoved("kitchen"))
    assert office.metrics.snapshot("kitchen")["requests"] == 0
    assert office.metrics.snapshot(None)["requests"] == 1


async def test_models_are_bounded(office, monkeypatch):
    monkeypatch.setattr(module, "MOST_MODELS", 20)
    office = office()
    for n in range(100):
        office.book(model_id=f"lab/model-{n}")
    assert len(office.metrics.models()) <= 21
    assert sum(s.requests for s in office.metrics.models().values()) == 100
    assert office.metrics.snapshot(None)["requests"] == 100


async def test_no_counter_of_a_device_begins_anew_however_many_others_ask(office):
    office = office()
    office.book(device_id="kitchen", latency_ms=7.0)
    for n in range(3000):
        office.book(device_id=f"device {n}")
    office.book(device_id="kitchen")
    state = office.metrics.snapshot("kitchen")
    assert (state["requests"], state["cost_today"], state["cost_month"], state["cost_total"]) == (
        2,
        0.002,
        0.002,
        0.002,
    )
    assert office.metrics.periods("kitchen")["total"]["requests"] == 2
    assert office.metrics.devices()["device 0"].requests == 1
    await office.restart()
    assert office.metrics.snapshot("kitchen")["requests"] == 2
    assert len(office.metrics.devices()) == 3001


async def test_only_who_was_answered_lately_has_percentiles(office, monkeypatch):
    monkeypatch.setattr(module, "MOST_RECENT", 2)
    office = office()
    for device in ("kitchen", "den", "kitchen", "attic"):
        office.book(device_id=device, latency_ms=5.0)
    found = {device: office.metrics.snapshot(device)["latency_p50_ms"] for device in ("kitchen", "den", "attic")}
    assert found == {"kitchen": 5.0, "den": None, "attic": 5.0}
    assert office.metrics.snapshot("den")["requests"] == 1


async def test_who_is_not_known_counts_for_everyone_alone(office):
    office = office()
    office.book()
    office.book(device_id="den")
    office.metrics.settle({"kitchen"}.__contains__)
    office.book(device_id="attic")
    assert list(office.metrics.devices()) == ["kitchen"]
    assert office.metrics.snapshot(None)["requests"] == 3


async def test_what_is_left_comes_from_whoever_knows(office):
    office = office()
    office.metrics.limits = lambda device_id: {
        "requests_remaining": 5,
        "tokens_remaining": None,
        "budget_percent": 40.0,
        "rate_limited": device_id == "kitchen",
    }
    assert office.metrics.snapshot("kitchen")["rate_limited"] is True
    assert office.metrics.snapshot(None)["requests_remaining"] == 5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=600))
def test_percentiles_are_values_that_were_seen_lately(values):
    kept = Times().latency
    kept.extend(values)
    recent = sorted(values[-256:])
    assert percentile(kept, 0.5) == recent[(len(recent) + 1) // 2 - 1]
    assert percentile(kept, 1.0) == recent[-1]
    assert percentile(kept, 0.0) == recent[0]


def test_no_values_no_percentile():
    assert percentile([], 0.5) is None


bookings = st.fixed_dictionaries(
    {
        "day": st.sampled_from([20261121, 20261122, 20261130, 20261201]),
        "device_id": st.sampled_from(["kitchen", "den"]),
        "model_id": st.sampled_from(["lab/small", "lab/big", None]),
        "reason": st.sampled_from(["cheap", "good"]),
        "status": st.sampled_from([200, 429, 499, 502]),
        "attempts": st.integers(0, 1),
        "latency_ms": st.integers(0, 400_000).map(float),
        "first_token_ms": st.none() | st.integers(0, 400_000).map(float),
        "cost": st.none() | st.integers(0, 10**9).map(Decimal),
    }
)


@given(st.lists(bookings, max_size=40))
def test_many_bookings_counted_at_once_give_what_each_of_them_alone_gives(found):
    """Of several devices, models and days, in any order: also of a clock that steps back."""
    counted = []
    for each_alone in (True, False):
        metrics = Metrics(Calendar(), Clock(lambda: 0.0, lambda: NOON, NOON.timestamp))
        for seq, values in enumerate(found, 1):
            day = values["day"]
            metrics.add(to_row(seq, day, a_record(**{name: value for name, value in values.items() if name != "day"})))
            if each_alone:
                metrics.devices()
        latency, first_token = metrics.times()
        counted.append(
            (
                [metrics.snapshot(device_id) for device_id in ("kitchen", "den", None)],
                [metrics.periods(device_id) for device_id in ("kitchen", "den", None)],
                metrics.models(),
                [(each.counts, each.count, each.sum) for each in (latency, first_token)],
            )
        )
    assert counted[0] == counted[1]


@pytest.mark.parametrize("restart", [False, True])
async def test_what_caches_saved_this_month_is_told_of_each_device_at_the_present_prices(office, restart):
    office = office(at="2026-11-30T12:00:00")
    office.book()  # 10 of 100 tokens in came from a cache
    office.book(device_id="den", model_id="lab/big")
    if restart:
        await office.restart()
    office.metrics.cache_saves = lambda model_id: {"lab/small": 0.25, "lab/big": 2.0}[model_id]
    kitchen, whole = office.metrics.snapshot("kitchen"), office.metrics.snapshot(None)
    assert (kitchen["cached_percent"], kitchen["saved_cache_month"]) == (10.0, 2.5)
    assert whole["saved_cache_month"] == 22.5
    office.later(days=1)
    kitchen = office.metrics.snapshot("kitchen")
    assert (kitchen["cached_percent"], kitchen["saved_cache_month"]) == (None, 0)
