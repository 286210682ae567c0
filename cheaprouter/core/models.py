"""The vocabulary: plain values that every room passes on. No I/O, no clock, no rules."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from .money import MILLION, whole_pico
from .records import dataclass

Json = dict[str, Any]
"""A decoded JSON object, as it came over the wire."""


class Capability(enum.StrEnum):
    """What a request may need of a model beyond plain text."""

    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"


class Profile(enum.StrEnum):
    """How a model is picked where the caller leaves it to the router."""

    AUTO = "auto"
    ECO = "eco"
    PREMIUM = "premium"
    FREE = "free"

    @property
    def model_id(self) -> str:
        """The id a client sends for this profile, such as `blockrun/auto`."""
        return f"blockrun/{self.value}"


class Tier(enum.StrEnum):
    """Difficulty in four words, for people and for outside evaluators."""

    SIMPLE = "SIMPLE"
    MEDIUM = "MEDIUM"
    COMPLEX = "COMPLEX"
    REASONING = "REASONING"


class Kind(enum.StrEnum):
    """What a request is about, as far as models that are equally good in general differ at it.

    `home`: switching and asking about a home's things; `tools`: other tools are offered; `long`: much has to be read.
    """

    GENERAL = "general"
    CODE = "code"
    MATHS = "maths"
    HOME = "home"
    TOOLS = "tools"
    VISION = "vision"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Special:
    """What of a usage has a price of its own, as seldom comes. Its tokens are among those of the `Usage`.

    `cache_write_1h`: written to a cache for an hour, of `cache_write_tokens`. `audio_input`, `audio_output`, `image_output`:
    tokens of sound and of pictures, of the prompt and of the completion. `seconds`: of sound that was heard, `characters`:
    spoken, `images`: drawn. `service`: words for how it was served (`flex`, `priority`, `batch`), none as usual. `fees`: USD
    that the vendor publishes for what it did beside. `unpriced`: something was used whose price nobody here knows.
    """

    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    seconds: Decimal = Decimal(0)
    characters: int = 0
    images: int = 0
    service: tuple[str, ...] = ()
    fees: Decimal = Decimal(0)
    unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `prompt_tokens` includes cached and cache-write ones, `completion_tokens` includes reasoning.

    `estimated`: counted by us, the upstream reported none. `reported_cost`: USD as the upstream billed it, where it says so.
    `special`: None for nearly all.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    reported_cost: Decimal | None = None
    special: Special | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens. None: for cached input and cache writes what input costs, for reasoning what output costs.

    None for writes that last an hour: 1.6 times what others cost, which is Anthropic's ratio (2 to 1.25 times the input), and
    nobody else has them. None for sound: unknown. Made of them: `pico`, what a token of each of the first four costs in whole
    pico-dollars; None where one of them is not whole.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    reasoning: Decimal | None = None
    pico: tuple[int, int, int, int] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Work out once what every request is charged by."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        # USD per million and pico-dollars each are a million apart.
        found = [whole_pico(rate / MILLION) for rate in (self.input, self.output, cached, written)]
        if None not in found:
            object.__setattr__(self, "pico", tuple(found))


RATES: Final = (
    "input", "output", "cached_input", "cache_write", "cache_write_1h", "audio_input", "audio_output", "reasoning",
)  # fmt: skip
"""The names of all rates by the million tokens, as settings and catalogue call them, too."""

PIECES: Final = ("per_request", "per_second", "per_character", "per_image")
"""The names of all prices by the piece (USD)."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Rates that replace the base ones once the prompt is longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    rates: Rates


