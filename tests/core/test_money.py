from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.money import LARGEST, MOST_CHARGE, charge, from_pico, to_pico

amounts = st.decimals(min_value=0, max_value=1_000_000, allow_nan=False, allow_infinity=False, places=12)


@given(amounts)
def test_an_amount_of_twelve_places_survives_the_books(amount):
    assert from_pico(to_pico(amount)) == amount


@given(st.lists(amounts, max_size=50))
def test_sums_of_pico_dollars_are_sums_of_dollars(found):
    assert from_pico(sum(map(to_pico, found))) == sum(found, Decimal(0))


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_gives_a_64_bit_integer(amount):
    assert -(2**63) <= to_pico(amount) < 2**63


@pytest.mark.parametrize("text", ["0E+50", "-0E+99", "sNaN", "NaN"])
def test_nothing_is_nothing_however_it_is_written(text):
    assert to_pico(Decimal(text)) == charge(Decimal(text)) == 0


def test_a_token_of_the_cheapest_model_is_not_lost():
    assert to_pico(Decimal("0.01") / 1_000_000) == 10_000


@pytest.mark.parametrize(
    ("text", "pico"), [("0.0000000000005", 0), ("0.0000000000015", 2), ("1E-30", 0), ("-0.5", -(10**12) // 2)]
)
def test_halves_are_rounded_to_even(text, pico):
    assert to_pico(Decimal(text)) == pico


def test_an_absurd_amount_is_cut():
    assert to_pico(Decimal("1e40")) == LARGEST
    assert to_pico(Decimal("Infinity")) == LARGEST
    assert to_pico(Decimal("NaN")) == 0


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_no_report_of_a_provider_makes_a_charge_negative_or_absurd(amount):
    assert 0 <= charge(amount) <= MOST_CHARGE
