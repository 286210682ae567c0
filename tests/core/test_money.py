from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.money import LARGEST, MOST_CHARGE, PICO, charge, from_pico, to_pico, usd_text, whole_pico

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


@given(amounts)
def test_a_whole_amount_is_whole_and_a_part_of_a_pico_dollar_is_not(amount):
    booked = charge(amount)
    assert whole_pico(amount) == (booked if amount <= from_pico(MOST_CHARGE) else None)
    assert whole_pico(amount + Decimal("1e-13")) is None


@pytest.mark.parametrize("text", ["-1", "NaN", "sNaN", "Infinity", "10000.000000000001", "1e999999"])
def test_what_cannot_be_a_charge_is_no_whole_amount(text):
    assert whole_pico(Decimal(text)) is None


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (12_000_000, "0.000012"),
        (PICO, "1"),
        (100 * PICO, "100"),
        (3 * PICO // 2, "1.5"),
    ],
)
def test_an_amount_is_written_without_an_exponent_or_needless_zeros(pico, text):
    assert usd_text(pico) == text


@given(st.integers(0, MOST_CHARGE))
def test_an_amount_in_words_is_exact(pico):
    assert to_pico(Decimal(usd_text(pico))) == pico
