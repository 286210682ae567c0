from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.prices import at_least, billed, charged, cost, price_at
from cheaprouter.core.models import FREE, Model, Price, PriceTier, Rates, Special, Usage
from cheaprouter.core.money import MOST_CHARGE, PICO, charge
from tests.builders import NOON

tokens = st.integers(0, 2_000_000)
absurd = tokens | st.integers(-10, 2**55)
per_million = st.one_of(
    st.decimals(0, 1000, places=6),
    st.decimals(0, 1000, places=12),
    st.sampled_from(
        list(map(Decimal, ("0", "0.0000005", "0.0000015", "1e-30", "1e12", "33.333333333333333333333333333")))
    ),
)
some_rates = st.builds(Rates, per_million, per_million, st.none() | per_million, st.none() | per_million)
some_prices = st.builds(
    Price,
    some_rates,
    st.lists(st.builds(PriceTier, tokens, some_rates), max_size=2).map(tuple),
    per_request=st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("1e-12"), Decimal("5e-13")]) | per_million,
)


def rates(value: str, output: str = "0", **more: str) -> Rates:
    return Rates(Decimal(value), Decimal(output), **{k: Decimal(v) for k, v in more.items()})


def model(*prices: Price) -> Model:
    return Model("lab/a", "lab", "a", prices=prices)


PLAIN = model(Price(rates("1", "2", cached_input="0.1", cache_write="1.25")))
DATED = model(
    Price(rates("1")),
    Price(rates("2"), valid_from=datetime(2026, 11, 1, tzinfo=UTC)),
    Price(rates("3"), valid_from=datetime(2027, 1, 1, tzinfo=UTC)),
)
HOURLY = model(Price(rates("1")), Price(rates("2"), daily=(60, 240)))
OVERNIGHT = model(Price(rates("1")), Price(rates("2"), daily=(1380, 60)))
TIERED = model(Price(rates("1"), tiers=(PriceTier(1000, rates("2")), PriceTier(5000, rates("3")))))


def test_input_and_output_are_charged_by_the_million():
    assert cost(Usage(1_000_000, 500_000), PLAIN, NOON) == Decimal(2)


def test_cached_tokens_are_part_of_the_prompt_and_cheaper():
    assert cost(Usage(1000, 0, cached_tokens=1000), PLAIN, NOON) == Decimal("0.0001")


def test_tokens_written_to_the_cache_cost_their_own_rate():
    assert cost(Usage(1000, 0, cache_write_tokens=1000), PLAIN, NOON) == Decimal("0.00125")


def test_cached_tokens_without_a_rate_cost_what_input_costs():
    assert cost(Usage(1000, 0, cached_tokens=1000), model(Price(rates("1"))), NOON) == Decimal("0.001")


def test_reasoning_is_part_of_the_output_and_not_charged_twice():
    assert cost(Usage(0, 1000, reasoning_tokens=900), PLAIN, NOON) == cost(Usage(0, 1000), PLAIN, NOON)


def test_more_cached_than_prompt_tokens_never_gives_money_back():
    assert cost(Usage(10, 0, cached_tokens=1000), PLAIN, NOON) == Decimal("0.000001")


def test_a_price_per_request_is_added():
    assert cost(Usage(), model(Price(rates("1"), per_request=Decimal("0.01"))), NOON) == Decimal("0.01")


def test_an_unknown_price_is_unknown_and_not_nothing():
    assert cost(Usage(1000, 1000), model(), NOON) is None


def test_a_price_that_begins_later_does_not_hold_yet():
    assert price_at(DATED, NOON, 1).input == 2


def test_a_price_that_began_replaces_the_one_before():
    assert price_at(DATED, datetime(2027, 1, 1, tzinfo=UTC), 1).input == 3


def test_history_keeps_its_old_price():
    assert price_at(DATED, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), 1).input == 1


def test_before_the_first_date_nothing_is_known():
    assert price_at(model(Price(rates("1"), valid_from=NOON)), datetime(2020, 1, 1, tzinfo=UTC), 1) is None


@pytest.mark.parametrize(("hour", "rate"), [(0, 1), (1, 2), (3, 2), (4, 1), (23, 1)])
def test_a_price_by_the_hour_holds_in_its_hours(hour, rate):
    assert price_at(HOURLY, NOON.replace(hour=hour), 1).input == rate


