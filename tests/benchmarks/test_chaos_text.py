"""The judge of `script/chaos text` tells a square from a line, whatever else is beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/chaos"


@pytest.fixture
def text(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import text

    return text


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        (lambda length: length / 1e6, True),
        (lambda length: 0.004 + length / 1e8, True),
        (lambda length: (length / 1e6) ** 1.1, True),
        (lambda length: 0.002 + (length / 1e6) ** 1.5, False),
        (lambda length: 0.005 + length / 1e8 + (length / 1e6) ** 2 / 100, False),
        (lambda length: (length / 1e6) ** 2 if length < 2_000_000 else 4.0, False),
        (lambda _: 0.0001, True),
    ],
    ids=["a line", "a line far up", "with caches", "one and a half", "a square beside a line", "a square, then cut", "nothing"],
)  # fmt: skip
def test_what_grows_by_more_than_its_length_is_told(text, seconds, good):
    measured = [seconds(length) for length in text.THROUGH]
    assert (text.power(text.THROUGH, measured, text.TIMES) <= text.STEEPEST) is good


def test_there_are_at_least_forty_shapes_and_each_is_as_long_as_is_said(text):
    assert len(set(text.UNITS)) >= 40
    for unit in text.UNITS:
        for length in (10_000, 90_000):
            body = text.chat(unit, length).partition(b"\r\n\r\n")[2]
            assert length - 50 < len(body) < length + 150


def test_a_callback_that_takes_long_is_timed_and_named(tmp_path):
    import subprocess
    import sys

    code = f"""
import asyncio, sys, time
sys.path.insert(0, {str(FOLDER)!r})
import _house_watch as watch
from pathlib import Path
file = Path({str(tmp_path / "page")!r})
watch.create(file)
watch.watch(watch._shared(file))
other = watch.Watch(file)

async def busy():
    await asyncio.sleep(0)
    end = time.thread_time() + 0.03
    while time.thread_time() < end:
        pass
    await asyncio.sleep(0)

asyncio.run(busy())
took, whose = other.told()
assert took >= 30 and whose.startswith("busy:"), (took, whose)
assert other.told()[0] == 0
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
