"""Kinds of texts with a form of their own: addresses, header fields, topics, hours of the week, time zones, models."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from ..core.addresses import Network
from ..core.calendar import find_zone, parse_span, zone_name
from ..core.const import PROFILE_OWNER
from ..core.ids import LONGEST_ID, OWN_DEVICES, is_reserved
from ..core.models import Profile
from .references import Hidden
from .values import AUTO, Kind, Reader, many, name, text

_DEFAULTS: Final = "defaults"
_LONGEST_URL: Final = 2000
_ENDPOINTS: Final = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages")
_TWICE: Final = re.compile(r"(?:/v1){2,}(?=/|\Z)")
_NO_KEY: Final = re.compile(
    r"\$.*|<.*>|%.*%|[^{\n]*\{[^}\n]*\}.*|!\w+ .*|(?:env:|(?:os|process|import\.meta)\.env).*", re.IGNORECASE
)
"""What people and other programs' documentation write in a key's place."""

_key_text: Final = text()
_host_text: Final = text(longest=255, empty=True)
_file_name: Final = text()

model_id: Final = name("a model id")
_device: Final = name("a device id", longest=LONGEST_ID)


def _device_id(value: Any) -> str:
    found = str(_device(value))
    if is_reserved(found) and found not in OWN_DEVICES and found != _DEFAULTS:
        raise ValueError(f"another one: `{found}` is a name of the router's own, and no device can be called so")
    return found


device_id: Final = replace(_device, check=_device_id)
"""Whom settings are for: a device, or one of the router's own (`others`, say)."""


def of_form(allowed: str, *, store: str = "str") -> Callable[[Reader], Kind]:
    """Make a kind of a reader whose ValueErrors all mean the same."""

    def made(read: Reader) -> Kind:
        def check(value: Any) -> Any:
            try:
                return read(value)
            except ValueError:
                raise ValueError(allowed) from None

        return Kind(check, allowed, store=store)

    return made


def like(pattern: str, allowed: str, *, store: str = "str") -> Kind:
    """A text of that form, all of it."""
    form = re.compile(pattern, re.ASCII)

    @of_form(allowed, store=store)
    def check(value: Any) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError
        return value

    return check


header_name: Final = like(r"[\w!#$%&'*+.^`|~-]+", "a header name of letters, digits and dashes")
topic: Final = like(
    r"(?!.*/\Z)[^#+\x00-\x20$/][^#+\x00-\x20]{0,199}", "an MQTT topic without spaces, '#', '+' or a slash at its ends"
)
"""To build on: no wildcards, no slash at either end, not the broker's own `$`."""
topic_filter: Final = like(
    r"(?!\$)(?:[^#+/\x00-\x20]*/|\+/){0,40}(?:[^#+/\x00-\x20]{1,200}|\+|#)",
    "an MQTT topic, with `+` for one level or `/#` at its end for all below",
)

provider_name: Final = like(r"[a-z0-9_-]{1,64}", "1 to 64 small letters, digits, `_` or `-`")
"""The first part of its models' ids and of topics."""

_letters: Final = like("[A-Za-z]{3}", "a currency code of three letters such as EUR", store="match(^[A-Za-z]{3}$)")
currency: Final = replace(_letters, check=lambda value: _letters(value).upper())


def resolvable(host: str) -> bool:
    """Whether a resolver takes it: for an empty part or one of more than 63 letters it raises no OSError but UnicodeError."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


@of_form("a host's name or address; each part of a name between dots has 1 to 63 letters")
def host(value: Any) -> str:
    """What a resolver can be asked for; "" for none."""
    found = str(_host_text(value))
    if found and not resolvable(found):
        raise ValueError
    return found


def url(schemes: tuple[str, ...]) -> Kind:
    """An address with a host, without login, query or fragment (addresses are shown); a slash at the end is dropped."""

    @of_form(
        f"an address such as {schemes[0]}://host:port/path ({' or '.join(schemes)}), a login goes into `headers`",
        store="url",
    )
    def address(value: Any) -> str:
        parts = _split(value)
        if parts.scheme not in schemes or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError
        return str(value).strip().rstrip("/")

    return address


_plain_url: Final = url(("http", "https"))


@of_form(_plain_url.allowed, store="url")
def base_url(value: Any) -> str:
    """A provider's address, also where it was copied with more than belongs to it: the endpoint, `/v1` or a slash twice."""
    parts = urlsplit(str(_plain_url(value)))
    path = _without_endpoints(re.sub(r"/{2,}", "/", parts.path).rstrip("/"))
    found = parts._replace(path=_TWICE.sub("/v1", path)).geturl().rstrip("/")
    return Hidden(found) if isinstance(value, Hidden) else found


