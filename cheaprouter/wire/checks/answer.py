"""A whole answer, or its beginning, looked at: all its choices, by all that can be said of it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Final

from ...core.models import Json
from ...core.records import dataclass
from .. import events as ev
from .fault import Fault, Kind
from .schema import Steps
from .texts import wrong_format, wrong_text
from .tool_calls import Call, no_call, written_call, wrong_call

MOST_HELD: Final = 512 * 1024
"""Characters of an answer that are put together."""


@dataclass(slots=True)
class _Part:
    """A call that is being told."""

    name: str
    custom: bool
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Choice:
    """One choice of an answer as far as it has come. `finish`: why it ended, None where it has not."""

    texts: list[str] = field(default_factory=list)
    calls: dict[int, _Part] = field(default_factory=dict)
    thoughts: bool = False
    refused: bool = False
    other: bool = False
    finish: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Answer:
    """Put together from events. `size`: characters so far."""

    def __init__(self) -> None:
        self.choices: dict[int, Choice] = {}
        self.size = 0

    def add(self, events: Iterable[ev.WireEvent]) -> None:
        for event in events:
            if isinstance(event, ev.Part | ev.Finish | ev.Extra):
                self._add(self.choices.setdefault(event.choice, Choice()), event)

    def _add(self, choice: Choice, event: ev.Part | ev.Finish | ev.Extra) -> None:
        match event:
            case ev.Text():
                choice.texts.append(event.text)
                self.size += len(event.text)
            case ev.ToolStart():
                custom = event.extra.get("custom")
                name = str(custom.get("name", "")) if isinstance(custom, dict) else event.name
                choice.calls[event.index] = _Part(name, isinstance(custom, dict))
            case ev.ToolArguments():
                choice.calls.setdefault(event.index, _Part("", custom=False)).texts.append(event.text)
                self.size += len(event.text)
            case ev.Finish():
                choice.finish = event.reason
            case ev.RefusalText():
                choice.refused = choice.refused or bool(event.text.strip())
            case ev.Reasoning() | ev.Thinking():
                choice.thoughts = True
            case ev.Extra():
                choice.other = choice.other or bool(_SHOWN & event.fields.keys())

    @property
    def speaks(self) -> bool:
        """Whether it holds something that a user sees or hears, other than a call."""
        return any(one.thoughts or one.refused or one.other or one.text.strip() for one in self.choices.values())

    @property
    def calls(self) -> bool:
        return any(one.calls for one in self.choices.values())


_MOST_CHOICES: Final = 16
"""Choices of an answer that are looked at."""

_SHOWN: Final = frozenset({"audio", "images", "function_call"})


def of_reply(reply: Json) -> Answer:
    """A whole reply in OpenAI's words. As calls were before there were tools, they count too."""
    answer = Answer()
    told = reply.get("choices")
    for place, each in enumerate(told if isinstance(told, list) else ()):
        message = each.get("message") if isinstance(each, dict) else None
        if not isinstance(message, dict):
            continue
        choice = answer.choices[place] = Choice()
        choice.finish = each.get("finish_reason")
        if isinstance(text := message.get("content"), str):
            choice.texts.append(text)
        choice.refused = bool(message.get("refusal"))
        choice.other = any(message.get(name) for name in ("audio", "images"))
        calls = message.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        older = message.get("function_call")
        for number, call in enumerate([*calls, *([{"function": older}] if isinstance(older, dict) else [])]):
            choice.calls[number] = _part(call)
    return answer


def _part(call: Any) -> _Part:
    kind = "custom" if isinstance(call, dict) and isinstance(call.get("custom"), dict) else "function"
    own = call.get(kind) if isinstance(call, dict) else None
    own = own if isinstance(own, dict) else {}
    name, text = own.get("name"), own.get("arguments")
    return _Part(name if isinstance(name, str) else "", kind == "custom", [text] if isinstance(text, str) else [])


def wrong(answer: Answer, body: Mapping[str, Any], *, texts: bool, whole: bool, ceiling: bool) -> Fault | None:
    """What is wrong with an answer; None where nothing is, as far as can be seen.

    `body`: the request. `texts`: what is written is looked at, too. `whole`: nothing of it is still to come. `ceiling`: the
    client has set one to its length, so that to be cut short is no fault of it.
    """
    steps = Steps()
    for choice in [*answer.choices.values()][:_MOST_CHOICES]:
        if (found := _wrong(choice, body, steps, texts=texts, whole=whole, ceiling=ceiling)) is not None:
            return found
    return None


def _wrong(
    choice: Choice, body: Mapping[str, Any], steps: Steps, *, texts: bool, whole: bool, ceiling: bool
) -> Fault | None:
    if choice.finish == "content_filter" or choice.other:
        return None
    ended = not (choice.finish == "length" and ceiling)
    if choice.calls:
        calls = [Call(part.name, "".join(part.texts), part.custom) for part in choice.calls.values()]
        return wrong_call(calls, body, whole=ended and (whole or choice.finish is not None), steps=steps)
    return _wrong_words(choice, body, texts=texts, whole=whole and ended)


def _wrong_words(choice: Choice, body: Mapping[str, Any], *, texts: bool, whole: bool) -> Fault | None:
    """The same of a choice that calls nothing."""
    text = choice.text
    found = None
    if whole and not choice.refused:
        found = no_call(body) or written_call(text, body) or wrong_format(text, body)
    elif texts and not whole:
        found = written_call(text, body) or wrong_format(text, body, whole=False)
    if found is not None or not texts:
        return found
    if choice.refused:
        return Fault(Kind.REFUSAL, "the answer is a refusal")
    if whole and choice.finish == "length":
        return Fault(Kind.CUT, "the answer was cut short by the model's own ceiling")
    return wrong_text(text, body)
