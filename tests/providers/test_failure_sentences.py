"""Real vendors' errors mean what they mean in any wrapping, and what only sounds alike does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cheaprouter.providers.failures import Asked, Failure, Meaning, in_band, judge
from cheaprouter.providers.failures.codes import STATUSES
from cheaprouter.providers.failures.sentences import SENTENCES
from cheaprouter.providers.failures.unwrap import LONGEST_WORDS
from cheaprouter.providers.failures.verdict import VERDICTS
from cheaprouter.providers.failures.words import find, plain, says
from tests.providers.vendor_errors import FALSE_ALARMS, SEEN, Seen


def heard(seen: Seen, body: Any) -> Failure:
    """As it would be judged: with its status, or inside a reply of status 200."""
    if seen.status == 200:
        return in_band("lab", json.loads(body) if isinstance(body, bytes) else body, (), 5.0)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge("lab", seen.status, {}, data, now=1_000_000.0, secrets=())


def name(seen: Seen) -> str:
    return f"{seen.vendor}-{seen.status}-{seen.meaning}"


@pytest.mark.parametrize("seen", SEEN, ids=name)
def test_a_vendors_error_is_understood(seen):
    failure = heard(seen, {"error": seen.error})
    assert failure.meaning is seen.meaning
    assert {field: getattr(failure, field) for field in seen.also} == {
        field: pytest.approx(value) if isinstance(value, float) else value for field, value in seen.also.items()
    }


@pytest.mark.parametrize("seen", SEEN, ids=name)
def test_also_without_its_envelope(seen):
    assert heard(seen, seen.error).meaning is seen.meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(1002, Meaning.RATE_LIMIT), (1008, Meaning.QUOTA), (1026, Meaning.FILTER), (5, Meaning.SERVER)],
)
def test_minimaxs_numbers_mean_the_same_wherever_they_stand(code, meaning):
    for error in ({"message": "x", "code": code}, {"base_resp": {"status_code": code, "status_msg": "x"}}):
        assert in_band("lab", {"error": error}, (), 5.0).meaning is meaning


@pytest.mark.parametrize("seen", FALSE_ALARMS, ids=lambda seen: seen.vendor)
def test_what_only_sounds_alike_is_not_taken_for_it(seen):
    assert heard(seen, {"error": seen.error}).meaning is seen.meaning


Wrap = Callable[[Any, int], Any]
WRAPS: dict[str, Wrap] = {
    "error": lambda e, _: {"error": e},
    "array": lambda e, _: [{"error": e}],
    "anthropic": lambda e, _: {"type": "error", "error": e},
    "raw": lambda e, s: {"error": {"message": "Provider returned error", "code": s, "metadata": {"raw": json.dumps({"error": e}), "provider_name": "X"}}},
    "raw without envelope": lambda e, s: {"error": {"message": "Provider returned error", "code": s, "metadata": {"raw": json.dumps(e)}}},
    "string": lambda e, _: {"error": json.dumps(e)},
    "message": lambda e, s: {"error": {"message": json.dumps({"error": e}), "code": s}},
    "after words": lambda e, s: {"error": {"message": f"litellm.APIError: XException - {json.dumps({'error': e})}", "type": None, "param": None, "code": str(s)}},
    "detail": lambda e, _: {"detail": {"error": e}},
    "detail as a string": lambda e, _: {"detail": json.dumps({"error": e})},
    "errors": lambda e, _: {"errors": [e]},
    "response": lambda e, s: {"status": s, "response": {"error": e}},
}  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(SEEN), st.lists(st.sampled_from(sorted(WRAPS)), min_size=1, max_size=2))
def test_any_wrapping_of_a_known_error_has_the_same_meaning(seen, names):
    body: Any = seen.error
    for wrap in names:
        body = WRAPS[wrap](body, seen.status if seen.status != 200 else 400)
    if seen.status == 200 and any("raw" in n or n in ("message", "after words", "response") for n in names):
        return  # these name a status, which an error without one does not
    assert heard(seen, body).meaning is seen.meaning


@pytest.mark.parametrize("seen", [s for s in SEEN if s.status != 200], ids=name)
@pytest.mark.parametrize("lead", ["", ": ping\n\n", "event: error\n", "\ufeff"])
def test_an_error_event_of_a_stream_has_the_same_meaning(seen, lead):
    body = f"{lead}data: {json.dumps({'error': seen.error})}\n\ndata: [DONE]\n\n"
    assert heard(seen, body.encode()).meaning is seen.meaning


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("seen", [s for s in SEEN if s.status in (402, 404, 413, 429)], ids=name)
def test_a_gateways_own_status_does_not_hide_the_vendors(status, seen):
    body = {
        "error": {
            "message": "upstream failed",
            "metadata": {"raw": json.dumps({"error": {**seen.error, "code": seen.status}})},
        }
    }
    if "code" in seen.error and seen.error["code"] != seen.status:
        body = {"error": {"code": seen.status, "message": json.dumps({"error": seen.error})}}
    failure = judge("lab", status, {}, json.dumps(body).encode(), now=0.0, secrets=())
    assert failure.meaning is seen.meaning


# --- pages for people ------------------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>Sorry, you have been blocked. insufficient balance</body></html>"


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(403, Meaning.WALL), (502, Meaning.SERVER), (503, Meaning.OVERLOAD), (429, Meaning.RATE_LIMIT), (404, Meaning.NO_MODEL), (400, Meaning.REQUEST), (520, Meaning.SERVER)],
)  # fmt: skip
def test_a_page_is_judged_by_its_status_alone(status, meaning):
    failure = judge("lab", status, {}, PAGE, now=0.0, secrets=())
    assert failure.meaning is meaning
    assert "<" not in failure.message


# --- about the window, in nobody's words that are known -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "full", "meaning"),
    [
        (400, {"error": {"message": "Zu viele Tokens"}}, 0.9, Meaning.CONTEXT),
        (400, {"error": {"message": "Size check did not pass"}}, 1.3, Meaning.CONTEXT),
        (400, {"error": {"message": "Size check did not pass"}}, 0.1, Meaning.REQUEST),
        (400, {"error": {"message": "Bad colour"}}, 1.3, Meaning.REQUEST),
        (400, b"", 0.9, Meaning.CONTEXT),
        (400, b"", 0.0, Meaning.REQUEST),
        (413, b"", 0.9, Meaning.CONTEXT),
        (413, b"", 0.2, Meaning.TOO_LARGE),
        (413, b"<html>413 Request Entity Too Large</html>", 0.9, Meaning.CONTEXT),
        (500, {"error": {"message": "slot exceeded n tokens"}}, 1.1, Meaning.CONTEXT),
        (400, {"error": {"message": "max_tokens is not supported by this model"}}, 1.1, Meaning.PARAMETER),
        (401, {"error": {"message": "token"}}, 1.1, Meaning.KEY),
        (429, {"error": {"message": "limit"}}, 1.1, Meaning.RATE_LIMIT),
    ],
)
def test_a_refusal_about_length_of_a_request_that_fills_the_window_is_about_the_window(status, body, full, meaning):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert judge("lab", status, {}, data, now=0.0, secrets=(), asked=Asked(fullness=full)).meaning is meaning


@pytest.mark.parametrize(
    ("status", "words", "meaning"),
    [
        (403, "Access denied for gpt-5", Meaning.MODEL_DENIED),
        (403, "Access denied", Meaning.FORBIDDEN),
        (400, "'gpt-5' does not exist", Meaning.NO_MODEL),
    ],
)
def test_an_error_that_names_the_model_is_about_the_model(status, words, meaning):
    body = json.dumps({"error": {"message": words}}).encode()
    assert judge("lab", status, {}, body, now=0.0, secrets=(), asked=Asked("gpt-5")).meaning is meaning


def test_a_models_name_is_no_words():
    name = "rate-limit-reached-insufficient balance"
    body = json.dumps({"error": {"message": f"Bad colour for {name}"}}).encode()
    assert judge("lab", 400, {}, body, now=0.0, secrets=(), asked=Asked(name)).meaning is Meaning.REQUEST


# --- the table --------------------------------------------------------------------------------------------------------------


def test_every_row_is_written_as_texts_are_looked_at():
    for row in SENTENCES:
        for part in row.words.split("*"):
            assert plain(part) == part.strip(), row


def test_every_row_has_a_status_under_which_it_may_be_meant_and_a_verdict():
    assert {row.meaning for row in SENTENCES} <= STATUSES.keys()
    assert VERDICTS.keys() == set(Meaning)


@pytest.mark.parametrize("row", SENTENCES, ids=lambda row: row.words)
def test_every_row_is_found_under_its_status_and_by_nothing_before_it_that_means_something_else(row):
    text = plain(row.words.replace("*", " x "))
    statuses = STATUSES[row.meaning]
    found = [find(text, status) for status in statuses]
    assert row.meaning in {hit.meaning for hit in found if hit is not None}


def test_a_gap_is_short():
    assert says("model 'x' is gated", "model*gated")
    assert not says(f"model {'x' * 200} gated", "model*gated")


hostile = st.builds(
    lambda part, times, end: (part * times)[:200_000] + end,
    st.sampled_from(["try again in 1", "{", "[{", '{"error":', "model ", "http://", "<", "retry in ", "9" * 50, "\\", '"', "per ", "data: "]),
    st.integers(1, 40_000),
    st.text(max_size=30),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(400, 599), hostile)
@example(400, '{"error":' * 30_000)
@example(429, "retry in " * 20_000)
def test_no_text_is_too_much(status, text):
    assert judge("lab", status, {}, text.encode(errors="replace"), now=0.0, secrets=()).message
    body = json.dumps({"error": {"message": text, "code": text[:300], "type": text[:300]}}).encode()
    assert judge("lab", status, {}, body, now=0.0, secrets=()).message
    assert len(plain(text)) <= LONGEST_WORDS


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10, 600), st.floats(), st.text(max_size=12), st.sampled_from([s.error["message"] for s in SEEN if "message" in s.error])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["error", "errors", "message", "code", "type", "detail", "loc", "details", "param", "metadata", "raw", "headers", "base_resp", "status_code", "status_msg", "retry_after", "retryDelay", "x-ratelimit-reset", "innererror"]), inner, max_size=4),
    ),
    max_leaves=14,
)  # fmt: skip


@given(st.integers(400, 599), values, st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"]), st.text(max_size=12)))  # fmt: skip
def test_any_junk_gets_a_verdict(status, value, headers):
    for failure in (
        in_band("lab", value, (), 5.0),
        judge("lab", status, headers, json.dumps(value).encode(), now=5.0, secrets=()),
    ):
        assert failure.message
        assert failure.code
        assert failure.meaning is not None
        assert failure.status is not None
        assert 400 <= failure.status <= 599
