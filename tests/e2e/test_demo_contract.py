"""With nothing configured: what the API page promises, by the official SDK and by plain HTTP."""

import asyncio

import openai
import orjson
import pytest

from tests.builders import saying, until
from tests.fakes.router import router

HELLO = saying("Hello!")


@pytest.fixture
def demo(tmp_path):
    return lambda **options: router(tmp_path, **options)


async def test_the_snippet_of_the_api_page_works(demo):
    async with demo() as client:
        response = await client.sdk.chat.completions.create(model="blockrun/auto", messages=HELLO)
        assert response.choices[0].message.content


async def test_a_reply_has_every_field_of_the_documented_shape(demo):
    async with (
        demo() as client,
        client.http.post(
            client.url + "/v1/chat/completions",
            json={"model": "blockrun/auto", "messages": HELLO},
            headers={"X-Device-ID": "x"},
        ) as reply,
    ):
        body = await reply.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert {"id", "created", "model"} <= body.keys()


@pytest.mark.parametrize("profile", ["auto", "eco", "premium", "free"])
async def test_every_profile_answers(demo, profile):
    async with demo() as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(model=f"blockrun/{profile}", messages=HELLO)
        assert raw.headers["x-cheaprouter-model"] == "mock/default"


async def test_a_stream_comes_in_pieces_and_ends_with_done(demo):
    async with (
        demo() as client,
        client.http.post(
            client.url + "/v1/chat/completions",
            json={"model": "mock/default", "messages": saying("[[n=5]]"), "stream": True},
        ) as reply,
    ):
        frames = [line for line in (await reply.read()).split(b"\n\n") if line]
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert frames[-1] == b"data: [DONE]"
    texts = [orjson.loads(f[6:])["choices"][0]["delta"].get("content") for f in frames[:-1]]
    assert [t.strip() for t in texts if t] == ["one", "two", "three", "four", "five"]


async def test_each_piece_arrives_while_the_next_is_still_to_come(demo):
    async with demo() as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=saying("[[n=3 d=60000]]"), stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
        assert client.app.house.gateway.running == 1
        await stream.close()


async def test_usage_comes_at_the_end_only_when_asked_for(demo):
    async with demo() as client:
        for wanted in (True, False):
            stream = await client.sdk.chat.completions.create(
                model="mock/default", messages=saying("[[n=4]]"), stream=True, stream_options={"include_usage": wanted}
            )
            chunks = [chunk async for chunk in stream]
            assert [bool(c.usage) for c in chunks].count(True) == wanted
            assert (chunks[-1].choices == []) is wanted


async def test_tool_calls_stream_as_deltas(demo):
    tools = [{"type": "function", "function": {"name": "turn_on", "parameters": {"type": "object", "properties": {}}}}]
    async with demo() as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=HELLO, tools=tools, tool_choice="required", stream=True
        )
        calls = [c.choices[0].delta.tool_calls async for c in stream if c.choices and c.choices[0].delta.tool_calls]
    assert calls[0][0].function.name == "turn_on"


async def test_models_lists_profiles_and_the_mock(demo):
    async with demo() as client:
        ids = [m.id async for m in client.sdk.models.list()]
        assert {"blockrun/auto", "blockrun/eco", "blockrun/premium", "blockrun/free", "mock/default"} <= set(ids)
        assert (await client.sdk.models.retrieve("mock/default")).object == "model"


async def test_health_says_that_this_is_a_demo(demo):
    async with demo() as client:
        state = await client.get("/health")
    assert (state["status"], state["demo"], state["mqtt"]) == ("ok", True, "disabled")
    assert "mock" in state["providers"]


async def test_the_root_explains_itself(demo):
    async with demo() as client, client.http.get(client.url + "/") as reply:
        assert "/v1" in await reply.text()


