"""What the command line does beside serving: `route`, `providers`, `keys`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from ..accounts import keys
from ..books.database import Database
from ..books.totals import scored
from ..config import loader
from ..core.const import PROFILE_OWNER
from ..core.errors import ConfigurationError, InvalidRequestError, NotFoundError
from ..core.models import Json, Profile
from ..routing.difficulty import DifficultyModel, score_payload
from ..routing.forecast import MOST, in_words

_UNREADABLE: Final = "not valid JSON"


def score_lines(source: BinaryIO, target: BinaryIO) -> int:
    """Judge a chat body a line; one answer a line, always, whatever the line holds. Needs no configuration."""
    model = DifficultyModel.load()
    for line in source:
        try:
            answer = score_payload(model, orjson.loads(line))
        except orjson.JSONDecodeError:
            answer = {**score_payload(model, None), "error": _UNREADABLE}
        target.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
    target.flush()
    return 0


def explain_one(prompt: str | None, file: BinaryIO | None, profile: str | None, config: Path | None, data: Path) -> int:
    """Print where one request would go, in words; with `--file`, the whole explanation as JSON."""
    from .assembly import offline_router  # noqa: PLC0415 - scoring lines needs none of it

    body = _body(prompt, file)
    if profile is not None:
        body["model"] = f"{PROFILE_OWNER}/{profile}" if profile.partition(":")[0] in set(Profile) else profile
    body.setdefault("model", Profile.AUTO.model_id)
    router, context = offline_router(config, data)
    answer = router.explain(body, context)
    if file is not None:
        _print_json(answer)
    else:
        _print(answer)
    return 0


def forecast(config: Path | None, data: Path) -> int:
    """Print what each step of `cost_quality` would have meant for the last recorded requests."""
    from .assembly import offline_router  # noqa: PLC0415 - as above

    router, context = offline_router(config, data)
    tell, path = router.forecaster(context.at), data / "cheaprouter.db"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            answer = tell(*scored(connection, MOST))
    except sqlite3.Error as error:
        raise ConfigurationError([f"The books in {data} cannot be read: {error}"]) from error
    for step in answer["steps"]:
        print(in_words(step, answer["scored"], answer["requests"]))
    return 0


def _body(prompt: str | None, file: BinaryIO | None) -> Json:
    if file is not None:
        try:
            body = orjson.loads(file.read())
        except orjson.JSONDecodeError as error:
            raise InvalidRequestError(f"The file is not valid JSON: {error}.") from error
        if not isinstance(body, dict):
            raise InvalidRequestError("The file must hold a chat body: a JSON object.")
        return body
    if prompt is None:
        raise InvalidRequestError("Give a prompt, `--file` or `--jsonl`.")
    return {"messages": [{"role": "user", "content": prompt}]}


def _print_json(answer: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str))


def _print(answer: Mapping[str, Any]) -> None:
    for name, value in answer.items():
        if isinstance(value, Mapping):
            print(f"{name}:", *(f"{key}: {_shown(inner)}" for key, inner in value.items()), sep="\n  ")
        elif isinstance(value, list):
            print(f"{name}:", *(f"- {_shown(inner)}" for inner in value), sep="\n  ")
        else:
            print(f"{name}: {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    return str(value)


async def list_providers(config: Path | None, data: Path, *, as_json: bool) -> int:
    """Ask each configured provider: is the key good, which models, how fast. Exit code 1 where one fails."""
    from .assembly import offline_pool  # noqa: PLC0415 - as above

    async with offline_pool(config, data) as (pool, upstreams):
        rows = [await pool.check(adapter) for adapter in upstreams.adapters.values()]
    if as_json:
        _print_json(rows)
    else:
        for row in rows:
            print("  ".join(f"{k}={_shown(v)}" for k, v in row.items() if v not in (None, [], {}, "")))
    return 0 if all(row.get("ok") for row in rows) else 1


def manage_keys(args: argparse.Namespace, data: Path) -> int:
    data.mkdir(parents=True, exist_ok=True)
    if args.verb == "admin":
        return _admin_key(data, reset=args.reset)
    database = Database(data / "cheaprouter.db")
    try:
        # Strict: a key that lived in memory only would be worthless.
        database.open(strict=True)
        try:
            return _device_keys(args, database)
        finally:
            database.close_sync()
    except sqlite3.Error as error:
        raise ConfigurationError([f"The database in {data} cannot be used: {error}"]) from error


def _admin_key(data: Path, *, reset: bool) -> int:
    path = data / "admin_key"
    if reset:
        keys.reset_admin_key(path)
        print(f"A new admin key is in {path}; the old one is worthless, within a second also to a running router.")
    else:
        keys.admin_key(path)
        print(f"The admin key is in {path}.")
    with contextlib.suppress(ConfigurationError):
        if loader.load(None, data, os.environ).settings.admin_key is not None:
            print("But the configuration sets `admin_key`: that one holds, and not the file's.")
    return 0


def _device_keys(args: argparse.Namespace, database: Database) -> int:
    if args.verb == "add":
        key = database.run_sync(lambda connection: keys.add(connection, args.device, days=args.days))
        ends = {info.id: info.expires_at for info in database.run_sync(keys.listed)}
        _print_key(key, ends[keys.hash_key(key)[: keys.ID]])
    elif args.verb == "rotate":
        grace = keys.GRACE if args.grace is None else args.grace
        made = database.run_sync(lambda connection: keys.rotate(connection, args.key, days=args.days, grace=grace))
        if made is None:
            raise _no_key(args.key)
        _print_key(made.key, made.expires_at)
        for old in made.ending:
            print(f"The old key {old.id} ({old.hint}) ends on {_moment(old.expires_at)}.")
    elif args.verb == "revoke":
        if not database.run_sync(lambda connection: keys.revoke(connection, args.key)):
            raise _no_key(args.key)
        print("revoked")
    else:
        _print_keys(database.run_sync(keys.listed), time.time())
    return 0


def _no_key(named: str) -> NotFoundError:
    return NotFoundError(f"There is no key and no device with keys named `{named}`.")


def _print_key(key: str, expires_at: int | None) -> None:
    print(key)
    print("This key is shown only now. Send it as `Authorization: Bearer <key>`.")
    print("It does not expire." if expires_at is None else f"It expires on {_moment(expires_at)}.")


def _print_keys(found: Iterable[keys.KeyInfo], now: float) -> None:
    rows = [("ID", "BEGINS", "MADE", "EXPIRES", "LAST USED", "DEVICE")]
    for info in found:
        ended = info.expires_at is not None and info.expires_at <= now
        expires = f"{'expired ' if ended else ''}{_moment(info.expires_at)}"
        rows.append((info.id, info.hint, _moment(info.created_at), expires, _moment(info.used_at), info.device_id))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _moment(at: int | None) -> str:
    """Unix seconds for people; None: never."""
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
