from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.models import Profile, Quality
from cheaprouter.routing.candidate import Candidate, factor
from cheaprouter.routing.candidates import Constraints, Needs
from cheaprouter.routing.choose import Field, failing, fitting, mixed, ranks
from cheaprouter.routing.dial import fitted, typical_home
from cheaprouter.routing.shortlist import moves
from tests.builders import a_model
from tests.routing.helpers import BIG, LOCAL, MIDDLE, SMALL, weighed

chances = st.floats(0, 1)
qualities = st.floats(0, 100)


def ranked(profile, *models, difficulty=0.05, slider=5.0, prompt=200, output=300):
    candidates = [Candidate(m, m.prices[0]) for m in models]
    field = Field(candidates)
    entries = fitting(field, Needs(prompt_tokens=prompt, output_tokens=output), Constraints(), {}, {})
    worth = fitted([moves(field, one) for one in typical_home()]).worth(slider)
    so = weighed(difficulty, worth * max(0.001, 0.55 * difficulty))
    places = sorted(zip(ranks(entries, profile, so), entries.field.ids, strict=True))
    return [name for _, name in places]


@given(chances, qualities, qualities)
def test_a_better_model_never_fails_more_often(difficulty, one, two):
    low, high = sorted((one, two))
    assert failing(difficulty, factor(high)) <= failing(difficulty, factor(low)) + 1e-12


@given(chances, chances, qualities)
def test_a_harder_request_never_fails_less_often(one, two, quality):
    low, high = sorted((one, two))
    assert failing(low, factor(quality)) <= failing(high, factor(quality)) + 1e-12


@given(chances, qualities)
def test_a_chance_is_between_nought_and_one(difficulty, quality):
    assert 0 <= failing(difficulty, factor(quality)) <= 1


class TestAuto:
    def test_an_easy_request_goes_to_the_cheap_model(self):
        assert ranked(Profile.AUTO, SMALL, BIG)[0] == "lab/small"

    def test_a_hard_request_goes_to_the_good_model(self):
        assert ranked(Profile.AUTO, SMALL, BIG, difficulty=0.85)[0] == "lab/big"

    def test_a_middling_request_finds_the_knee(self):
        assert ranked(Profile.AUTO, SMALL, BIG, MIDDLE, difficulty=0.5)[0] == "other/middle"

    def test_the_slider_at_cost_takes_the_cheapest(self):
        assert ranked(Profile.AUTO, SMALL, BIG, difficulty=0.5, slider=0)[0] == "lab/small"

    def test_the_slider_at_quality_takes_the_best(self):
        assert ranked(Profile.AUTO, SMALL, BIG, difficulty=0.05, slider=10)[0] == "lab/big"

    @given(st.floats(0.01, 0.95), st.floats(0, 10), st.floats(0, 10))
    def test_more_slider_never_means_less_quality(self, difficulty, one, two):
        low, high = sorted((one, two))
        quality = {m.id: m.quality.value for m in (SMALL, BIG, MIDDLE)}
        first = ranked(Profile.AUTO, SMALL, BIG, MIDDLE, difficulty=difficulty, slider=low)[0]
        second = ranked(Profile.AUTO, SMALL, BIG, MIDDLE, difficulty=difficulty, slider=high)[0]
        assert quality[first] <= quality[second]

    @given(st.floats(0, 10), st.floats(0.01, 0.95), st.integers(1, 100))
    def test_a_shorter_request_never_goes_to_a_worse_model(self, slider, difficulty, times):
        """A failure costs the same whatever the request: what differs is what a better answer costs more."""
        quality = {m.id: m.quality.value for m in (SMALL, BIG, MIDDLE)}
        short, long = (
            ranked(
                Profile.AUTO, SMALL, BIG, MIDDLE, difficulty=difficulty, slider=slider, prompt=40 * n, output=60 * n
            )[0]
            for n in (1, times)
        )
        assert quality[short] >= quality[long]

    @given(st.floats(0.01, 0.95), st.floats(0.01, 0.95))
    def test_a_harder_request_never_goes_to_a_worse_model(self, one, two):
        low, high = sorted((one, two))
        assert ranked(Profile.AUTO, SMALL, BIG, difficulty=low)[0] <= "lab/small"
        if ranked(Profile.AUTO, SMALL, BIG, difficulty=low)[0] == "lab/big":
            assert ranked(Profile.AUTO, SMALL, BIG, difficulty=high)[0] == "lab/big"

    def test_a_command_stays_at_home_where_a_cheap_good_model_is_all_it_could_gain(self):
        nano, fair = a_model("x/nano", 51, ("0.05", "0.4")), a_model("x/fair", 75, ("0.2", "1.25"))
        assert ranked(Profile.AUTO, LOCAL, nano, fair, difficulty=0.02, output=80)[0] == "home/llama"


