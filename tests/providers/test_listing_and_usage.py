from __future__ import annotations

import json
from decimal import Decimal

import pytest

from cheaprouter.core.models import Usage
from cheaprouter.providers.listing import parse_listing
from cheaprouter.wire.openai_chat.chunks import parse_amount, parse_usage


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"id": "gpt-4.1"}, {"id": "gpt-4.1"}),
        ({"id": "qwen3:8b", "owned_by": "library"}, {"id": "qwen3:8b"}),
        ({"id": "meta/llama", "max_model_len": 32768}, {"id": "meta/llama", "context": 32768}),
        ({"id": "x.gguf", "meta": {"n_ctx_train": 8192}}, {"id": "x.gguf", "context": 8192}),
        ({"id": "a/b", "name": "A: B", "context_length": 1000}, {"id": "a/b", "name": "A: B", "context": 1000}),
        (
            {"id": "llama", "context_window": 131072, "max_completion_tokens": 8000},
            {"id": "llama", "context": 131072, "max_output": 8000},
        ),
        ({"id": "claude", "display_name": "Claude"}, {"id": "claude", "name": "Claude"}),
        ({"id": "models/gemini-3-pro"}, {"id": "gemini-3-pro"}),
        ({"id": "lm", "loaded_context_length": 4096, "max_context_length": 99999}, {"id": "lm", "context": 4096}),
    ],
)
def test_dialects_of_the_list(entry, expected):
    assert parse_listing(json.dumps({"object": "list", "data": [entry]}).encode()) == [expected]


@pytest.mark.parametrize(
    "entry", [{"id": "text-embedding-3"}, {"id": "x", "type": "embeddings"}, {"id": ""}, {}, 7, {"id": "whisper-1"}]
)
def test_what_cannot_chat_is_left_out(entry):
    assert parse_listing(json.dumps({"data": [entry]}).encode()) == []


@pytest.mark.parametrize("body", [b"<html>", b'{"data": 1}', b"7", b"null"])
def test_what_is_no_list_is_refused(body):
    with pytest.raises(ValueError):  # noqa: PT011 - any kind will do
        parse_listing(body)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3}, Usage(5, 3)),
        (
            {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(5, 3, cached_tokens=4),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 3, "prompt_cache_hit_tokens": 2}, Usage(5, 3, cached_tokens=2)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "cached_tokens": 9}, Usage(5, 3, cached_tokens=5)),
        (
            {"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}},
            Usage(5, 3, reasoning_tokens=2),
        ),
        ({"prompt_tokens": 5.0, "completion_tokens": 3, "cost": 0.01}, Usage(5, 3, reported_cost=Decimal("0.01"))),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": "5", "completion_tokens": True}, None),
        ({"prompt_tokens": 10**15, "completion_tokens": 3}, Usage(0, 3)),
        (None, None),
        ([], None),
    ],
)
def test_usage(usage, expected):
    assert parse_usage(usage) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.0042", Decimal("0.0042")),
        ("$1", Decimal(1)),
        (0, Decimal(0)),
        ("nan", None),
        ("-1", None),
        ("1e999999", None),
        ("1000001", None),
        ("1e-999999", Decimal(0)),
        ("x", None),
        (True, None),
        (None, None),
    ],
)
def test_costs(value, expected):
    assert parse_amount(value) == expected
