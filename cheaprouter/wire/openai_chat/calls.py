"""Tool calls as OpenAI tells them, whatever the upstream makes of them: one place, id and name each, and arguments that are text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .shapes import BrokenError

MOST_CALLS: Final = 1024
"""Calls of one choice: eight times what OpenAI takes as tools. An upstream that makes more is out of its mind."""

_MARK: Final = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_NOTHING: Final = ("", "{}", "null")
"""Arguments that say nothing. Some send such before the real ones: they are told at the end, if none came."""

_TEXTS: Final = {"function": "arguments", "custom": "input"}
"""What a call's own object is called, and the text in it that comes in pieces."""


def new_id() -> str:
    """An id for a call that came without one."""
    return f"call_{secrets.token_hex(12)}"


_MOST_LOOKED_AT: Final = 64 * 1024
"""Characters of arguments in which it is looked for their end, where somebody asks. Longer ones have ended if another call begins."""


class _Whole:
    """Whether pieces of JSON are a whole value yet. Each piece is looked at once, if anybody asks: hardly anybody does."""

    __slots__ = ("_depth", "_escaped", "_quoted", "_size", "_waiting", "begun")

    def __init__(self) -> None:
        self._depth = self._size = 0
        self._waiting: list[str] = []
        self._quoted = self._escaped = self.begun = False

    def add(self, text: str) -> None:
        self._size += len(text)
        if self._size <= _MOST_LOOKED_AT:
            self._waiting.append(text)

    def _look(self, text: str) -> None:
        if self._escaped and text:
            text, self._escaped = text[1:], False
        for match in _MARK.finditer(text):
            mark = match[0]
            if self._quoted:
                self._escaped = mark == "\\"  # its other half comes with the next piece
                self._quoted = mark != '"'
            elif mark == '"':
                self._quoted = True
            else:
                self._depth += 1 if mark in "{[" else -1
            self.begun = True

    def __bool__(self) -> bool:
        if self._size > _MOST_LOOKED_AT:
            return True
        waiting, self._waiting = self._waiting, []
        self._look("".join(waiting))
        return self.begun and self._depth <= 0 and not self._quoted


class _Call:
    """One call as far as it was told. `place`: the upstream's index, `given`: its id, where it told them."""

    __slots__ = ("body", "extra", "given", "index", "name", "place", "said", "waiting", "whole")

    def __init__(self, index: int, given: str, place: int | None, body: str) -> None:
        self.index, self.given, self.place, self.body = index, given, place, body
        self.name = ""
        self.extra: Json = {}
        self.said = self.waiting = False
        self.whole = _Whole()

    def add(self, text: str) -> str:
        """What of a piece of the arguments is to be told now."""
        if not self.said and self.body == "function" and text.strip() in _NOTHING:
            self.waiting = self.waiting or bool(text.strip())
            return ""
        self.said = self.said or bool(text)
        self.whole.add(text)
        return text


