"""The router as a process: signals, crashes, the command line."""

import contextlib
import re
import signal
import sqlite3
import stat

import aiohttp
import orjson
import pytest

from tests.builders import a_body, until
from tests.fakes.process import run, serve

ASK = "/v1/chat/completions"


async def audit(http, url):
    async with http.get(f"{url}/v1/audit?limit=1000") as reply:
        return (await reply.json())["data"]


async def test_sigterm_lets_a_running_stream_end_and_exits_with_0(tmp_path):
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        async with http.post(router.url + ASK, json=a_body("[[n=20 d=20]]", stream=True)) as reply:
            await reply.content.readline()
            router.signal(signal.SIGTERM)
            rest = await reply.read()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert await router.ended() == 0
    assert b"stopped" in router.log


async def test_a_draining_router_takes_no_new_requests(tmp_path):
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        async with http.post(router.url + ASK, json=a_body("[[n=1000 d=50]]", stream=True)) as running:
            await running.content.readline()
            router.signal(signal.SIGTERM)
            await router.until(re.compile(b"stopping"))
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.post(router.url + ASK, json=a_body("hello"))


async def test_kill_9_loses_nothing_that_was_answered(tmp_path):
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        for _ in range(25):
            async with http.post(router.url + ASK, json=a_body("[[n=4]]"), headers={"X-Device-ID": "kitchen"}) as reply:
                assert reply.status == 200
        router.signal(signal.SIGKILL)
        await router.ended()
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        rows = await audit(http, router.url)
        async with http.get(f"{router.url}/router/devices/kitchen") as reply:
            state = (await reply.json())["state"]
    assert len(rows) == len({row["id"] for row in rows}) == 25
    # The last may have left a moment before it was booked: its intent stands for it then.
    assert [row["error"] for row in rows[1:]] == [None] * 24
    assert (state["requests"], state["output_tokens"]) == (25, sum(row["completion_tokens"] for row in rows))


async def test_the_admin_key_is_in_a_file_for_its_owner_only(tmp_path):
    async with serve(tmp_path) as router:
        key = (tmp_path / "admin_key").read_text().strip()
        assert stat.S_IMODE((tmp_path / "admin_key").stat().st_mode) == 0o600
        assert key.encode() not in router.log


async def test_in_the_app_the_admin_key_is_written_once_to_the_log(tmp_path):
    environment = {"SUPERVISOR_TOKEN": "token-of-the-supervisor"}
    async with serve(tmp_path, "--ingress-port", "0", **environment) as router:
        router.signal(signal.SIGTERM)
        await router.ended()
    key = (tmp_path / "admin_key").read_bytes().strip()
    assert router.log.count(key) == 1
    async with serve(tmp_path, "--ingress-port", "0", **environment) as router:
        router.signal(signal.SIGTERM)
        await router.ended()
    assert key not in router.log


