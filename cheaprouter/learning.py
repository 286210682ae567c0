"""Learning at home: answers that were served lately, what somebody says of them, and what that teaches.

Nothing of a request's text is kept, only the numbers of its difficulty. What is learned corrects the expected gain by which models
are chosen; see `routing.home`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from .books import lessons as books
from .books.database import Database
from .books.lessons import Kept
from .core.errors import NotFoundError, PermissionDeniedError
from .core.events import AnswerCaught, Event
from .core.models import Difficulty, Json, Model, RouteDecision
from .routing.difficulty import DifficultyModel
from .routing.home import LEAST, HomeHead, Lesson, Lessons, Taught, residual

_LOG: Final = logging.getLogger(__name__)

MOST_SERVED: Final = 2000
"""Answers that may still be judged: the last ones."""

PAUSE: Final = 5.0
"""Seconds that labels are waited for until they are written down and learned from."""

WEIGHTS: Final = {"thumb": 0.5, "tools": 0.5, "shadow": 1.0}
"""How sure a label is: of one answer, a success or a failure; of two answers to the same request, the difference."""

EXACT: Final = frozenset({"unknown_tool", "bad_arguments", "unknown_entity", "bad_format"})
"""Faults that teach something, by their names in events: those that can be told for sure."""

SHOWN: Final = 0.35
"""Share of small models' failures at tools that the checks show (see `benchmarks/checks.py`): so what passes them is not taken for surely
right, and calls teach nothing where models fail as often as was said."""

MOST_CAUGHT: Final = 500
"""Faults whose answer has not left yet."""

_SMALL, _LARGE = 35.0, 90.0
"""Qualities of models that count as small and as large ones; see `residual`."""


class Served(NamedTuple):
    """An answer that may be judged. `difficulty` None: nobody had to know how hard the request was, so it teaches nothing."""

    device_id: str
    difficulty: Difficulty | None
    share: float


class Learning:
    """See the module. `taught`: where the router reads what was learned. `enabled`: whether it is switched on."""

    def __init__(self, model: DifficultyModel, taught: Taught, database: Database, unix: Callable[[], float]) -> None:
        self.enabled: Callable[[], bool] = lambda: True
        self._model = model
        self._taught = taught
        self._database = database
        self._unix = unix
        self._served: OrderedDict[str, Served] = OrderedDict()
        self._judged: OrderedDict[str, bool] = OrderedDict()
        self._new: list[Kept] = []
        self._all = Lessons(model.vector_names())
        self._sources: Counter[str] = Counter()
        self._caught: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._forget = False

    # --- on a request's way ------------------------------------------------------------------------------------

    def served(
        self, request_id: str, device_id: str, decision: RouteDecision, model: Model, *, calls: bool = False
    ) -> None:
        """An answer has left. `calls`: it calls tools, and was looked at."""
        served = self._served[request_id] = Served(device_id, decision.difficulty, _share(model))
        if len(self._served) > MOST_SERVED:
            self._served.popitem(last=False)
        if calls or self._caught:
            self._checked(request_id, served, decision, calls=calls)

    def on_event(self, event: Event) -> None:
        """A fault was seen in an answer: one that can be told for sure teaches something. For the event bus."""
        if isinstance(event, AnswerCaught) and event.fault in EXACT and len(self._caught) < MOST_CAUGHT:
            self._caught[event.request_id] = event.model_id

    def last(self, device_id: str) -> str | None:
        """The id of the last answer that a device got."""
        return next((name for name in reversed(self._served) if self._served[name].device_id == device_id), None)

    # --- labels ------------------------------------------------------------------------------------------------

    def judge(self, request_id: str, device_id: str | None, *, good: bool) -> Json:
        """Somebody says how an answer was; the first word counts. `device_id`: who says it, None: who may judge all.

        Raises NotFoundError, PermissionDeniedError.
        """
        served = self._served.get(request_id)
        if served is None:
            raise NotFoundError(
                f"No answer of that id among the last {MOST_SERVED:,}; it is in the header `x-request-id`.",
                param="request_id",
            )
        if device_id not in (None, served.device_id):
            raise PermissionDeniedError(
                "That answer was another device's; only that device or the admin key may judge it."
            )
        counted = self._label(request_id, served, "thumb", good=float(good))
        return {"ok": True, "counted": counted, "labels": self._all.labels + len(self._new)}

    def _checked(self, request_id: str, served: Served, decision: RouteDecision, *, calls: bool) -> None:
        """A tool call was looked at. One in which nothing is wrong to see may be wrong all the same, as some are."""
        caught, hard = self._caught.pop(request_id, None), served.difficulty
        if hard is None:
            return
        if caught is not None:
            if caught == decision.model.id:
                first = served._replace(share=_share(decision.model))
                self._label(f"{request_id}:tools", first, "tools", good=0.0)
        elif calls:
            fails = max(0.0, hard.score - served.share * hard.gain)
            self._label(f"{request_id}:tools", served, "tools", good=1.0 - fails * (1 - SHOWN) / (1 - fails * SHOWN))

    def _label(self, request_id: str, served: Served, source: str, *, good: float) -> bool:
        """Take a label; whether it counts."""
        hard = served.difficulty
        if hard is None or not hard.row or request_id in self._judged or not self.enabled():
            return False
        self._judged[request_id] = True
        if len(self._judged) > 2 * MOST_SERVED:
            self._judged.popitem(last=False)
        off = residual(hard.score, hard.gain, served.share, good)
        self._add(request_id, served.device_id, source, off, self._model.vector(hard))
        return True

    def _add(self, request_id: str, device_id: str, source: str, off: float, vector: Sequence[float]) -> None:
        if len(self._new) < books.MOST:
            self._new.append(Kept(int(self._unix()), device_id, request_id, source, off, WEIGHTS[source], vector))
            self._wake.set()

    # --- what it taught ----------------------------------------------------------------------------------------

    def told(self) -> Json:
        """What was learned, in numbers and in words."""
        head = self._taught.head
        return {
            "enabled": self.enabled(),
            "labels": self._all.labels,
            "needed": LEAST,
            "active": head.active and self.enabled(),
            "sources": {source: self._sources[source] for source in books.SOURCES},
            "learned": head.told(),
            "weights": {name: round(w, 4) for name, w in zip(head.names, head.weights, strict=True)},
            "devices": {name: round(offset, 4) for name, offset in head.offsets.items()},
        }

    def reset(self) -> None:
        """Forget all that was learned, and all labels."""
        self._new.clear()
        self._forget = True
        self._clear()
        self._wake.set()

    def _clear(self) -> None:
        self._all = Lessons(self._model.vector_names())
        self._sources.clear()
        self._taught.head = HomeHead()

    async def run(self) -> None:
        """For ever: take in what is kept, then each label, and learn anew."""
        self._clear()
        for number, one in enumerate(await self._database.read(books.kept)):
            self._judged[one.request_id] = True
            self._take(one)
            if number % 10 == 0:
                await asyncio.sleep(0)
        await self._solve()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._take_all()
            await asyncio.sleep(PAUSE)

    async def _take_all(self) -> None:
        if self._forget:
            await self._database.run(books.forget)
            self._forget = False
        new, self._new = self._new, []
        if not new:
            return
        for number, one in enumerate(new):
            self._take(one)
            if number % 10 == 0:
                await asyncio.sleep(0)
        try:
            await self._database.run(partial(books.keep, lessons=new))
        except sqlite3.Error as error:
            _LOG.warning("%d judged answers could not be kept: %s", len(new), error)
        await self._solve()

    def _take(self, one: Kept) -> None:
        self._all.add(Lesson(one.device_id, one.residual, one.weight, one.vector, one.source != "thumb"))
        self._sources[one.source] += 1

    async def _solve(self) -> None:
        """Learn anew, a step at a time, so that nobody waits for it."""
        lessons = self._all
        for head in lessons.solve():
            if head is not None and lessons is self._all:
                self._taught.head = head
            await asyncio.sleep(0)


def _share(model: Model) -> float:
    """How far a model is from a small one (0) to a large one (1), by its quality."""
    return max(0.0, min(1.0, (model.quality.value - _SMALL) / (_LARGE - _SMALL)))