class TestEco:
    def test_the_cheapest_that_clears_the_bar_wins(self):
        cheaper = a_model("x/cheaper", 40, ("0.05", "0.2"))
        assert ranked(Profile.ECO, SMALL, BIG, MIDDLE, cheaper)[0] == "x/cheaper"

    def test_a_cheap_model_below_the_bar_does_not(self):
        assert ranked(Profile.ECO, SMALL, BIG, MIDDLE, difficulty=0.85)[0] == "other/middle"

    def test_where_none_clears_it_the_likeliest_wins(self):
        assert ranked(Profile.ECO, SMALL, a_model("x/worse", 20, ("0.01", "0.01")), difficulty=0.95)[0] == "lab/small"

    def test_what_is_free_and_good_enough_wins(self):
        assert ranked(Profile.ECO, SMALL, LOCAL)[0] == "home/llama"


class TestPremium:
    @given(chances)
    def test_the_best_wins_however_easy(self, difficulty):
        assert ranked(Profile.PREMIUM, SMALL, BIG, MIDDLE, difficulty=difficulty)[0] == "lab/big"

    def test_of_equally_good_ones_the_cheaper_wins(self):
        assert ranked(Profile.PREMIUM, BIG, a_model("x/big", 90, ("1", "1")))[0] == "x/big"

    def test_a_guess_never_ranks_above_a_measurement(self):
        guess = a_model("x/guess", quality=Quality(99, "estimated by its price"))
        assert ranked(Profile.PREMIUM, SMALL, guess)[0] == "lab/small"

    def test_among_guesses_alone_the_better_guess_wins(self):
        one = a_model("x/one", quality=Quality(60, "estimated by its price"))
        two = a_model("x/two", quality=Quality(70, "estimated by its size"))
        assert ranked(Profile.PREMIUM, one, two)[0] == "x/two"


@given(st.permutations([SMALL, BIG, MIDDLE, LOCAL]), st.sampled_from(list(Profile)), chances)
def test_the_order_of_the_table_does_not_matter(models, profile, difficulty):
    assert ranked(profile, *models, difficulty=difficulty) == ranked(
        profile, SMALL, BIG, MIDDLE, LOCAL, difficulty=difficulty
    )


def test_equals_are_told_apart_by_name():
    assert ranked(Profile.AUTO, a_model("b/x"), a_model("a/x")) == ["a/x", "b/x"]


def test_a_chain_mixes_providers():
    chain = mixed([a_model("a/1"), a_model("a/2"), a_model("a/3"), a_model("b/1")], 3)
    assert [m.id for m in chain] == ["a/1", "b/1", "a/2", "a/3"]


def test_a_chain_mixes_families_too():
    models = [a_model("a/1", family="gpt"), a_model("b/1", family="gpt"), a_model("c/1", family="claude")]
    assert [m.id for m in mixed(models, 2)] == ["a/1", "c/1", "b/1"]


def test_a_chain_is_no_longer_than_asked():
    assert len(mixed([a_model(f"a/{i}") for i in range(9)], 5)) == 6
    assert mixed([], 5) == ()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_chain_never_repeats_a_model(count):
    chain = mixed([SMALL, BIG, MIDDLE, LOCAL], count)
    assert len({m.id for m in chain}) == len(chain)
