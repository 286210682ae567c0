"""The breakers, with time turned by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.models import Model
from cheaprouter.providers.failures import Action, Failure, Reach
from cheaprouter.upstream.health import KEY_COOLDOWN, Breaker, Health, State, Target

MODEL = Model("lab/a", "lab", "a")
OTHER = Model("lab/b", "lab", "b")
T = Target(MODEL)


def failure(action: Action = Action.RETRY, code: str = "upstream_error", status: int = 500, **more: object) -> Failure:
    return Failure(action, code, "words", status=status, **more)  # type: ignore[arg-type]


@pytest.fixture
def health() -> Health:
    return Health()


def test_single_failures_do_not_take_a_target_away(health):
    assert health.fail(T, failure(), 0) is None
    assert health.fail(T, failure(), 1) is None
    assert health.allows(T, 2)


def test_the_third_failure_in_a_row_does(health):
    downs = [health.fail(T, failure(), now) for now in range(3)]
    assert downs[:2] == [None, None]
    assert downs[2] is not None
    assert downs[2].cooldown == 5
    assert not health.allows(T, 6)
    assert health.allows(T, 7)


def test_a_success_between_starts_the_count_again(health):
    for _ in range(2):
        health.fail(T, failure(), 0)
    health.succeed(T)
    assert health.fail(T, failure(), 0) is None


def test_an_overloaded_target_cools_down_at_once(health):
    health.fail(T, failure(Action.COOL, status=503, cooldown=15.0), 100)
    assert (health.allows(T, 114.9), health.allows(T, 115)) == (False, True)


def test_a_rate_limit_holds_exactly_as_long_as_told(health):
    health.fail(T, failure(Action.WAIT, status=429, retry_after=42.0), 0)
    assert health.remaining(T, 2) == 40


def test_a_rate_limit_of_unknown_length_grows(health):
    health.fail(T, failure(Action.WAIT, status=429), 0)
    first = health.remaining(T, 0)
    health.fail(T, failure(Action.WAIT, status=429), 10)
    assert (first, health.remaining(T, 10)) == (5, 10)


def test_only_one_probe_goes_ahead(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    assert health.allows(T, 20)
    health.begin(T, 20)
    assert not health.allows(T, 20)
    assert health.breakers[T.scopes[-1]].state(20) is State.PROBING


def test_a_probe_that_fails_closes_the_door_for_longer(health):
    health.fail(T, failure(Action.WAIT, status=429), 0)
    health.begin(T, 20)
    health.fail(T, failure(Action.WAIT, status=429), 21)
    assert health.remaining(T, 21) == 10


def test_a_probe_that_answers_opens_it(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    health.begin(T, 20)
    health.answer(T)
    assert health.allows(T, 20)


def test_a_probe_that_never_comes_back_is_given_up(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    health.begin(T, 20)
    assert health.allows(T, 81)


def test_an_abandoned_probe_lets_the_next_one_go(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    health.begin(T, 20)
    health.abandon(T)
    assert health.allows(T, 20)


def test_a_refused_key_takes_the_key_and_not_the_model(health):
    down = health.fail(Target(MODEL, 0), failure(Action.KEY, status=401), 0)
    assert down is not None
    assert (down.key, down.model, down.cooldown) == (0, "", KEY_COOLDOWN)
    assert not health.allows(Target(OTHER, 0), 1)
    assert health.allows(Target(MODEL, 1), 1)


def test_a_provider_out_of_reach_takes_all_its_models(health):
    unreachable = failure(code="upstream_unreachable", status=502)
    assert health.fail(T, unreachable, 0) is None
    assert health.fail(T, unreachable, 0) is not None
    assert not health.allows(Target(OTHER, 3), 1)


def test_one_models_cooldown_leaves_the_others(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    assert health.allows(Target(OTHER), 1)


@pytest.mark.parametrize("action", [Action.FINAL, Action.CONTEXT, Action.ADAPT, Action.NEXT])
def test_the_requests_own_fault_is_not_the_targets(health, action):
    for _ in range(5):
        assert health.fail(T, failure(action, status=400), 0) is None
    assert health.allows(T, 0)


def test_a_timeout_leaves_the_target_alone_for_a_moment(health):
    health.fail(T, failure(Action.NEXT, code="upstream_timeout", status=504, cooldown=15.0), 0)
    assert not health.allows(T, 1)


def test_going_down_is_told_once(health):
    told = [health.fail(T, failure(Action.COOL, cooldown=15.0), now) for now in (0, 1, 20)]
    assert [down is not None for down in told] == [True, False, False]


def test_forgetting_ends_all_cooldowns(health):
    health.fail(T, failure(Action.COOL, cooldown=15.0), 0)
    health.forget("elsewhere")
    assert not health.allows(T, 1)
    health.forget("lab")
    assert health.allows(T, 1)


SECONDS = st.integers(0, 1_000_000).map(lambda milliseconds: milliseconds / 1000)


@given(st.lists(st.tuples(SECONDS, st.one_of(st.none(), SECONDS)), max_size=20))
def test_a_cooldown_is_extended_and_never_shortened(steps):
    breaker, now, end = Breaker(), 0.0, 0.0
    for passed, cooldown in steps:
        now += passed
        breaker.fail(failure(), now, cooldown)
        if cooldown is not None:
            end = max(end, now + cooldown)
        assert breaker.until is None or breaker.until >= end
        end = max(end, breaker.until or 0.0)
        assert breaker.allows(end)
        assert end <= now or not breaker.allows((now + end) / 2 if now < end else now) or breaker.until is None


def test_each_trip_doubles_the_cooldown_up_to_two_minutes(health):
    waits, now = [], 0.0
    for _ in range(3 + 6):
        health.fail(T, failure(), now)
        if wait := health.remaining(T, now):
            waits.append(wait)
        now += wait
    assert waits == [5, 10, 20, 40, 80, 120, 120]


TARGETS = [
    Target(Model(f"{provider}/{name}", provider, name), key)
    for provider in ("lab", "other")
    for name in ("a", "b", "c:free", "d:free")
    for key in (0, 1)
]


@given(
    st.sampled_from(TARGETS),
    st.sampled_from(Reach),
    st.sampled_from([Action.WAIT, Action.KEY, Action.COOL]),
    st.floats(0.1, 80_000),
)
def test_exactly_what_a_failure_reaches_rests_for_exactly_as_long_as_was_said(failed, reach, action, said):
    health = Health()
    told = failure(action, "x", 429, reach=reach, retry_after=said, cooldown=said)
    health.fail(failed, told, 0.0)
    for target in TARGETS:
        assert health.remaining(target, 0.0) == (said if target.within(told, failed) else 0.0)
        assert health.allows(target, said)


def test_what_a_failure_reaches():
    failed = Target(Model("lab/a", "lab", "a"), 0)

    def reached(reach: Reach) -> set[str]:
        told = failure(Action.WAIT, reach=reach)
        return {f"{t.model.upstream}{t.key}" for t in TARGETS if t.model.provider == "lab" and t.within(told, failed)}

    assert reached(Reach.MODEL) == {"a0"}
    assert reached(Reach.TIER) == {"a0", "b0"}
    assert reached(Reach.KEY) == {"a0", "b0", "c:free0", "d:free0"}
    assert len(reached(Reach.PROVIDER)) == 8
