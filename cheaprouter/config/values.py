"""Readers of single values. Each takes what a file or a variable held and raises ValueError saying what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..core.const import PROFILE_OWNER
from ..core.models import Profile

Reader = Callable[[Any], Any]
_E = TypeVar("_E", bound=StrEnum)

_DAY: Final = r"(?:mon|tue|wed|thu|fri|sat|sun)"
_DAYS: Final = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*"
_TIME: Final = r"(?:(?:[01]?\d|2[0-3]):[0-5]\d|24:00)"
_SPAN: Final = re.compile(rf"(?:{_DAYS}\s+)?{_TIME}-{_TIME}|{_DAYS}", re.IGNORECASE)
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_MAX_NAME: Final = 200


def flag(value: Any) -> bool:
    """True or false, nothing else."""
    if value is True or value is False:
        return value
    raise ValueError("true or false")


def text(*, longest: int = 1000, empty: bool = False) -> Reader:
    """A string without control characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest or (not empty and not value.strip()):
            raise ValueError(f"a string of {0 if empty else 1} to {longest} characters")
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ValueError("a string without control characters or line breaks")
        return value.strip()

    return read


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(least: int, most: int | None = None) -> Reader:
    """An integer within bounds; 60.0 counts."""
    allowed = f"a whole number from {least} to {most}" if most is not None else f"a whole number, {least} or more"

    def read(value: Any) -> int:
        if not _numeric(value) or value != value // 1 or value < least or (most is not None and value > most):
            raise ValueError(allowed)
        return int(value)

    return read


def number(least: float, most: float | None = None, *, unit: str = "") -> Reader:
    """A finite number within bounds."""
    unit = f" of {unit}" if unit else ""
    allowed = f"a number{unit} from {least:g} to {most:g}" if most is not None else f"a number{unit}, {least:g} or more"

    def read(value: Any) -> float:
        if not _numeric(value) or not least <= value < float("inf") or (most is not None and value > most):
            raise ValueError(allowed)
        return float(value)

    return read


def money(*, zero: bool = True, what: str = "an amount in USD") -> Reader:
    """An exact decimal from a number or a string such as "0.10"; never through binary fractions."""
    allowed = f"{what}: a number or a quoted number, {'0 or more' if zero else 'above 0'}"

    def read(value: Any) -> Decimal:
        try:
            amount = Decimal("nan" if isinstance(value, bool) else str(value).strip())
        except InvalidOperation:
            raise ValueError(allowed) from None
        if not amount.is_finite() or amount < 0 or (not zero and not amount) or amount > Decimal(10) ** 9:
            raise ValueError(allowed)
        return amount

    return read


def choice(kind: type[_E], *, prefix: str = "") -> Reader:
    """One of an enumeration's values; `prefix` may stand before it."""
    allowed = "one of " + ", ".join(member.value for member in kind)

    def read(value: Any) -> _E:
        try:
            return kind(value.removeprefix(prefix) if isinstance(value, str) else value)
        except ValueError:
            raise ValueError(allowed) from None

    return read


profile: Final = choice(Profile, prefix="blockrun/")


def one_of(names: Iterable[str]) -> Reader:
    """One of some words, upper case forgiven."""
    known = tuple(names)

    def read(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in known:
            raise ValueError("one of " + ", ".join(known))
        return value.lower()

    return read


def url(schemes: tuple[str, ...]) -> Reader:
    """An address with a host, without login, query or fragment (addresses are shown); a slash at the end is dropped."""
    allowed = f"an address such as {schemes[0]}://host:port/path ({' or '.join(schemes)}), a login goes into `headers`"

    def read(value: Any) -> str:
        parts = _split(value)
        if parts is None or parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(allowed)
        if "@" in parts.netloc:
            raise ValueError(allowed)
        return str(value).strip().rstrip("/")

    return read


def _split(value: Any) -> SplitResult | None:
    if not isinstance(value, str) or any(c.isspace() or ord(c) < 32 for c in value.strip()):
        return None
    try:
        parts = urlsplit(value.strip())
        _ = parts.port
    except ValueError:
        return None
    return parts


def broker(value: Any) -> dict[str, Any]:
    """`mqtt://user:password@host:port`, or `mqtts://`, taken apart into the settings it stands for."""
    parts = _split(value)
    if parts is None or parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/"):
        raise ValueError("an address such as mqtt://user:password@host:1883 (mqtt or mqtts)")
    tls = parts.scheme == "mqtts"
    found: dict[str, Any] = {"host": parts.hostname, "port": parts.port or (8883 if tls else 1883), "tls": tls}
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password is not None:
        found["password"] = unquote(parts.password)
    return found


def header_name(value: Any) -> str:
    """A field name as HTTP takes it."""
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise ValueError("a header name of letters, digits and dashes")
    return value


def header_value(value: Any) -> str:
    """A field value as HTTP takes it: Latin-1 on one line."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or any(not 32 <= ord(c) < 256 or ord(c) == 127 for c in value):
        raise ValueError("a header value: a string on one line, Latin letters only")
    return value


def span(value: Any) -> str:
    """A part of the week, such as `mon-fri 07:00-21:30`, `sat,sun` or `22:00-06:00`."""
    if not isinstance(value, str) or not _SPAN.fullmatch(value.strip()):
        raise ValueError("a span such as 'mon-fri 07:00-21:30', 'sat,sun' or '22:00-06:00'")
    return " ".join(value.lower().split())


def time_zone(value: Any) -> str:
    """A name of the IANA time zone database; "" is the system's."""
    if value == "":
        return ""
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError):
        raise ValueError("a time zone such as Europe/Berlin") from None


def currency(value: Any) -> str:
    """Three letters of ISO 4217."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]{3}", value):
        raise ValueError("a currency code of three letters such as EUR")
    return value.upper()


def topic(value: Any) -> str:
    """An MQTT topic to build on: no wildcards, no slash at either end, not the broker's own `$`."""
    if (
        not isinstance(value, str)
        or not re.fullmatch(r"[^#+\x00-\x20$/][^#+\x00-\x20]{0,199}", value)
        or value[-1] == "/"
    ):
        raise ValueError("an MQTT topic without spaces, '#', '+' or a slash at its ends")
    return value


def name(what: str, *, longest: int = _MAX_NAME) -> Reader:
    """A printable name; a bare number in a file counts as its digits."""

    def read(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
            raise ValueError(f"{what}: 1 to {longest} printable characters")
        return value.strip()

    return read


def target(value: Any) -> str:
    """What an alias stands for: a model id, or a profile id whose suffix, if any, is a number from 0 to 10."""
    found = str(name("a model or profile id")(value))
    owner, _, rest = found.partition("/")
    word, colon, suffix = rest.partition(":")
    if owner != PROFILE_OWNER or word not in {member.value for member in Profile} or not colon:
        return found
    if word != Profile.AUTO.value or not re.fullmatch(r"(10|\d)(\.\d+)?", suffix) or float(suffix) > 10:
        raise ValueError("a model id, or a profile id such as blockrun/eco or blockrun/auto:7 (0 to 10)")
    return found
