"""The benchmarks are files that are run, not a package: their tests find them as they find each other."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def benchmark_file(monkeypatch):
    """Import a file of `benchmarks/` by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module
