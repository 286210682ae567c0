from __future__ import annotations

import pytest

from cheaprouter.books.rows import COLUMNS, SHAPE
from cheaprouter.core.models import Capability, Usage
from cheaprouter.upstream.pace import Pace
from tests.builders import a_model


def a_row(**fields):
    return tuple(fields.get(name, SHAPE[name][-1]) for name in COLUMNS)


def told(pace, model, *, tokens=100, hidden=0, first=0.5, wrote=1.0, times=3):
    """Answers whose upstream counted them."""
    for _ in range(times):
        usage = Usage(completion_tokens=tokens, reasoning_tokens=hidden)
        pace.answered(model.id, model.provider, usage, first + wrote, 4 * (tokens - hidden), wrote)


def test_the_books_tell_how_a_model_writes():
    pace, model = Pace(), a_model()
    row = a_row(model_id=model.id, completion_tokens=300, reasoning_tokens=100, latency_ms=10_000.0, attempts=1)
    pace.restore([row] * 3)
    assert (pace.rate(model), pace.usual(model)) == ((30, 0.0), 300)


def test_the_books_tell_when_a_model_begins_to_write_where_it_was_streamed():
    pace, model = Pace(), a_model()
    row = a_row(
        model_id=model.id,
        provider=model.provider,
        completion_tokens=300,
        latency_ms=10_000.0,
        first_token_ms=4_000.0,
        attempts=1,
    )
    pace.restore([row] * 3)
    assert pace.rate(model) == (50, 4.0)


def test_an_answer_after_others_tells_nothing_of_its_models_rate():
    pace, model = Pace(), a_model()
    pace.restore([a_row(model_id=model.id, completion_tokens=300, latency_ms=10_000.0, attempts=2)])
    assert pace.usual(model) == 0


def test_what_is_written_until_a_drop_is_noticed_goes_by_how_fast_this_answer_was():
    pace, model = Pace(), a_model()
    told(pace, model, tokens=40, wrote=0.5)
    assert pace.cut(model, 1600, 0.5, 0.9, 0.0) == pytest.approx(400 + 40, abs=1)


def test_what_ended_by_itself_has_no_more_than_was_seen():
    pace, model = Pace(), a_model()
    told(pace, model)
    assert pace.cut(model, 200, 0.5, 0.5, None) == 50


@pytest.mark.parametrize(("late", "more"), [(0.0, 10), (0.4, 50), (30.0, 10)])
def test_pieces_that_were_not_read_yet_are_counted_and_a_long_silence_is_none(late, more):
    pace, model = Pace(), a_model()
    told(pace, model)
    assert pace.cut(model, 200, 0.5, 0.5, late) == pytest.approx(50 + more, abs=1)


@pytest.mark.parametrize(("seconds", "tokens"), [(0.2, 0), (0.5, 10), (1.4, 100)])
def test_nothing_is_written_before_a_model_begins(seconds, tokens):
    pace, model = Pace(), a_model()
    told(pace, model)
    assert pace.silent(model, seconds) == tokens


@pytest.mark.parametrize("says", [True, False])
def test_a_thinking_model_writes_its_thoughts_before_its_first_word(says):
    pace, model = Pace(), a_model()
    usage = Usage(completion_tokens=400, reasoning_tokens=300 if says else 0)
    for _ in range(30):
        pace.answered(model.id, model.provider, usage, 4.5, 400, 1.0)
    rate, wait = pace.rate(model)
    assert (rate, wait) == (100, pytest.approx(0.5, abs=0.02))
    assert pace.cut(model, 200, 3.5, 0.5, None) == pytest.approx(350, abs=3)


def test_thoughts_that_are_shown_are_not_counted_twice():
    pace, model = Pace(), a_model()
    for _ in range(30):
        usage = Usage(completion_tokens=250, reasoning_tokens=150)
        pace.answered(model.id, model.provider, usage, 3.0, 1000, 2.5)
    assert pace.cut(model, 1000, 0.5, 2.5, None) == 250


@pytest.mark.parametrize("thinks", [True, False])
def test_thoughts_that_nobody_shows_or_counts_are_told_by_the_silence_before_the_answer(thinks):
    pace, quick = Pace(), a_model("lab/quick")
    capabilities = frozenset({Capability.REASONING} if thinks else ())
    model = a_model("lab/silent", capabilities=capabilities)
    told(pace, quick, times=200)
    tokens = [pace.whole(model, 400, 2.0, 1.0) for _ in range(5)]
    assert tokens[-1] == pytest.approx(100 + 150, abs=40)
    assert thinks or tokens[:4] == [100] * 4


def test_a_model_that_is_a_little_slower_than_others_is_not_taken_to_think():
    pace, quick, model = Pace(), a_model("lab/quick"), a_model("lab/slower", capabilities=frozenset())
    told(pace, quick, times=20)
    assert {pace.whole(model, 400, 0.65, 1.0) for _ in range(30)} == {100}


def test_a_model_that_is_now_quick_now_slow_is_not_taken_to_think():
    pace, quick, model = Pace(), a_model("lab/quick"), a_model("lab/other", capabilities=frozenset())
    tokens = []
    for first in (0.2, 3.0, 0.4, 0.3, 2.0) * 10:
        told(pace, quick, first=first, times=1)
        tokens.append(pace.whole(model, 400, first, 1.0))
    assert set(tokens) == {100}


def test_a_model_that_waits_in_a_queue_is_not_booked_thoughts_without_end():
    pace, quick, model = Pace(), a_model("lab/quick"), a_model("lab/slower", capabilities=frozenset())
    told(pace, quick, times=20)
    assert max(pace.whole(model, 400, 60.0, 1.0) for _ in range(6)) == 500


def test_a_model_alone_at_its_provider_is_not_compared_with_anybody():
    pace, model = Pace(), a_model("lab/alone", capabilities=frozenset())
    assert {pace.whole(model, 400, 3.0, 1.0) for _ in range(5)} == {100}
