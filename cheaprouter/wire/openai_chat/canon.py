"""One canonical reply, whatever the upstream sends: clients may index `choices[0].delta`, merge tool calls by `index`, trust `finish_reason`.

Chunks and whole replies are changed in place, and only where they need it: the bytes of those that do not can be passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ...core.models import Json
from ..usage import in_openai_words
from .calls import new_id
from .choices import Choice
from .quirks import Quirks
from .shapes import THOUGHTS, BrokenError

MOST_CHOICES: Final = 128
"""Of one reply: nobody may ask for more (`n`)."""

_MESSAGE: Final[Json] = {"role": "assistant", "content": None}


class Canon:
    """One reply. `think`: answers may begin with thoughts between tags. `make_id`: ids for calls without one.

    `said`: some content has come. `failed`: what is said of it where a finish_reason tells that it broke off.
    """

    def __init__(self, quirks: Quirks, *, think: bool = False, make_id: Callable[[], str] = new_id) -> None:
        self._quirks = quirks
        self._think = think
        self._make_id = make_id
        self._choices: dict[int, Choice] = {}
        self._pending: Json = {}
        self.said = False
        self.failed: Json | None = None

    @property
    def finished(self) -> bool:
        """Whether each choice that began has ended."""
        for choice in self._choices.values():  # for each event that is read: `all` takes twice as long
            if choice.finished is None:
                return False
        return bool(self._choices)

    @property
    def settled(self) -> bool:
        """Whether events that tell nothing but a piece of text need no more looking at."""
        return not self._quirks.answer_in_reasoning and all(choice.settled for choice in self._choices.values())

    def chunk(self, chunk: Json) -> bool:
        """Put a stream's chunk right; says whether anything had to change. Raises BrokenError."""
        changed = _put_choices(chunk)
        choices = chunk["choices"]
        if not choices:
            self._pending |= {n: v for n, v in chunk.items() if n not in ("choices", "usage") and v}
            return changed | _counts(chunk)
        if self._pending:
            changed |= self._add_pending(chunk)
        for place, choice in enumerate(choices):
            state, numbered = self._state(choice, place)
            delta = choice.get("delta")
            if type(delta) is not dict:
                delta = choice["delta"] = _delta(choice, delta, state)
                changed = True
            if "usage" in choice:
                changed |= _usage(choice, chunk)
            changed |= numbered | state.delta(delta)
            if choice.get("finish_reason") is not None:
                changed |= state.finish(choice, delta)
                self.failed = state.failed if self.failed is None else self.failed
            self.said = self.said or state.said
        return changed if chunk.get("usage") is None else changed | _counts(chunk)

    def whole(self, reply: Json) -> bool:
        """The same for a whole reply."""
        changed = _put_choices(reply)
        for place, choice in enumerate(reply["choices"]):
            state, numbered = self._state(choice, place)
            message = choice.get("message")
            if type(message) is not dict:
                message = choice["message"] = {**_MESSAGE, **_delta(choice, choice.pop("delta", message), state)}
                changed = True
            if message.get("role", "assistant") != "assistant":
                message["role"] = "assistant"
                changed = True
            if "usage" in choice:
                changed |= _usage(choice, reply)
            changed |= numbered | state.delta(message, whole=True)
            if choice.get("finish_reason") is not None:
                changed |= state.finish(choice, message)
            if state.finished is None and state.failed is None:  # it is whole, so it has ended
                choice["finish_reason"] = "stop"
                changed = state.finish(choice, message) or True
            self.failed = state.failed if self.failed is None else self.failed
            self.said = self.said or state.said
        return changed | _counts(reply)

    def _state(self, choice: Json, place: int) -> tuple[Choice, bool]:
        """The choice that is meant, and whether its number had to be put right."""
        index: Any = choice.get("index")
        numbered = type(index) is not int or index < 0
        if numbered:
            choice["index"] = index = place
        state = self._choices.get(index)
        if state is None:
            if len(self._choices) >= MOST_CHOICES:
                raise BrokenError
            state = self._choices[index] = Choice(self._quirks, self._make_id, think=self._think)
        return state, numbered

    def _add_pending(self, chunk: Json) -> bool:
        """What a chunk without choices told goes with the next that has some."""
        missing = {name: value for name, value in self._pending.items() if chunk.get(name) is None}
        self._pending = {}
        chunk |= missing
        return bool(missing)


def is_usual(reply: Any) -> bool:
    """Whether a whole reply is a text and nothing else, told as it should be: as most are. For others there is `Canon.whole`."""
    if type(reply) is not dict or reply.get("error") or reply.get("base_resp") or reply.get("object") == "error":
        return False
    choices = reply.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
        return False
    message = choice.get("message")
    if (
        type(message) is not dict
        or message.get("role", "assistant") != "assistant"
        or choice.get("index") != 0
        or choice.get("finish_reason") not in _PLAIN_ENDS
    ):
        return False
    text = message.get("content")
    if type(text) is not str or not text or message.get("tool_calls") or message.get("function_call"):
        return False
    if not THOUGHTS.isdisjoint(message) or "usage" in choice:
        return False
    usage = reply.get("usage")
    return usage is None or in_openai_words(usage) is usage


_PLAIN_ENDS: Final = ("stop", "length")


def _put_choices(reply: Json) -> bool:
    """See that there is a list of objects; says whether there was none. Raises BrokenError for what cannot be made one."""
    choices = reply.get("choices")
    if type(choices) is list and (
        type(choices[0]) is dict if len(choices) == 1 else all(type(choice) is dict for choice in choices)
    ):
        return False
    if isinstance(choices, dict):
        choices = [choices]
    elif choices is not None and not isinstance(choices, list):
        raise BrokenError
    reply["choices"] = kept = [choice for choice in choices or () if isinstance(choice, dict)]
    if choices and not kept:
        raise BrokenError
    return True


def _delta(choice: Json, given: Any, state: Choice) -> Json:
    """The delta of a choice that has none; a message told after its pieces, as a summary, says nothing new."""
    message, text = choice.pop("message", None), choice.pop("text", None)
    if isinstance(given, dict):
        return given
    if isinstance(given, str):
        return {"content": given}
    if given is not None or not isinstance(message, dict | None) or not isinstance(text, str | None):
        raise BrokenError
    if state.said:
        return {}
    return dict(message) if message is not None else {"content": text} if text is not None else {}


def _counts(told: Json) -> bool:
    """See that a usage has the counts that programs read; says whether it had not."""
    usage = told.get("usage")
    if usage is None or (right := in_openai_words(usage)) is usage:
        return False
    told["usage"] = right
    return True


def _usage(choice: Json, reply: Json) -> bool:
    """Usage told inside a choice belongs to the reply."""
    usage = choice.pop("usage")
    if reply.get("usage") is None:
        reply["usage"] = usage
    return True
