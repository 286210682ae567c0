"""What a request is about changes who is good at it, and what a wrong answer costs."""

from __future__ import annotations

import pytest

from cheaprouter.core.models import Difficulty, Kind, Profile, Quality, Tier
from cheaprouter.routing.candidate import Candidate
from cheaprouter.routing.choose import HIGH_BAR, Field, settled
from cheaprouter.routing.stakes import at_stake
from tests.builders import a_chat, a_model
from tests.routing.helpers import BIG, MIDDLE, SMALL, context, router

NANO = a_model("other/nano", 20, ("0.01", "0.02"))
HOME = Quality(52.0, "home-assistant-datasets 2026-08-22: 93 of 100 right")
HANDY = a_model("other/handy", 30, ("0.05", "0.1"), abilities=((Kind.HOME, HOME),))


class Fixed:
    def __init__(self, score=0.02, gain=0.01, kind=Kind.HOME, stakes=""):
        self.told = Difficulty(score, Tier.SIMPLE, {}, gain, kind, (), stakes)
        self.asked = 0

    def score(self, features):
        self.asked += 1
        return self.told

    judge = score


def decided(model, *models, **told):
    routes = router(*models)
    routes._difficulty = Fixed(**told)
    return routes.decide(a_chat(model=model), context())


def test_premium_pays_no_frontier_price_for_a_lamp():
    assert decided("blockrun/premium", SMALL, BIG, NANO).model is SMALL
    assert decided("blockrun/premium", SMALL, BIG, NANO, kind=Kind.GENERAL).model is BIG


def test_its_reason_says_so():
    reason = decided("blockrun/premium", SMALL, BIG, NANO).reason
    assert "lab/small is the cheapest of those that are good at home commands of 3 candidates" in reason


def test_unless_it_is_asked_for_by_name():
    assert decided("lab/big", SMALL, BIG).model is BIG


def test_premium_takes_what_was_measured_to_be_good_at_it():
    assert decided("blockrun/premium", BIG, HANDY, NANO).model is HANDY
    assert decided("blockrun/premium", BIG, HANDY, NANO, kind=Kind.CODE).model is BIG


def test_a_bad_one_is_never_premium_however_cheap():
    assert decided("blockrun/premium", BIG, NANO).model is BIG


def test_premium_is_judged_only_where_that_may_matter():
    routes = router(BIG, NANO)
    routes._difficulty = judge = Fixed()
    assert routes.decide(a_chat(model="blockrun/premium"), context()).model is BIG
    assert judge.asked == 0


def test_auto_goes_by_what_a_model_can_do_at_home():
    at_ten = {"gain": 0.5}
    assert decided("blockrun/auto:7", MIDDLE, HANDY, **at_ten).model is HANDY
    assert decided("blockrun/auto:7", MIDDLE, HANDY, **at_ten, kind=Kind.GENERAL).model is MIDDLE


def test_who_is_settled_is_so_at_every_kind():
    field = Field([Candidate(model, model.prices[0]) for model in (BIG, HANDY)])
    entries = field.entries(100, 100, {})
    assert settled(entries, Profile.PREMIUM, 0.0) is None
    assert settled(entries, Profile.AUTO, 0.0) == 1


class TestStakes:
    def test_a_wrong_answer_that_hurts_counts_one_step_more(self):
        gain = 0.5 * next(
            g
            for g in (0.001 * n for n in range(1, 900))
            if decided("blockrun/auto", SMALL, BIG, gain=g, kind=Kind.GENERAL).model is BIG
        )
        told = {"score": 0.3, "gain": gain, "kind": Kind.GENERAL}
        plain, high = (decided("blockrun/auto", SMALL, BIG, **told, stakes=what) for what in ("", "health"))
        assert (plain.model, high.model) == (SMALL, BIG)
        assert "health" not in plain.reason
        assert "a wrong answer counted more, as health is at stake" in high.reason

    def test_eco_wants_to_be_surer_and_says_so(self):
        told = {"score": 0.3, "gain": 0.2, "kind": Kind.GENERAL}
        plain, high = (decided("blockrun/eco", a_model("x/s", 35), BIG, **told, stakes=what) for what in ("", "law"))
        assert (plain.model.id, high.model) == ("x/s", BIG)
        assert "as rights are at stake" in high.reason

    def test_eco_does_not_take_a_short_question_for_an_easy_one_there(self):
        told = {"score": 0.02, "gain": 0.01, "kind": Kind.GENERAL}
        plain, high = (decided("blockrun/eco", SMALL, BIG, **told, stakes=what) for what in ("", "health"))
        assert (plain.model, high.model) == (SMALL, BIG)

    def test_to_premium_nothing_is_more(self):
        told = {"kind": Kind.GENERAL, "stakes": "health"}
        assert "counted more" not in decided("blockrun/premium", SMALL, BIG, **told).reason

    def test_the_bar_is_higher(self):
        assert HIGH_BAR > 0.6

    @pytest.mark.parametrize(
        ("ask", "what"),
        [
            ("Can I take ibuprofen with warfarin?", "health"),
            ("Darf ich in der Schwangerschaft Ibuprofen nehmen? Welche Dosierung?", "health"),
            ("Сколько ибупрофена можно при беременности?", "health"),
            ("怀孕可以吃药吗", "health"),
            ("妊娠中に薬を飲んでもいいですか", "health"),
            ("¿Qué efectos secundarios tiene?", "health"),
            ("My landlord wants to evict me, what now?", "law"),
            ("Wie lange ist die Kündigungsfrist bei einem Mietvertrag?", "law"),
            ("Mon propriétaire peut-il refuser le préavis ?", "law"),
            ("이혼하려면 변호사가 필요한가요?", "law"),
            ("Should I pay off my mortgage or fill my pension?", "money"),
            ("Soll ich für die Altersvorsorge einen Kredit aufnehmen?", "money"),
            ("住宅ローンはどう返すべき?", "money"),
            ("How do I rewire a light switch?", "electricity"),
            ("Welche Sicherung gehört in den Sicherungskasten?", "electricity"),
            ("¿Cómo conecto el cuadro eléctrico?", "electricity"),
            ("turn on the light", ""),
            ("What is the capital of France?", ""),
            ("Investigate why my test fails", ""),
            ("schalte das Licht ein", ""),
            ("电灯打开", ""),
            ("", ""),
        ],
    )
    def test_words_of_many_languages_tell(self, ask, what):
        assert at_stake(ask) == what

    def test_only_the_beginning_of_a_long_ask_is_looked_at(self):
        assert at_stake("x " * 50_000 + "ibuprofen") == ""
