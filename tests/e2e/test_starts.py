"""`serve` starts with what it was told or not at all, `check-config` says the same, and no mistake ever starts the demo."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest

from tests.builders import a_body
from tests.fakes.process import ROOT, run, serve

KEY = "providers:\n  openai:\n    api_key: "


def text(said: str | bytes):
    return lambda path: path.write_bytes(said.encode() if isinstance(said, str) else said)


# What stands where the configuration should, and what is said of it.
BROKEN = {
    "missing": (lambda _: None, "there is no such file"),
    "folder": (Path.mkdir, "Is a directory"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    "circle": (lambda path: path.symlink_to(path), "symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/null"), "no regular file"),
    "empty": (text(""), "sets nothing"),
    "comments": (text("# auth: open\n"), "sets nothing"),
    "null": (text("null\n"), "sets nothing"),
    "no YAML": (text("auth: [\n"), "not YAML"),
    "a list": (text("- auth\n"), "expected a mapping"),
    "a text": (text("hello\n"), "expected a mapping"),
    "two documents": (text("auth: open\n---\nauth: keys\n"), "not YAML"),
    "twice": (text("auth: open\nauth: keys\n"), "written twice"),
    "an unknown key": (text("unknwon: 1\n"), "unknwon: unknown key"),
    "a wrong value": (text("auth: maybe\n"), "auth: expected one of open, keys"),
    "a wrong type": (text("providers: [openai]\n"), "providers: expected"),
    "an unknown provider": (text("providers:\n  foo: {base_url: 'http://x/v1'}\n"), "providers.foo.kind"),
    "no key": (text("providers: {openai: {}}\n"), "providers.openai.api_key: missing"),
    "a variable that is not set": (text(KEY + "${NOT_SET_HERE}\n"), "NOT_SET_HERE is not set"),
    "a variable by name": (text("providers: {openai: {api_key_env: NOT_SET_HERE}}\n"), "NOT_SET_HERE is not set"),
    "a secret that is not there": (text(KEY + "!secret nothing\n"), "secrets.yaml"),
    "a reserved device": (text('devices: {"(forgotten)": {rpm: 1}}\n'), "a name of the router's own"),
    "too long": (text("#" * 3_000_000), "it goes on"),
    "no text": (text(bytes(range(128, 256)) * 100), "not UTF-8"),
    "noughts": (text(b"\0" * 1000), "not YAML"),
    "UTF-16 without its mark": (text("auth: open\n".encode("utf-16-le")), "not YAML"),
    "UTF-32": (text("auth: open\n".encode("utf-32")), "not YAML"),
    "nested": (text("auth: " + "[" * 5000), "YAML"),
    "aliases without end": (text("a: &a [1]\n" + "".join(f"x-{n}: &n{n} [*a, *a]\n" for n in range(3))), "unknown key"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_configuration_starts_nothing_and_both_say_why(tmp_path, kind):
    path = tmp_path / "mine.yaml"
    make, said = BROKEN[kind]
    make(path)
    named = ["--config", str(path), "--data", str(tmp_path / "data")]
    for command in (["serve", "--port", "0", *named], ["check-config", *named]):
        code, out, err = await run(*command)
        assert (code, out) == (2, b""), (command, err)
        assert said in err.decode()
        assert b"Traceback" not in err
        assert b"DEMO" not in err


async def test_every_mistake_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("auth: maybe\nwhat: 1\nhttp: {port: many}\nproviders: {openai: {}}\n")
    code, _, err = await run("serve", "--config", str(tmp_path / "mine.yaml"), "--data", str(tmp_path / "data"))
    assert code == 2
    for key in ("auth", "what", "http.port", "providers.openai.api_key"):
        assert f"error: {key}: ".encode() in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_file_from_any_editor_is_a_good_one(tmp_path, encoding):
    path = tmp_path / "mine.yaml"
    path.write_bytes("auth: keys\r\n".encode(encoding))
    assert (await run("check-config", "--config", str(path), "--data", str(tmp_path / "data")))[0] == 0


async def shell(command: str) -> tuple[int | None, str]:
    """What bash makes of a command, in which `$CR` is ours: the exit code, and what was said."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"CR": "python -m cheaprouter"},
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("<(echo 'auth: keys')", 0, "is good"),
        ("<(sleep 1; echo 'auth: keys')", 0, "is good"),
        ("/dev/stdin", 0, "is good"),
        ("<(echo 'auth: maybe')", 2, "auth: expected"),
        ("<(true)", 2, "sets nothing"),
        ("<(cat /dev/zero)", 2, "not usable"),
    ],
)
async def test_a_configuration_may_come_out_of_a_command(tmp_path, source, code, said):
    ended, told = await shell(f"echo 'auth: keys' | $CR check-config --data {tmp_path} --config {source}")
    assert ended == code, told
    assert said in told


