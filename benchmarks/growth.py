"""What grows with devices, models and rows, and what must not: `python benchmarks/growth.py`. See README.md.

Each case is a process of its own: the whole house with the mock behind it, on a folder that was filled beforehand. CPU is
that of all threads, so writing the books counts; the best of some rounds. In the filled folder every device calls equally
often and each day, with models by turns: the worst case for sums by device.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

FEW, MANY = (10, 30), (10_000, 300)
DAYS = 30
ROUNDS, A_ROUND = 8, 500
IDLE_SECONDS = 2 * 86_400
PEER = "192.168.1.9"
REPORTS = (
    *("day", "month", "hour", "device", "model", "provider", "hour,model", "hour,device", "hour,provider"),
    *(
        "day,model",
        "day,provider",
        "day,device",
        "month,device",
        "device,model",
        "month,device,model",
        "day,device,model",
    ),
)


# --- filling a folder


def settings(models: int) -> dict[str, Any]:
    """A house with so many models, budgets and limits that are never reached."""
    listed = [
        {"id": f"m{n}", "price": {"input": 1 + n % 30, "output": 2 + n % 50}, "context": 128000, "quality": 30 + n % 60}
        for n in range(models)
    ]
    providers = {f"lab{part}": {"kind": "mock", "models": listed[part::10]} for part in range(10)}
    return {
        "auth": "open",
        "providers": providers,
        "mqtt": {"enabled": False},
        "budget": {"daily": 1_000_000},
        "devices": {"defaults": {"rpm": 1_000_000, "tpm": 1_000_000_000, "daily_budget": 100_000}},
        "storage": {"retention_days": 3650, "max_mb": 100_000},
    }


def fill(path: Path, devices: int, models: int, rows: int, ago: int = 0) -> None:
    """Books with so many known devices, and requests of the last days until `ago` seconds ago."""
    from cheaprouter.books import rollups, standings  # noqa: PLC0415 - the driver itself needs none of the package
    from cheaprouter.books.migrations import migrate  # noqa: PLC0415
    from cheaprouter.books.sums import REQUEST_SUMS  # noqa: PLC0415

    now = int(time.time()) - ago
    step = DAYS * 86_400 / max(1, rows)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection)
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO device VALUES (?, ?, NULL, ?, ?)",
            [(f"device {n}", f"device_{n}", now - 10**6, now - n) for n in range(devices)],
        )
        connection.execute(
            f"""INSERT INTO request
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}),
                     m AS (SELECT i, i * 7919 AS j, CAST({now} - ({rows} - i) * {step} AS INTEGER) AS s FROM n)
                SELECT i, 'req_' || i, s * 1000000, CAST(strftime('%Y%m%d', s, 'unixepoch') AS INTEGER),
                    'device ' || (j % {devices}), 'blockrun/auto', 'lab' || (j % {models} % 10) || '/m' || (j % {models}),
                    'lab' || (j % {models} % 10), 100, 20, 10, 0, 0, 0, 200, 12.5, 0, 4.0, NULL, 1000000, 'computed',
                    3000000, 1, 'auto', 'the cheapest that fits', 'SIMPLE', 0.1, 0, 'http', '', NULL
                FROM m WHERE {rows} > 0"""
        )
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('applied_seq', ?)", (rows,))
        connection.execute(
            f"INSERT INTO daily SELECT day, device_id, model_id, provider, {REQUEST_SUMS} FROM request GROUP BY 1, 2, 3"
        )
        rollups.rebuild_days(connection)
        rollups.fill_all(connection)
        for kind in standings.KINDS:
            while (made := standings.make(connection, kind)) is not None:
                standings.keep(connection, made)
        connection.execute("COMMIT")


# --- one case, in a process of its own


async def case(data: Path, devices: int, what: str) -> dict[str, Any]:
    """Start the house on a filled folder, and measure."""
    from cheaprouter.config import files, loader  # noqa: PLC0415
    from cheaprouter.core.logs import Redactor  # noqa: PLC0415
    from cheaprouter.main.assembly import build_house  # noqa: PLC0415

    before, cpu = time.perf_counter(), time.process_time()
    loaded = loader.start(data, {}, files.read_last_good(data))
    if loaded.problems:
        raise SystemExit(f"the settings are wrong: {loaded.problems}")
    found: dict[str, Any] = {}
    async with build_house(loaded, data, Redactor()) as house, asyncio.TaskGroup() as tasks:
        found["start s"], found["start CPU s"] = time.perf_counter() - before, time.process_time() - cpu
        running = [tasks.create_task(run()) for name, run in house.recorder.work.items() if name != "database-tidy"]
        running.append(tasks.create_task(house.accounts.run()))
        if what == "requests":
            found["CPU us/request"] = await requests(house, devices)
        else:
            found["reports ms"] = await reports(house)
            found["booking beside a report ms"] = await beside(house)
        found["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for task in running:
            task.cancel()
    return found


async def requests(house: Any, devices: int) -> float:
    """CPU of one request from the headers on, in microseconds: the best of some rounds."""
    from cheaprouter.config.settings import Auth  # noqa: PLC0415
    from cheaprouter.wire.openai_chat.request import parse  # noqa: PLC0415

    numbers = itertools.count(1)
    body = {"model": "blockrun/auto", "messages": [{"role": "user", "content": "Turn on the kitchen lights, please."}]}

    async def one() -> None:
        caller = house.accounts.identify({"x-device-id": f"device {next(numbers) * 7919 % devices}"}, PEER, Auth.OPEN)
        await house.gateway.serve(parse(body), caller)

    gc.collect()
    gc.freeze()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(A_ROUND):
            await one()
        await house.recorder.flush()
        await house.accounts.tend()
        best = min(best, (time.process_time_ns() - began) / A_ROUND / 1000)
    return best


async def reports(house: Any) -> dict[str, float]:
    """Each kind of report: how long until it is there, the best of three."""
    asked = house.control.reports
    today = datetime.now(UTC).date()
    month = {"from": today.replace(day=1).isoformat()}
    odd, year = (today - timedelta(days=17)).isoformat(), (today - timedelta(days=365)).isoformat()
    kinds = {f"usage by {group}": lambda group=group: asked.usage({"group_by": group}) for group in REPORTS}
    kinds |= {
        "usage by device, this month": lambda: asked.usage({"group_by": "device", **month}),
        "usage by device, odd days": lambda: asked.usage({"group_by": "device", "from": odd, "to": today.isoformat()}),
        "usage by device, a year": lambda: asked.usage({"group_by": "device", "from": year, "to": today.isoformat()}),
        "usage by model, a year": lambda: asked.usage({"group_by": "model", "from": year, "to": today.isoformat()}),
        "usage by hour of one device": lambda: asked.usage({"group_by": "hour", "device": "device 7"}),
        "usage by day of one device": lambda: asked.usage({"group_by": "day", "device": "device 7"}),
        "usage by device of one model": lambda: asked.usage({"group_by": "device", "model": "lab7/m7"}),
        "usage by hour and device of one model": lambda: asked.usage({"group_by": "hour,device", "model": "lab7/m7"}),
        "usage by device as CSV": lambda: asked.usage_csv({"group_by": "device"}),
        "usage by day as CSV": lambda: asked.usage_csv({"group_by": "day"}),
        "/v1/metrics": asked.summary,
        "/v1/audit": lambda: asked.audit(100),
    }
    found = {name: min([await timed(ask) for _ in range(3)]) for name, ask in kinds.items()}
    spent = {
        f"{name}, CPU": min([await timed(ask, time.process_time) for _ in range(3)]) for name, ask in kinds.items()
    }

    async def page() -> None:
        house.control.prometheus()

    return found | spent | {"/metrics": min([await timed(page) for _ in range(3)])}


async def beside(house: Any) -> float:
    """How long a booking takes to reach the disk while the slowest report is read, in milliseconds."""
    from cheaprouter.books.totals import applied  # noqa: PLC0415

    report = asyncio.create_task(house.control.reports.usage({"group_by": "device,model"}))
    await asyncio.sleep(0.01)
    taken = await timed(lambda: house.accounts.database.run(applied))
    await report
    return taken


async def timed(ask: Any, clock: Any = time.perf_counter) -> float:
    """Milliseconds until it is there."""
    began = clock()
    await ask()
    return (clock() - began) * 1000


def idle_memory(devices: int) -> float:
    """Bytes that an idle device takes in everything that knows devices: each has called this month, if not today."""
    from cheaprouter.accounts.accounts import Accounts  # noqa: PLC0415, F401 - imported before it is counted
    from cheaprouter.config import files, loader  # noqa: PLC0415
    from cheaprouter.core.logs import Redactor  # noqa: PLC0415
    from cheaprouter.main.assembly import build_house  # noqa: PLC0415

    async def held(data: Path) -> int:
        loaded = loader.start(data, {}, files.read_last_good(data))
        async with build_house(loaded, data, Redactor()):
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

    sizes = []
    tracemalloc.start()
    for count in (10, 10, devices):  # the first one pays for what is kept for ever
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            (data / "cheaprouter.yaml").write_text(json.dumps(settings(30)))
            fill(data / "cheaprouter.db", count, 30, count * 10, IDLE_SECONDS)
            sizes.append(asyncio.run(held(data)))
    return (sizes[2] - sizes[1]) / (devices - 10)


# --- the driver


def run(*arguments: str) -> Any:
    """A case in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return json.loads(done.stdout)


