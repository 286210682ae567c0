"""How many steps a regular expression takes on a text: a backtracking matcher over Python's own parse of the pattern, that counts.

It goes the way `re` goes, without its shortcuts: each character that is looked at and each alternative that is tried is a step. So
the number says how the time grows, and noise does not blur it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as op
from re import _parser as parser
from typing import Any

Groups = dict[int, tuple[int, int]]


class Counter:
    """One pattern. `steps`: taken so far; more than `most` end it with OverflowError."""

    def __init__(self, pattern: re.Pattern[Any], most: int = 10_000_000) -> None:
        self.flags = pattern.flags
        self.tree = list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
        self.text_mode = isinstance(pattern.pattern, str)
        self.steps = 0
        self.most = most
        self._sets: dict[tuple[int, str], bool] = {}

    def walk(self, text: str) -> int:
        """The steps of `findall` on it."""
        self.steps, at = 0, 0
        while at <= len(text):
            found = self._at(text, at)
            at = at + 1 if found is None or found == at else found
        return self.steps

    def match(self, text: str) -> int:
        """The steps of `match` at its beginning."""
        self.steps = 0
        self._at(text, 0)
        return self.steps

    def fullmatch(self, text: str) -> int:
        self.steps = 0
        for end in self._seq(self.tree, 0, text, 0, {}, self.flags):
            if end == len(text):
                break
        return self.steps

    def _at(self, text: str, at: int) -> int | None:
        return next(self._seq(self.tree, 0, text, at, {}, self.flags), None)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.most:
            raise OverflowError

    def _seq(self, nodes: list[Any], i: int, text: str, at: int, groups: Groups, flags: int) -> Iterator[int]:
        while i < len(nodes) and nodes[i][0] in _ONE:  # runs of single characters need no recursion
            self._step()
            if at >= len(text) or not self._fits(nodes[i], text[at], flags):
                return
            at, i = at + 1, i + 1
        if i == len(nodes):
            yield at
            return
        for end in self._node(nodes[i], text, at, groups, flags):
            yield from self._seq(nodes, i + 1, text, end, groups, flags)

    def _node(self, node: Any, text: str, at: int, groups: Groups, flags: int) -> Iterator[int]:  # noqa: C901, PLR0912 - one branch for each kind of node
        kind, value = node
        if kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            yield from self._repeat(kind, *value, text, at, groups, flags)
        elif kind is op.SUBPATTERN:
            group, add, drop, inner = value
            for end in self._seq(list(inner), 0, text, at, groups, (flags | add) & ~drop):
                if group is not None:
                    groups[group] = (at, end)
                yield end
        elif kind is op.BRANCH:
            for branch in value[1]:
                self._step()
                yield from self._seq(list(branch), 0, text, at, groups, flags)
        elif kind is op.AT:
            self._step()
            if self._anchored(value, text, at, flags):
                yield at
        elif kind in {op.ASSERT, op.ASSERT_NOT}:
            found = self._look(value, text, at, groups, flags)
            if found == (kind is op.ASSERT):
                yield at
        elif kind is op.ATOMIC_GROUP:
            if (end := next(self._seq(list(value), 0, text, at, groups, flags), None)) is not None:
                yield end
        elif kind is op.GROUPREF:
            start, stop = groups.get(value, (0, -1))
            self.steps += max(0, stop - start)
            self._step()
            if stop >= start and text.startswith(text[start:stop], at):
                yield at + stop - start
        else:
            raise NotImplementedError(kind)

    def _repeat(
        self, kind: Any, least: int, most: int, inner: Any, text: str, at: int, groups: Groups, flags: int
    ) -> Iterator[int]:
        nodes = list(inner)
        if len(nodes) == 1 and nodes[0][0] in _ONE:
            yield from self._run(kind, least, most, nodes[0], text, at, flags)
            return

        def more(place: int, count: int) -> Iterator[int]:
            self._step()
            if kind is op.MIN_REPEAT and count >= least:
                yield place
            if count < most:
                for end in self._seq(nodes, 0, text, place, groups, flags):
                    if end > place or count < least:
                        yield from more(end, count + 1)
            if kind is not op.MIN_REPEAT and count >= least:
                yield place

        if kind is op.POSSESSIVE_REPEAT:
            if (end := next(more(at, 0), None)) is not None:
                yield end
        else:
            yield from more(at, 0)

    def _run(self, kind: Any, least: int, most: int, one: Any, text: str, at: int, flags: int) -> Iterator[int]:
        """The same character again and again, without recursion."""
        limit = len(text) if most is op.MAXREPEAT else min(len(text), at + int(most))
        end = at
        if kind is op.MIN_REPEAT:
            while True:
                if end - at >= least:
                    yield end
                self._step()
                if end >= limit or not self._fits(one, text[end], flags):
                    return
                end += 1
        while end < limit:
            self._step()
            if not self._fits(one, text[end], flags):
                break
            end += 1
        if kind is op.POSSESSIVE_REPEAT:
            if end - at >= least:
                yield end
            return
        for stop in range(end, at + least - 1, -1):
            self._step()
            yield stop

    def _look(self, value: Any, text: str, at: int, groups: Groups, flags: int) -> bool:
        direction, inner = value
        if direction > 0:
            return next(self._seq(list(inner), 0, text, at, groups, flags), None) is not None
        low, high = inner.getwidth()
        assert low == high
        return at >= low and at in self._seq(list(inner), 0, text, at - low, groups, flags)

    def _anchored(self, where: Any, text: str, at: int, flags: int) -> bool:
        if where in {op.AT_BEGINNING, op.AT_BEGINNING_STRING}:
            lines = flags & re.MULTILINE and where is op.AT_BEGINNING
            return at == 0 or bool(lines and text[at - 1] == "\n")
        if where in {op.AT_END, op.AT_END_STRING}:
            if at == len(text):
                return True
            if where is op.AT_END_STRING:
                return False
            return text[at] == "\n" and (bool(flags & re.MULTILINE) or at == len(text) - 1)
        before = at > 0 and self._is(r"\w", text[at - 1], flags)
        after = at < len(text) and self._is(r"\w", text[at], flags)
        return (before != after) == (where is op.AT_BOUNDARY)

    def _is(self, shape: str, letter: str, flags: int) -> bool:
        ascii_only = 0 if self.text_mode and not flags & re.ASCII else re.ASCII
        return re.match(shape, letter, ascii_only) is not None

    def _fits(self, node: Any, letter: str, flags: int) -> bool:
        key = (id(node), letter)
        if key not in self._sets:
            self._sets[key] = self._fits_now(node, letter, flags)
        return self._sets[key]

    def _fits_now(self, node: Any, letter: str, flags: int) -> bool:
        kind, value = node
        if kind is op.ANY:
            return letter != "\n" or bool(flags & re.DOTALL)
        forms = {letter, letter.lower(), letter.upper()} if flags & re.IGNORECASE else {letter}
        codes = {ord(form) for form in forms if len(form) == 1}
        if kind is op.LITERAL:
            return value in codes
        if kind is op.NOT_LITERAL:
            return value not in codes
        items, negated = list(value), False
        if items and items[0][0] is op.NEGATE:
            items, negated = items[1:], True
        return any(self._in(item, letter, codes, flags) for item in items) != negated

    def _in(self, item: Any, letter: str, codes: set[int], flags: int) -> bool:
        kind, value = item
        if kind is op.LITERAL:
            return value in codes
        if kind is op.RANGE:
            return any(value[0] <= code <= value[1] for code in codes)
        return self._is(_CATEGORIES[value], letter, flags)


_ONE = {op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN}
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def pumped(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str]]:
    """What leads to each repetition in a pattern and what it repeats: texts made for it alone."""
    flags = pattern.flags

    def sample(nodes: Any) -> str:
        return "".join(_sample(node, sample, flags) for node in nodes)

    def find(nodes: list[Any], before: str) -> Iterator[tuple[str, str]]:
        for node in nodes:
            kind, value = node
            if kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
                if value[1] is op.MAXREPEAT or value[1] > 8:
                    unit = sample(value[2])
                    if unit:
                        yield before, unit
                yield from find(list(value[2]), before)
            elif kind is op.SUBPATTERN:
                yield from find(list(value[3]), before)
            elif kind is op.BRANCH:
                for branch in value[1]:
                    yield from find(list(branch), before)
            before += _sample(node, sample, flags)

    yield from find(list(parser.parse(pattern.pattern, flags & ~re.DEBUG)), "")


def _sample(node: Any, sample: Any, flags: int) -> str:  # noqa: PLR0911 - one return for each kind of node
    kind, value = node
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if kind is op.ANY:
        return "a"
    if kind is op.IN:
        counter = Counter(re.compile(""))
        return next((c for c in "a1 A.,\"'`\n-_:/!éж漢" if counter._fits_now(node, c, flags)), "a")
    if kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
        return sample(value[2]) * min(int(value[0]), 200)
    if kind is op.SUBPATTERN:
        return str(sample(value[3]))
    if kind is op.BRANCH:
        return str(sample(value[1][0]))
    return ""
