"""The judge of `script/chaos money` sees what is wrong: on figures of its own, and on the running product."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/chaos"
MONEY = FOLDER / "money.py"


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import _judge

    return _judge


def item(judge, output: int, cause: str = "calm", *, killed: bool = False):
    behaviour = judge.Item.__init__.__globals__["Behaviour"](input=0, output=10, rate=100)
    return judge.Item(cause, "tablet", "plain", behaviour, 0, 1, 0.0, output=output, ended=10.0, killed=killed)


@pytest.mark.parametrize(
    ("booked", "good"), [(1000, True), (994, False), (996, True), (1049, True), (1051, False), (0, False)]
)
def test_booked_must_be_within_the_bounds_of_the_bill(judge, booked, good) -> None:
    verdict = judge.Verdict()
    one = item(judge, 1000)
    judge.compare(verdict, "load", judge.causes([one]), {"calm.plain": (booked * one.pico // 1000, 1)})
    assert (not verdict.wrong) is good


def test_no_bill_at_all_is_no_success(judge) -> None:
    verdict = judge.Verdict()
    judge.compare(verdict, "load", {}, {})
    assert verdict.wrong


def test_what_was_in_flight_at_a_kill_is_compared_with_what_was_booked_as_interrupted(judge) -> None:
    assert judge.causes([item(judge, 10, killed=True), item(judge, 20)]) == {
        "interrupted": (10 * 10**7, 1),
        "calm": (20 * 10**7, 1),
    }


@pytest.mark.parametrize(("tokens", "good"), [(1000, True), (1100, True), (1101, False)])
def test_a_budget_may_be_passed_by_one_second_of_one_request(judge, tokens, good) -> None:
    verdict = judge.Verdict()
    judge.budget(verdict, "tablet", 1000 * 10**7, [item(judge, tokens // 2), item(judge, tokens - tokens // 2)])
    assert (not verdict.wrong) is good


@pytest.mark.parametrize(("tokens", "good"), [(700, True), (801, False)])
def test_so_may_tokens_a_minute(judge, tokens, good) -> None:
    verdict = judge.Verdict()
    judge.tokens(verdict, "tablet", 600, [item(judge, tokens)])  # in ten seconds: 600 and a sixth of it
    assert (not verdict.wrong) is good


async def chaos(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(MONEY), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_it_runs_in_seconds_and_is_content_where_nothing_goes_wrong() -> None:
    code, out = await chaos("--only", "load", "--devices", "2", "--streams", "2", "--rounds", "2", "--calm")
    assert code == 0, out
    assert "seed 1;" in out
    assert "load: billed $0.0" in out


async def test_a_provider_that_bills_more_than_it_tells_is_noticed() -> None:
    code, out = await chaos(
        "--only", "load", "--devices", "2", "--streams", "2", "--rounds", "2", "--calm", "--overbill", "1.2"
    )
    assert code == 1, out
    assert "do not hold" in out


@pytest.mark.parametrize("which", ["house", "money", "text"])
def test_each_begins_as_the_script_calls_it_with_nothing_on_the_path(which, tmp_path) -> None:
    command = [sys.executable, str(FOLDER / f"{which}.py"), "--help"]
    told = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert "--quick" in told.stdout
