"""What a model says, whichever wire it says it in: the events between upstreams and front doors.

A reply is one Start; then texts, calls and extras in the order they came; a Finish for each choice; Used where counts
are told. The reasons in Finish are OpenAI's words (`stop`, `length`, `tool_calls`, `content_filter`).
What a wire tells beyond that travels in `extra` and Extra, so that nothing is lost on the way through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from ..core.errors import CheapRouterError
from ..core.models import Json, Usage
from ..core.records import dataclass
from . import sse

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Start:
    """A reply begins. `created`: seconds since the epoch. `extra`: what else is said of the whole reply."""

    id: str = ""
    model: str = ""
    created: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer. `logprobs`: as OpenAI tells them."""

    text: str
    choice: int = 0
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the thoughts. `name`: the field that this vendor puts them in."""

    text: str
    choice: int = 0
    name: str = "reasoning_content"


@dataclass(frozen=True, slots=True)
class Thinking:
    """A whole block of thoughts with its signature, to be sent back unchanged; its text came as Reasoning before."""

    block: Json
    choice: int = 0


@dataclass(frozen=True, slots=True)
class RefusalText:
    """A piece of the words in which the model refuses."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolStart:
    """A tool is called; its arguments follow in pieces. `index`: which of the choice's calls it is."""

    index: int
    id: str
    name: str
    choice: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """A piece of a call's arguments, which are JSON once whole."""

    index: int
    text: str
    choice: int = 0


class Where(StrEnum):
    """What an Extra belongs to."""

    REPLY = "reply"
    CHOICE = "choice"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Extra:
    """Fields that have no event of their own. Texts and lists in them continue what came before."""

    where: Where
    fields: Json
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens so far; the last one holds. `told`: the counts as OpenAI's clients read them."""

    usage: Usage | None
    told: Json


@dataclass(frozen=True, slots=True)
class Finish:
    """A choice is complete."""

    reason: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The stream broke: the last event there is."""

    error: CheapRouterError


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing new, but it goes on."""


Part = Text | Reasoning | Thinking | RefusalText | ToolStart | ToolArguments
"""What a message is made of."""

WireEvent = Start | Part | Extra | Used | Finish | Failed | Ping
Piece = bytes | WireEvent
"""What a stream is made of: bytes of the front door's own wire, or events."""


CHARACTERS_OF_A_TOKEN: Final = 4
"""Of plain English, and bytes of UTF-8 of most other scripts, as far as a tokenizer is needed for neither."""


def characters(event: WireEvent) -> int:
    """Characters of text, thoughts, names and arguments in an event; bytes, where they are not ASCII."""
    if isinstance(event, Text | Reasoning | RefusalText | ToolArguments):
        return size_of(event.text)
    return len(event.name) if isinstance(event, ToolStart) else 0


def size_of(text: str) -> int:
    """How many bytes of UTF-8 a text takes: a character of Chinese is about a token, one of English a quarter."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def weight(piece: Piece) -> int:
    """About how many bytes it takes to keep."""
    if isinstance(piece, bytes):
        return len(piece)
    return 100 + characters(piece) + len(str(getattr(piece, "fields", "")))


class Trouble(StrEnum):
    """How a stream went wrong, as its reader saw it. What that means is for others to judge."""

    ERROR = "error"  # it said so: see `error`, empty where it did not say what
    BROKEN = "broken"  # an event that cannot be read: a piece of the answer is missing
    ENDLESS = "endless"  # an event that does not end, or events without end that say nothing
    EARLY = "early"  # it ended without having finished
    EMPTY = "empty"  # it finished properly, and had said nothing


MOST_BEFORE: Final = 4 << 20
"""Bytes of events that may come before the first content: comments, roles, a filter's word on the question."""

MOST_MUTE: Final = 32 << 20
"""Bytes of events in a row that tell no text, later on: one picture may be as large."""

MOST_READ: Final = 64 << 20
"""Bytes of events of one reply that have to be read one by one, as those do that are no plain text."""


class StreamReader(ABC):
    """Reads one upstream stream: `feed` what comes from the network, and `finish` once at the end.

    Both give what can go on: events, or at most one piece of bytes. `said`: some content has come. `done`: the upstream
    said that it is complete. `usage`, `finish_reason`: as far as seen. `output_characters`: of text, thoughts and calls so
    far, as bytes of UTF-8; rough where bytes were passed on unread. `pieces`: how many pieces these came in.
    """

    def __init__(self) -> None:
        self.said = self.done = False
        self.trouble: Trouble | None = None
        self.error: Json = {}
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.output_characters = self.pieces = 0
        self._mute = self._read_so_far = 0
        self._cutter = sse.EventCutter()

    @property
    def written(self) -> int:
        """Characters for an estimate where no usage comes: four make a token, and a piece is one token at least."""
        return max(self.output_characters, CHARACTERS_OF_A_TOKEN * self.pieces)

    @property
    def complete(self) -> bool:
        """Whether all of the answer has come, be the upstream's word for it missing or not."""
        return self.finish_reason is not None

    def feed(self, data: bytes) -> list[Piece]:
        """Take bytes, however they are cut."""
        try:
            whole = self._cutter.feed(data)
        except sse.EventTooLargeError:
            self.trouble = Trouble.ENDLESS
            return []
        before = self.output_characters
        made = self._take(whole)
        self._read_so_far += len(whole)
        self._mute = self._mute + len(whole) if self.output_characters == before else 0
        if self._mute > (MOST_MUTE if self.said else MOST_BEFORE) or self._read_so_far > MOST_READ:
            self.trouble = self.trouble or Trouble.ENDLESS
        return made

    @abstractmethod
    def _take(self, whole: bytes) -> list[Piece]: ...

    @abstractmethod
    def finish(self) -> list[Piece]:
        """The connection ended, or it is `done`; tells trouble where that was too early, or without any content."""
