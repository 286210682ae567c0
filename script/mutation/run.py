"""Pytest on the package with one file changed: in a forked process, and only the tests that the change can matter to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from .find import MODULES, PACKAGE, Mutant

ROOT = PACKAGE.parent
TESTS = ROOT / "tests"
MEASURED = ROOT / ".cache" / "mutate.json"
MEMORY = 4 << 30
PATIENCE = 20
"""Seconds that a test may take on top of what it took before."""

ALWAYS = (
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "--continue-on-collection-errors",
)

THROUGH = (
    "accounts/test_through_the_gateway.py",
    "e2e/test_demo_contract.py",
    "e2e/test_faults.py",
    "e2e/test_routing.py",
)
CONTROL = ("dashboard/test_status.py", "mqtt/test_commands.py", "mqtt/test_bridge.py", "mqtt/test_publisher.py")
FURTHER = {  # a room's tests are tests/<room> and the files that import the room; these are its tests as well
    "gateway": (*THROUGH, "e2e/test_limits.py", "e2e/test_outside.py", "e2e/test_reload.py", *CONTROL),
    "accounts": ("e2e/test_limits.py",),
    "upstream": ("e2e/test_faults.py",),
    "wire": ("providers", "e2e/test_outside.py"),
}


def tests_of(room: str) -> list[str]:
    """The test files of a room."""
    modules = "|".join(name.removesuffix(".py") for name in MODULES.get(room, (room,)))
    imports = re.compile(rf"^\s*(from|import) cheaprouter(\.| import )({modules})\b", re.MULTILINE)
    named = [TESTS / room, TESTS / f"test_{room}.py", *(TESTS / name for name in FURTHER.get(room, ()))]
    return [
        str(path.relative_to(ROOT))
        for path in sorted(TESTS.rglob("test_*.py"))
        if any(path == one or one in path.parents for one in named) or imports.search(path.read_text(encoding="utf-8"))
    ]


class Watch:
    """A plugin of pytest: runs what is wanted, in that order; or runs all, and notes the time and the functions that ran."""

    def __init__(self, wanted: dict[str, float] | None) -> None:
        self.wanted = wanted
        self.seconds: Counter[str] = Counter()
        self.failed: list[str] = []
        self.ran: dict[str, dict[int, CodeType]] = {"": {}}
        self.now = self.ran[""]
        if wanted is None:
            threading.settrace(self.trace)
            sys.settrace(self.trace)

    def trace(self, frame: FrameType, _event: str, _arg: object) -> None:
        self.now[id(frame.f_code)] = frame.f_code

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:
            order = {test: index for index, test in enumerate(self.wanted)}
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.now = self.ran.setdefault(nodeid, {})
        if self.wanted is not None:  # a test that hangs ends the run: the signal is deadly
            signal.alarm(PATIENCE + int(8 * self.wanted.get(nodeid, 0.0)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def result(self, code: int) -> dict[str, Any]:
        """`ran`: for each test, and for "" what came before any, the places of the functions that it ran."""
        sys.settrace(None)
        threading.settrace(None)
        ran = {test: sorted({_place(code) for code in codes.values()} - {""}) for test, codes in self.ran.items()}
        return {"code": code, "failed": self.failed, "seconds": self.seconds, "ran": ran}


def _place(code: CodeType) -> str:
    path = code.co_filename
    return f"{path.removeprefix(f'{PACKAGE}/')}:{code.co_firstlineno}" if path.startswith(f"{PACKAGE}/") else ""


@dataclass
class Run:
    """One pytest. `folder` shadows the package, but for the baseline; `wanted`: tests by id and seconds, None for all."""

    folder: Path
    files: list[str]
    wanted: dict[str, float] | None
    limit: float
    mutant: Mutant | None = None
    pid: int = 0
    began: float = 0.0

    def start(self) -> None:
        self.folder.mkdir()
        if self.mutant:
            self._shadow(self.mutant)
        self.began = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._child()
            finally:
                os._exit(1)

    def _shadow(self, mutant: Mutant) -> None:
        """The package again: links, but for the one file."""
        here, there = ROOT, self.folder
        parts = Path(PACKAGE.name, mutant.file).parts
        for part, following in pairwise(parts):
            here, there = here / part, there / part
            there.mkdir()
            for entry in here.iterdir():
                if entry.name != following:
                    (there / entry.name).symlink_to(entry)
        target = there / parts[-1]
        target.write_text(mutant.source(), encoding="utf-8")
        os.utime(target, (1, 1))  # so that the original's compiled file does not fit

    def _child(self) -> None:
        os.setsid()
        os.chdir(ROOT)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        output = os.open(self.folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        sys.dont_write_bytecode = self.mutant is not None
        os.environ |= {"PYTHONPATH": f"{self.folder}:{ROOT}", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        import pytest  # noqa: PLC0415 - loaded before the fork, but not where nothing is run

        watch = Watch(self.wanted)
        places = ("-o", f"pythonpath={self.folder} {ROOT}", f"--basetemp={self.folder / 'tmp'}")
        code = pytest.main([*ALWAYS, *places, *(["-x"] if self.mutant else []), *self.files], plugins=[watch])
        (self.folder / "result").write_text(json.dumps(watch.result(int(code))), encoding="utf-8")

    def poll(self) -> dict[str, Any] | None:
        """What came of it, once it has ended or had its time."""
        late = time.monotonic() > self.began + self.limit
        ended, status = (0, 0) if late else os.waitpid(self.pid, os.WNOHANG)
        if not late and ended == 0:
            return None
        self._end()
        if late:
            os.waitpid(self.pid, 0)
        if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM):
            return {"code": "timeout", "failed": []}
        file = self.folder / "result"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"code": "died", "failed": []}

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")


def parallel(waiting: Iterator[Run], jobs: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Each run with its result, as they end; none is left running."""
    running: list[Run] = []
    try:
        while True:
            while len(running) < jobs and (run := next(waiting, None)):
                run.start()
                running.append(run)
            if not running:
                return
            for run in list(running):
                if (result := run.poll()) is not None:
                    running.remove(run)
                    yield run, result
            time.sleep(0.02)
    finally:
        for run in running:
            run._end()  # noqa: SLF001 - nobody else may