def measure(rows: int) -> dict[str, Any]:
    """All cases."""
    found: dict[str, Any] = {"rows": rows, "CPU us/request": {}}
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        for place, (devices, models), count in ((empty, MANY, 0), (full, MANY, rows)):
            place.mkdir()
            run("--fill", str(place), "--devices", str(devices), "--models", str(models), "--rows", str(count))
        few = Path(folder, "few")
        few.mkdir()
        run("--fill", str(few), "--devices", str(FEW[0]), "--models", str(FEW[1]), "--rows", "0")
        for name, place, devices, models in (
            ("10 devices, 30 models, 0 rows", few, *FEW),
            ("10,000 devices", empty, MANY[0], FEW[1]),
            ("300 models", few, FEW[0], MANY[1]),
            (f"{rows:,} rows", full, *FEW),
            ("all of them", full, *MANY),
        ):
            (place / "cheaprouter.yaml").write_text(json.dumps(settings(models)))
            said = run("--case", str(place), "--devices", str(devices))
            found["CPU us/request"][name] = said["CPU us/request"]
            if place is few or place is full:
                found[f"start s, {name}"] = said["start s"]
        found |= run("--reports", str(full))
        found.pop("start s")
        shutil.rmtree(full)
    found["bytes a device"] = run("--memory", "--devices", str(MANY[0]))
    base, *others = found["CPU us/request"].items()
    found["ratios"] = {name: value / base[1] for name, value in others}
    return found


def show(found: dict[str, Any], indent: str = "") -> None:
    """As text."""
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            show(value, indent + "  ")
        else:
            print(f"{indent}{name:42} {value:10,.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="5 million rows instead of half a million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there, too")
    for name in ("fill", "case", "reports"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    for name in ("devices", "models", "rows"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        fill(given.fill / "cheaprouter.db", given.devices, given.models, given.rows)
        print("null")
    elif given.case or given.reports:
        what = "requests" if given.case else "reports"
        print(json.dumps(asyncio.run(case(given.case or given.reports, given.devices, what))))
    elif given.memory:
        print(json.dumps(idle_memory(given.devices)))
    else:
        found = measure(5_000_000 if given.full else 500_000)
        show(found)
        if given.json:
            given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
