"""A request makes no more calls than it did: counts, since times are nobody's to assert on a shared machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / f"benchmarks/calls-{sys.version_info.major}.{sys.version_info.minor}.json"
WITHIN = 0.05
AT_LEAST = 1.0
"""Calls that may come or go whatever the share: five percent of ten are none."""

KEPT = json.loads(FILE.read_text()) if FILE.exists() else {}
RENEW = f"If that is meant to be, renew {FILE.name} with this Python, {platform.python_version()}: python benchmarks/calls.py --write"

pytestmark = pytest.mark.skipif(
    not KEPT, reason=f"no benchmarks/{FILE.name}: no counts are kept for this minor version of Python"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, float]]:
    """Counted in a process of its own: what pytest and other tests leave behind would count, too."""
    file: Path = tmp_path_factory.mktemp("calls") / "calls.json"
    command = [sys.executable, str(ROOT / "benchmarks/calls.py"), "--json", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(file.read_text())


def test_what_is_counted_is_what_is_kept(found) -> None:
    assert list(found) == list(KEPT), RENEW


@pytest.mark.parametrize("case", KEPT)
def test_it_makes_as_many_calls_as_are_kept(found, case: str) -> None:
    for kind, kept in KEPT[case].items():
        now = found.get(case, {}).get(kind)
        assert now == pytest.approx(kept, rel=WITHIN, abs=AT_LEAST), (
            f"{case}: {now} calls of {kind} functions, {kept} are kept; more than 5 % apart. {RENEW}"
        )