@pytest.mark.parametrize(("hour", "rate"), [(22, 1), (23, 2), (0, 2), (1, 1)])
def test_hours_may_run_past_midnight(hour, rate):
    assert price_at(OVERNIGHT, NOON.replace(hour=hour), 1).input == rate


@pytest.mark.parametrize(("prompt", "rate"), [(1000, 1), (1001, 2), (5000, 2), (5001, 3)])
def test_a_long_prompt_is_charged_at_its_tier(prompt, rate):
    assert price_at(TIERED, NOON, prompt).input == rate


def test_what_the_upstream_billed_wins():
    assert billed(Usage(10_000, 0, reported_cost=Decimal("0.5")), PLAIN, PLAIN.flat) == (PICO // 2, "reported")


def test_a_reported_cost_of_more_than_a_hundred_times_ours_is_not_believed():
    assert billed(Usage(1000, 0, reported_cost=Decimal("0.11")), PLAIN, PLAIN.flat) == (PICO // 1000, "disputed")


def test_up_to_a_hundred_times_ours_it_is():
    assert billed(Usage(1000, 0, reported_cost=Decimal("0.1")), PLAIN, PLAIN.flat) == (PICO // 10, "reported")


def test_the_fee_for_a_search_is_believed_however_short_the_answer():
    assert billed(Usage(5, 5, reported_cost=Decimal("0.014")), PLAIN, PLAIN.flat)[1] == "reported"


def test_a_free_model_that_reports_dollars_stays_free():
    assert billed(Usage(5, 5, reported_cost=Decimal(3)), model(FREE), FREE) == (0, "disputed")


@pytest.mark.parametrize(("told", "booked"), [("99", (99 * PICO, "reported")), ("101", (None, "disputed"))])
def test_without_a_price_of_ours_a_hundred_dollars_are_believed_and_no_more(told, booked):
    assert billed(Usage(5, 5, reported_cost=Decimal(told)), model(), None) == booked


ALL_KINDS = model(
    Price(
        rates("1", "10", cached_input="0.1", cache_write="1.25", audio_input="40", audio_output="80", reasoning="3"),
        per_second=Decimal("0.0001"),
        per_character=Decimal("0.00001"),
        per_image=Decimal("0.04"),
        services=(("flex", Decimal("0.5")), ("us", Decimal("1.1"))),
    )
)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(1000, 0, special=Special(audio_input=900)), "0.0361"),
        (Usage(0, 500, special=Special(audio_output=480)), "0.0386"),
        (Usage(1000, 0, cache_write_tokens=1000, special=Special(cache_write_1h=400)), "0.00155"),
        (Usage(0, 1000, reasoning_tokens=900), "0.0037"),
        (Usage(0, 1000, reasoning_tokens=900, special=Special(audio_output=100)), "0.0107"),
        (Usage(0, 1300, special=Special(image_output=1290)), "0.0401"),
        (Usage(0, 0, special=Special(images=3)), "0.12"),
        (Usage(0, 0, special=Special(seconds=Decimal("12.5"))), "0.00125"),
        (Usage(0, 0, special=Special(characters=300)), "0.003"),
        (Usage(1000, 100, special=Special(service=("flex",))), "0.001"),
        (Usage(1000, 100, special=Special(service=("flex", "us"))), "0.0011"),
        (Usage(1000, 100, special=Special(fees=Decimal("0.02"))), "0.022"),
    ],
)
def test_each_kind_has_its_price(usage, usd):
    assert cost(usage, ALL_KINDS, NOON) == Decimal(usd)


@pytest.mark.parametrize(
    "special",
    [
        Special(audio_input=1),
        Special(audio_output=1),
        Special(image_output=1),
        Special(images=1),
        Special(seconds=Decimal(1)),
        Special(characters=1),
        Special(service=("turbo",)),
        Special(unpriced=True),
    ],
)
def test_a_kind_without_a_price_makes_the_cost_unknown_and_not_cheaper(special):
    usage = Usage(1000, 100, special=special)
    assert billed(usage, PLAIN, PLAIN.flat) == (None, "unknown")
    assert at_least(usage, PLAIN.flat) == charged(PLAIN.flat, 1000, 100)


def test_a_kind_without_a_price_costs_nothing_where_nothing_does():
    assert billed(Usage(9, 9, special=Special(audio_input=5)), model(FREE), FREE) == (0, "free")