class Baseline:
    """The tests of some rooms on the code as it is: how long each takes, and which functions it runs.

    Kept in a file, a test file's part for as long as neither it nor the package nor the tests' helpers change.
    """

    def __init__(self, rooms: list[str], folder: Path, jobs: int) -> None:
        self.files = {room: tests_of(room) for room in rooms}
        kept: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
        helpers = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_")]
        world = _digest(*PACKAGE.rglob("*.py"), *helpers)
        files = sorted({file for files in self.files.values() for file in files})
        keys = {file: f"{world} {_digest(ROOT / file)}" for file in files}
        stale = [file for file in files if kept.get(file, {}).get("key") != keys[file]]
        shares = [share for index in range(jobs) if (share := stale[index::jobs])]
        self.failing: list[str] = []
        runs = (Run(folder / f"baseline{index}", share, None, 1800) for index, share in enumerate(shares))
        for run, result in parallel(runs, jobs):
            if result["code"] not in {0, 1}:
                raise SystemExit(f"error: the tests do not even start ({result['code']})\n{run.output()[-4000:]}")
            self.failing += result["failed"]
            for file in run.files:
                seconds = {test: s for test, s in result["seconds"].items() if test.partition("::")[0] == file}
                ran = {test: result["ran"][test] for test in ("", *seconds)}
                kept[file] = {"key": keys[file], "seconds": seconds, "ran": ran}
        self.parts = {file: kept[file] for file in files}
        lasting = {file: part for file, part in kept.items() if not any(t.startswith(file) for t in self.failing)}
        MEASURED.parent.mkdir(exist_ok=True)
        new = MEASURED.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(lasting), encoding="utf-8")
        new.replace(MEASURED)  # slices may run side by side

    def tests(self, mutant: Mutant) -> dict[str, float]:
        """Those that a mutant has to face with their seconds, the quickest first."""
        place = f"{mutant.file}:{mutant.scope}"
        parts = [self.parts[file] for file in self.files[mutant.room]]
        everywhere = not mutant.scope or any(place in part["ran"][""] for part in parts)
        found = {
            test: seconds
            for part in parts
            for test, seconds in part["seconds"].items()
            if test not in self.failing and (everywhere or place in part["ran"][test])
        }
        return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(p.read_bytes()).digest() for p in sorted(paths))).hexdigest()[:16]


def face(
    mutants: list[Mutant], baseline: Baseline, folder: Path, jobs: int
) -> Iterator[tuple[Mutant, str, str, Run | None]]:
    """Each mutant with its fate, what decided it, and its run."""
    tests = {mutant.id: baseline.tests(mutant) for mutant in mutants}

    def runs() -> Iterator[Run]:
        for index, mutant in enumerate(mutants):
            if wanted := tests[mutant.id]:
                files = sorted({test.partition("::")[0] for test in wanted})
                yield Run(folder / str(index), files, wanted, PATIENCE + 4 * sum(wanted.values()), mutant)

    yield from ((mutant, "survived", "no test of its room runs it", None) for mutant in mutants if not tests[mutant.id])
    for run, result in parallel(runs(), jobs):
        if run.mutant is not None:
            # pytest's codes: 0 nothing was noticed; 1 a test failed; 2 to 4 not even that; 5 there was no test
            fate = {0: "survived", 5: "error", "timeout": "timeout"}.get(result["code"], "killed")
            by = f"{len(run.wanted or ())} tests" if fate == "survived" else (*result["failed"], str(result["code"]))[0]
            yield run.mutant, fate, by, run
            shutil.rmtree(run.folder, ignore_errors=True)
