"""script/mutate: what it changes, that it picks the same again, and that what is explained is still there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "script"))

from mutation import find, run  # noqa: E402 - the path comes first

SOURCE = '''
"""Nothing in texts and log lines is touched: 1 < 2."""
LIMIT = 60
@dataclass(frozen=True)
class A:
    def take(self, a: int, b: int = 3, *, c: bool = False) -> int:
        _log.info("%s", 1 + 1)
        assert a < 5
        if a < b and not c:
            raise ValueError(f"{a + 1}")
        self.left = min(a - b, 7)
        self.total += a
        for x in (y for y in a if ok(y)):
            break
        send(a, b)
        return self.left
'''


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "PACKAGE", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text(SOURCE)
    return find.candidates("room")


def test_what_is_changed(found):
    changes = {f"{m.id.split(':', 1)[1]}  {m.change}" for m in found}
    assert changes == {
        "<module>:constant:0  60 → 61",
        "A.take:default:1  3 → 4",
        "A.take:default:0  False → True",
        "A.take:logic:0  a < b and (not c) → a < b or not c",
        "A.take:boundary:0  a < b → a <= b",
        "A.take:compare:0  a < b → a >= b",
        "A.take:not:0  not c → c",
        "A.take:remove:0  raise ValueError(f'{a + 1}') → pass",
        "A.take:remove:1  self.left = min(a - b, 7) → pass",
        "A.take:extreme:0  min(a - b, 7) → max(a - b, 7)",
        "A.take:arithmetic:0  a - b → a + b",
        "A.take:constant:0  7 → 8",
        "A.take:arithmetic:1  self.total += a → self.total -= a",
        "A.take:remove:2  self.total += a → pass",
        "A.take:not:1  ok(y) → not ok(y)",
        "A.take:flow:0  break → continue",
        "A.take:remove:3  send(a, b) → pass",
        "A.take:arguments:0  send(a, b) → send(b, a)",
        "A.take:return:0  return self.left → return",
    }


def test_each_source_has_its_own_change_and_the_next_one_has_not(found):
    sources = [mutant.source() for mutant in found]
    assert len(set(sources)) == len(sources)
    for source in sources:
        compile(source, "mutant", "exec")


def test_a_default_matters_everywhere_and_a_body_where_it_runs(found):
    scopes = {m.id.split(":")[2] + m.id[-2:]: m.scope for m in found if "take" in m.id}
    assert (scopes["default:0"], scopes["logic:0"]) == (0, 6)


def test_a_seed_picks_the_same_again_in_equal_shares():
    first, again, other = (find.pick(["gateway", "accounts"], seed, 40) for seed in (1, 1, 2))
    assert [m.id for m in first] == [m.id for m in again] != [m.id for m in other]
    assert [m.room for m in first].count("gateway") == 20


def test_a_room_may_be_several_modules(tmp_path, monkeypatch):
    assert {m.file for m in find.candidates("gateway")} == {"gateway.py", "world.py", "control.py"}
    assert [find.room_of(name) for name in ("world.py:a:not:0", "wire/sse.py:a:not:0")] == ["gateway", "wire"]
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "TESTS", tmp_path)
    for name, line in (("one", "from cheaprouter.world import World"), ("other", "from cheaprouter.wire import x")):
        (tmp_path / f"test_{name}.py").write_text(line)
    assert run.tests_of("gateway") == ["test_one.py"]


def test_a_test_that_hangs_ends_its_run(tmp_path, monkeypatch, found):
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text("import time\ndef test_hang():\n    time.sleep(60)\n")
    monkeypatch.setattr(run, "PATIENCE", 1)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    one = run.Run(tmp_path / "run", [hanging.name], {"test_hanging.py::test_hang": 0.0}, 60.0)
    ((_, result),) = run.parallel(iter([one]), 1)
    assert result["code"] == "timeout"


def test_a_rooms_tests_are_its_folder_and_what_imports_it():
    assert {"tests/accounts/test_ledger.py", "tests/e2e/test_limits.py"} <= set(run.tests_of("accounts"))


def test_every_place_named_for_a_rooms_further_tests_is_there():
    assert [name for names in run.FURTHER.values() for name in names if not (ROOT / "tests" / name).exists()] == []


def test_slices_make_up_the_whole_and_every_explained_mutant_is_still_there():
    command = [sys.executable, str(ROOT / "script" / "mutate"), "--list", "--count", "30"]

    def listed(*more: str) -> list[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout.splitlines()[:-1]

    whole = listed()
    assert not [line for line in whole if "no longer there" in line]
    assert sorted(listed("--slice", "1/2") + listed("--slice", "2/2")) == sorted(whole)
