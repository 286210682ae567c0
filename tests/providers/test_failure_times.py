"""How long an upstream wants to be left alone, in every way in which that is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.providers.failures import LONGEST_WAIT, in_band, judge
from cheaprouter.providers.failures.times import moment, resets, span, stated
from cheaprouter.providers.failures.unwrap import Told, unwrapped
from cheaprouter.providers.failures.verdict import DAY_COOLDOWN

NOW = 1_000_000.0


def said(headers: dict[str, str] | None = None, error: Any = None, message: str = "", now: float = NOW) -> float | None:
    return stated(headers or {}, unwrapped({"error": {"message": message, **(error or {})}}), now)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ms-retry-after-ms": "500"}, 0.5),
        ({"retry-after": "Mon, 12 Jan 1970 13:47:40 GMT"}, 60),
        ({"retry-after": "Mon, 12 Jan 1970 13:40:00 GMT"}, 0),
        ({"retry-after": "1970-01-12T13:47:40Z"}, 60),
        ({"retry-after": "6m0s"}, 360),
        ({"retry-after": "2 minutes"}, 120),
        ({"retry-after": "7, 9"}, 7),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, LONGEST_WAIT),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": ""}, None),
    ],
)
def test_headers_say_it(headers, seconds):
    assert said(headers) == seconds


@pytest.mark.parametrize("ours", [0.0, 1.6e9, 1_795_000_000.0, 4.07e9])
@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "Sun, 22 Nov 2026 12:01:00 GMT"},
        {"retry-after": "1795348860"},
        {"x-ratelimit-reset-requests": "2026-11-22T12:01:00Z"},
    ],
)
def test_dates_are_compared_with_the_clock_of_who_sent_them(headers, ours):
    told = {"date": "Sun, 22 Nov 2026 12:00:00 GMT", **headers}
    assert judge("lab", 429, told, b"{}", now=ours, secrets=()).retry_after == 60


def test_a_sender_without_a_readable_date_is_taken_to_have_our_time():
    for date in ("yesterday", "", "9" * 5000, "Mon, 12 Jan 99999999 13:47:40 GMT"):
        told = {"date": date, "retry-after": "Mon, 12 Jan 1970 13:47:40 GMT"}
        assert judge("lab", 429, told, b"{}", now=NOW, secrets=()).retry_after == 60


def test_a_moment_may_be_given_as_seconds_or_milliseconds_since_1970():
    now = 1_760_000_000.0
    assert moment("1760000042", now) == 42
    assert moment("1760000042500", now) == 42.5
    assert moment("42", now) == 42


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"details": [{"@type": "x"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}, 34),
        ({"details": [{"retryDelay": {"seconds": "12"}}]}, 12),
        ({"details": [{"retryDelay": "34.074824224s"}]}, pytest.approx(34.07, abs=0.01)),
        ({"details": [{"retryDelay": "never"}]}, None),
        ({"details": {"retryDelay": "34s"}}, None),
        ({"retry_after": 8}, 8),
        ({"metadata": {"retry_after_seconds": 9.5}}, 9.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"metadata": {"headers": {"Retry-After": "11"}}}, 11),
    ],
)
def test_fields_of_the_error_say_it(error, seconds):
    assert said(error=error) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 2.5s.", 2.5),
        ("Please retry in 340ms", 0.34),
        ("Please try again in 7m12.5s. Need more tokens?", 432.5),
        ("Please try again in 1h2m3s", 3723),
        ("Please try again in 1.984999999s.", 1.984999999),
        ("your current pricing tier. Please retry after 26 seconds.", 26),
        ("please try again after 1 seconds", 1),
        ("Please wait 30 seconds before retrying.", 30),
        ("Please wait for 2 minutes", 120),
        ("Too many tokens, please wait before trying again.", None),
        ("Rate limit resets in 1 day, 2 hours", LONGEST_WAIT),
        ("later", None),
        ("try again in 5 parsecs", None),
        ("retry 3 times", None),
    ],
)
def test_a_sentence_says_it(words, seconds):
    assert said(message=words) == (None if seconds is None else pytest.approx(seconds))


def test_a_header_is_more_exact_than_words():
    assert said({"retry-after": "6"}, message="Please try again in 5.98s") == 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-tokens": "41s", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-requests": "120ms", "x-ratelimit-remaining-requests": "9"}, 41),
        ({"x-ratelimit-reset-requests": "1h0m0s", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-tokens": "3s", "x-ratelimit-remaining-tokens": "0"}, 3600),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "250ms"}, 0.25),
        ({"x-ratelimit-reset": "1760000030"}, 30),
        ({"x-ratelimit-reset": "1760000030000"}, 30),
        ({"X-RateLimit-Reset": "4102444800000"}, LONGEST_WAIT),
        ({"x-ratelimit-reset": "17"}, 17),
        ({"ratelimitbysize-reset": "24"}, 24),
        ({"x-ratelimit-reset-tokens-minute": "11.38", "x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-requests-day": "33011.3", "x-ratelimit-remaining-requests-day": "80"}, 11.38),
        ({"anthropic-ratelimit-tokens-reset": "2025-10-09T08:53:50Z", "anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-requests-reset": "2025-10-09T08:53:21Z", "anthropic-ratelimit-requests-remaining": "12"}, 30),
        ({"x-ratelimit-limit-tokens": "9"}, None),
        ({"x-ratelimit-reset": "0"}, None),
        ({"x-ratelimit-reset": "1750000000"}, None),
        ({"x-ratelimit-reset": "whenever"}, None),
    ],
)  # fmt: skip
def test_the_limits_own_headers_say_when_it_is_new(headers, seconds):
    assert resets(headers, Told(), 1_760_000_000.0) == (None if seconds is None else pytest.approx(seconds))


def test_a_wrapped_replys_own_headers_count_too():
    told = unwrapped({"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": "1760000030000"}}}})
    assert resets({}, told, 1_760_000_000.0) == pytest.approx(30)


def test_so_they_do_inside_a_reply_of_status_200():
    error = {
        "message": "Rate limit exceeded",
        "code": 429,
        "metadata": {"headers": {"X-RateLimit-Reset": "1760000030000"}},
    }
    assert in_band("lab", {"error": error}, (), 1_760_000_000.0).retry_after == pytest.approx(30)


def test_what_is_no_rate_limit_has_no_use_for_them():
    failure = judge("lab", 500, {"x-ratelimit-reset-tokens": "41s"}, b"{}", now=NOW, secrets=())
    assert failure.retry_after is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("250ms", 0.25), ("34.5s", 34.5), ("1h2m3s", 3723), ("1d", 86400), ("5 min", 300), ("", None), ("x", None),
        ("6m 30s", 390), ("6mm", None), ("s", None), ("1s x", None),
    ],
)  # fmt: skip
def test_spans(text, seconds):
    assert span(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["Mon, 12 Jan 1970 13:47:40 +9999999999999999", "Mon, 12 Jan 99999999 13:47:40 GMT", "9" * 5000, "1e999", "9" * 60],
)
def test_any_date_to_wait_for_is_read(value):
    assert 0 <= (said({"retry-after": value}, now=0.0) or 0) <= LONGEST_WAIT


spans = st.text(alphabet="0123456789.hmsd -:TZ,GMTJanOc", max_size=80)


@given(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset"]),
    spans,
    spans,
)
def test_whatever_is_said_is_bounded_and_never_raises(name, value, words):
    for told in ({name: value}, {}):
        found = judge(
            "lab", 429, told, b'{"error":{"message":"try again in %s"}}' % words.encode(), now=NOW, secrets=()
        )
        assert found.retry_after is None or 0 <= found.retry_after <= LONGEST_WAIT


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_span_is_read_as_it_was_written(hours, minutes, seconds):
    assert span(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
    assert said(message=f"Please try again in {hours}h{minutes}m{seconds}s.") == span(f"{hours}h{minutes}m{seconds}s")


@pytest.mark.parametrize(
    "words",
    [
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        "Usage limit reached. Your limit will reset at 2026-12-01T00:00:00Z",
        "Limit exhausted, try again after 2026-12-01 01:00:00 +01:00",
        "The quota resets on 2026-12-01 00:00:00.000 GMT.",
    ],
)
def test_a_moment_in_words_is_read_where_its_zone_is_told(words):
    now = datetime(2026, 11, 30, 23, 0, tzinfo=UTC).timestamp()
    body = json.dumps({"error": {"message": words}}).encode()
    assert judge("lab", 429, {}, body, now=now, secrets=()).retry_after == 3600


@pytest.mark.parametrize(
    "words",
    ["Your limit will reset at 2026-12-01 20:03:26", "reset at 2026-99-01 00:00 UTC", "at 2026-12-01 00:00 UTC"],
)
def test_a_moment_that_is_none_is_not_guessed(words):
    body = json.dumps({"error": {"message": words}}).encode()
    assert judge("lab", 429, {}, body, now=0.0, secrets=()).retry_after is None


def test_a_limit_of_the_day_is_known_by_its_quota_too():
    quota = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
    error = {
        "code": 429,
        "message": "You exceeded your current quota.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [quota],
    }
    for body in ([{"error": error}], {"error": {"message": "Too many requests for today"}}):
        failure = judge("lab", 429, {}, json.dumps(body).encode(), now=0.0, secrets=())
        assert failure.cooldown == DAY_COOLDOWN
    quota["violations"][0]["quotaId"] = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert judge("lab", 429, {}, json.dumps([{"error": error}]).encode(), now=0.0, secrets=()).cooldown is None