@pytest.mark.parametrize(("write", "usd"), [("1.25", "0.002"), (None, "0.0016")])
def test_a_write_for_an_hour_costs_by_the_vendors_ratio_where_its_price_is_not_given(write, usd):
    price = Price(Rates(Decimal(1), Decimal(2), cache_write=None if write is None else Decimal(write)))
    usage = Usage(1000, 0, cache_write_tokens=1000, special=Special(cache_write_1h=1000))
    assert cost(usage, model(price), NOON) == Decimal(usd)


def test_a_price_of_any_kind_makes_a_model_one_that_costs():
    assert not model(Price(rates("0", audio_output="1"))).free
    assert not model(Price(rates("0"), per_image=Decimal(1))).free
    assert not model(Price(rates("0"), tiers=(PriceTier(10, rates("1")),))).free


some_specials = st.builds(
    Special,
    cache_write_1h=tokens,
    audio_input=tokens,
    audio_output=tokens,
    image_output=tokens,
    seconds=st.decimals(0, 10_000, places=3),
    characters=tokens,
    images=st.integers(0, 10),
    service=st.sampled_from([(), ("flex",), ("us",)]),
)


@given(tokens, tokens, tokens, tokens, tokens, some_specials)
def test_no_mixture_of_kinds_costs_less_than_nothing_or_more_than_its_dearest(p, c, cached, written, thought, special):
    amount = cost(Usage(p, c, cached, written, thought, special=special), ALL_KINDS, NOON)
    pieces = special.seconds / 10_000 + Decimal(special.characters) / 100_000 + max(1, special.images) * Decimal("0.04")
    assert 0 <= amount <= (40 * p + 80 * c) * Decimal("1.1") / 1_000_000 + pieces


def test_a_reported_cost_of_nothing_is_nothing():
    assert billed(Usage(1000, 0, reported_cost=Decimal(0)), PLAIN, PLAIN.flat) == (0, "reported")


@pytest.mark.parametrize(
    ("usage", "priced", "source"),
    [
        (Usage(10, 10), PLAIN, "computed"),
        (Usage(10, 10, estimated=True), PLAIN, "estimated"),
        (Usage(10, 10), model(FREE), "free"),
        (Usage(10, 10), model(), "unknown"),
    ],
)
def test_a_cost_says_whose_word_it_is(usage, priced, source):
    assert billed(usage, priced, priced.flat)[1] == source


@given(tokens, tokens, tokens, tokens)
def test_cost_is_never_negative_and_never_above_the_dearest_rate(prompt, completion, cached, written):
    amount = cost(Usage(prompt, completion, cached_tokens=cached, cache_write_tokens=written), PLAIN, NOON)
    assert 0 <= amount <= (Decimal("1.25") * prompt + 2 * completion) / 1_000_000


@given(tokens, tokens, st.integers(0, 1000))
def test_more_tokens_never_cost_less(prompt, completion, more):
    assert cost(Usage(prompt + more, completion), PLAIN, NOON) >= cost(Usage(prompt, completion), PLAIN, NOON)


@given(some_prices, absurd, absurd, st.just(0) | absurd, st.just(0) | absurd)
def test_what_is_booked_by_whole_numbers_is_what_decimals_say(price, prompt, completion, cached, written):
    usage = Usage(prompt, completion, cached_tokens=cached, cache_write_tokens=written)
    assert charged(price, prompt, completion, cached, written) == charge(cost(usage, model(price), NOON))


@pytest.mark.parametrize(
    ("rate", "pico"),
    [("1", 1_000_000), ("0.000001", 1), ("0.0000015", None), ("-1", None), ("NaN", None), ("Infinity", None)],
)
def test_a_rate_is_whole_where_a_token_costs_a_whole_number_of_pico_dollars(rate, pico):
    assert rates(rate).pico == (None if pico is None else (pico, 0, pico, pico))


def test_a_cache_rate_of_its_own_is_one_of_the_whole_rates():
    assert PLAIN.flat.rates.pico == (1_000_000, 2_000_000, 100_000, 1_250_000)


def test_a_fraction_for_a_cache_alone_takes_the_road_of_decimals():
    price = Price(rates("1", cached_input="0.0000015"))
    assert price.rates.pico is None
    assert charged(price, 1, 0, 1) == 2


def test_no_charge_is_above_the_most_that_one_request_may_cost():
    assert charged(PLAIN.flat, 2**50, 0) == MOST_CHARGE