async def test_a_key_made_beside_the_running_router_works_and_can_be_revoked(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("auth: keys\n")
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:

        async def answers(wanted):
            async with http.get(f"{router.url}/v1/models", headers={"Authorization": f"Bearer {key}"}) as reply:
                return reply.status == wanted

        code, out, _ = await run("keys", "add", "kitchen", "--data", str(tmp_path))
        key = out.split()[0].decode()
        assert (code, key[:3]) == (0, "cr-")
        await until(lambda: answers(200), every=0.1)
        assert (await run("keys", "revoke", "kitchen", "--data", str(tmp_path)))[0] == 0
        await until(lambda: answers(401), every=0.1)


async def test_keys_list_shows_no_key(tmp_path):
    _, out, _ = await run("keys", "add", "kitchen", "--data", str(tmp_path))
    code, listed, _ = await run("keys", "list", "--data", str(tmp_path))
    assert code == 0
    assert b"kitchen" in listed
    assert out.split()[0] not in listed


async def test_a_key_renewed_beside_the_running_router_and_its_predecessor_hold_as_said(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("auth: keys\n")
    data = ("--data", str(tmp_path))
    old = (await run("keys", "add", "kitchen", "--days", "90", *data))[1].split()[0].decode()
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:

        async def answer(key):
            async with http.get(f"{router.url}/v1/models", headers={"Authorization": f"Bearer {key}"}) as reply:
                return reply.status, (await reply.json()).get("error", {}).get("code")

        async def answers(key, wanted):
            return await answer(key) == wanted

        code, out, _ = await run("keys", "rotate", "kitchen", "--grace", "1", *data)
        new = out.split()[0].decode()
        assert code == 0
        assert b"It expires on" in out
        assert b"ends on" in out
        await until(lambda: answers(new, (200, None)), every=0.1)
        assert await answer(old) == (200, None)
        last = (await run("keys", "rotate", "kitchen", "--grace", "0", *data))[1].split()[0].decode()
        for ended in (old, new):
            await until(lambda key=ended: answers(key, (401, "api_key_expired")), every=0.1)
        assert await answer(last) == (200, None)
        lines = (await run("keys", "list", *data))[1].decode().splitlines()
        assert sorted(line.count("expired ") for line in lines) == [0, 0, 1, 1]
        old_admin = router.admin()["Authorization"].split()[1]
        await run("keys", "admin", "--reset", *data)
        await until(lambda: answers(old_admin, (401, "invalid_api_key")), every=0.1)
        async with http.get(f"{router.url}/router/keys", headers=router.admin()) as reply:
            rows = (await reply.json())["data"]
        assert sorted(row["expired"] for row in rows) == [False, True, True]
        assert all(row["last_used_at"] is not None for row in rows)
        router.signal(signal.SIGTERM)
        await router.ended()
    for key in (old, new, last):
        assert key.encode() not in router.log
    listed = (await run("keys", "list", *data))[1].decode().splitlines()
    assert all("never" not in line.split("UTC")[-2] for line in listed[1:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "kitchen", "--days", "0"), b"from 1 to 3650"),
        (("add", "  "), b"printable"),
        (("rotate", "nobody"), b"no key"),
        (("rotate", "kitchen", "--grace", "-1"), b"from 0 to 8760"),
    ],
)
async def test_what_keys_cannot_be_is_said_in_a_line(tmp_path, arguments, words):
    await run("keys", "add", "kitchen", "--data", str(tmp_path))
    code, _, err = await run("keys", *arguments, "--data", str(tmp_path))
    assert (code, err.count(b"\n")) == (1, 1)
    assert words in err


