"""Every fault of the catalogue through the whole router: what an SDK user sees, and what is booked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.builders import a_model_row, a_provider, saying
from tests.fakes.fault_server import FaultServer, fault_server
from tests.fakes.faults import FAULTS, SECRET, Fault
from tests.fakes.router import Client, router

HARD = [fault for fault in FAULTS if fault.status != 200]
SOFT = [fault for fault in FAULTS if fault.status == 200 and not fault.broken]
BROKEN = [fault for fault in FAULTS if fault.broken]
HELLO = saying("Say hello, please.")
EXCEPTIONS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def settings(server: FaultServer, fault: Fault, *, fallbacks: bool = False) -> dict[str, Any]:
    lab = fault.provider(server, "lab/faulty", context=8192)
    other = a_provider(server.url, a_model_row("other/spare", context=1_000_000))
    return {
        "auth": "open",
        "providers": {"lab": lab, "other": other},
        "fallbacks": {"lab/faulty": ["other/spare"]} if fallbacks else {},
    }


async def ask(client: Client, fault: Fault) -> tuple[str, dict[str, str]]:
    """The text and the headers that the SDK gives its user."""
    create = client.sdk.chat.completions.with_raw_response.create
    raw = await create(model="lab/faulty", messages=HELLO, stream=fault.stream, **fault.body)
    parsed = raw.parse()
    if not fault.stream:
        return parsed.choices[0].message.content or "", dict(raw.headers)
    text = [c.choices[0].delta.content or "" async for c in parsed if c.choices]
    return "".join(text), dict(raw.headers)


async def test_all_kinds_of_faults_are_in_the_catalogue():
    assert (len(HARD), len(SOFT), len(BROKEN)) >= (40, 20, 5)


BEGAN = frozenset(
    [
        "reset_after_headers",
        "reset_after_headers_stream",
        "slow_first_token",
        "comments_are_no_token",
        "empty_body",
        "empty_body_stream",
        "empty_content",
        "null_content",
        "no_choices",
        "truncated_json",
        "broken_off_json",
        "not_really_gzip",
        "role_then_end",
        "stream_of_nothing",
        "malformed_first",
        "done_without_a_finish",
        "finish_error",
    ]
)
"""Faults of an upstream that had accepted the request, and so may bill it."""


@pytest.mark.parametrize("fault", HARD, ids=str)
async def test_a_failure_is_an_exception_of_the_sdk_and_costs_what_its_upstream_may_bill(tmp_path: Path, fault: Fault):
    async with fault_server() as server, router(tmp_path, settings(server, fault)) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(client, fault)
        row = (await client.audit())[0]
    error = caught.value
    assert isinstance(error, EXCEPTIONS.get(fault.status, openai.APIStatusError))
    assert (error.status_code, error.code) == (fault.status, fault.code)
    assert SECRET not in str(error)
    assert error.request_id == row["id"]
    assert (row["status"], row["error"]) == (fault.status, fault.code)
    assert (row["total_tokens"] > 0, row["cost_usd"] > 0) == ((str(fault) in BEGAN,) * 2)


@pytest.mark.parametrize("fault", [f for f in HARD if f.spare], ids=str)
async def test_a_fallback_answers_and_is_billed_at_its_own_price(tmp_path: Path, fault: Fault):
    async with fault_server() as server, router(tmp_path, settings(server, fault, fallbacks=True)) as client:
        text, headers = await ask(client, fault)
        row = (await client.audit())[0]
    assert text
    assert headers["x-cheaprouter-model"] == row["routed_model"] == "other/spare"
    assert int(headers["x-cheaprouter-attempts"]) == len(fault.outcomes) + 1
    assert row["cost_usd"] == pytest.approx((row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1e6)
    assert row["cost_usd"] > 0


@pytest.mark.parametrize("fault", SOFT, ids=str)
async def test_an_oddity_is_read_by_the_sdk_and_billed(tmp_path: Path, fault: Fault):
    async with fault_server() as server, router(tmp_path, settings(server, fault)) as client:
        text, headers = await ask(client, fault)
        row = (await client.audit())[0]
    assert text == fault.text
    assert headers["x-cheaprouter-model"] == "lab/faulty"
    assert (row["status"], row["error"]) == (200, None)
    assert row["prompt_tokens"] > 0
    assert row["cost_usd"] == pytest.approx((row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1e6)


@pytest.mark.parametrize("fault", BROKEN, ids=str)
async def test_a_stream_that_breaks_raises_and_bills_what_came(tmp_path: Path, fault: Fault):
    async with fault_server() as server, router(tmp_path, settings(server, fault)) as client:
        with pytest.raises(openai.APIError) as caught:
            await ask(client, fault)
        row = (await client.audit())[0]
    assert caught.value.code == fault.code
    assert SECRET not in str(caught.value)
    assert (row["status"], row["error"]) == (502, fault.code)
    assert row["prompt_tokens"] > 0
    assert row["completion_tokens"] > 0
    assert row["cost_usd"] > 0


async def test_the_sdks_own_retry_meets_a_router_that_has_recovered(tmp_path: Path):
    fault = next(f for f in HARD if f.name == "status_500")
    async with fault_server() as server, router(tmp_path, settings(server, fault)) as client:
        server.script("faulty", *fault.scripts, *fault.scripts, "good")
        patient = client.sdk.with_options(max_retries=2)
        answer = await patient.chat.completions.create(model="lab/faulty", messages=HELLO)
    assert answer.choices[0].message.content
