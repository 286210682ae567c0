"""The picture of the dial in the documentation is what the script draws now."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("plot_dial", str(ROOT / "script" / "plot-dial"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("plot_dial", loader))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def test_the_picture_is_current(script):
    assert (ROOT / "docs" / "dial.svg").read_text(encoding="utf-8") == script.draw(), "run script/plot-dial"


@pytest.mark.parametrize("field", ["two", "thirty"])
def test_no_step_is_a_dead_end(script, field):
    for line in script.curves(getattr(script, field)()):
        shares = [share for _, share in line]
        assert shares == sorted(shares)
        whole = shares[:: script.FINE]
        assert all(b > a for a, b in itertools.pairwise(whole))
        assert max(b - a for a, b in itertools.pairwise(whole)) < 0.9
