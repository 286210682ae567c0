"""How good models are at one kind of request: measured figures on the scale of all qualities, and nothing made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.catalog import Catalog
from cheaprouter.catalog.quality import at_home
from cheaprouter.core.models import Kind, Quality
from tests.builders import a_model


@pytest.fixture(scope="module")
def table():
    return Catalog.load().quality


def test_a_home_figure_names_its_source_and_date(table):
    ((kind, known),) = table.abilities("openai/gpt-4.1-mini")
    assert kind is Kind.HOME
    assert known.source == "home-assistant-datasets 2026-08-22: 92 of 100 right"


def test_a_tiny_model_is_worse_at_home_than_the_usual_small_ones(table):
    tiny, good = (dict(table.abilities(name))[Kind.HOME].value for name in ("qwen3:1.7b", "gemma4:12b"))
    assert tiny < 35 < good


def test_of_a_model_that_nobody_tried_nothing_is_said(table):
    assert table.abilities("nobody/knows-7b") == ()


def test_a_kind_of_which_nothing_is_known_counts_as_all_others():
    model = a_model("lab/x", 60)
    assert model.quality_at(Kind.CODE) is model.quality


def test_a_kind_of_which_something_is_known_counts_for_itself():
    home = Quality(48.0, "home-assistant-datasets 2026-08-22: 91 of 100 right")
    model = a_model("lab/x", 60, abilities=((Kind.HOME, home),))
    assert model.quality_at(Kind.HOME) is home
    assert model.quality_at(Kind.MATHS) is model.quality


@given(st.floats(0, 100), st.floats(0, 100))
def test_who_does_more_right_is_better(one, other):
    assert (at_home(one, 79.7) >= at_home(other, 79.7)) or one < other


def test_who_does_as_the_small_ones_do_has_their_quality():
    assert at_home(79.7, 79.7) == 35.0