class Calls:
    """The calls of one choice. `make_id`: ids for those that have none."""

    def __init__(self, make_id: Callable[[], str] = new_id) -> None:
        self._all: list[_Call] = []
        self._ids: dict[str, _Call] = {}
        self._places: dict[int, _Call] = {}
        self._make_id = make_id

    def __bool__(self) -> bool:
        return bool(self._all)

    def take(self, entries: Any) -> list[Json]:
        """A delta's entries as they should be: a new id is a new call; no id and no index goes on with the last.

        Raises BrokenError.
        """
        told: list[Json] = []
        begun: set[int] = set()
        for piece in _pieces(entries):
            call = self._goes_on(piece, begun)
            if call is None:
                call = self._begin(piece)
                told.append(self._header(call, piece))
            else:
                told.append(self._more(call, piece))
            begun.add(call.index)
        return told

    def whole(self, entries: Any) -> list[Json]:
        """The calls of a whole message, each of them an entry, and without places. Raises BrokenError."""
        told = [self._header(self._begin(piece), piece) for piece in _pieces(entries)]
        for ending in self.endings():
            told[ending["index"]]["function"]["arguments"] = "{}"
        for call in told:
            del call["index"]
        return told

    def endings(self) -> list[Json]:
        """Arguments for the calls that have none: clients read them as JSON."""
        silent = [call for call in self._all if not call.said and call.body == "function"]
        for call in silent:
            call.said = True
        return [{"index": call.index, "function": {"arguments": "{}"}} for call in silent]

    def _goes_on(self, piece: _Piece, begun: set[int]) -> _Call | None:
        """The call that a piece belongs to; None where it begins one."""
        call = self._ids.get(piece.id)
        if piece.id and call is None:  # a new id; but for a call that began without any
            call = None if piece.place is None else self._places.get(piece.place)
            if call is None or call.given or (piece.name and call.name):
                return None
            return call
        if call is None:
            call = (self._all[-1] if self._all else None) if piece.place is None else self._places.get(piece.place)
        return None if call is None or self._repeats(call, piece, begun) else call

    @staticmethod
    def _repeats(call: _Call, piece: _Piece, begun: set[int]) -> bool:
        """Whether a piece with a name begins another call that has the same id or place."""
        if not piece.name or not call.name:
            return False
        if piece.name != call.name or (piece.place is not None and call.place not in (None, piece.place)):
            return True
        done = bool(call.whole) or (call.waiting and not call.said)
        return (done and bool(piece.text.strip())) or (call.index in begun and not piece.id and piece.place is None)

    def _begin(self, piece: _Piece) -> _Call:
        if len(self._all) >= MOST_CALLS:
            raise BrokenError
        call = _Call(len(self._all), piece.id, piece.place, piece.body)
        self._all.append(call)
        if piece.id:
            self._ids.setdefault(piece.id, call)
            if self._ids[piece.id] is not call:  # another's already
                self._ids[piece.id], call.given = call, ""
        if piece.place is not None:
            self._places[piece.place] = call
        return call

    def _header(self, call: _Call, piece: _Piece) -> Json:
        call.name, call.extra = piece.name, piece.rest
        text = _TEXTS[call.body]
        own = {**piece.own, "name": piece.name, text: call.add(piece.text)}
        return {
            "index": call.index,
            "id": call.given or self._make_id(),
            "type": piece.kind or call.body,
            call.body: own,
            **piece.rest,
        }

    @staticmethod
    def _more(call: _Call, piece: _Piece) -> Json:
        own: Json = {**piece.own, _TEXTS[call.body]: call.add(piece.text)}
        if piece.name and not call.name:
            call.name = own["name"] = piece.name
        rest = {name: value for name, value in piece.rest.items() if call.extra.get(name) != value}
        call.extra = {**call.extra, **rest} if rest else call.extra
        return {"index": call.index, call.body: own, **rest}


class _Piece:
    """An entry of a delta's calls, taken apart. `own`, `rest`: fields of its object and of itself that nobody here knows."""

    __slots__ = ("body", "id", "kind", "name", "own", "place", "rest", "text")

    def __init__(self, entry: Json) -> None:
        self.body = "custom" if isinstance(entry.get("custom"), dict) else "function"
        own = entry.get(self.body)
        bare = not isinstance(own, dict) and ("name" in entry or "arguments" in entry)
        named = {"name": entry.get("name"), "arguments": entry.get("arguments")} if bare else own
        own = {n: v for n, v in named.items() if v is not None} if isinstance(named, dict) else {}
        self.id, self.place = _word(entry.get("id")), _place(entry.get("index"))
        self.kind, self.name = _word(entry.get("type")), _word(own.pop("name", None))
        self.text = _text(own.pop(_TEXTS[self.body], None))
        self.own = own
        known = {"id", "index", "type", self.body, *(("name", "arguments") if bare else ())}
        self.rest = {n: v for n, v in entry.items() if n not in known and v is not None}


def _pieces(entries: Any) -> Iterator[_Piece]:
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict):
            yield _Piece(entry)
        elif entry is not None:
            raise BrokenError


def _word(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _place(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(arguments: Any) -> str:
    """Arguments are text; some send the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
