"""`script/chaos house`: its judge sees what is wrong, its mutations are many, and a small run of it holds on the running product."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/chaos"


@pytest.fixture
def house(monkeypatch):
    for folder in (FOLDER.parent, FOLDER):
        monkeypatch.syspath_prepend(str(folder))
    import house

    return house


@pytest.fixture
def run(house, capfd):
    """Run it; its exit code and what it printed."""

    def running(*arguments: str) -> tuple[int, str]:
        code = house.main([*arguments, "--quick", "--seed", "7"])
        return code, capfd.readouterr().out

    return running


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ({}, True),
        ({"silence": 49}, True),
        ({"silence": 51}, False),
        ({"silence": 51, "large": True}, True),
        ({"silence": 201, "large": True}, False),
        ({"peak": 31}, False),
        ({"peak": 59, "size": 10}, True),
        ({"peak": 61, "size": 10}, False),
        ({"lost": ["a 500 of ours"]}, False),
    ],
)
def test_a_line_breaks_a_promise_or_holds_it(house, line, good) -> None:
    one = house.Line(**{"name": "x", "silence": 1.0, "peak": 1.0, **line})
    assert house.verdict([one]) == (0 if good else 1)
    assert one.told().endswith("held") is good


def test_no_line_at_all_is_no_success(house) -> None:
    assert house.verdict([]) == 1


def test_one_bad_line_among_good_ones_is_seen(house) -> None:
    assert house.verdict([house.Line("x", 1, 1), house.Line("y", 1, 1, lost=["z"]), house.Line("x", 1, 1)]) == 1


def test_the_same_seed_gives_the_same_mutations_and_each_is_another(house) -> None:
    import _house_fuzz

    makers = [_house_fuzz.Requests(random.Random(4), "k") for _ in range(2)]
    made = [[make.one() for _ in range(300)] for make in makers]
    assert made[0] == made[1]
    assert len({request for request, _ in made[0]}) > 200


def test_mutations_hold_numbers_texts_and_shapes_of_every_kind(house) -> None:
    import _house_mutate

    mutate = _house_mutate.Mutator(random.Random(1))
    bodies = b"\n".join(
        mutate.body({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 1}) for _ in range(3000)
    )
    kinds = (
        b"1e999999",
        b"NaN",
        b"9" * 4301,
        b"\\ud800",
        b"\\u0000",
        b"\\ufeff",
        b'"role": "user", "content": "hi", "role"',
        b'[{"a": [{"a": [{"a": ',
    )
    assert [kind for kind in kinds if kind not in bodies] == []


def test_a_small_run_holds_on_the_running_product(run) -> None:
    code, said = run("--only", "fuzz", "--requests", "120", "--silence", "5000")
    assert code == 0, said
    assert "seed 7" in said
    assert "fuzz: " in said


def test_the_judge_fails_on_the_running_product_where_less_is_allowed_than_it_takes(run) -> None:
    code, said = run("--only", "replies", "--like", "empty-object", "--silence", "0")
    assert code == 1
    assert "silent for more than 0 ms" in said


def test_a_process_that_ends_is_seen(house, tmp_path) -> None:
    import asyncio

    import _house_stand

    async def killed() -> object:
        with _house_stand.running(tmp_path / "data", {"auth": "open"}) as product:
            async with product.attack("a kill") as line:
                product.process.kill()
                product.process.wait()
            return line

    line = asyncio.run(killed())
    assert any("the process ended" in fault for fault in line.faults())


def test_a_house_that_does_not_come_up_is_told(house, tmp_path) -> None:
    import _house_stand

    with pytest.raises(RuntimeError, match="did not come up"):
        _house_stand.start(tmp_path / "data", None, limit=(_house_stand.resource.RLIMIT_NOFILE, 4))
