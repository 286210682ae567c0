"""Files that mean harm, or that a mishap made: whatever is in them ends in a sentence, at a start and while running."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from pathlib import Path

import pytest

from cheaprouter.config import files
from cheaprouter.config.loader import load, reload, start
from cheaprouter.config.settings import Auth, auth_of
from cheaprouter.core.errors import ConfigurationError

GOOD = "auth: keys\nlog_level: info\n"


def doubling(key: str) -> str:
    tenfold = (f"a{i}: &a{i} {{{key}: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 20))
    return "a0: &a0 {k: 1}\n" + "".join(tenfold)


HOSTILE: dict[str, str | bytes] = {
    "an anchor in itself": "providers: &x\n  lab: *x\n",
    "a merge of itself": "a: &x\n  <<: *x\n",
    "two anchors in each other": "a: &a {b: &b {c: *a, d: *b}}\n",
    "aliases that multiply": doubling("b"),
    "merges that multiply": doubling("<<"),
    "200,000 aliases": "a: &a x\nb:\n" + "- *a\n" * 200_000,
    "as many aliases as fit": "a: &a {k: 1}\nb: [" + "*a, " * 23_000 + "*a]",
    "as many merges as fit": "a: &a {k: 1}\nb: {<<: [" + "*a, " * 23_000 + "*a]}",
    "a chain of aliases": "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)),
    "brackets": "a: " + "[" * 90_000,
    "steps": "".join(" " * i + "a:\n" for i in range(400)),
    "a number of 90,000 digits": "max_devices: " + "1" * 90_000,
    "sixties": "max_devices: " + ":".join(["59"] * 30_000),
    "a number beyond all": "usd_rate: .inf",
    "no number": "usd_rate: .nan",
    "a tag that lies": 'max_devices: !!int ""',
    "a day that is none": "time_zone: 2020-99-99",
    "an object of Python": "a: !!python/object/apply:os.system [id]",
    "a set": "providers: !!set {a, b}",
    "a list for a key": "? [a, b]\n: 1\n",
    "nothing for a key": "~: 1\n",
    "bytes for a key": "budget: {? !!binary aGk= : 1}\n",
    "a secret for a key": "? !secret x\n: 1\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "tabs": "a:\n\tb: 1\n",
    "noughts": "a: \x00\n",
    "half a character": 'devices: {tv: {name: "\\ud800"}}',
    "a key twice": "auth: open\nauth: keys\n",
    "a list": "- a\n",
    "a quote without end": "a: 'x\n",
    "11,000 unknown keys": "".join(f"k{i}: 1\n" for i in range(11_000)),
    "4,000 wrong providers": "providers:\n" + "".join(f"  p{i}: {{kind: x}}\n" for i in range(4_000)),
    "4,000 wrong devices": "devices:\n" + "".join(f"  d{i}: {{rpm: x}}\n" for i in range(4_000)),
    "4,000 aliases in a row": "aliases: {" + ", ".join(f"a{i}: a{i + 1}" for i in range(4_000)) + "}\n",
    "8,000 secrets that are not there": "providers: {openai: {api_keys: [" + "!secret a, " * 8_000 + "]}}",
    "20,000 variables": "admin_key: " + "${A}" * 20_000,
    "openings": "admin_key: " + "${" * 45_000,
    "a wrong end": "".join(f"k{i}: 1\n" for i in range(9_000)) + "]",
    "other letters": "a: é\n".encode("latin-1"),
    "no text": b"\x1f\x8b" + bytes(range(256)),
    "20 MB": b"a: 1\n" * 4_000_000,
    "a megabyte of nothing": b"\0" * 1_000_000,
}


@pytest.fixture(params=HOSTILE, ids=HOSTILE)
def hostile(request, tmp_path) -> Path:
    content = HOSTILE[request.param]
    path = tmp_path / "cheaprouter.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_it_is_refused_with_its_line_and_at_a_start_nothing_is_opened(hostile):
    with pytest.raises(ConfigurationError) as caught:
        load(hostile, hostile.parent, {})
    assert "line " in caught.value.problems[0]
    assert len(caught.value.problems) <= 101
    assert all(len(problem) < 2000 for problem in caught.value.problems)
    begun = start(hostile.parent, {}, {})
    assert (auth_of(begun.settings), begun.settings.providers, begun.settings.demo) == (Auth.KEYS, (), False)
    with pytest.raises(ConfigurationError):
        reload(hostile, hostile.parent, {}, {hostile: GOOD})


@pytest.mark.parametrize(
    "name", ["200,000 aliases", "as many aliases as fit", "11,000 unknown keys", "20 MB", "merges that multiply"]
)
def test_it_takes_little_memory(tmp_path, name):
    path = tmp_path / "cheaprouter.yaml"
    content = HOSTILE[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError):
            load(path, tmp_path, {})
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle"])
def test_what_is_no_file_is_said_and_not_waited_for(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.01)
    path = tmp_path / "cheaprouter.yaml"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "circle": lambda: path.symlink_to(path),
    }
    make[kind]()
    with pytest.raises(ConfigurationError, match=r"cheaprouter\.yaml: cannot be read"):
        load(path, tmp_path, {})


async def test_a_pipe_in_the_files_place_does_not_hold_the_watcher(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.01)
    path = tmp_path / "cheaprouter.yaml"
    path.write_text(GOOD)
    told: list[list[str]] = []

    async def at_once(_: float) -> None:
        pass

    watcher = files.ConfigWatcher(
        [path], lambda: load(path, tmp_path, {}), at_once, on_problem=told.append, sleep=at_once
    )  # type: ignore[arg-type, misc]
    path.unlink()
    os.mkfifo(path)
    async with asyncio.timeout(5):
        assert not await watcher.poll()
    assert "cannot be read" in told[0][0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_from_any_editor_is_read(tmp_path, encoding, end):
    path = tmp_path / "cheaprouter.yaml"
    path.write_bytes(f"auth: keys{end}devices: {{tv: {{name: Küche}}}}{end}".encode(encoding))
    assert load(path, tmp_path, {}).settings.devices["tv"].name == "Küche"


def test_options_nested_like_none_are_refused(tmp_path):
    (tmp_path / "options.json").write_text('{"auth": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(ConfigurationError, match="nested more than 40 levels deep"):
        load(None, tmp_path, {})


def test_a_mistake_is_told_with_its_line_wherever_it_was_written(tmp_path):
    path = tmp_path / "cheaprouter.yaml"
    path.write_text(
        "x-base: &base\n  rpm: none\ndevices:\n  tv:\n    <<: *base\n  hall:\n    tpm: x\nproviders:\n  openai:\n"
        "    api_key: k\n    models: [a, {id: b,\n      context: x}]\nbudgt: 1\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(path, tmp_path, {})
    lines = {
        problem.partition(":")[0]: int(problem.rpartition("line ")[2].rstrip(")")) for problem in caught.value.problems
    }
    assert lines == {
        "devices.tv.rpm": 2,
        "devices.hall.tpm": 7,
        "providers.openai.models[1].context": 12,
        "budgt": 13,
    }
