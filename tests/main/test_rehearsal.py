"""`cheaprouter rehearse` on the books of a router that ran."""

from __future__ import annotations

import json

import pytest
import yaml

from cheaprouter.main.cli import main
from tests.builders import a_house, a_model_row, saying
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router


async def lived_in(folder):
    """A data folder with three recorded requests."""
    async with fault_server() as server:
        rows = (
            a_model_row("small", quality=40, price={"input": "0.1", "output": "0.4"}),
            a_model_row("big", quality=90, price={"input": "3", "output": "15"}),
        )
        async with router(folder, a_house(server.url, *rows)) as client:
            for text in ("Say hello.", "What is a lamp?", "Prove the theorem of Pythagoras in three ways, in depth."):
                await client.sdk.chat.completions.create(model="blockrun/auto", messages=saying(text), max_tokens=50)


async def test_it_prints_what_was_and_what_would_have_been(tmp_path, capsysbinary):
    await lived_in(tmp_path)
    capsysbinary.readouterr()
    assert main(["rehearse", "--data", str(tmp_path), "--profile", "premium", "--cost-quality", "0", "--json"]) == 0
    told = json.loads(capsysbinary.readouterr().out)
    assert told["requests"] == 3
    names = [one["name"] for one in told["outcomes"]]
    assert names == ["as recorded", "as configured", "premium", "auto:0"]
    premium, cheap = told["outcomes"][2:]
    assert premium["models"] == {"lab/big": 1.0}
    assert cheap["models"] == {"lab/small": 1.0}
    assert premium["cost_usd"] > cheap["cost_usd"]
    assert premium["good_answers"] > cheap["good_answers"]


async def test_other_prices_are_rehearsed_from_another_file(tmp_path, capsys):
    await lived_in(tmp_path)
    settings = yaml.safe_load((tmp_path / "cheaprouter.yaml").read_text())
    settings["providers"]["lab"]["models"][1]["price"] = {"input": "0.01", "output": "0.01"}
    (tmp_path / "cheaper.yaml").write_text(yaml.safe_dump(settings))
    capsys.readouterr()
    assert main(["rehearse", "--data", str(tmp_path), "--with", str(tmp_path / "cheaper.yaml")]) == 0
    out = capsys.readouterr().out
    assert "cheaper.yaml" in out
    assert "lab/big 100 %" in out.splitlines()[-2]


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["--profile", "best"], 1, "--profile"),
        (["--cost-quality", "11"], 1, "--cost-quality"),
        (["--last", "0"], 1, "--last"),
    ],
)
async def test_what_cannot_be_rehearsed_is_told(tmp_path, capsys, given, code, words):
    await lived_in(tmp_path)
    assert main(["rehearse", "--data", str(tmp_path), *given]) == code
    assert words in capsys.readouterr().err


def test_without_books_it_says_so(tmp_path, capsys):
    assert main(["rehearse", "--data", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
