from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.models import Special, Usage
from cheaprouter.wire.anthropic.reply import to_usage
from cheaprouter.wire.bill import MOST_USD, parse_amount
from cheaprouter.wire.usage import _read, in_openai_words, parse_usage, read_usage


def usd(text: str) -> Decimal:
    return Decimal(text)


OPENAI = {"prompt_tokens": 5, "completion_tokens": 3}
DIALECTS = {
    "OpenAI": ({**OPENAI, "total_tokens": 8}, Usage(5, 3)),
    "without a total": (OPENAI, Usage(5, 3)),
    "cached": ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(5, 3, cached_tokens=4)),
    "nulls and floats": (
        {"prompt_tokens": 5.0, "completion_tokens": 3.0, "prompt_tokens_details": {"cached_tokens": None}},
        Usage(5, 3),
    ),
    "reasoning inside": (
        {**OPENAI, "completion_tokens_details": {"reasoning_tokens": 2}},
        Usage(5, 3, reasoning_tokens=2),
    ),
    "OpenAI's cache writes": (
        {**OPENAI, "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 3}},
        Usage(5, 3, cached_tokens=1, cache_write_tokens=3),
    ),
    "sound": (
        {
            **OPENAI,
            "prompt_tokens_details": {"audio_tokens": 4},
            "completion_tokens_details": {"audio_tokens": 2, "text_tokens": 1},
        },
        Usage(5, 3, special=Special(audio_input=4, audio_output=2)),
    ),
    "a picture": (
        {**OPENAI, "completion_tokens_details": {"image_tokens": 2}},
        Usage(5, 3, special=Special(image_output=2)),
    ),
    "Responses": (
        {
            "input_tokens": 5,
            "output_tokens": 3,
            "total_tokens": 8,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 1},
        },
        Usage(5, 3, cached_tokens=2, reasoning_tokens=1),
    ),
    "Anthropic": (
        {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2},
        Usage(14, 3, cached_tokens=7, cache_write_tokens=2),
    ),
    "Anthropic's two spans": (
        {
            "input_tokens": 5,
            "output_tokens": 3,
            "cache_creation_input_tokens": 9,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 6},
        },
        Usage(14, 3, cache_write_tokens=9, special=Special(cache_write_1h=6)),
    ),
    "LiteLLM, cache inside": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 3,
            "total_tokens": 13,
            "cache_creation_input_tokens": 4,
            "cache_read_input_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
        Usage(10, 3, cached_tokens=5, cache_write_tokens=4),
    ),
    "a gateway, cache beside": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 3,
            "total_tokens": 22,
            "cache_creation_input_tokens": 4,
            "cache_read_input_tokens": 5,
        },
        Usage(19, 3, cached_tokens=5, cache_write_tokens=4),
    ),
    "a gateway, more cached than prompt": (
        {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "cache_read_input_tokens": 5000},
        Usage(5010, 3, cached_tokens=5000),
    ),
    "DeepSeek": (
        {**OPENAI, "prompt_cache_hit_tokens": 2, "prompt_cache_miss_tokens": 3},
        Usage(5, 3, cached_tokens=2),
    ),
    "Moonshot": ({**OPENAI, "cached_tokens": 4}, Usage(5, 3, cached_tokens=4)),
    "more cached than there is": ({**OPENAI, "cached_tokens": 9}, Usage(5, 3, cached_tokens=5)),
    "xAI": (
        {**OPENAI, "total_tokens": 28, "completion_tokens_details": {"reasoning_tokens": 20}},
        Usage(5, 23, reasoning_tokens=20),
    ),
    "xAI, as many thoughts as cached": (
        {
            **OPENAI,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        Usage(5, 7, cached_tokens=4, reasoning_tokens=4),
    ),
    "xAI's ticks": (
        {**OPENAI, "total_tokens": 8, "cost_in_usd_ticks": 37_756_000},
        Usage(5, 3, reported_cost=usd("0.0037756000")),
    ),
    "Gemini, thoughts in the total alone": ({**OPENAI, "total_tokens": 108}, Usage(5, 103, reasoning_tokens=100)),
    "Gemini's own": (
        {
            "promptTokenCount": 5,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 9,
            "totalTokenCount": 17,
            "cachedContentTokenCount": 2,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "TEXT", "tokenCount": 1}],
        },
        Usage(5, 12, cached_tokens=2, reasoning_tokens=9, special=Special(audio_input=4)),
    ),
    "Perplexity": ({**OPENAI, "cost": {"total_cost": 0.0075}}, Usage(5, 3, reported_cost=usd("0.0075"))),
    "Perplexity's parts": (
        {**OPENAI, "cost": {"input_tokens_cost": 0.25, "request_cost": 0.5}},
        Usage(5, 3, reported_cost=usd("0.75")),
    ),
    "Perplexity's research": (
        {**OPENAI, "total_tokens": 8, "reasoning_tokens": 70, "num_search_queries": 2},
        Usage(5, 73, reasoning_tokens=70, special=Special(unpriced=True)),
    ),
    "OpenRouter": (
        {**OPENAI, "cost": 0.0042, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0042}},
        Usage(5, 3, reported_cost=usd("0.0042")),
    ),
    "OpenRouter with one's own key": (
        {**OPENAI, "cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}},
        Usage(5, 3, reported_cost=usd("0.0021")),
    ),
    "OpenRouter with one's own key, untold": (
        {**OPENAI, "cost": 0, "cost_details": {"upstream_inference_cost": 0.002}},
        Usage(5, 3, reported_cost=usd("0.002")),
    ),
    "OpenRouter's fee alone": (
        {**OPENAI, "cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
        Usage(5, 3, special=Special(fees=usd("0.0001"))),
    ),
    "DeepInfra": ({**OPENAI, "estimated_cost": 0.0003}, Usage(5, 3, reported_cost=usd("0.0003"))),
    "Mistral's voice": ({**OPENAI, "prompt_audio_seconds": 7}, Usage(5, 3, special=Special(seconds=usd("7")))),
    "a transcription by the second": (
        {"type": "duration", "seconds": 12, "total_tokens": 1},
        Usage(1, 0, special=Special(seconds=usd("12"))),
    ),
    "Bedrock": ({"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}, Usage(5, 3)),
    "Ollama's own": ({"prompt_eval_count": 5, "eval_count": 3}, Usage(5, 3)),
    "a total alone": ({"total_tokens": 8}, Usage(8, 0)),
    "prompt and total": ({"prompt_tokens": 5, "total_tokens": 8}, Usage(5, 3)),
    "completion and total": ({"completion_tokens": 3, "total_tokens": 8}, Usage(5, 3)),
    "a total of something else": ({**OPENAI, "total_tokens": 10**11}, Usage(5, 3)),
    "a total that is too small": ({**OPENAI, "total_tokens": 1}, Usage(5, 3)),
    "texts": ({"prompt_tokens": "5", "completion_tokens": "3"}, Usage(5, 3)),
    "too many": ({"prompt_tokens": 10**15, "completion_tokens": 3}, Usage(0, 3)),
    "a bill alone": ({"cost": 0.5}, Usage(reported_cost=usd("0.5"))),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_tells_the_same(name):
    told, expected = DIALECTS[name]
    assert parse_usage(told) == expected


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": "x", "completion_tokens": True},
        {"cost": "NaN"},
    ],
)
def test_what_tells_nothing_is_no_usage(told):
    assert parse_usage(told) is None


@pytest.mark.parametrize(
    "reply",
    [
        {"usage": OPENAI},
        {"usage": None, "x_groq": {"usage": OPENAI}},
        {"choices": [{"index": 0, "usage": OPENAI}]},
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}},
    ],
)
def test_usage_is_found_where_the_vendor_puts_it(reply):
    assert read_usage(reply) == Usage(5, 3)


