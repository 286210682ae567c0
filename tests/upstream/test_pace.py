from __future__ import annotations

import pytest

from cheaprouter.books.rows import COLUMNS, SHAPE
from cheaprouter.core.models import Usage
from cheaprouter.upstream.pace import Pace
from tests.builders import a_model


def a_row(**fields):
    return tuple(fields.get(name, SHAPE[name][-1]) for name in COLUMNS)


def test_the_books_tell_how_a_model_writes():
    pace, model = Pace(), a_model()
    row = a_row(model_id=model.id, completion_tokens=300, reasoning_tokens=100, latency_ms=10_000.0, attempts=1)
    pace.restore([row] * 3)
    assert (pace.rate(model), pace.usual(model)) == (30, 300)


def test_an_answer_after_others_tells_nothing_of_its_models_rate():
    pace, model = Pace(), a_model()
    pace.restore([a_row(model_id=model.id, completion_tokens=300, latency_ms=10_000.0, attempts=2)])
    assert pace.usual(model) == 0


def test_what_is_written_until_a_drop_is_noticed_goes_by_how_fast_this_answer_was():
    pace, model = Pace(), a_model()
    pace.answered(model.id, Usage(completion_tokens=40), 0.5, 160)
    assert pace.written(model, 1600, 1.5, 0.9, whole=False) == pytest.approx(400 + 40, abs=1)
