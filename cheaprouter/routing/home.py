"""What a home teaches: how far the gain of a better model is off for its own requests, from answers that somebody judged.

A small linear head on the vector of a request (`DifficultyModel.vector`), the same for the whole home, and an offset for each device;
both ridge regressions with strong priors (600 and 20 labels), solved from sums alone. Plain Python, a few dozen numbers.

Labels may be wrong, or lies: a correction is no more than a part of the gain itself, and a smaller one where the labels are people's
words; a device counts for no more than half; and each part is used only where what one half of the labels teaches clearly fits the
other half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final, NamedTuple

from ..core.records import dataclass

LEAST: Final = 200
"""Labels before anything is corrected: fewer make it worse than nothing (simulated on 3,000 requests, 2,000 judged)."""

TOLD: Final = 0.08
SEEN: Final = 0.25
"""The largest correction, either way, as a part of the gain: where all labels are words of people, which may be lies, and where none is.
Between the two by the share of labels. `script/training/home.py` shows what lies do within it."""

HEAD_RIDGE: Final = 600.0
DEVICE_RIDGE: Final = 20.0
"""Labels' worth of doubt about each weight of the head, and about a device's offset."""

SHARE: Final = 0.5
ALONE: Final = 100.0
"""A device counts for at most this share of all labels; but always for so many of its own."""

SURE: Final = 4.0
"""How many times its chance deviation the fit has to become better by what was learned, to be believed: two standard deviations."""

MOST_DEVICES: Final = 100
"""Devices that are learned from: those that were judged first."""

TAUGHT_BY: Final = (
    "fail", "gain", "length", "code_attached", "maths", "proof", "code", "design", "everyday", "quantities", "numbers", "options",
    "option_length", "pasted", "opening", "word_length", "long_words", "symbols",
)  # fmt: skip
"""The numbers of a vector that the head looks at; names that a model's vector has not are left out."""

WORDS: Final[Mapping[str, str]] = {
    "fail": "hard requests",
    "gain": "requests that large models do better",
    "length": "long requests",
    "code_attached": "requests with code in them",
    "maths": "mathematics",
    "proof": "proofs",
    "code": "programming",
    "design": "designs",
    "everyday": "everyday things",
    "quantities": "quantities",
    "numbers": "numbers",
    "options": "questions with choices",
    "option_length": "questions with long choices",
    "pasted": "pasted texts",
    "opening": "how a request begins",
    "word_length": "long words",
    "long_words": "many long words",
    "symbols": "symbols",
}


class Lesson(NamedTuple):
    """One judged answer. `residual`: by how much the gain was too small (-1..1); `weight`: how sure that is (0..1).

    `seen`: by what the router itself saw, not by somebody's word.
    """

    device_id: str
    residual: float
    weight: float
    vector: Sequence[float]
    seen: bool = False


def residual(fail: float, gain: float, share: float, good: float) -> float:
    """By how much the gain of a request was too small, as one answer shows.

    `fail`: the chance that a small model fails. `share`: how much of what a large model gains the one that answered has, 0 a small
    one, 1 a large one. `good`: how good its answer was, 0..1. A small model that fails more than was said, or a large one that does
    better, shows a larger gain.
    """
    small = (1.0 - fail) - good
    large = good - (1.0 - fail + gain)
    return max(-1.0, min(1.0, (1.0 - share) * small + share * large))


@dataclass(slots=True)
class _Sums:
    """Of one device's labels, or of half of them: what a regression needs to know."""

    n: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    x: list[float] = field(default_factory=list)
    xy: list[float] = field(default_factory=list)
    xx: list[list[float]] = field(default_factory=list)

    def add(self, vector: Sequence[float], y: float, weight: float) -> None:
        if not self.x:
            width = len(vector)
            self.x, self.xy, self.xx = [0.0] * width, [0.0] * width, [[0.0] * width for _ in vector]
        self.n += weight
        self.y += weight * y
        self.yy += weight * y * y
        for i, value in enumerate(vector):
            each = weight * value
            self.x[i] += each
            self.xy[i] += each * y
            self.xx[i] = [one + each * other for one, other in zip(self.xx[i], vector, strict=True)]

    def error(self, weights: Sequence[float], offset: float) -> float:
        """The sum of squares that is left by these weights and this offset."""
        if not self.x:
            return 0.0
        straight = _dot(weights, self.x)
        bent = sum(w * _dot(weights, row) for w, row in zip(weights, self.xx, strict=True))
        crossed = offset * self.y + _dot(weights, self.xy)
        return self.yy - 2 * crossed + offset * offset * self.n + 2 * offset * straight + bent