async def test_what_came_out_of_a_pipe_holds_when_something_else_is_read_again(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    told = asyncio.create_task(asyncio.to_thread(pipe.write_text, "auth: keys\nadmin_key: !secret mine\n"))
    (tmp_path / "secrets.yaml").write_text("mine: the first admin key\n")
    async with serve(tmp_path / "data", "--config", str(pipe)) as router, aiohttp.ClientSession() as http:
        await told
        (tmp_path / "secrets.yaml").write_text("mine: another admin key\n")
        headers = {"Authorization": "Bearer another admin key"}
        async with asyncio.timeout(20):
            while True:
                async with http.get(f"{router.url}/router/keys", headers=headers) as reply:
                    if reply.status == 200:
                        break
                await asyncio.sleep(0.2)
        async with http.get(f"{router.url}/health", headers=headers) as reply:
            assert "problems" not in await reply.json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHEAPROUTER_OPENAI_API_KEY", "<your key>"),
        ("CHEAPROUTER_OPENAI_KEY", "sk-0123456789"),
        ("CHEAPROUTER_AUTH", "maybe"),
        ("CHEAPROUTER_LOCAL_URL", "http://x:y:z"),
    ],
)
async def test_a_mistake_in_the_environment_starts_no_demo(tmp_path, name, value):
    async with serve(tmp_path, **{name: value}) as router, aiohttp.ClientSession() as http:
        async with http.get(f"{router.url}/health") as reply:
            state = await reply.json()
        async with http.post(f"{router.url}/v1/chat/completions", json=a_body(), headers=router.admin()) as reply:
            assert reply.status == 503
    assert (state["status"], state["demo"]) == ("degraded", False)
    assert b"DEMO" not in router.log
    assert (await run("check-config", "--data", str(tmp_path), **{name: value}))[0] == 2


async def test_a_named_file_is_no_excuse_for_a_wrong_environment(tmp_path):
    (tmp_path / "mine.yaml").write_text("auth: keys\n")
    for command in ("serve", "check-config"):
        named = (command, "--data", str(tmp_path / "data"), "--config", str(tmp_path / "mine.yaml"))
        code, _, err = await run(*named, CHEAPROUTER_LOG_LEVEL="loud")
        assert code == 2
        assert b"log_level" in err


@pytest.mark.parametrize("place", ["file", "file/below", "dangling"])
async def test_a_folder_for_state_that_cannot_be_one_is_said_by_both(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    for command in (("serve", "--port", "0"), ("check-config",)):
        code, _, err = await run(*command, "--data", str(tmp_path / place))
        assert code == 2
        assert b"cannot be the folder for state" in err
        assert b"Traceback" not in err


@pytest.mark.parametrize("host", ["203.0.113.9", "no-such-name.invalid"])
async def test_an_address_that_is_not_this_machines_is_said(tmp_path, host):
    code, _, err = await run("serve", "--data", str(tmp_path), "--port", "0", "--host", host)
    assert code == 1
    assert host.encode() in err
    assert b"Traceback" not in err
