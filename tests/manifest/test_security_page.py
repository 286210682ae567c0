"""SECURITY.md promises only what a test holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROMISES = (
    "One input never stops the others",
    "Strangers",
    "Keys and sign-in",
    "Network",
    "Data at rest",
    "Supply chain",
)
"""Sections whose every point is a promise."""


@pytest.fixture
def page(root: Path) -> str:
    return (root / "SECURITY.md").read_text(encoding="utf-8")


def points(page: str) -> list[str]:
    """Every point of those sections, on one line."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    found = [re.findall(r"^- (.*?)(?=^- |^\n|\Z)", sections[name], re.MULTILINE | re.DOTALL) for name in PROMISES]
    return [" ".join(point.split()) for section in found for point in section]


def test_each_promise_names_a_test_that_is_there(page, root):
    assert points(page)
    for point in points(page):
        named = re.findall(r"`(tests/\S+?\.py)`", point)
        assert named, point
        assert [path for path in named if not (root / path).is_file()] == [], point


def test_the_pages_for_users_lead_to_it(root):
    for name in ("README.md", "DOCS.md"):
        assert "SECURITY.md" in (root / name).read_text(encoding="utf-8")
