"""Money in the books: whole pico-dollars (1e-12 USD), so that sums are exact and fit SQLite's 64-bit integers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

PICO: Final = 1_000_000_000_000
"""Pico-dollars in a dollar. A token of the cheapest model costs tens of thousands of them."""

LARGEST: Final = 2**62
"""Most that one amount may be, about 4.6 million USD: more is a mistake of the sender, and sums must not overflow."""

MOST_CHARGE: Final = 10_000 * PICO
"""Most that one request is booked at, 10,000 USD: a provider that reports more is wrong, and must not spoil all sums."""

MILLION: Final = Decimal(1_000_000)
"""Tokens that a rate is for."""

_EXPONENT: Final = 12
_PICO: Final = Decimal(PICO)
_MOST_CHARGE: Final = Decimal(MOST_CHARGE) / _PICO


def to_pico(amount: Decimal) -> int:
    """USD as whole pico-dollars, rounded half to even; amounts beyond `LARGEST`, infinite ones included, are cut to it."""
    if not amount or amount.is_nan():
        return 0
    if amount.adjusted() <= _EXPONENT and amount.is_finite():
        pico = int((amount * _PICO).to_integral_value(ROUND_HALF_EVEN))
        if -LARGEST <= pico <= LARGEST:
            return pico
    return LARGEST if amount > 0 else -LARGEST


def charge(amount: Decimal) -> int:
    """What one request cost, as pico-dollars: never less than nothing, nor more than `MOST_CHARGE`, whatever was reported."""
    if not amount or amount.is_nan() or amount.is_signed():
        return 0
    if amount >= _MOST_CHARGE:
        return MOST_CHARGE
    return int((amount * _PICO).to_integral_value(ROUND_HALF_EVEN))


def whole_pico(amount: Decimal) -> int | None:
    """The same as `charge`, of an amount that is a whole number of pico-dollars, and no larger; None of any other."""
    if not (amount.is_finite() and 0 <= amount <= _MOST_CHARGE):
        return None
    pico = charge(amount)
    return pico if from_pico(pico) == amount else None


def from_pico(pico: int) -> Decimal:
    """Pico-dollars as USD, exact."""
    return Decimal(pico).scaleb(-_EXPONENT)


@lru_cache(maxsize=64)  # a request's cost is told twice, and alike ones cost the same
def usd_text(pico: int) -> str:
    """Pico-dollars (not negative) as USD, a plain decimal without an exponent: `0.000012`."""
    whole, rest = divmod(pico, PICO)
    return f"{whole}.{rest:012}".rstrip("0").rstrip(".")
