"""The pool over a real server: what is remembered from one request to the next, and what callers may forbid."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.errors import BudgetError, LimitError, UpstreamError
from cheaprouter.core.events import ProviderDown, ProviderUp
from cheaprouter.core.models import Model, Usage
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.upstream.call import Asker
from cheaprouter.upstream.outcome import StreamReply, UpstreamFailed, WholeReply
from tests.builders import free_port, joined, sse, until
from tests.fakes.fault_server import (
    DONE,
    FINISH,
    GOOD,
    ROLE,
    Close,
    Send,
    Stall,
    completion,
    delta,
    good_stream,
    head,
    reply,
    stream,
    words,
)
from tests.fakes.faults import QUICK, SECRET, error
from tests.upstream.conftest import Bench, Bill, chat, read


async def fails(bench: Bench, *chain: Model, **body: object) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send(list(chain) or [bench.faulty], chat(**body))
    assert isinstance(caught.value.error, UpstreamError)
    return caught.value.error


async def test_the_body_goes_out_with_the_upstreams_model_and_everything_else_untouched(bench):
    await bench.pool.send([bench.faulty], chat(unknown={"deep": [1, None]}, temperature=0.5))
    sent = bench.server.requests[0]
    assert sent.json == {
        "model": "faulty",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,  # and is gathered
        "stream_options": {"include_usage": True},
        "unknown": {"deep": [1, None]},
        "temperature": 0.5,
    }
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert not {"cookie", "accept-encoding", "user-agent"} & sent.headers.keys()


async def test_the_answers_own_bytes_reach_the_client(bench):
    body = b'{ "odd" : true,"choices":[{"index":0,"message":{"content":"x","extra_content":{"a":1}},"finish_reason":"stop"}]}\n'
    bench.server.script("faulty", reply(200, body))
    got = await bench.pool.send([bench.faulty], chat())
    assert isinstance(got, WholeReply)
    assert got.body == body


async def test_usage_is_always_asked_for_and_kept_from_clients_that_did_not(bench):
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    frames = joined(await read(got))
    assert bench.server.requests[0].json["stream_options"] == {"include_usage": True}
    assert all(frame["choices"] for frame in frames[:-1])
    assert got.usage is not None
    assert got.usage.total_tokens == 18


async def test_a_client_that_asks_for_usage_gets_it(bench):
    got = await bench.pool.send([bench.faulty], chat(stream=True, stream_options={"include_usage": True}))
    frames = joined(await read(got))
    assert frames[-2]["usage"]["total_tokens"] == 18


async def test_connections_are_used_again(bench):
    bench.server.script("faulty", GOOD, error(400), GOOD, good_stream())
    for streams in (False, False, True, True, False):
        try:
            await read(await bench.pool.send([bench.faulty], chat(stream=streams)))
        except UpstreamFailed:
            continue
    assert bench.server.connections == 1


@pytest.mark.parametrize("streams", [False, True])
async def test_what_was_lost_with_a_kept_connection_had_left_too_but_is_no_failure(bench, streams):
    bench.server.script("faulty", GOOD, (Close(),), good_stream() if streams else GOOD)
    await bench.pool.send([bench.faulty], chat())
    got = await bench.pool.send([bench.faulty], chat(stream=streams))
    assert [attempt.outcome for attempt in got.attempts] == ["upstream_reset", "ok"]
    assert (bench.server.connections, len(bench.server.requests)) == (2, 3)
    assert bench.pool.healthy(bench.faulty)


async def test_every_call_that_left_is_told_of_a_failure_too(bench):
    bench.server.script("faulty", GOOD, (Close(),), (Close(),), GOOD)
    await bench.pool.send([bench.faulty], chat())
    got = await bench.pool.send([bench.faulty], chat())
    assert len(got.attempts) == len(bench.server.requests) - 1 == 3


async def test_a_redirect_is_not_followed_with_the_key(bench, server):
    bench.server.script("faulty", reply(307, b"", None, Location=f"{server.url}/chat/completions"))
    await fails(bench)
    assert len(server.requests) == 1


async def test_a_target_that_cools_down_is_passed_over(bench):
    bench.server.script("faulty", error(503))
    for _ in range(3):
        await bench.pool.send([bench.faulty, bench.spare], chat())
    assert len(bench.server.asked("faulty")) == 1
    assert not bench.pool.healthy(bench.faulty)


async def test_it_is_asked_again_when_its_time_is_over(bench):
    bench.server.script("faulty", error(503), GOOD)
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.time.later(15)
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model.id == "lab/faulty"
    assert bench.pool.healthy(bench.faulty)


async def test_half_open_lets_one_probe_through(bench):
    bench.server.script("faulty", error(503), (Stall(), *reply(200, completion())))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.time.later(15)
    async with asyncio.TaskGroup() as group:
        probe = group.create_task(bench.pool.send([bench.faulty, bench.spare], chat()))
        await bench.server.waiting.wait()
        other = await bench.pool.send([bench.faulty, bench.spare], chat())
        bench.server.gate.set()
    assert other.model.id == "other/spare"
    assert probe.result().model.id == "lab/faulty"


async def test_a_sole_target_stays_usable(bench):
    bench.server.script("faulty", error(429, Retry_After="60"), GOOD)
    await fails(bench)
    got = await bench.pool.send([bench.faulty], chat())
    assert got.model.id == "lab/faulty"


async def test_a_sole_provider_stays_usable_too(bench):
    chain = [bench.faulty, bench.model("second")]
    bench.server.script("faulty", error(503), GOOD)
    bench.server.script("second", error(503))
    await fails(bench, *chain)
    assert (await bench.pool.send(chain, chat())).model.id == "lab/faulty"


async def test_not_while_it_told_everyone_to_wait(bench):
    chain = [bench.faulty, bench.model("second")]
    for model in chain:
        bench.server.script(model.upstream, error(429, Retry_After="30"))
    await fails(bench, *chain)
    assert (await fails(bench, *chain)).headers["retry-after"] == "30"
    assert len(bench.server.requests) == 2


async def test_a_model_that_is_not_there_is_not_asked_for_again_and_again(bench):
    bench.server.script("faulty", error(404))
    for _ in range(3):
        await bench.pool.send([bench.faulty, bench.spare], chat())
    assert len(bench.server.asked("faulty")) == 1


async def test_all_down_tells_the_shortest_real_wait(bench):
    bench.server.script("faulty", error(429, Retry_After="50"))
    bench.server.script("spare", error(429, Retry_After="20"))
    chain = [bench.faulty, bench.spare]
    first = await fails(bench, *chain)
    bench.time.later(5)
    second = await fails(bench, *chain)
    assert [(e.status, e.headers["retry-after"]) for e in (first, second)] == [(429, "20"), (429, "15")]
    assert len(bench.server.requests) == 2


async def test_a_longer_wait_than_the_sdks_take_is_told_as_120(bench):
    bench.server.script("faulty", error(429, Retry_After="4000"))
    assert (await fails(bench)).headers["retry-after"] == "120"


async def test_at_most_six_attempts(bench):
    models = [bench.model(f"m{n}") for n in range(9)]
    for model in models:
        bench.server.script(model.upstream, error(503))
    await fails(bench, *models)
    assert len(bench.server.requests) == 6


async def test_the_number_of_attempts_is_a_setting(make_bench):
    bench = make_bench(max_attempts=1)
    bench.server.script("faulty", error(503))
    await fails(bench, bench.faulty, bench.spare)
    assert len(bench.server.requests) == 1


async def test_the_total_deadline_ends_it(make_bench):
    bench = make_bench(timeouts=type(QUICK)(connect=1, first_token=5, idle=5, total=0.05, headers=5))
    bench.server.script("faulty", (Stall(),))
    assert (await fails(bench, bench.faulty, bench.spare)).status == 504
    assert not bench.server.asked("spare")


@pytest.mark.parametrize(
    ("sent", "told"),
    [((), "did not answer within 0.03 s"), (stream()[:1], "sent nothing within 0.05 s")],
    ids=["nothing", "headers"],
)
async def test_a_stream_whose_headers_have_come_has_a_time_of_its_own_for_its_content(make_bench, sent, told):
    headers = 1 if sent else 0.03
    bench = make_bench(timeouts=type(QUICK)(connect=1, first_token=0.05, idle=5, total=9, headers=headers))
    bench.server.script("faulty", (*sent, Stall()))
    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send([bench.faulty], chat(stream=True))
    assert told in caught.value.attempts[0].message


async def test_a_refused_key_gives_way_to_the_next_one(make_bench):
    bench = make_bench(keys=("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb"))
    bench.server.script("faulty", error(401), GOOD)
    for _ in range(2):
        await bench.pool.send([bench.faulty], chat())
    used = [request.headers["authorization"][-1] for request in bench.server.requests]
    assert used == ["a", "b", "b"]


async def test_a_rate_limited_key_gives_way_to_the_next_one(make_bench):
    bench = make_bench(keys=("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb"))
    bench.server.script("faulty", error(429, Retry_After="1"), GOOD)
    await bench.pool.send([bench.faulty], chat())
    assert [request.headers["authorization"][-1] for request in bench.server.requests] == ["a", "b"]
    assert bench.slept == []


async def test_nobody_is_told_to_try_a_refused_key_again(bench):
    bench.server.script("faulty", error(401))
    assert (await fails(bench)).headers == {"x-should-retry": "false"}


@pytest.mark.parametrize(("words", "status"), [("no access to model x", 404), ("Your input was flagged", 400)])
async def test_a_403_that_is_not_about_the_callers_key_is_not_told_as_one(bench, words, status):
    bench.server.script("faulty", error(403, words))
    assert (await fails(bench)).status == status


async def test_what_was_learned_is_used_from_the_start_and_shown(bench):
    complaint = error(
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    )
    bench.server.script("faulty", complaint, GOOD)
    for _ in range(2):
        await bench.pool.send([bench.faulty], chat(max_tokens=9))
    assert [r.json.get("max_completion_tokens") for r in bench.server.requests] == [None, 9, 9]
    assert bench.pool.status()[0]["learned"] == {"faulty": {"max_tokens": "max_completion_tokens"}}


async def test_the_same_complaint_twice_is_no_reason_for_a_third_try(bench):
    bench.server.script("faulty", error(400, "Unsupported parameter: 'seed'", "unsupported_parameter"))
    assert (await fails(bench, seed=1)).status == 400
    assert len(bench.server.requests) == 2


async def test_a_complaint_about_what_was_not_sent_is_no_reason_for_another_try(bench):
    bench.server.script("faulty", error(400, "Unknown parameter: 'seed'.", "unknown_parameter"))
    assert (await fails(bench, temperature=1)).status == 400
    assert len(bench.server.requests) == 1


async def test_several_refused_fields_of_any_name_cost_one_try_each_or_all_together(bench):
    bench.server.script(
        "faulty",
        error(400, "Unrecognized request arguments supplied: mirostat, typical_p"),
        error(400, "Argument not supported on this model: presencePenalty"),
        error(422, "body -> house_rule: Extra inputs are not permitted"),
        GOOD,
    )
    await bench.pool.send([bench.faulty], chat(mirostat=1, typical_p=1, presence_penalty=0, house_rule=1, seed=1))
    sent = bench.server.requests[-1].json
    assert len(bench.server.requests) == 4
    assert not {"mirostat", "typical_p", "presence_penalty", "house_rule"} & sent.keys()
    assert sent["seed"] == 1


async def test_what_each_try_costs_is_asked_first(bench):
    bench.server.script("faulty", error(503))
    tab = Bill()
    await bench.pool.send([bench.faulty, bench.spare], chat(), tab=tab)
    assert tab.begun == ["lab/faulty", "other/spare"]


async def test_a_stand_in_that_cannot_be_paid_is_passed_over(bench):
    bench.server.script("faulty", error(503))

    def too_dear(model: Model) -> None:
        if model == bench.spare:
            raise BudgetError("spent", retry_after=None, limit="daily_budget")

    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send([bench.faulty, bench.spare], chat(), tab=Bill(too_dear))
    assert not bench.server.asked("spare")
    assert len(caught.value.attempts) == 1


async def test_a_stand_in_that_the_caller_may_not_use_is_passed_over(bench):
    bench.server.script("faulty", error(503))
    third = bench.model("third", "other")

    def not_theirs(model: Model) -> None:
        if model == bench.spare:
            raise LimitError("not this one", retry_after=None, limit="models")

    got = await bench.pool.send([bench.faulty, bench.spare, third], chat(), tab=Bill(not_theirs))
    assert got.model is third


async def test_after_a_context_error_only_larger_windows(bench):
    bench.server.script("small", error(400, "maximum context length is 8192 tokens", "context_length_exceeded"))
    chain = [
        bench.model("small", context=8192),
        bench.model("same", context=8192),
        bench.model("large", context=200_000),
    ]
    got = await bench.pool.send(chain, chat())
    assert got.model.upstream == "large"
    assert not bench.server.asked("same")


@pytest.mark.parametrize(
    "script", [error(400, "Filtered.", "content_filter"), reply(200, completion("", "content_filter"))]
)
async def test_a_filter_makes_room_for_another_model_where_that_is_wanted(make_bench, script):
    bench = make_bench(fallback_on_content_filter=True)
    bench.server.script("faulty", script)
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model.id == "other/spare"


async def test_down_and_up_are_told_once_each(bench):
    bench.server.script("faulty", error(503), error(503), GOOD)
    for _ in range(4):
        await bench.pool.send([bench.faulty, bench.spare], chat())
        bench.time.later(16)
    downs = [e for e in bench.events if isinstance(e, ProviderDown)]
    ups = [e for e in bench.events if isinstance(e, ProviderUp)]
    assert [(e.provider, e.cooldown) for e in downs] == [("lab", 15)]
    assert [(e.provider, e.downtime) for e in ups] == [("lab", 32)]
    assert SECRET not in downs[0].reason


async def test_a_provider_with_another_model_that_works_is_not_down(bench):
    bench.server.script("faulty", error(503))
    await bench.pool.send([bench.model("fine")], chat())
    await bench.pool.send([bench.faulty, bench.spare], chat())
    assert not bench.events
    assert bench.pool.status()[0]["state"] == "degraded"


async def test_a_refused_key_is_told_at_once(make_bench):
    bench = make_bench(keys=("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb"))
    bench.server.script("faulty", error(401), GOOD)
    await bench.pool.send([bench.faulty], chat())
    down, up = bench.events
    assert isinstance(down, ProviderDown)
    assert (down.cooldown, "key 1" in down.reason) == (None, True)
    assert isinstance(up, ProviderUp)


async def test_a_paused_provider_is_left_alone(bench):
    bench.pool.pause("lab", True)
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model.id == "other/spare"
    assert not bench.pool.healthy(bench.faulty)
    bench.pool.pause("lab", False)
    assert bench.pool.healthy(bench.faulty)


async def test_nothing_left_to_ask_is_a_503(bench):
    bench.pool.pause("lab", True)
    got = await fails(bench)
    assert (got.status, got.code) == (503, "all_down")


async def test_clearing_cooldowns_lets_everyone_try_again(bench):
    bench.server.script("faulty", error(429, Retry_After="500"), GOOD)
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.pool.clear_cooldowns()
    assert (await bench.pool.send([bench.faulty, bench.spare], chat())).model.id == "lab/faulty"


async def test_an_outage_whose_cooldown_was_cleared_by_hand_still_ends_with_an_event(bench):
    bench.server.script("faulty", error(401), GOOD)
    await fails(bench)
    bench.pool.clear_cooldowns()
    await bench.pool.send([bench.faulty], chat())
    assert [type(e) for e in bench.events if isinstance(e, ProviderDown | ProviderUp)] == [ProviderDown, ProviderUp]


async def test_a_cost_that_openrouter_reports_is_read(bench):
    answer = completion()
    answer["usage"]["cost"] = 0.00123
    bench.server.script("faulty", reply(200, answer))
    got = await bench.pool.send([bench.faulty], chat())
    assert got.usage is not None
    assert got.usage.reported_cost == Decimal("0.00123")


@pytest.mark.parametrize("streams", [False, True])
async def test_blockruns_cost_header_is_read(make_bench, streams):
    bench = make_bench(kind="blockrun")
    header = head(200, "text/event-stream", Transfer_Encoding="chunked", x_blockrun_cost_usd="0.0042")
    frames = stream(
        ROLE,
        *words("a"),
        sse(delta("stop")),
        sse({**delta(), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        header=header,
    )
    bench.server.script("faulty", frames if streams else reply(200, completion(), x_blockrun_cost_usd="0.0042"))
    got = await bench.pool.send([bench.faulty], chat(stream=streams))
    await read(got)
    assert got.usage is not None
    assert got.usage.reported_cost == Decimal("0.0042")


async def test_latency_is_measured_to_the_first_content(bench):
    assert bench.pool.latency(bench.faulty) is None
    await read(await bench.pool.send([bench.faulty], chat(stream=True)))
    latency = bench.pool.latency(bench.faulty)
    assert latency is not None
    assert latency > 0


async def test_cancelling_a_request_drops_the_upstream_at_once(bench):
    bench.server.script("faulty", (Stall(),))
    task = asyncio.create_task(bench.pool.send([bench.faulty], chat()))
    await bench.server.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.server.gone.wait()


async def test_closing_a_stream_drops_the_upstream_and_tells_what_was_used(bench):
    bench.server.script("faulty", stream(ROLE, *words("Hello ", "you"), then=(Stall(),)))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    assert isinstance(got, StreamReply)
    await anext(got.chunks)
    await bench.server.waiting.wait()
    got.close()
    await bench.server.gone.wait()
    assert got.usage == Usage(completion_tokens=2, estimated=True)
    assert got.output_characters >= len("Hello ")
    assert [chunk async for chunk in got.chunks] == []


async def test_cancelling_a_reader_drops_the_upstream(bench):
    bench.server.script("faulty", stream(ROLE, *words("Hello "), then=(Stall(),)))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    assert isinstance(got, StreamReply)
    await anext(got.chunks)
    task = asyncio.create_task(anext(got.chunks))  # type: ignore[arg-type]
    await bench.server.waiting.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.server.gone.wait()


async def test_no_timer_or_task_stays_behind(bench):
    bench.server.script("faulty", error(500), GOOD, good_stream())
    await read(await bench.pool.send([bench.faulty], chat()))
    await read(await bench.pool.send([bench.faulty], chat(stream=True)))
    assert not [
        task.get_name()
        for task in asyncio.all_tasks()
        if "serve" not in repr(task) and task is not asyncio.current_task() and "handle" not in repr(task)
    ]


async def test_heartbeats_are_comments_and_come_only_after_content(make_bench):
    bench = make_bench(heartbeat=0.02)
    bench.server.script("faulty", (Send(stream(ROLE)[0].data), Stall(), *stream(*words("Hello "), then=(Stall(),))[1:]))
    task = asyncio.create_task(bench.pool.send([bench.faulty], chat(stream=True)))
    await bench.server.waiting.wait()
    bench.server.waiting.clear()
    bench.server.gate.set()
    got = await task
    bench.server.gate.clear()
    assert isinstance(got, StreamReply)
    first = await anext(got.chunks)
    assert b": keep-alive" not in first
    assert [await anext(got.chunks) for _ in range(2)] == [b": keep-alive\n\n"] * 2
    got.close()


async def test_a_slow_client_is_not_taken_for_a_silent_upstream(make_bench):
    bench = make_bench(timeouts=type(QUICK)(connect=1, first_token=1, idle=0.03, total=5))
    bench.server.script(
        "faulty", stream(ROLE, *words("a"), then=(Stall(), *stream(*words("b"), sse(delta("stop")))[1:]))
    )
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    await anext(got.chunks)
    await asyncio.sleep(0.08)  # longer than the limit, but it is the client who waits
    bench.server.gate.set()
    assert "[DONE]" in joined(await read(got))


async def test_each_piece_goes_on_as_it_comes(bench):
    bench.server.script(
        "faulty", stream(ROLE, *words("one"), then=(Stall(), *stream(*words("two"), sse(delta("stop")))[1:]))
    )
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    assert isinstance(got, StreamReply)
    first = await anext(got.chunks)
    assert b"one" in first
    assert b"two" not in first
    bench.server.gate.set()
    assert b"two" in await anext(got.chunks)
    got.close()


@pytest.mark.parametrize("end", [sse(delta("stop")), sse(delta("stop")) + DONE])
async def test_with_hardly_a_token_allowed_an_empty_stream_is_an_answer(bench, end):
    bench.server.script("faulty", stream(ROLE, end))
    got = await bench.pool.send([bench.faulty], chat(stream=True, max_tokens=3))
    assert joined(await read(got))[-1] == "[DONE]"
    assert isinstance(got, StreamReply)
    assert got.error_code is None
    assert [attempt.outcome for attempt in got.attempts] == ["ok"]


async def test_several_calls_in_a_chunk_are_told_one_by_one(bench):
    calls = [
        {"index": n, "id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)
    ]
    bench.server.script("faulty", stream(ROLE, sse(delta("tool_calls", tool_calls=calls))))
    got = joined(await read(await bench.pool.send([bench.faulty], chat(stream=True))))
    deltas = [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in got[:-1]]
    assert deltas[1:] == [({"tool_calls": [calls[0]]}, None), ({"tool_calls": [calls[1]]}, None), ({}, "tool_calls")]


async def test_reconfiguring_takes_other_keys_and_forgives(bench):
    bench.server.script("faulty", error(401), GOOD)
    await bench.pool.send([bench.faulty, bench.spare], chat())
    adapters = dict(bench.pool.upstreams.adapters)
    adapters["lab"] = adapter_for(ProviderSettings("lab", "openai", bench.server.url, ("sk-new-cccccccccccc",)))
    bench.pool.change(adapters)
    assert (await bench.pool.send([bench.faulty, bench.spare], chat())).model.id == "lab/faulty"
    assert bench.server.requests[-1].headers["authorization"] == "Bearer sk-new-cccccccccccc"


async def test_check_says_whether_each_key_is_good_and_what_there_is(make_bench):
    bench = make_bench(keys=("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb"))
    got = await bench.pool.check("lab")
    assert (got["ok"], got["models"], [key["ok"] for key in got["keys"]]) == (True, ["small-v1"], [True, True])
    bench.server.listing = error(401, "Incorrect API key provided: sk-one-aaaaaaaaaaaa")
    got = await bench.pool.check("lab")
    assert (got["ok"], got["models"]) == (False, [])
    assert "sk-one" not in json.dumps(got)


async def test_a_public_list_of_models_is_no_proof_of_a_key(make_bench):
    bench = make_bench(kind="openrouter")
    await bench.pool.check("lab")
    assert [request.path for request in bench.server.requests] == ["/v1/key", "/v1/models"]


async def test_check_says_why_nobody_is_there(make_bench):
    bench = make_bench(url=f"http://127.0.0.1:{free_port()}/v1")
    assert (await bench.pool.check("lab"))["error"] == "lab: No connection to the server."


async def test_discovery_leaves_out_who_does_not_answer(make_bench):
    bench = make_bench(url=f"http://127.0.0.1:{free_port()}/v1", kind="ollama")
    assert await bench.pool.discover() == {"other": [{"id": "small-v1"}]}


async def test_keys_take_turns(make_bench):
    keys = ("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb", "sk-three-cccccccccc")
    bench = make_bench(keys=keys)
    bench.server.script("faulty", GOOD)
    for _ in range(30):
        await bench.pool.send([bench.faulty], chat())
    used = [request.headers["authorization"].removeprefix("Bearer ") for request in bench.server.requests]
    assert [used.count(key) for key in keys] == [10, 10, 10]


async def test_what_begins_alike_goes_by_one_key_and_by_another_where_that_is_refused(make_bench):
    keys = ("sk-one-aaaaaaaaaaaa", "sk-two-bbbbbbbbbbbb", "sk-three-cccccccccc")
    bench = make_bench(keys=keys)
    bench.server.script("faulty", GOOD)
    alike = Asker("tablet", affinity=7)
    for _ in range(5):
        await bench.pool.send([bench.faulty], chat(), asker=alike)
    await bench.pool.send([bench.faulty], chat())
    bench.server.script("faulty", error(401), GOOD)
    await bench.pool.send([bench.faulty], chat(), asker=alike)
    await bench.pool.send([bench.faulty], chat(), asker=alike)
    used = [request.headers["authorization"].removeprefix("Bearer ") for request in bench.server.requests]
    assert [keys.index(key) for key in used] == [1, 1, 1, 1, 1, 0, 1, 2, 2]


async def test_a_stream_whose_provider_is_removed_while_it_waits_goes_on(make_bench):
    bench = make_bench()
    bench.server.script("faulty", stream(ROLE, *words("hello"), FINISH, DONE))
    asking = asyncio.create_task(bench.pool.send([bench.faulty], chat(stream=True)))
    await until(lambda: bench.server.asked("faulty"))
    bench.pool.change({})
    got = await read(await asking)
    assert b"hello" in b"".join(got)


async def test_who_is_left_alone_is_shown_with_the_reason_and_for_how_long(bench):
    bench.server.script("faulty", error(503, Retry_After="30"))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    bench.time.later(10)
    (cooling,) = bench.pool.status()[0]["cooldowns"]
    assert cooling | {"message": ""} == {
        "key": 1,
        "model": "lab/faulty",
        "state": "cooling_down",
        "reason": "upstream_overloaded",
        "message": "",
        "seconds": 20.0,
    }
    assert "It did not work." in cooling["message"]


async def test_an_outage_says_which_model_began_it(bench):
    bench.server.script("faulty", error(503))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    (down,) = bench.events
    assert isinstance(down, ProviderDown)
    assert down.reason.startswith("lab/faulty: ")


async def test_what_was_asked_before_a_provider_was_reconfigured_says_nothing_about_it_now(bench):
    await bench.pool.send([bench.model("fine")], chat())
    adapters = dict(bench.pool.upstreams.adapters)
    adapters["lab"] = adapter_for(ProviderSettings("lab", "openai", bench.server.url, ("sk-new-cccccccccccc",)))
    bench.pool.change(adapters)
    bench.server.script("faulty", error(503))
    await bench.pool.send([bench.faulty, bench.spare], chat())
    assert [type(event) for event in bench.events] == [ProviderDown]


async def test_nothing_comes_of_a_stream_that_was_closed_before_it_was_read(bench):
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    assert isinstance(got, StreamReply)
    got.close()
    assert [chunk async for chunk in got.chunks] == []


async def test_check_tells_how_long_it_took(bench):
    assert (await bench.pool.check("lab"))["latency_ms"] == 0.0  # no time passes here


async def test_an_outage_of_a_whole_provider_names_the_provider_once(make_bench):
    bench = make_bench(url=f"http://127.0.0.1:{free_port()}/v1")
    await bench.pool.send([bench.faulty, bench.spare], chat())
    (down,) = bench.events
    assert isinstance(down, ProviderDown)
    assert down.reason == "lab: No connection to the server."


async def test_who_is_down_is_looked_for_once_and_again_only_when_something_changes(make_bench):
    bench = make_bench()
    bench.server.script("faulty", error(401), GOOD)
    looked = 0

    class Models(tuple):  # noqa: SLOT001 - it counts
        def __iter__(self):
            nonlocal looked
            looked += 1
            return super().__iter__()

    models = Models((bench.faulty, bench.spare))

    def down():
        return bench.pool.pool.down(bench.pool.upstreams, models)

    with pytest.raises(UpstreamFailed):
        await bench.pool.send([bench.faulty], chat())
    assert [down(), down(), down()] == [{"lab/faulty"}] * 3
    assert looked == 1
    bench.pool.pause("other", True)
    assert down() == {"lab/faulty", "other/spare"}
    bench.pool.pause("other", False)
    bench.time.later(600)
    assert down() == frozenset()
    bench.pool.clear_cooldowns()
    assert (down(), looked) == (frozenset(), 3)