SERVICES: Final = (("flex", Decimal("0.5")), ("batch", Decimal("0.5")), ("priority", Decimal(2)))
"""What other ways of being served cost where nobody says otherwise, times the usual: OpenAI's, for most of its models."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, since when, and who says so.

    `valid_from`: the first moment (UTC) it holds; None: always. `daily`: (start, end) minutes of the UTC day in which it
    holds, for providers that charge by the hour; None: all day. `per_second`: USD for a second of sound, `per_character` of
    text to speak, `per_image` drawn; None: unknown. `services`: what other ways of being served cost, as a multiple of the
    tokens' price. Made of them: `nothing`: no request costs anything; `reasons`: reasoning has a rate of its own.
    """

    rates: Rates
    tiers: tuple[PriceTier, ...] = ()
    valid_from: datetime | None = None
    daily: tuple[int, int] | None = None
    per_request: Decimal = Decimal(0)
    source: str = ""
    per_second: Decimal | None = None
    per_character: Decimal | None = None
    per_image: Decimal | None = None
    services: tuple[tuple[str, Decimal], ...] = SERVICES
    nothing: bool = field(init=False, repr=False, compare=False, default=False)
    reasons: bool = field(init=False, repr=False, compare=False, default=False)
    pico_request: int | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Work out once what every request is charged by: `per_request` in pico-dollars, None where it is not whole."""
        rates = (self.rates, *(tier.rates for tier in self.tiers))
        amounts = [getattr(each, name) for each in rates for name in RATES]
        amounts += [getattr(self, name) for name in PIECES]
        object.__setattr__(self, "nothing", not any(amounts))
        object.__setattr__(self, "reasons", any(each.reasoning is not None for each in rates))
        object.__setattr__(self, "pico_request", whole_pico(self.per_request))


FREE: Final = Price(Rates(Decimal(0), Decimal(0)), source="free")


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a model's answers are, 0..100, and where the figure is from.

    `source`: a benchmark with its date, `configured`, `estimated` (by price and family) or `unknown`.
    """

    value: float
    source: str = "unknown"


@dataclass(frozen=True, slots=True)
class Model:
    """One routable model of one provider.

    `id` is what clients name (`provider/model`), `upstream` what the provider is sent. `prices`: all known, dated and
    conditional, none for an unknown price. `context` and `max_output` in tokens, None where unknown. `local`: runs in the
    home, costs nothing, needs no internet. `kind`: what it is asked for. `lacks`: abilities that its server refused it.
    `think_tags`: its answers may begin with thoughts between tags such as `<think>`. `abilities`: how good it is at kinds of requests
    of which that is known. Made of the prices: `priced`: its cost is
    known, zero
    included; `free`: it is known to cost nothing, whatever is asked; `flat`: the only price, where it holds at any time.
    """

    id: str
    provider: str
    upstream: str
    prices: tuple[Price, ...] = ()
    context: int | None = None
    max_output: int | None = None
    quality: Quality = Quality(0.0)
    capabilities: frozenset[Capability] = frozenset()
    local: bool = False
    hidden: bool = False
    family: str = ""
    kind: str = "chat"
    lacks: frozenset[Capability] = frozenset()
    think_tags: bool = False
    abilities: tuple[tuple[Kind, Quality], ...] = ()
    priced: bool = field(init=False, default=False)
    free: bool = field(init=False, default=False)
    flat: Price | None = field(init=False, default=None)

    def quality_at(self, kind: Kind) -> Quality:
        """How good it is at a kind of request: as measured, or as in general where that is all that is known."""
        return next((known for one, known in self.abilities if one is kind), self.quality)

    def __post_init__(self) -> None:
        """Work out once what every request asks for."""
        free = all(price.nothing for price in self.prices)
        first = self.prices[0] if len(self.prices) == 1 else None
        always = first is not None and first.valid_from is None and first.daily is None
        object.__setattr__(self, "priced", bool(self.prices))
        object.__setattr__(self, "free", self.priced and free)
        object.__setattr__(self, "flat", first if always else None)


