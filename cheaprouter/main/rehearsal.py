"""`cheaprouter rehearse`: the recorded requests once more, by other settings, as a table."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from ..core.errors import ConfigurationError, InvalidRequestError
from ..core.models import Json, Profile
from ..core.money import from_pico
from ..core.records import dataclass
from ..routing.rehearse import MOST, Outcome, Recorded, Scenario, as_recorded, rehearse, table
from .assembly import offline_router

_ROWS: Final = """
    SELECT model_id, prompt_tokens, completion_tokens, cached_tokens, cost, score, profile, at FROM request
    WHERE status = 200 AND cached = 0 AND model_id IS NOT NULL ORDER BY seq DESC LIMIT ?"""

_DAY: Final = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared: profiles, steps of `cost_quality`, other configurations; over how many requests."""

    profiles: Sequence[str] = ()
    cost_quality: Sequence[float] = ()
    others: Sequence[Path] = ()
    last: int = 1000
    as_json: bool = False


def run(config: Path | None, data: Path, asked: Asked) -> int:
    """Print the table. Raises ConfigurationError where books or configurations cannot be read, InvalidRequestError."""
    if not 1 <= asked.last <= MOST:
        raise InvalidRequestError(f"`--last` must be from 1 to {MOST}.")
    past, days = _recorded(data, asked.last)
    if not past:
        print("Nothing was recorded yet.")
        return 0
    router, _ = offline_router(config, data)
    found = [as_recorded(past, router.chance), *(rehearse(one, past) for one in _scenarios(config, data, asked))]
    scored = sum(one.score is not None for one in past)
    if asked.as_json:
        rows = [_shown(one) for one in found]
        answer = {"requests": len(past), "scored": scored, "days": days, "outcomes": rows}
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return 0
    print(
        f"The last {len(past):,} answered requests, of {days:.1f} days; {scored:,} of them have a score, the others count as the mean."
    )
    print(*table(found), sep="\n")
    print(
        "Estimates: any model is taken to be able to serve each, with answers as long as they were, and as much from caches."
    )
    return 0


def _scenarios(config: Path | None, data: Path, asked: Asked) -> list[Scenario]:
    router, context = offline_router(config, data)
    at, routing = context.at, router.settings.routing
    found = [router.scenario("as configured", at, routing.profile)]
    found += [router.scenario(_profile(name).value, at, _profile(name)) for name in asked.profiles]
    for step in asked.cost_quality:
        if not 0 <= step <= 10:
            raise InvalidRequestError("`--cost-quality` must be from 0 to 10.")
        found.append(router.scenario(f"auto:{step:g}", at, Profile.AUTO, step))
    if not (asked.profiles or asked.cost_quality or asked.others):
        found += [router.scenario(f"auto:{step}", at, Profile.AUTO, step) for step in (2, 5, 8)]
        found += [router.scenario(profile.value, at, profile) for profile in (Profile.ECO, Profile.PREMIUM)]
    for path in asked.others:
        other, moment = offline_router(path, data)
        found.append(other.scenario(path.name, moment.at, other.settings.routing.profile))
    return found


def _profile(name: str) -> Profile:
    try:
        return Profile(name)
    except ValueError:
        raise InvalidRequestError(f"`--profile` must be one of: {', '.join(Profile)}.") from None


def _recorded(data: Path, last: int) -> tuple[list[Recorded], float]:
    """The last requests, and over how many days they went."""
    path = data / "cheaprouter.db"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(_ROWS, (last,)).fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError([f"The books in {data} cannot be read: {error}"]) from error
    good = [row for row in rows if all(isinstance(number, int) for number in (*row[1:4], row[7]))]
    past = [
        Recorded(
            str(model), prompt, output, cached, _usd(cost), score if isinstance(score, float) else None, bool(profile)
        )
        for model, prompt, output, cached, cost, score, profile, _ in good
    ]
    return past, (good[0][7] - good[-1][7]) / _DAY if good else 0.0


def _usd(cost: object) -> float | None:
    return float(from_pico(cost)) if isinstance(cost, int) else None


def _shown(one: Outcome) -> Json:
    total = sum(one.models.values())
    return {
        "name": one.name,
        "cost_usd": round(one.usd, 9),
        "good_answers": None if one.good is None else round(one.good, 4),
        "models": {name: round(count / total, 4) for name, count in one.models.most_common()},
    }
