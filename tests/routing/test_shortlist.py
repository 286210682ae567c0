"""Short lists: kept for rules and abilities, and made anew where a price may have changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cheaprouter.catalog.table import ModelTable
from cheaprouter.core.models import Capability
from cheaprouter.routing.candidates import Bounds
from cheaprouter.routing.shortlist import Shortlists
from tests.builders import NOON, a_chat, a_model
from tests.routing.helpers import BIG, SMALL, context, router

PLAIN = frozenset[Capability]()
NIGHT = (0, 6 * 60)


def by_the_hour(model, dear):
    """The model at its price by day and at another by night."""
    day = model.prices[0]
    return replace(model, prices=(day, replace(day, daily=NIGHT, rates=dear.prices[0].rates)))


def test_a_list_is_made_once():
    lists = Shortlists(ModelTable([SMALL, BIG])).under(Bounds())
    assert lists.get(PLAIN, NOON) is lists.get(PLAIN, NOON + timedelta(days=3))


def test_equal_rules_share_their_lists():
    lists = Shortlists(ModelTable([SMALL, BIG]))
    assert lists.under(Bounds(allow=("lab/*",))) is lists.under(Bounds(allow=("lab/*",)))
    assert lists.under(Bounds(allow=("lab/*",))) is not lists.under(Bounds(allow=("lab/small",)))


def test_rules_long_unused_are_forgotten():
    lists = Shortlists(ModelTable([SMALL]))
    for number in range(1000):
        lists.under(Bounds(allow=(f"lab/{number}",)))
    assert len(lists._rules) == 128


def test_other_abilities_have_another_list():
    lists = Shortlists(ModelTable([SMALL, replace(BIG, capabilities=PLAIN)])).under(Bounds())
    found = lists.get(PLAIN, NOON), lists.get(frozenset({Capability.TOOLS}), NOON)
    assert [one.best.ids for one in found] == [("lab/small", "lab/big"), ("lab/small",)]


def test_a_price_that_changes_by_the_hour_counts_from_that_hour():
    lists = Shortlists(ModelTable([by_the_hour(SMALL, BIG)])).under(Bounds())
    midnight = NOON + timedelta(hours=12)
    costs = [lists.get(PLAIN, at).best.candidates[0].cost(1000, 1000) for at in (NOON, midnight, NOON)]
    assert costs[0] == costs[2] < costs[1]


def test_a_route_that_is_kept_follows_the_prices():
    routes = router(by_the_hour(SMALL, BIG), a_model("other/near", 40, ("0.2", "0.5")))
    hours = [NOON, NOON + timedelta(hours=12), NOON]
    assert [routes.decide(a_chat(), context(at=at)).model.id for at in hours] == [
        "lab/small",
        "other/near",
        "lab/small",
    ]