async def test_a_new_admin_key_in_the_file_that_the_configuration_overrules_says_so(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("admin_key: my own long secret\n")
    _, out, _ = await run("keys", "admin", "--reset", "--data", str(tmp_path))
    assert b"the configuration sets `admin_key`" in out
    assert b"my own" not in out


async def test_check_config_names_every_problem(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text(
        "auth: maybe\nproviders:\n  lab: {kind: openai, base_url: nonsense}\nnonsense: 1\n"
    )
    code, _, err = await run("check-config", "--data", str(tmp_path))
    assert code == 2
    for key in (b"auth", b"providers.lab.base_url", b"nonsense"):
        assert key in err


async def test_check_config_says_what_it_read(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("auth: open\n")
    code, out, _ = await run("check-config", "--data", str(tmp_path))
    assert code == 0
    assert str(tmp_path / "cheaprouter.yaml").encode() in out


async def test_a_bad_configuration_does_not_keep_the_rest_from_serving(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("auth: maybe\n")
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        state, _ = await seen(router, http)
    assert state["status"] == "degraded"
    assert "auth" in state["problems"][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, b"there is no such file"),
        ("auth: [", b"not YAML"),
        ("", b"mine.yaml: it sets nothing"),
        (" \n", b"mine.yaml: it sets nothing"),
        ("# all of it\n", b"mine.yaml: it sets nothing"),
        ("{}", b"`providers: {}` would do"),
        ("providers:\n", b"mine.yaml: it sets nothing"),
        ("auth: maybe\nwhat: 1\n", b"what: unknown key"),
        ("providers: &x\n  lab: *x\n", b"line 1, column 12: not YAML (an anchor contains itself)"),
    ],
    ids=["missing", "broken", "empty", "blank", "comment", "nothing", "null", "values", "anchor"],
)
@pytest.mark.parametrize("by", ["option", "variable"])
async def test_a_named_file_that_is_wrong_ends_the_start_with_2(tmp_path, text, said, by):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    named = (["--config", str(path)], {}) if by == "option" else ([], {"CHEAPROUTER_CONFIG": str(path)})
    code, _, err = await run("serve", "--data", str(tmp_path / "data"), "--port", "0", *named[0], **named[1])
    assert code == 2
    assert said in err
    assert b"Traceback" not in err
    if text and "what" in text:
        assert b"error: auth" in err


KEYS = "auth: keys\nproviders:\n  lab: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-0123456789}\n"


async def seen(router, http, path=ASK):
    """The state that `/health` tells an admin, and the status of a chat without a key."""
    async with http.get(f"{router.url}/health", headers=router.admin()) as reply:
        state = await reply.json()
    async with http.post(router.url + path, json=a_body("hello")) as reply:
        return state, reply.status


@pytest.mark.parametrize(
    "text", ["auth: [", "", "auth: maybe\n", "auth: keys\n"], ids=["broken", "empty", "value", "cut"]
)
async def test_a_start_with_a_wrong_file_goes_on_with_what_was_good_last(tmp_path, text):
    (tmp_path / "cheaprouter.yaml").write_text(KEYS)
    async with serve(tmp_path) as router:
        assert b"sk-0123456789" not in router.log
    (tmp_path / "cheaprouter.yaml").write_text(text)
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        state, status = await seen(router, http)
    assert (state["status"], state["demo"], status) == ("degraded", False, 401)
    assert "lab" in state["providers"]
    assert any("last good" in problem for problem in state["problems"])
    assert stat.S_IMODE((tmp_path / "last_good.json").stat().st_mode) == 0o600


async def test_without_a_good_one_nobody_is_served_and_it_says_why(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text("auth: [")
    _, out, _ = await run("keys", "add", "kitchen", "--data", str(tmp_path))
    key = {"Authorization": f"Bearer {out.split()[0].decode()}"}
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        state, status = await seen(router, http)
        assert (state["status"], state["demo"], state["providers"], status) == ("degraded", False, {}, 401)
        for model in ("mock/default", "blockrun/auto"):
            async with http.post(router.url + ASK, json=a_body("hello", model=model), headers=key) as reply:
                assert (reply.status, reply.headers["x-should-retry"]) == (503, "false")
                assert (await reply.json())["error"]["code"] == "not_configured"
    assert not (tmp_path / "last_good.json").exists()


async def test_a_newer_database_ends_the_start_with_3_and_is_left_as_it_is(tmp_path):
    async with serve(tmp_path):
        pass
    path = tmp_path / "cheaprouter.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migration (name) VALUES ('from_the_future')")
    before = path.read_bytes()
    for command in ("serve", "keys list"):
        code, _, err = await run(*command.split(), "--data", str(tmp_path))
        assert (code, b"Traceback" in err) == (3, False)
        assert b"backup" in err
    assert path.read_bytes() == before


async def test_route_jsonl_answers_each_line_in_order_whatever_it_holds():
    lines = [
        b'{"messages": [{"role": "user", "content": "turn on the light"}]}',
        b'{"messages": []}',
        b"junk",
        b"",
        b'{"messages": [{"role": "user", "content": null}]}',
        b"[1]",
        b'{"messages": [{"role": "user", "content": "Prove that there are infinitely many primes."}]}',
    ]
    code, out, _ = await run("route", "--jsonl", stdin=b"\n".join(lines) + b"\n")
    answers = [orjson.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(answers) == len(lines)
    assert all(0 <= a["score"] <= 1 and a["latency_us"] > 0 for a in answers)
    assert answers[0]["score"] < answers[-1]["score"]


async def test_route_explains_a_prompt_in_words(tmp_path):
    code, out, _ = await run("route", "turn on the light", "--data", str(tmp_path))
    assert code == 0
    assert b"mock/default" in out


async def test_backup_writes_a_copy_beside_the_running_router(tmp_path):
    async with serve(tmp_path) as router, aiohttp.ClientSession() as http:
        async with http.post(router.url + ASK, json=a_body("hello")) as reply:
            await reply.read()
        code, _, err = await run("backup", "--data", str(tmp_path))
    assert (code, err) == (0, b"")
    assert (tmp_path / "cheaprouter-backup.db").read_bytes().startswith(b"SQLite format 3")


async def test_a_taken_port_is_said_plainly(tmp_path):
    async with serve(tmp_path / "one") as router:
        code, _, err = await run(
            "serve", "--data", str(tmp_path / "two"), "--host", "127.0.0.1", "--port", str(router.port)
        )
    assert code == 1
    assert b"in use" in err
    assert b"Traceback" not in err


async def test_a_port_that_is_none_is_said_plainly():
    code, _, err = await run("serve", "--port", "99999")
    assert code == 2
    assert b"'99999' is not a port" in err


async def test_providers_asks_each_and_fails_where_one_does(tmp_path):
    (tmp_path / "cheaprouter.yaml").write_text(
        "providers:\n  lab: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-0123456789}\n"
    )
    code, out, _ = await run("providers", "--json", "--data", str(tmp_path))
    rows = orjson.loads(out)
    assert code == 1
    assert [(row["name"], row["ok"]) for row in rows] == [("lab", False)]
    assert b"sk-0123456789" not in out


async def test_providers_in_the_demo_is_the_mock(tmp_path):
    code, out, _ = await run("providers", "--data", str(tmp_path))
    assert code == 0
    assert b"mock" in out
