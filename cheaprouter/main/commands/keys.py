"""`cheaprouter keys`: works beside a running router, which notices within about a second."""

from __future__ import annotations

import argparse
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from ...accounts import keys
from ...books.database import Database
from ...core.errors import ConfigurationError, NotFoundError
from ...core.ids import clean_id


def run(args: argparse.Namespace, data: Path) -> int:
    """Run one verb of `keys`."""
    data.mkdir(parents=True, exist_ok=True)
    if args.verb == "admin":
        return _admin(data, reset=args.reset)
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


def _admin(data: Path, *, reset: bool) -> int:
    path = data / "admin_key"
    if reset:
        keys.reset_admin_key(path)
        print(f"A new admin key is in {path}; the old one is worthless.")
        return 0
    keys.admin_key(path)
    print(f"The admin key is in {path}.")
    return 0


def _device_keys(args: argparse.Namespace, database: Database) -> int:
    if args.verb == "add":
        key = database.run_sync(lambda connection: keys.add(connection, clean_id(args.device)))
        print(key)
        print("This key is shown only now. Send it as `Authorization: Bearer <key>`.")
    elif args.verb == "revoke":
        if not database.run_sync(lambda connection: keys.revoke(connection, args.key)):
            raise NotFoundError(f"There is no key and no device with keys named `{args.key}`.")
        print("revoked")
    else:
        for info in database.run_sync(keys.listed):
            since = datetime.fromtimestamp(info.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            print(f"{info.id}  {info.hint}  {since}  {info.device_id}")
    return 0