@dataclass(frozen=True, slots=True)
class HomeHead:
    """What was learned: weights by `names`, offsets by device; none of either where it is of no use. `labels`: from how many.

    `active`: whether anything is corrected. `part`: how much of a gain at most.
    """

    labels: int = 0
    active: bool = False
    names: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    offsets: Mapping[str, float] = field(default_factory=dict)
    part: float = TOLD

    def correction(self, device_id: str, vector: Sequence[float], gain: float) -> float:
        """What is to be added to a request's gain."""
        most = self.part * gain
        found = self.offsets.get(device_id, 0.0)
        for place, weight in zip(self.places, self.weights, strict=False):
            found += weight * vector[place]
        return max(-most, min(most, found))

    def told(self) -> list[str]:
        """What was learned, in sentences."""
        if self.labels < LEAST:
            return [f"{self.labels} of {LEAST} judged answers: nothing is learned yet."]
        if not self.active:
            return [f"{self.labels} judged answers: they teach nothing that holds, so nothing is corrected."]
        strong = sorted(zip(self.weights, self.names, strict=False), key=lambda one: -abs(one[0]))
        words = [
            f"For {WORDS.get(name, name)} a better model gains {_more(weight)} here than elsewhere."
            for weight, name in strong[:5]
            if abs(weight) >= 0.005
        ]
        words += [
            f"For {device_id} a better model gains {_more(offset)} than for others."
            for device_id, offset in sorted(self.offsets.items(), key=lambda one: -abs(one[1]))[:5]
            if abs(offset) >= 0.005
        ]
        return [f"Learned from {self.labels} judged answers; no gain is changed by more than {self.part:.0%}.", *words]


def _more(amount: float) -> str:
    return f"{abs(amount):.2f} {'more' if amount > 0 else 'less'}"


class Lessons:
    """All labels of a home, as sums by device and half. `names`: those of a vector's numbers."""

    def __init__(self, names: Sequence[str]) -> None:
        at = {name: place for place, name in enumerate(names)}
        self._names = tuple(name for name in TAUGHT_BY if name in at)
        self._places = tuple(at[name] for name in self._names)
        self._devices: dict[str, tuple[_Sums, _Sums]] = {}
        self.labels = 0
        self._seen = 0

    def add(self, lesson: Lesson) -> None:
        """Take in a judged answer."""
        if len(lesson.vector) <= max(self._places, default=-1):
            return
        halves = self._devices.get(lesson.device_id)
        if halves is None:
            if len(self._devices) >= MOST_DEVICES:
                return
            halves = self._devices[lesson.device_id] = _Sums(), _Sums()
        vector = [max(-1.0, min(1.0, lesson.vector[place])) for place in self._places]
        half = halves[0] if halves[0].n <= halves[1].n else halves[1]
        half.add(vector, max(-1.0, min(1.0, lesson.residual)), max(0.0, min(1.0, lesson.weight)))
        self.labels += 1
        self._seen += lesson.seen

    def solve(self) -> Iterator[HomeHead | None]:
        """What was learned, in steps of well below a millisecond: None until the last."""
        if self.labels < LEAST:
            yield HomeHead(self.labels)
            return
        devices, none = dict(self._devices), [0.0] * len(self._names)
        parts = [_Regression({name: halves[half] for name, halves in devices.items()}, len(none)) for half in (0, 1)]
        for part in parts:
            yield from part.running()
        better = 0.0
        for name, halves in devices.items():
            better += parts[0].counts[name] * (
                halves[0].yy + halves[1].yy - _misfit(halves, parts, name, offsets=False)
            )
            yield None
        doubt = (
            SURE
            * sum(parts[0].counts[name] * (one.yy + other.yy) for name, (one, other) in devices.items())
            / max(1.0, sum(parts[0].counts[name] * (one.n + other.n) for name, (one, other) in devices.items()))
        )
        use, helped = better > doubt, set()
        if not use:
            for part in parts:
                yield from part.running(fixed=none)
        for name, halves in devices.items():
            before, after = (_misfit(halves, parts, name, offsets=offsets) for offsets in (False, True))
            if before - after > SURE * before / max(1.0, halves[0].n + halves[1].n):
                helped.add(name)
            yield None
        whole = _Regression({name: _both(*halves) for name, halves in devices.items()}, len(none))
        yield from whole.running(fixed=None if use else none)
        offsets = {name: offset for name, offset in whole.offsets.items() if name in helped}
        most = TOLD + (SEEN - TOLD) * self._seen / self.labels
        if use:
            yield HomeHead(self.labels, True, self._names, self._places, tuple(whole.weights), offsets, most)
        else:
            yield HomeHead(self.labels, bool(offsets), offsets=offsets, part=most)