@pytest.mark.parametrize("tier", [None, "", "auto", "default", "standard", "on_demand", "Default", "scale", 7])
def test_the_usual_tiers_are_nothing_special(tier):
    assert read_usage({"usage": OPENAI, "service_tier": tier}) == Usage(5, 3)


@pytest.mark.parametrize("tier", ["flex", "priority", "batch", "Turbo"])
def test_any_other_tier_is_told(tier):
    assert read_usage({"usage": OPENAI, "service_tier": tier}).special == Special(service=(tier.lower(),))


def test_the_tier_may_stand_in_the_usage():
    assert parse_usage({**OPENAI, "service_tier": "batch"}).special == Special(service=("batch",))


def test_a_long_tier_is_cut():
    (word,) = parse_usage({**OPENAI, "service_tier": "x" * 100_000}).special.service
    assert len(word) == 32


@pytest.mark.parametrize(
    ("told", "special"),
    [
        ({"cache_creation": {"ephemeral_1h_input_tokens": 8}}, Special(cache_write_1h=8)),
        ({"server_tool_use": {"web_search_requests": 2}}, Special(fees=usd("0.02"))),
        ({"server_tool_use": {"web_search_requests": 20_000}}, None),
        ({"service_tier": "batch"}, Special(service=("batch",))),
        ({"speed": "fast", "inference_geo": "us"}, Special(service=("fast", "us"))),
        ({"service_tier": "standard", "speed": "standard", "server_tool_use": None, "cache_creation": None}, None),
    ],
)
def test_anthropic_tells_what_has_a_price_of_its_own(told, special):
    assert to_usage({"input_tokens": 5, "output_tokens": 3, **told}).special == special


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.0042", usd("0.0042")),
        ("$1", usd("1")),
        (0, usd("0")),
        (20000, usd("20000")),
        ("nan", None),
        (float("nan"), None),
        (float("inf"), None),
        ("-1", None),
        (-1, None),
        (1e308, None),
        ("1e308", None),
        ("1e999999", None),
        ("1000001", None),
        (10**4000, None),
        ("9" * 1000, None),
        ("1e-999999", usd("0")),
        (5e-324, usd("0")),
        ("x", None),
        ("", None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_costs(value, expected):
    assert parse_amount(value) == expected


# --- whatever comes ---------------------------------------------------------------------------------------------------

words = sorted({word for told, _ in DIALECTS.values() for word in told})
inner_words = [
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "image_tokens",
    "total_cost",
    "modality",
]
numbers = st.integers(-(2**63), 2**64) | st.floats() | st.integers(0, 1_000_000)
leaves = (
    st.none() | st.booleans() | numbers | st.text(max_size=12) | st.sampled_from(["1e999999", "NaN", "-0", "20000"])
)
objects = st.dictionaries(st.sampled_from(inner_words), leaves, max_size=4)
anything = leaves | objects | st.lists(objects | leaves, max_size=3)


@given(st.dictionaries(st.sampled_from([*words, "service_tier", "server_tool_use"]), anything, max_size=8), anything)
def test_whatever_is_told_the_parts_fit_into_the_whole(told, tier):
    usage = parse_usage(told, tier)
    if usage is None:
        return
    assert usage.prompt_tokens >= 0
    assert usage.completion_tokens >= 0
    assert 0 <= usage.cached_tokens + usage.cache_write_tokens <= usage.prompt_tokens
    assert 0 <= usage.reasoning_tokens <= usage.completion_tokens
    assert usage.reported_cost is None or 0 <= usage.reported_cost <= 2 * MOST_USD
    special = usage.special or Special()
    assert 0 <= special.cache_write_1h <= usage.cache_write_tokens
    assert special.seconds >= 0
    assert special.fees >= 0


usual_counts = st.none() | st.integers(-1, 50) | st.booleans() | st.floats(0, 9) | st.just("7")
usual_names = st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "text_tokens"])
usual_details = st.none() | st.dictionaries(usual_names, usual_counts)


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": usual_counts, "completion_tokens": usual_counts},
        optional={
            "total_tokens": usual_counts,
            "prompt_tokens_details": usual_details,
            "completion_tokens_details": usual_details,
        },
    )
)
def test_the_short_way_for_what_is_usual_ends_where_the_long_one_does(told):
    assert parse_usage(told) == _read(told, None)


