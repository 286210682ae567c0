"""What the soak judges by: a line through the memory's samples, and what was not there before."""

from __future__ import annotations

from collections import Counter

import pytest


@pytest.fixture
def watch(benchmark_file):
    return benchmark_file("soak_watch")


def test_a_steady_growth_is_told_in_kb_for_a_thousand_requests(watch) -> None:
    samples = [(requests, 50_000 + requests // 100) for requests in range(0, 90_000, 500)]
    assert watch.slope(samples) == pytest.approx(10)


def test_what_start_up_takes_is_no_growth(watch) -> None:
    samples = [(requests, min(60_000, 40_000 + requests)) for requests in range(0, 90_000, 500)]
    assert watch.slope(samples) == pytest.approx(0)


def test_too_few_samples_have_no_slope(watch) -> None:
    assert watch.slope([]) == 0
    assert watch.slope([(1, 5), (1, 7), (1, 9)]) == 0


def test_only_what_was_not_there_before_is_left(watch) -> None:
    before = watch.State(1, 1, 1, Counter({"socket listening": 1, "file books": 2}), Counter(work=3))
    after = watch.State(
        1, 1, 1, Counter({"socket listening": 1, "socket close-wait": 2, "file books": 1}), Counter(work=4)
    )
    assert after.left(before) == {"socket close-wait": 2, "work": 1}
