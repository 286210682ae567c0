"""The response cache: what is kept, for whom, and for how long."""

import pytest

from cheaprouter.core.models import Model, Usage
from cheaprouter.upstream.cache import ResponseCache, cache_key
from tests.builders import HandClock, a_body, saying

BODY = a_body("hello", "m", temperature=0)
MODEL = Model("lab/a", "lab", "a")
KEY = cache_key("kitchen", "lab/a", BODY)


@pytest.fixture
def time():
    return HandClock()


@pytest.fixture
def cache(time):
    return ResponseCache(ttl=60, max_bytes=4000, monotonic=time)


def test_what_was_put_is_got(cache):
    cache.put(KEY, MODEL, (b"answer",), Usage(1, 2), "stop")
    assert cache.get(KEY).chunks == (b"answer",)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1},
        {"stream": True},
        {"messages": saying("bye")},
        {"max_tokens": 5},
        {"tools": []},
        {"seed": 1},
        {"response_format": {"type": "json_object"}},
        {"unknown_field": 1},
    ],
)
def test_whatever_changes_the_answer_changes_the_key(change):
    assert cache_key("kitchen", "lab/a", {**BODY, **change}) != KEY


def test_another_device_never_gets_the_answer():
    assert cache_key("bath", "lab/a", BODY) != KEY


def test_another_model_is_another_answer():
    assert cache_key("kitchen", "lab/b", BODY) != KEY


def test_the_order_of_fields_does_not_matter():
    assert cache_key("kitchen", "lab/a", dict(reversed(BODY.items()))) == KEY


def test_book_keeping_fields_do_not_matter():
    assert cache_key("kitchen", "lab/a", {**BODY, "user": "x", "metadata": {"a": "b"}}) == KEY


def test_an_answer_ends_after_its_time(cache, time):
    cache.put(KEY, MODEL, (b"answer",), None, "stop")
    time.later(60)
    assert cache.get(KEY) is None


@pytest.mark.parametrize("reason", [None, "length", "content_filter", "error"])
def test_an_unfinished_answer_is_not_kept(cache, reason):
    cache.put(KEY, MODEL, (b"answer",), None, reason)
    assert cache.get(KEY) is None


def test_memory_stays_within_its_bound_and_the_oldest_goes(cache):
    keys = [cache_key("kitchen", f"lab/{i}", BODY) for i in range(10)]
    for key in keys:
        cache.put(key, MODEL, (b"x" * 700,), None, "stop")
    assert cache.get(keys[0]) is None
    assert cache.get(keys[-1]) is not None


def test_an_answer_that_would_fill_the_cache_is_not_kept(cache):
    cache.put(KEY, MODEL, (b"x" * 3000,), None, "stop")
    assert cache.get(KEY) is None


def test_bytes_and_events_of_the_same_question_are_kept_apart():
    assert cache_key("kitchen", "lab/a", BODY, "events") != KEY


def test_an_answer_that_was_used_outlives_one_that_was_not(cache):
    keys = [cache_key("kitchen", f"lab/{i}", BODY) for i in range(5)]
    for key in keys[:4]:
        cache.put(key, MODEL, (b"x" * 800,), None, "stop")
    cache.get(keys[0])
    cache.put(keys[4], MODEL, (b"x" * 800,), None, "stop")
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True, True]


def test_an_answer_that_is_given_anew_takes_the_place_of_the_old_one(cache):
    other = cache_key("kitchen", "lab/b", BODY)
    cache.put(other, MODEL, (b"other",), None, "stop")
    for _ in range(20):
        cache.put(KEY, MODEL, (b"x" * 800,), None, "stop")
    assert cache.get(other) is not None