class KeyKind(enum.StrEnum):
    """How a caller proved who it is."""

    NONE = "none"
    DEVICE = "device"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a device's normalised id, how it was known, and what that allows.

    `key`: the proof given, `key_id` which one. `source`: `key`, `header`, `client`, `address` or `mqtt`. `sub_identity`: a
    user behind the device (Open WebUI's, say).
    """

    device_id: str
    key: KeyKind = KeyKind.NONE
    source: str = "address"
    sub_identity: str = ""
    key_id: str = ""

    @property
    def admin(self) -> bool:
        """Whether it may change settings."""
        return self.key is KeyKind.ADMIN


class Operation(Protocol):
    """What the gateway serves, whatever door it came in by: a checked request, as far as letting in, choosing, sending and booking it need to know.

    `kind`: which kind of models can serve it (`chat`, …). `model`: as asked for. `body`: what is asked; nobody changes it in
    place. `stream`: the answer is wanted in pieces, in the door's `wire`: `openai_chat` (bytes) or `events` (canonical ones).
    `include_usage`: the client wants to be told the usage at a stream's end. `max_tokens`: the client's ceiling on one
    reply; `n`: how many replies. `marked`: some of `body` carries `cache_control`. `size`: bytes that it came in, where there
    were many, else 0.
    """

    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def body(self) -> Json: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def n(self) -> int: ...
    @property
    def wire(self) -> str: ...
    @property
    def marked(self) -> bool: ...
    @property
    def size(self) -> int: ...
    def capped(self, most: int) -> Operation:
        """The same, each of whose replies may have at most so many tokens."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A model that a request cannot or may not use, and why, in words."""

    model_id: str
    reason: str


@dataclass(slots=True)
class Difficulty:
    """How hard a request is: the calibrated probability (0..1) that a small model fails. Nobody changes one.

    `contributions`: what it is made of, empty where nobody asked for that. `gain`: by how much a large model is likelier
    (0..1) to do it than a small one, by which models are chosen. `kind`: what it is about. `stakes`: what a wrong answer would hurt, mostly nothing (""). `row`: what a home may learn by:
    the ask's counts, named and in the order of the model's `trained.counts`, logarithms of numbers and shares for the most
    part, empty where nothing is asked; `DifficultyModel.vector` brings them to one scale.
    """

    score: float
    tier: Tier
    contributions: Mapping[str, float] = field(default_factory=dict)
    gain: float = 0.0
    kind: Kind = Kind.GENERAL
    row: Sequence[float] = ()
    stakes: str = ""

    @property
    def fail(self) -> float:
        """The score: the probability that a small model fails, by which tiers are made."""
        return self.score


@dataclass(slots=True, eq=False)
class RouteDecision:
    """Which model answers, which ones stand in, and why. Nobody changes one.

    `stand_ins`: the models that stand in, or what works them out once somebody asks. `reason`: one sentence, ASCII. `named`:
    the caller asked for this model itself. `difficulty`: None where it was not worked out, since it would have changed
    nothing; `score_later` then works it out. `prompt_tokens` and `expected_output` are estimates, by which the request is
    reserved; `estimated_prompt`: the prompt before it was corrected by what this model's upstream counted so far.
    `conversation_key`: None where conversations are not followed. `affinity`: a number that requests have in common whose
    prompts begin alike, so that they go by the same of several keys, whose account has that beginning in its cache; None for
    prompts too short to be kept there. `came_back`: what says that the answer before this request was no good, in words;
    `rejected`: the model that gave it, where that is known.
    """

    model: Model
    stand_ins: tuple[Model, ...] | Callable[[], tuple[Model, ...]]
    reason: str
    profile: Profile | None = None
    named: bool = False
    difficulty: Difficulty | None = None
    prompt_tokens: int = 0
    estimated_prompt: int = 0
    expected_output: int = 0
    conversation_key: int | None = None
    affinity: int | None = None
    came_back: str = ""
    rejected: str = ""
    score_later: Callable[[], Difficulty] | None = None

    @property
    def fallbacks(self) -> tuple[Model, ...]:
        """The models that stand in, in the order they are tried. As things were when the decision was made."""
        if not isinstance(self.stand_ins, tuple):
            self.stand_ins = self.stand_ins()
        return self.stand_ins

    @property
    def chain(self) -> tuple[Model, ...]:
        """The model and its stand-ins, in the order they are tried."""
        return (self.model, *self.fallbacks)


@dataclass(slots=True)
class Attempt:
    """One try at one model: what came of it. `outcome`: `ok`, or the error's code."""

    model_id: str
    provider: str
    outcome: str
    status: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One finished or refused request, as it is booked and kept. Never any text of it.

    `timestamp` UTC, aware. `latency_ms` from first byte in to last byte out; `first_token_ms` None where nothing came.
    `status`: the HTTP code. `error`: an error code, None on success. `cost`: USD, None where unknown. `baseline_cost`: USD
    of the same usage on the named baseline model. `cost_source`: `reported`, `computed`, `estimated`, `free`, `unknown`,
    `cache`, or `disputed`: what was reported cannot be, and `usage.reported_cost` still tells it.
    """

    id: str
    timestamp: datetime
    device_id: str
    requested_model: str
    model_id: str | None
    provider: str | None
    usage: Usage
    status: int
    latency_ms: float
    stream: bool = False
    first_token_ms: float | None = None
    error: str | None = None
    cost: Decimal | None = Decimal(0)
    cost_source: str = "computed"
    baseline_cost: Decimal | None = None
    attempts: int = 1
    profile: str | None = None
    reason: str = ""
    tier: str | None = None
    score: float | None = None
    cached: bool = False
    via: str = "http"
    sub_identity: str = ""

    @property
    def saved(self) -> Decimal | None:
        """USD less than the baseline model would have cost; None where either is unknown."""
        if self.cost is None or self.baseline_cost is None:
            return None
        return self.baseline_cost - self.cost
