"""The soak's router in a process of its own, what it holds, and whether that grows."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lab

STATES = {"01": "established", "08": "close-wait", "0A": "listening"}


def settings(upstream: int, broker: int | None) -> dict[str, Any]:
    """A shaky provider that is cheapest, so that it is asked first, with short time limits, and a good one; some devices limited."""

    def provider(name: str, cost: float, **more: Any) -> dict[str, Any]:
        models = [
            {
                "id": f"{name}/{number}",
                "upstream": f"{name}-{number}",
                "price": {"input": cost * factor, "output": cost * factor},
                "context": 128_000,
                "quality": quality,
                "capabilities": ["tools", "json_schema"],
            }
            for number, factor, quality in (("one", 1, 60), ("two", 3, 80))
        ]
        return {
            "kind": "openai",
            "base_url": f"http://127.0.0.1:{upstream}/v1",
            "api_key": "sk-soak",
            "models": models,
            **more,
        }

    short = {"connect": 1, "headers": 0.5, "first_token": 0.5, "idle": 0.5, "total": 10}
    long = {"connect": 5, "headers": 20, "first_token": 20, "idle": 20, "total": 60}  # a busy machine is no fault
    return {
        "auth": "open",
        "max_devices": 60,
        "providers": {
            "shaky": provider("shaky", 0.1, timeouts=short),
            "good": provider("good", 1.0, timeouts=long),
        },
        "devices": {
            "defaults": {"rpm": 1_000_000, "tpm": 1_000_000_000, "daily_budget": 1000, "monthly_budget": 10_000},
            "limited": {"rpm": 30},
            "poor": {"daily_budget": 0, "budget_action": "refuse"},
        },
        "budget": {"daily": 10_000, "monthly": 100_000},
        **({} if broker is None else {"mqtt": {"url": f"mqtt://127.0.0.1:{broker}", "interval": 1}}),
    }


@dataclass(frozen=True)
class State:
    """What a process holds. Memory in kB, `own`: without what is mapped from files; descriptors by what they are:
    `socket listening`, `file cheaprouter.db`."""

    rss: int
    own: int
    pss: int
    descriptors: Counter[str]
    tasks: Counter[str] = field(default_factory=Counter)
    objects: int = 0

    def left(self, before: State) -> dict[str, int]:
        """What is there now and was not before."""
        return dict((self.tasks - before.tasks) + (self.descriptors - before.descriptors))

    def sockets(self) -> str:
        """How many in which state."""
        found = {name: n for name, n in self.descriptors.items() if name.startswith("socket ")}
        return ", ".join(f"{n} {name.removeprefix('socket ')}" for name, n in sorted(found.items()))


def outside(pid: int) -> State:
    """What the system knows of a process."""
    states = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            states[words[9]] = STATES.get(words[3], f"state {words[3]}")
    descriptors = Counter[str]()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(link.readlink())
            inode = name.removeprefix("socket:[").removesuffix("]")
            descriptors[f"socket {states.get(inode, 'other')}" if "socket:" in name else f"file {plain(name)}"] += 1
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rss, own = (int(status[name].split()[0]) for name in ("VmRSS", "RssAnon"))
    return State(rss, own, round(lab.pss_mb(pid) * 1024), descriptors)


def plain(path: str) -> str:
    """A file's name without numbers: journals begin anew."""
    return re.sub(r"\d+", "#", path.rpartition("/")[2])


class Router:
    """The router's process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, data: Path) -> None:
        self.process, self.port, self.url = process, port, f"http://127.0.0.1:{port}"
        self.admin = {"Authorization": f"Bearer {(data / 'admin_key').read_text().strip()}"}

    def state(self) -> State:
        """All that is known of it, after a collection of its garbage."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        inside = json.loads(self.process.stdout.readline())
        seen = outside(self.process.pid)
        return replace(seen, tasks=Counter(inside["tasks"]), objects=inside["objects"])


@contextlib.contextmanager
def router(folder: Path, upstream: int, broker: int | None, cores: lab.Cores) -> Iterator[Router]:
    """Serve while the block runs; its log is in `router.log`."""
    data, port = folder / "data", lab.free_port()
    data.mkdir()
    (data / "cheaprouter.yaml").write_text(json.dumps(settings(upstream, broker)))
    command = [sys.executable, str(lab.HERE / "soak_router.py"), str(data), str(port)]
    with (folder / "router.log").open("wb") as log, cores.theirs():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        lab.first_answer(port, process)
        yield Router(process, port, data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=lab.PATIENCE)


def slope(samples: list[tuple[int, int]]) -> float:
    """kB per 1,000 requests: a straight line through the last two thirds, by least squares."""
    late = [each for each in samples if each[0] >= samples[-1][0] / 3] if samples else []
    if len(late) < 3:
        return 0.0
    mean_x, mean_y = (sum(each[place] for each in late) / len(late) for place in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in late)
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in late) / spread if spread else 0.0
