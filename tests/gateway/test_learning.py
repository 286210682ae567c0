"""What the checks of tool calls teach: faults that can be told for sure, and calls in which there is none."""

from __future__ import annotations

import pytest

from cheaprouter.books.database import Database
from cheaprouter.core.events import AnswerCaught
from cheaprouter.core.models import RouteDecision
from cheaprouter.learning import Learning
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from cheaprouter.routing.home import Taught
from tests.builders import a_body, a_model

SMALL, BIG = a_model("lab/small", 40), a_model("lab/big", 90)
MODEL = DifficultyModel.load()
HARD = MODEL.judge(extract(a_body("Prove that there are infinitely many primes, and explain each step in depth.")))


@pytest.fixture
def learning():
    return Learning(MODEL, Taught(), Database(None), lambda: 0.0)


def chose(model=SMALL, difficulty=HARD):
    return RouteDecision(model, (), "because", difficulty=difficulty)


def labels(learning):
    return [(kept.source, round(kept.residual, 3)) for kept in learning._new]


def caught(model, fault="bad_arguments", *, replaced=True):
    return AnswerCaught("req_1", "kitchen", model.id, fault, replaced)


def test_a_small_models_fault_says_that_a_better_one_gains_more(learning):
    learning.on_event(caught(SMALL))
    learning.served("req_1", "kitchen", chose(), BIG, calls=True)
    ((source, off),) = labels(learning)
    assert (source, off > 0.1) == ("tools", True)


def test_a_good_call_of_a_small_one_says_a_little_less(learning):
    learning.served("req_1", "kitchen", chose(), SMALL, calls=True)
    ((_, off),) = labels(learning)
    assert -0.4 < off < 0


def test_both_come_to_nothing_where_models_fail_as_often_as_was_said(learning):
    learning.on_event(caught(SMALL))
    learning.served("req_1", "kitchen", chose(a_model("lab/least", 35)), BIG, calls=True)
    learning.served("req_2", "kitchen", chose(), a_model("lab/least", 35), calls=True)
    shown = 0.35 * HARD.score
    lost = 1 - HARD.score
    good = learning._new[-1].residual
    assert shown * lost + (1 - shown) * good == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("fault", ["refused_answer", "looping_answer", "no_tool_called"])
def test_what_cannot_be_told_for_sure_teaches_nothing(learning, fault):
    learning.on_event(caught(SMALL, fault))
    learning.served("req_1", "kitchen", chose(), SMALL)
    assert labels(learning) == []


def test_a_stand_ins_fault_teaches_nothing_of_the_chosen_model(learning):
    learning.on_event(caught(BIG))
    learning.served("req_1", "kitchen", chose(), SMALL, calls=True)
    assert labels(learning) == []


def test_a_text_teaches_nothing_by_itself(learning):
    learning.served("req_1", "kitchen", chose(), SMALL)
    assert labels(learning) == []


def test_where_nobody_had_to_know_how_hard_it_was_there_is_nothing_to_learn(learning):
    learning.served("req_1", "kitchen", chose(difficulty=None), SMALL, calls=True)
    assert labels(learning) == []
