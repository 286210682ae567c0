"""One choice of a reply, put right piece by piece: its text, its thoughts, its calls, its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from ...core.models import Json
from .calls import Calls
from .chunks import answers, has_content
from .quirks import Quirks, finish_reason
from .shapes import THOUGHTS, BrokenError, spread, thoughts_of
from .think import ThinkSplitter, split_whole

_HALVED: Final = ("content", "reasoning_content")
_HALF: Final = re.compile("[\ud800-\udfff]")


class Choice:
    """As far as it came. `said`: it has any content; `finished`: why it ended, in OpenAI's words; `failed`: how it broke off.

    `think`: its text may begin with thoughts between tags. `make_id`: see `Calls`.
    """

    __slots__ = (
        "_answered",
        "_called",
        "_halves",
        "_hidden",
        "_make_id",
        "_quirks",
        "_think",
        "calls",
        "failed",
        "finished",
        "said",
    )

    def __init__(self, quirks: Quirks, make_id: Callable[[], str], *, think: bool) -> None:
        self._quirks = quirks
        self._think = ThinkSplitter() if think else None
        self._answered = self._called = self.said = False
        self._hidden: list[str] | None = [] if quirks.answer_in_reasoning else None
        self._halves: dict[str, str] | None = None  # made where they are needed, as calls are: many streams may be open
        self._make_id = make_id
        self.calls: Calls | None = None
        self.finished: str | None = None
        self.failed: Json | None = None

    @property
    def settled(self) -> bool:
        """Whether a piece that is only text needs no more looking at."""
        return self._think is None or self._think.settled

    def delta(self, delta: Json, *, whole: bool = False) -> bool:
        """Put a delta right, or a whole message; says whether anything had to change. Raises BrokenError."""
        changed = False
        content = delta.get("content")
        if content is not None and type(content) is not str:
            spread(delta)
            changed = True
        if not THOUGHTS.isdisjoint(delta):
            changed |= self._thoughts(delta)
        if self._think is not None and not self._think.settled and (content := delta.get("content")):
            _split(delta, *(split_whole(content) if whole else self._think.feed(content)))
            changed |= delta["content"] != content
        changed |= self._mend(delta)
        if calls := delta.get("tool_calls"):
            if self.calls is None:
                self.calls = Calls(self._make_id)
            told = self.calls.whole(calls) if whole else self.calls.take(calls)
            if told != calls:
                delta["tool_calls"] = told
                changed = True
        if call := delta.get("function_call"):
            changed |= self._function(call)
        if delta.get("content"):  # as most have: `answers`, without the call
            self.said = self._answered = True
        elif has_content(delta):
            self.said = True
            self._answered = self._answered or answers(delta)
        return changed

    def _thoughts(self, delta: Json) -> bool:
        """Thoughts in any field can also be read as `reasoning_content`."""
        told = delta.get("reasoning_content")
        changed = not told or type(told) is not str
        if changed:
            changed = bool(text := thoughts_of(delta)) or told is not None
            if changed:
                delta["reasoning_content"] = told = text
        if self._hidden is not None and told and not self._answered:
            self._hidden.append(told)
        return changed

    def _mend(self, delta: Json) -> bool:
        """Put together the halves of a character that came in two pieces."""
        changed = False
        for name in _HALVED:
            text = delta.get(name)
            if type(text) is not str or not text:
                continue
            if not self._halves and (text.isascii() or not _HALF.search(text)):
                continue
            halves = self._halves = self._halves or {}
            text = halves.pop(name, "") + text
            if "\ud800" <= text[-1] <= "\udbff":
                halves[name], text = text[-1], text[:-1]
            delta[name] = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            changed = True
        return changed

    def _function(self, call: Any) -> bool:
        """A call in the manner of the time before tools."""
        if not isinstance(call, dict):
            raise BrokenError
        self._called = True
        arguments = call.get("arguments")
        if arguments is None or isinstance(arguments, str):
            return False
        call["arguments"] = orjson.dumps(arguments).decode()
        return True

    def finish(self, choice: Json, delta: Json) -> bool:
        """Put the reason right and add what was held back; says whether anything had to change. A second end is none."""
        reason = choice.get("finish_reason")
        ours = finish_reason(reason, self._quirks, calls=bool(self.calls), call=self._called)
        if ours == "error":
            self.failed = {"error": choice.get("error") or {"message": f"It ended with {reason}."}}
            return False
        if self.finished is not None:
            ours = None
        choice["finish_reason"] = ours
        if ours is None:
            return reason is not None
        self.finished = ours
        return self._last(delta) or ours != reason

    def _last(self, delta: Json) -> bool:
        """What comes with the end: text that might have been a tag, arguments of calls without any, an answer among the thoughts."""
        changed = False
        if self._think is not None and any(held := self._think.rest()):
            _split(delta, held[0], (delta.get("content") or "") + held[1])
            self.said = changed = True
        if self.calls is not None and (endings := self.calls.endings()):
            changed |= _end_calls(delta, endings)
        if self._hidden and not self._answered and self.finished == "stop" and not answers(delta):
            delta["content"] = "".join(self._hidden)
            changed = True
        return changed


def _split(delta: Json, thoughts: str, answer: str) -> None:
    delta["content"] = answer
    if thoughts:
        delta["reasoning_content"] = (delta.get("reasoning_content") or "") + thoughts


def _end_calls(delta: Json, endings: list[Json]) -> bool:
    """Add the arguments of calls that had none; in the same piece where they begin in it. Says whether that is a change."""
    entries = delta.setdefault("tool_calls", [])
    here = {entry["index"]: entry for entry in entries}
    for ending in endings:
        if (entry := here.get(ending["index"])) is None:
            entries.append(ending)
        else:
            entry["function"]["arguments"] = "{}"
    return True