@given(
    st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_inside_or_beside_the_same_request_comes_out_the_same(plain, said, cached, written, thought):
    """As OpenAI counts, as Anthropic does, as xAI does: one canonical usage."""
    prompt, completion = plain + cached + written, said + thought
    one = parse_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
    )
    two = parse_usage(
        {
            "input_tokens": plain,
            "output_tokens": completion,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens_details": {"thinking_tokens": thought},
        }
    )
    three = parse_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
    )
    assert one == two == three == Usage(prompt, completion, cached, written, thought)


@pytest.mark.parametrize(
    ("used", "unpriced"),
    [
        ({"file_search_calls": 2}, True),
        ({"code_execution_requests": 1, "x": 0}, True),
        ({"web_fetch_requests": 3}, False),
    ],
)
def test_a_vendors_own_tools_have_no_price_that_is_known_here(used, unpriced):
    usage = parse_usage({**OPENAI, "server_tool_use": used})
    assert usage is not None
    assert bool(usage.special and usage.special.unpriced) is unpriced


def test_more_tokens_than_any_window_holds_are_no_count():
    assert parse_usage({"prompt_tokens": 10**10, "completion_tokens": 3}) == Usage(0, 3)


FOREIGN = {name: told for name, (told, _) in DIALECTS.items() if in_openai_words(told) is not told}


@pytest.mark.parametrize("told", FOREIGN.values(), ids=FOREIGN)
def test_programs_read_counts_in_openais_words_whatever_the_vendors_are(told):
    right, found = in_openai_words(told), parse_usage(told)
    counts = (right["prompt_tokens"], right["completion_tokens"], right["total_tokens"])
    assert counts == (found.prompt_tokens, found.completion_tokens, found.total_tokens)


@pytest.mark.parametrize("told", FOREIGN.values(), ids=FOREIGN)
def test_what_programs_read_is_what_is_billed(told):
    assert parse_usage(in_openai_words(told)) == parse_usage(told)


@pytest.mark.parametrize("told", ["lots", [1], 5, True])
def test_what_is_no_usage_is_not_handed_on_as_one(told):
    assert in_openai_words(told) is None


def test_a_usage_in_openais_words_is_handed_on_as_it_is():
    told = {**OPENAI, "total_tokens": 8, "more": {}}
    assert in_openai_words(told) is told