def _without_endpoints(path: str) -> str:
    while True:
        found = "/models" if path.endswith("/v1/models") else next(filter(path.endswith, _ENDPOINTS), "")
        if not found:
            return path
        path = path.removesuffix(found)


@of_form("a key as the provider gave it (${NAME} for an environment variable's, !secret NAME for one of secrets.yaml)")
def api_key(value: Any) -> str:
    """A key, and nothing that only stands for one: whoever forgot to put it in would send that."""
    found = str(_key_text(value))
    if _NO_KEY.fullmatch(found):
        raise ValueError
    return found


def _split(value: Any) -> SplitResult:
    """The parts of an address with a host. Raises ValueError."""
    if not isinstance(value, str) or len(value) > _LONGEST_URL or re.search(r"[\s\x00-\x1f]", value.strip()):
        raise ValueError
    parts = urlsplit(value.strip())
    _ = parts.port  # raises for one that is none
    if not parts.hostname or not resolvable(parts.hostname):
        raise ValueError
    return parts


@of_form("an address such as mqtt://user:password@host:1883 (mqtt or mqtts)")
def broker(value: Any) -> dict[str, Any]:
    """`mqtt://user:password@host:port`, or `mqtts://`, taken apart into the settings it stands for."""
    parts = _split(value)
    if parts.scheme not in ("mqtt", "mqtts") or parts.path.strip("/"):
        raise ValueError
    tls = parts.scheme == "mqtts"
    found: dict[str, Any] = {"host": parts.hostname, "port": parts.port or (8883 if tls else 1883), "tls": tls}
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password is not None:
        found["password"] = unquote(parts.password)
    return found


@of_form("an address such as http://user:password@host:port (http only)")
def proxy(value: Any) -> str:
    """Where a proxy listens, and how it knows us."""
    parts = _split(value)
    if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment or not parts.netloc.isascii():
        raise ValueError
    return str(value).strip().rstrip("/")


@of_form("a file of certificates (PEM) that can be read")
def certificates(value: Any) -> str:
    """A file's name; it is looked into, since a provider that is not trusted is one that nobody can reach."""
    name = str(_file_name(value))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except OSError:  # ssl's own errors are among them
        raise ValueError from None
    return name


@of_form("an address such as 172.30.33.2, or a network such as 10.0.0.0/24 or fd00::/8")
def network(value: Any) -> Network:
    """A network; an address is one of its own. Not one that holds every address there is."""
    found = ip_network(value.strip()) if isinstance(value, str) else None
    if found is None or found.prefixlen == 0:
        raise ValueError
    return found


@of_form("a header value: a string on one line, Latin letters only")
def header_value(value: Any) -> str:
    """A field value as HTTP takes it: Latin-1 on one line."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or any(not 32 <= ord(c) < 256 or ord(c) == 127 for c in value):
        raise ValueError
    return value


@of_form("a span such as `mon-fri 07:00-21:30`, `sat,sun` or `22:00-06:00`")
def span(value: Any) -> str:
    """A part of the week."""
    said = value if isinstance(value, str) else ""
    parse_span(said)
    return " ".join(said.lower().split())


@of_form("a time zone such as Europe/Berlin")
def time_zone(value: Any) -> str:
    """A name of the IANA time zone database; "" is the system's."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as for any other text that is none
    return zone_name(find_zone(value)) if value else ""


@of_form("a model id, or a profile id such as blockrun/eco or blockrun/auto:7 (0 to 10)")
def target(value: Any) -> str:
    """What an alias stands for: a model id, or a profile id whose suffix, if any, is a number from 0 to 10."""
    found = str(model_id(value))
    owner, _, rest = found.partition("/")
    word, colon, suffix = rest.partition(":")
    if owner != PROFILE_OWNER or word not in {member.value for member in Profile} or not colon:
        return found
    if word != Profile.AUTO.value or not re.fullmatch(r"(10|\d)(\.\d+)?", suffix) or float(suffix) > 10:
        raise ValueError
    return found


def _auto_or_model(value: Any) -> str:
    found = str(model_id(value))
    return AUTO if found.lower() == AUTO else found


model: Final = replace(model_id, check=_auto_or_model, also=", or `auto`")
"""A model, or the word by which a device is free to choose again."""

models: Final = many(
    name("a model id, `provider/*` or a profile id"), "a list of model ids, `provider/*` or profile ids"
)
schedule: Final = many(span, "spans such as `mon-fri 07:00-21:30`, `sat,sun` or `22:00-06:00`", separators=";", none=())
"""Hours of the week; a comma separates days within a span."""
