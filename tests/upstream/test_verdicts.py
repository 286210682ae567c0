"""What the pool does with each meaning of an error, over a real server: who is asked next, who rests, what the client is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import UpstreamError
from cheaprouter.core.events import ProviderDown
from cheaprouter.core.models import Model
from cheaprouter.providers.failures import judge
from cheaprouter.upstream.outcome import UpstreamFailed
from cheaprouter.upstream.plan import final_error
from tests.builders import sse, text_of
from tests.fakes.fault_server import DONE, GOOD, completion, reply, stream
from tests.fakes.faults import error
from tests.providers.vendor_errors import SEEN
from tests.upstream.conftest import Bench, chat, read

TWO_KEYS = ("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb")
LIMIT = "Rate limit reached for model `x` in organization `y` on tokens per minute (TPM). Please try again in 40s. Need more tokens? Upgrade at https://console.groq.com/settings/billing"
KEY_LIMIT = "Requests rate limit exceeded"
POOR = reply(402, {"error": {"message": "Insufficient credits", "code": 402}})
UNAFFORDABLE = reply(
    402, {"error": {"message": "This request requires more credits, or fewer max_tokens.", "code": 402}}
)
NO_TOOLS = reply(404, {"error": {"message": "No endpoints found that support tool use.", "code": 404}})
VERIFY = error(400, "Your organization must be verified to stream this model.")
WALL = reply(403, b"<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>")
GOOD_WHOLE = reply(200, completion("Fine."))
SLIP = error(400, "Failed to call a function.", "tool_use_failed")
TOO_LARGE = error(413, "Request too large for model `x` on tokens per minute (TPM): Limit 6000", "rate_limit_exceeded")


async def refused(bench: Bench, *chain: Model, **body: Any) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send(list(chain) or [bench.faulty], chat(**body))
    assert isinstance(caught.value.error, UpstreamError)
    return caught.value.error


def keys_asked(bench: Bench, model: str = "faulty") -> str:
    return "".join(request.headers["authorization"][-1] for request in bench.server.asked(model))


async def test_a_limit_of_a_model_rests_that_model_and_not_the_keys_others(bench):
    bench.server.script("faulty", error(429, LIMIT, "rate_limit_exceeded"))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    assert not bench.pool.healthy(bench.faulty)
    assert bench.pool.healthy(bench.model("sister"))


async def test_a_keys_other_model_answers_for_one_that_is_limited(bench):
    bench.server.script("faulty", error(429, LIMIT, "rate_limit_exceeded"))
    got = await bench.pool.send([bench.faulty, bench.model("sister")], chat())
    assert got.model.id == "lab/sister"


async def test_a_limit_is_told_with_its_time_though_it_speaks_of_billing(bench):
    bench.server.script("faulty", error(429, LIMIT, "rate_limit_exceeded"))
    told = await refused(bench)
    assert (told.status, told.code, told.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert told.headers == {"retry-after": "40"}


async def test_a_limit_of_a_key_rests_its_models_and_no_other_key(make_bench):
    bench = make_bench(keys=TWO_KEYS)
    bench.server.script("faulty", error(429, KEY_LIMIT, Retry_After="40"), GOOD)
    await bench.pool.send([bench.faulty], chat())
    await bench.pool.send([bench.model("sister")], chat())
    await bench.pool.send([bench.model("sister")], chat())
    assert keys_asked(bench) == "ab"
    assert keys_asked(bench, "sister") == "bb"


async def test_a_rest_lasts_as_long_as_was_said_to_the_millisecond(bench):
    bench.server.script("faulty", error(429, "Slow down.", Retry_After_Ms="41500"))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.time.later(41)
    assert not bench.pool.healthy(bench.faulty)
    bench.time.later(0.6)
    assert bench.pool.healthy(bench.faulty)


async def test_a_limit_of_the_day_without_a_time_rests_longer_than_one_of_the_minute(bench):
    bench.server.script("faulty", error(429, "Tokens per day limit exceeded - too many tokens processed."))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.time.later(600)
    assert not bench.pool.healthy(bench.faulty)


async def test_without_money_a_keys_free_models_still_answer(bench):
    free = bench.model("small:free")
    bench.server.script("faulty", POOR)
    got = await bench.pool.send([bench.faulty, bench.model("sister"), free], chat())
    assert got.model is free
    assert not bench.server.asked("sister")
    assert not bench.pool.healthy(bench.model("sister"))
    assert bench.pool.healthy(free)


async def test_without_money_it_is_reported_once(bench):
    bench.server.script("faulty", POOR)
    told = await refused(bench)
    (down,) = [e for e in bench.events if isinstance(e, ProviderDown)]
    assert (down.cooldown, "paid models" in down.reason) == (None, True)
    assert (told.status, told.code, told.headers) == (502, "upstream_payment", {"x-should-retry": "false"})


async def test_what_one_request_cannot_pay_says_nothing_of_the_keys_other_models(bench):
    bench.server.script("faulty", UNAFFORDABLE)
    got = await bench.pool.send([bench.faulty, bench.model("sister")], chat())
    assert got.model.id == "lab/sister"
    assert not bench.pool.healthy(bench.faulty)


async def test_a_free_limit_rests_the_free_models_only(bench):
    bench.server.script("a:free", error(429, "Rate limit exceeded: free-models-per-min", Retry_After="30"))
    got = await bench.pool.send([bench.model("a:free"), bench.model("b:free"), bench.model("paid")], chat())
    assert got.model.id == "lab/paid"
    assert not bench.server.asked("b:free")


async def test_what_a_limit_never_lets_through_is_told_as_too_large_and_rests_nobody(bench):
    bench.server.script("faulty", TOO_LARGE)
    told = await refused(bench)
    assert (told.status, told.code) == (413, "request_too_large")
    assert bench.pool.healthy(bench.faulty)


async def test_a_model_without_tools_is_asked_again_for_what_needs_none(bench):
    bench.server.script("faulty", NO_TOOLS, GOOD)
    first = await bench.pool.send([bench.faulty, bench.spare], chat())
    second = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert (first.model.id, second.model.id) == ("other/spare", "lab/faulty")


async def test_alone_it_is_told_as_the_requests_fault(bench):
    bench.server.script("faulty", NO_TOOLS)
    told = await refused(bench)
    assert (told.status, told.code, told.param) == (400, "unsupported_capability", "tools")


async def test_a_model_that_may_not_stream_is_asked_whole_and_told_as_a_stream(bench):
    bench.server.script("faulty", VERIFY, GOOD_WHOLE)
    for _ in range(2):
        assert text_of(await read(await bench.pool.send([bench.faulty], chat(stream=True)))) == "Fine."
    asked = [request.json for request in bench.server.asked("faulty")]
    assert [("stream" in body, "stream_options" in body) for body in asked] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert bench.pool.status()[0]["learned"] == {"faulty": {"stream": "", "stream_options": ""}}


async def test_a_firewalls_page_is_not_the_keys_fault(bench):
    bench.server.script("faulty", WALL)
    told = await refused(bench)
    assert (told.status, told.code) == (503, "upstream_blocked")
    assert bench.pool.healthy(bench.model("sister"))
    bench.time.later(16)
    assert bench.pool.healthy(bench.faulty)


async def test_the_models_own_slip_is_asked_once_more_and_blames_nobody(bench):
    bench.server.script("faulty", SLIP, GOOD)
    for _ in range(4):
        got = await bench.pool.send([bench.faulty, bench.spare], chat())
        assert got.model.id == "lab/faulty"
    bench.server.script("faulty", SLIP)
    for _ in range(4):
        got = await bench.pool.send([bench.faulty, bench.spare], chat())
        assert got.model.id == "other/spare"
    assert bench.pool.healthy(bench.faulty)


async def test_a_slip_twice_is_told_as_the_upstreams_fault(bench):
    bench.server.script("faulty", SLIP)
    told = await refused(bench)
    assert (told.status, told.code) == (502, "tool_use_failed")
    assert len(bench.server.asked("faulty")) == 2


@pytest.mark.parametrize("streams", [False, True])
async def test_a_malformed_call_is_a_slip_too(bench, streams):
    reason = "function_call_filter: MALFORMED_FUNCTION_CALL"
    bad = (
        stream(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}), DONE)
        if streams
        else reply(200, completion("", reason))
    )
    bench.server.script("faulty", bad, GOOD)
    got = await bench.pool.send([bench.faulty, bench.spare], chat(stream=streams))
    assert got.model.id == "lab/faulty"
    assert len(bench.server.asked("faulty")) == 2


async def test_a_server_in_trouble_that_says_when_is_left_alone_until_then(bench):
    bench.server.script("faulty", error(500, "Maintenance.", Retry_After="90"))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    assert len(bench.server.asked("faulty")) == 1
    bench.time.later(89)
    assert not bench.pool.healthy(bench.faulty)


@pytest.mark.parametrize(
    ("window", "status", "code"), [(64, 400, "context_length_exceeded"), (100_000, 400, "invalid_value")]
)
async def test_a_refusal_in_odd_words_is_about_the_window_where_our_estimate_is_near_it(bench, window, status, code):
    bench.server.script("faulty", error(400, "Die Eingabe hat zu viele Tokens."))
    told = await refused(bench, bench.model(context=window), max_tokens=40)
    assert (told.status, told.code) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": "Rate limit reached, slow down", "type": "RateLimitError", "code": 429},
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None},
        {"errors": [{"message": "Too many requests", "code": 429}]},
        {"detail": "Too many requests"},
        [{"error": {"message": "Resource has been exhausted", "code": 429, "status": "RESOURCE_EXHAUSTED"}}],
    ],
)
async def test_an_error_of_status_200_is_an_error_by_whatever_name(bench, body):
    bench.server.script("faulty", reply(200, body))
    told = await refused(bench)
    assert (told.status, told.code) == (429, "rate_limit_exceeded")


def relayed(status: int, words: str) -> Any:
    """OpenRouter's reply that hands on what the vendor behind it said."""
    raw = json.dumps({"error": {"message": words}})
    body = {"message": "Provider returned error", "code": status, "metadata": {"raw": raw, "provider_name": "X"}}
    return reply(status, {"error": body})


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Invalid API key"),
        (402, "Insufficient Balance"),
        (429, "Requests rate limit exceeded"),
        (403, "Forbidden"),
    ],
)
async def test_what_a_gateways_vendor_says_of_the_gateways_account_is_not_about_our_key(bench, status, words):
    bench.server.script("faulty", relayed(status, words))
    got = await bench.pool.send([bench.faulty, bench.model("sister")], chat())
    assert got.model.id == "lab/sister"
    assert not bench.pool.healthy(bench.faulty)


@given(st.lists(st.sampled_from(SEEN), min_size=1, max_size=4), st.lists(st.floats(0, 90_000), max_size=3))
def test_whatever_failed_the_client_is_told_in_its_own_terms(seen, waits):
    failures = [
        judge("lab", s.status, {}, json.dumps({"error": s.error}).encode(), now=0.0, secrets=())
        for s in seen
        if s.status != 200
    ]
    told = final_error(failures, waits)
    assert told.status in {400, 404, 413, 422, 429, 451, 502, 503, 504}
    assert told.code
    if told.status == 429:
        assert told.code == "rate_limit_exceeded"
    assert 1 <= int(told.headers.get("retry-after", "1")) <= 120