def _misfit(halves: tuple[_Sums, _Sums], parts: Sequence[_Regression], name: str, *, offsets: bool = True) -> float:
    """What is left of each half of a device's labels by what the other half taught, with its offset or by the weights alone."""
    first, second = (part.offsets.get(name, 0.0) if offsets else 0.0 for part in parts)
    return halves[1].error(parts[0].weights, first) + halves[0].error(parts[1].weights, second)


@dataclass(slots=True)
class _Regression:
    """Ridge weights for all devices and an offset for each. `counts`: how much each label of a device counts."""

    sums: Mapping[str, _Sums]
    width: int
    weights: list[float] = field(default_factory=list)
    offsets: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def running(self, fixed: Sequence[float] | None = None) -> Iterator[None]:
        """Work, a step at a time. `fixed`: weights that are given, so that only the offsets are sought."""
        self.counts = _counts({name: one.n for name, one in self.sums.items()})
        if fixed is None:
            matrix = [[HEAD_RIDGE if i == j else 0.0 for j in range(self.width)] for i in range(self.width)]
            right = [0.0] * self.width
            for name, one in self.sums.items():
                if one.n:
                    _put(matrix, right, one, self.counts[name])
                    yield
            self.weights = _solved(matrix, right)
            yield
        else:
            self.weights = list(fixed)
        for name, one in self.sums.items():
            if one.n:
                count = self.counts[name]
                self.offsets[name] = count * (one.y - _dot(self.weights, one.x)) / (count * one.n + DEVICE_RIDGE)
        yield


def _counts(labels: Mapping[str, float]) -> dict[str, float]:
    """How much each label of a device counts, so that no device has more than its share."""
    most = max(ALONE, SHARE * sum(labels.values()))
    return {name: min(1.0, most / n) if n else 0.0 for name, n in labels.items()}


def _put(matrix: list[list[float]], right: list[float], one: _Sums, count: float) -> None:
    """Add a device's sums, its offset taken out of them."""
    out = count * count / (count * one.n + DEVICE_RIDGE)
    for i, mean in enumerate(one.x):
        row, each = matrix[i], out * mean
        matrix[i] = [had + count * more - each * other for had, more, other in zip(row, one.xx[i], one.x, strict=True)]
        right[i] += count * one.xy[i] - each * one.y


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The weights that a positive definite matrix has, by Gauss's elimination."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(size):
        first = rows[at]
        for below in range(at + 1, size):
            times = rows[below][at] / first[at]
            if times:
                rows[below] = [one - times * other for one, other in zip(rows[below], first, strict=True)]
    found = [0.0] * size
    for at in reversed(range(size)):
        row = rows[at]
        found[at] = (row[size] - sum(row[i] * found[i] for i in range(at + 1, size))) / row[at]
    return found


def _both(one: _Sums, other: _Sums) -> _Sums:
    if not one.x or not other.x:
        return one if one.x else other
    return _Sums(
        one.n + other.n,
        one.y + other.y,
        one.yy + other.yy,
        [a + b for a, b in zip(one.x, other.x, strict=True)],
        [a + b for a, b in zip(one.xy, other.xy, strict=True)],
        [[a + b for a, b in zip(r, s, strict=True)] for r, s in zip(one.xx, other.xx, strict=True)],
    )


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum([a * b for a, b in zip(one, other, strict=True)])


class Taught:
    """What holds now, where the router reads it and learning puts it; the same from world to world."""

    def __init__(self) -> None:
        self.head = HomeHead()
