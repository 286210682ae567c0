"""Who is tried next: the table of failures, as pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.models import Model
from cheaprouter.providers.failures import Action, Failure
from cheaprouter.upstream.health import Health, Target
from cheaprouter.upstream.plan import Upstreams, make_plan

A = Model("lab/a", "lab", "a", context=8_000)
B = Model("lab/b", "lab", "b", context=32_000)
C = Model("other/c", "other", "c", context=4_000)
D = Model("other/d", "other", "d", context=128_000)
KEYS = {"lab": 1, "other": 1}


@dataclass
class Keys:
    """Of an adapter, all that a plan looks at."""

    api_keys: tuple[str, ...]


def fail(action: Action, code: str = "x", **more: Any) -> Failure:
    return Failure(action, code, "words", **more)


def walk(
    chain: list[Model], failures: dict[str, list[Failure]], keys: dict[str, int] = KEYS, left: float = 100.0
) -> tuple[list[str], list[float]]:
    """The order in which models (and keys) are tried, each failing as told (the last failure repeats), and the waits."""
    health = Health()
    adapters = {name: Keys(tuple(f"k{n}" for n in range(count))) for name, count in keys.items()}
    plan = make_plan(chain, Upstreams(adapters), health, {})
    tried: list[str] = []
    waits: list[float] = []
    while (target := plan.next(0.0)) is not None:
        name = target.model.upstream
        tried.append(name if keys[target.model.provider] == 1 else f"{name}{target.key}")
        queue = failures.get(name, [fail(Action.NEXT, status=404)])
        failure = queue.pop(0) if len(queue) > 1 else queue[0]
        health.begin(target, 0.0)
        health.fail(target, failure, 0.0)
        waits.append(plan.failed(target, failure, 0.0, left, 0.5, fresh=bool(failure.adapt)))
    return tried, waits


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (fail(Action.RETRY, status=500), ["a", "a", "b"]),
        (fail(Action.NEXT, status=404), ["a", "b"]),
        (fail(Action.COOL, status=503, cooldown=15.0), ["a", "b"]),
        (fail(Action.WAIT, status=429, retry_after=2.0), ["a", "a", "b"]),
        (fail(Action.WAIT, status=429, retry_after=4.0), ["a", "b"]),
        (fail(Action.WAIT, status=429), ["a", "b"]),
        (fail(Action.FINAL, status=400), ["a"]),
        (fail(Action.ADAPT, status=400), ["a", "b"]),
    ],
)
def test_the_table(failure, expected):
    assert walk([A, B], {"a": [failure]})[0] == expected


def test_a_short_rate_limit_is_waited_for():
    assert walk([A], {"a": [fail(Action.WAIT, retry_after=2.5)]})[1] == [2.5, 0.0]


def test_not_when_the_deadline_comes_first():
    assert walk([A], {"a": [fail(Action.WAIT, retry_after=2.5)]}, left=2.0)[0] == ["a"]


def test_a_retry_waits_a_jittered_moment():
    assert walk([A], {"a": [fail(Action.RETRY, status=500)]})[1] == [pytest.approx(0.4), 0.0]


def test_a_retry_waits_as_long_as_was_said():
    assert walk([A], {"a": [fail(Action.RETRY, status=500, retry_after=2.5)]})[1] == [2.5, 0.0]


def test_a_connection_is_retried_quickly_and_then_its_provider_left_alone():
    tried, waits = walk([A, B, C], {"a": [fail(Action.RETRY, "upstream_unreachable")]})
    assert tried == ["a", "a", "c"]
    assert waits[0] < 0.1


def test_only_larger_windows_after_a_context_error():
    assert walk([A, C, B, D], {"a": [fail(Action.CONTEXT)], "b": [fail(Action.CONTEXT)]})[0] == ["a", "b", "d"]


def test_another_key_before_another_model():
    refused = fail(Action.KEY, status=401)
    assert walk([A, C], {"a": [refused]}, {"lab": 3, "other": 1})[0] == ["a0", "a1", "a2", "c"]


def test_a_refused_key_is_not_tried_with_the_next_model():
    refused = fail(Action.KEY, status=401)
    assert walk([A, B, C], {"a": [refused], "b": [refused]})[0] == ["a", "c"]


def test_a_refused_key_is_left_alone_for_the_whole_request_even_if_its_time_is_over_meanwhile():
    plan = make_plan([A, B, C], Upstreams({name: Keys(("k",)) for name in KEYS}), Health(), {})
    target = plan.next(0.0)
    assert target is not None
    plan.failed(target, fail(Action.KEY, status=401), 0.0, 100.0, 0.5, fresh=False)
    following = plan.next(1000.0)
    assert following is not None
    assert following.model is C


@pytest.mark.parametrize(("failure", "asked"), [(fail(Action.RETRY, status=500), True), (fail(Action.WAIT, retry_after=60.0), False)])  # fmt: skip
def test_a_sole_provider_is_asked_as_a_last_resort_unless_it_said_when(failure, asked):
    health, upstreams = Health(), Upstreams({"lab": Keys(("k",))})
    for model in (A, B):
        for _ in range(3):
            health.fail(Target(model), failure, 0.0)
    assert (make_plan([A, B], upstreams, health, {}).next(1.0) is not None) is asked


def test_another_key_rather_than_waiting():
    assert walk([A], {"a": [fail(Action.WAIT, retry_after=2.0)]}, {"lab": 2})[0] == ["a0", "a1", "a1"]


def test_something_learned_is_worth_another_try():
    learned = fail(Action.ADAPT, adapt={"seed": None})
    assert walk([A, B], {"a": [learned, fail(Action.NEXT)]})[0] == ["a", "a", "b"]


def test_learning_ends():
    assert walk([A], {"a": [fail(Action.ADAPT, adapt={"seed": None})]})[0] == ["a"] * 6


def test_models_of_unknown_providers_are_left_out():
    assert walk([Model("gone/x", "gone", "x"), C], {})[0] == ["c"]


actions = st.sampled_from(list(Action))
failures = st.builds(
    Failure,
    actions,
    st.sampled_from(["x", "upstream_unreachable", "upstream_timeout"]),
    st.just("words"),
    st.sampled_from([None, 400, 429, 500, 503]),
    st.one_of(st.none(), st.floats(0, 10)),
    adapt=st.sampled_from([{}, {"seed": None}]),
)


@given(
    st.lists(st.sampled_from([A, B, C, D]), unique_by=lambda m: m.id),
    st.lists(failures, min_size=1, max_size=10),
    st.integers(1, 3),
)
def test_whatever_happens_it_ends_within_six_tries(chain, sequence, keys):
    queues = {model.upstream: list(sequence) for model in (A, B, C, D)}
    tried, waits = walk(chain, queues, {"lab": keys, "other": keys}, left=3.0)
    assert len(tried) <= 6
    assert all(0 <= wait < 3.0 for wait in waits)
    assert bool(tried) == bool(chain)


@pytest.mark.parametrize(("named", "left"), [(False, ["other/d"]), (True, ["other/d", "other/e"])])
def test_after_a_context_error_an_unknown_window_may_do_where_the_user_named_it(named, left):
    unknown = Model("other/e", "other", "e")
    plan = make_plan([A, C, D, unknown], Upstreams({name: Keys(()) for name in KEYS}), Health(), {}, named=named)
    target = plan.next(0.0)
    assert target is not None
    plan.failed(target, fail(Action.CONTEXT), 0.0, 9.0, 0.5, fresh=False)
    assert [target.model.id for target in plan.targets] == left