async def test_an_unknown_model_is_a_404_about_model(demo):
    async with demo() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.sdk.chat.completions.create(model="no/such", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/v1/chat/completions", {}, 405, "method_not_allowed"),
        (
            "POST",
            "/v1/chat/completions",
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
        ),
        (
            "POST",
            "/v1/chat/completions",
            {"data": b"\xff", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
        ),
        (
            "POST",
            "/v1/chat/completions",
            {"data": b"[]", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_value",
        ),
        ("POST", "/v1/chat/completions", {"data": {"a": "b"}}, 415, "unsupported_media_type"),
        ("POST", "/v1/chat/completions", {"json": {}}, 400, "missing_required_parameter"),
        ("GET", "/v1/models/no/such", {}, 404, "model_not_found"),
        ("GET", "/v1/audit?limit=x", {}, 400, "invalid_value"),
        ("GET", f"/v1/audit?limit={'9' * 4301}", {}, 400, "invalid_value"),
        ("GET", "/v1/audit?limit=1e3", {}, 400, "invalid_value"),
        ("GET", "/v1/audit?limit=%D9%A1", {}, 400, "invalid_value"),
        ("GET", f"/router/usage?to={'9' * 4301}", {}, 400, "invalid_value"),
        ("GET", "/router/usage?from=9999-12-31T23:59:59-14:00&to=9999-12-31T23:59:59-14:00", {}, 400, "invalid_value"),
        ("GET", "/router/usage?from=0001-01-01T00:00:00%2B14:00", {}, 400, "invalid_value"),
        ("GET", "/router/usage?to=10000-01-01", {}, 400, "invalid_value"),
        ("GET", "/router/usage?from=0000-01-01", {}, 400, "invalid_value"),
        ("GET", "/v1/models/%ff%00/..%2f", {}, 404, "model_not_found"),
        ("GET", "/router/devices/%ed%a0%80", {}, 404, "not_found"),
        ("PATCH", "/router/settings", {"json": {"profile": "eco"}}, 403, "admin_key_required"),
    ],
)
async def test_every_error_has_openais_shape(demo, method, path, kwargs, status, code):
    async with demo() as client, client.http.request(method, client.url + path, **kwargs) as reply:
        body = await reply.json()
        assert reply.status == status
        assert reply.headers["x-request-id"].startswith("req_")
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["code"] == code


async def test_a_body_over_the_limit_is_a_413(demo, monkeypatch):
    monkeypatch.setattr("cheaprouter.doors.context.MAX_BODY_BYTES", 1000)
    monkeypatch.setattr("cheaprouter.doors.bodies.MAX_BODY_BYTES", 1000)
    monkeypatch.setattr("cheaprouter.doors.heads.MOST_BODY", 1000)
    async with demo() as client, client.http.post(client.url + "/v1/chat/completions", json={"x": "y" * 2000}) as reply:
        assert reply.status == 413
        assert (await reply.json())["error"]["code"] == "request_too_large"


async def test_a_refusal_is_booked_too(demo):
    async with demo() as client:
        async with client.http.post(client.url + "/v1/chat/completions", json={}) as reply:
            wanted = reply.headers["x-request-id"]
        row = (await client.audit())[0]
    assert (row["id"], row["status"], row["error"]) == (wanted, 400, "missing_required_parameter")


async def test_a_finished_request_is_in_the_audit_at_once(demo):
    async with demo(device="kitchen") as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(
            model="mock/default", messages=saying("[[n=7]]")
        )
        row = (await client.audit())[0]
    assert row["id"] == raw.headers["x-request-id"]
    assert (row["device_id"], row["model"], row["routed_model"], row["status"]) == (
        "kitchen",
        "mock/default",
        "mock/default",
        200,
    )
    assert (row["completion_tokens"], row["cost_usd"], row["error"]) == (7, 0, None)


async def test_a_client_that_leaves_is_booked_with_what_it_had(demo):
    async with demo() as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=saying("[[n=50 d=60000]]"), stream=True
        )
        await anext(aiter(stream))
        await stream.close()
        await until(lambda: not client.app.house.gateway.running)
        row = (await client.audit())[0]
    assert (row["status"], row["error"]) == (499, "client_disconnected")
    assert row["prompt_tokens"] > 0


async def test_a_scripted_upstream_error_reaches_the_client_as_it_is(demo):
    async with demo() as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.sdk.chat.completions.create(
                model="mock/default", messages=saying("[[status=429 retry_after=60]]")
            )
    assert caught.value.response.headers["retry-after"] == "60"


async def test_an_error_in_mid_stream_is_raised_by_the_sdk(demo):
    async with demo() as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=saying("[[n=9 error=3]]"), stream=True
        )
        with pytest.raises(openai.APIError):
            _ = [chunk async for chunk in stream]


async def test_a_page_of_a_stranger_is_refused(demo):
    async with (
        demo() as client,
        client.http.get(client.url + "/v1/models", headers={"Origin": "http://evil.com"}) as reply,
    ):
        assert reply.status == 403
        assert (await reply.json())["error"]["code"] == "origin_not_allowed"


async def test_a_rebound_host_is_refused(demo):
    async with demo() as client, client.http.get(client.url + "/v1/audit", headers={"Host": "evil.com"}) as reply:
        assert (await reply.json())["error"]["code"] == "host_not_allowed"


async def test_a_preflight_of_a_configured_origin_is_answered(tmp_path):
    origin = "https://chat.example.org"
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with router(tmp_path, {"http": {"cors_origins": [origin]}}) as client:
        async with client.http.options(client.url + "/v1/chat/completions", headers=headers) as reply:
            assert reply.status == 204
            assert reply.headers["Access-Control-Allow-Origin"] == origin
        async with client.http.get(client.url + "/v1/models", headers={"Origin": origin}) as reply:
            assert reply.headers["Access-Control-Allow-Origin"] == origin


async def test_ingress_headers_are_refused_on_the_lan(demo):
    async with demo() as client, client.http.get(client.url + "/v1/models", headers={"X-Remote-User-Id": "1"}) as reply:
        assert reply.status == 400


async def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(demo):
    async with demo() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.app.lan.port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {65 * 1024 * 1024}\r\n\r\n"
        writer.write(head.encode())
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def test_no_answer_tells_which_software_versions_run(demo):
    async with demo() as client, client.http.get(client.url + "/health") as reply:
        assert reply.headers["Server"] == "CheapRouter"
