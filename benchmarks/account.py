"""What a request's account and its booking cost: `python benchmarks/account.py`. Microseconds of CPU, the best of many rounds.

Opened, admitted, reserved, closed; then what the database's thread needs for each row. The system call that writes the
journal is left out: it is the kernel's time, and the disk's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cheaprouter.accounts.account import Account
from cheaprouter.accounts.accounts import Accounts
from cheaprouter.accounts.policy import Policies
from cheaprouter.books import totals
from cheaprouter.books.database import Database
from cheaprouter.books.habits import Habits
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder, Retention
from cheaprouter.books.rows import Row
from cheaprouter.config.schema import build
from cheaprouter.config.settings import Settings
from cheaprouter.core.calendar import Calendar, Clock
from cheaprouter.core.events import DeviceRemoved, EventBus, RequestCompleted
from cheaprouter.core.models import Attempt, Caller, Model, Price, Profile, Rates, RouteDecision, Usage
from cheaprouter.wire.openai_chat.request import parse

ROUNDS = 60
REQUESTS = 500
DEVICES = 10
BATCH = 500
"""Rows in one transaction: half a second at a thousand requests a second."""

LAB = {
    "lab": {
        "kind": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "models": [{"id": "small", "price": {"input": 1, "output": 4}}],
    }
}
LIMITS = {"rpm": 1_000_000, "tpm": 1_000_000_000, "parallel": 50}
BUDGETS = {"daily_budget": 4_000, "monthly_budget": 100_000}
HOUSES = {
    "no limits, no budgets": {"auth": "open"},
    "limits": {"auth": "open", "devices": {"defaults": LIMITS}},
    "limits and budgets": {
        "auth": "open",
        "devices": {"defaults": {**LIMITS, **BUDGETS}},
        "budget": {"daily": 4_000, "monthly": 100_000},
    },
}


def a_model(number: int, price: str) -> Model:
    rates = Rates(Decimal(price), 4 * Decimal(price), Decimal(price) / 10)
    return Model(f"lab{number}/model-{number}", f"lab{number}", f"model-{number}", (Price(rates),))


MODELS = [a_model(number, f"0.{number + 1:02}") for number in range(30)]
BASELINE = a_model(99, "3")
CALLERS = [Caller(f"device-{number}", source="header") for number in range(DEVICES)]
ASKED = parse(
    {"model": "blockrun/auto", "messages": [{"role": "user", "content": "turn on the kitchen lights please"}]}
)
ATTEMPTS = (Attempt(MODELS[0].id, "lab0", "ok", 200, 0.2),)
COUNTED = Usage(57, 12, cached_tokens=8)
REASON = "eco: the cheapest of 30 models that fit, 12 others left out"
DECISIONS = [RouteDecision(m, (), REASON, Profile.AUTO, prompt_tokens=60, estimated_prompt=55) for m in MODELS]
IDS = [f"req_0123456789ab{number:08x}" for number in range(REQUESTS)]


class House:
    """Accounts with everything that a router has, but nobody who calls."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        clock, bus, calendar = Clock(), EventBus(), Calendar()
        self.database = Database(folder / "cheaprouter.db")
        self.database.open()
        self.metrics = Metrics(calendar, clock)
        self.recorder = Recorder(
            self.database, Journal(folder / "journal"), self.metrics, Retention(settings.storage, clock)
        )
        self.recorder.restore()
        self.policies = Policies(settings, {})
        self.accounts = Accounts(
            self.database,
            self.recorder,
            Habits(),
            calendar,
            bus,
            clock,
            most=settings.max_devices,
            policies=lambda: self.policies,
            changed=lambda: None,
        )
        bus.on(self.metrics.on_event, DeviceRemoved)
        self.bus = bus

    def book(self) -> None:
        asyncio.run(self.recorder.flush())

    def request(self, number: int) -> Account:
        """A usual one: chosen by the router, answered at the first try, its tokens counted by the upstream."""
        decision = DECISIONS[number % 30]
        caller, request_id = CALLERS[number % DEVICES], IDS[number]
        account = Account(self.accounts, self.policies, ASKED, caller, request_id, via="http", baseline=BASELINE)
        account.admit()
        account.decision = decision
        account.reserve(decision)
        account.model, account.attempts = decision.model, ATTEMPTS
        account.token()
        account.close(200, usage=COUNTED)
        return account


@contextmanager
def a_house(settings: dict[str, object]) -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), build({"providers": LAB, **settings}))
        write, os.write = os.write, lambda _file, data: len(data)
        try:
            yield house
        finally:
            os.write = write
            house.book()
            house.database.close_sync()


def main() -> None:
    print(f"Python {sys.version.split()[0]}; CPU in microseconds, the best of {ROUNDS} rounds")
    gc.disable()
    for name, settings in HOUSES.items():
        with a_house(settings) as house:
            show(f"{name}: a request", requests(house))
            show(f"{name}: its rate headers", rate_headers(house.request(0)))
    with a_house(HOUSES["limits and budgets"]) as house:
        house.bus.on(lambda _event: None, RequestCompleted)
        show("with somebody who listens: a request", requests(house))
    with a_house({"auth": "open"}) as house:
        show(f"the database's thread: a row, {BATCH} at once", database(house, BATCH))
        show("the database's thread: a row, 20 at once", database(house, 20))


def requests(house: House) -> float:
    def run() -> None:
        for number in range(REQUESTS):
            house.request(number)

    return best(run, house.book) / REQUESTS


def rate_headers(account: Account) -> float:
    return best(lambda: [account.rate_headers() for _ in range(100)]) / 100


def database(house: House, batch: int) -> float:
    """Of one row in the books, by the clock of the thread that writes them."""
    found, apply = [], totals.apply

    def timed(connection: sqlite3.Connection, rows: list[Row]) -> int:
        began = time.thread_time_ns()
        last = apply(connection, rows)
        found.append((time.thread_time_ns() - began) / 1000 / batch)
        return last

    totals.apply = timed
    for _ in range(ROUNDS):
        for number in range(batch):
            house.request(number)
        house.book()
    totals.apply = apply
    return min(found)


def best(run: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        run()
        found.append((time.thread_time_ns() - began) / 1000)
        after()
        gc.collect()
    return min(found)


def show(what: str, figure: float) -> None:
    print(f"{what:52} {figure:7.2f} us")


if __name__ == "__main__":
    main()
