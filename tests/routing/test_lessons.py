"""What older routers got wrong, held against the whole decision with the difficulty model that ships."""

from __future__ import annotations

import pytest

from cheaprouter.config.schema import build
from cheaprouter.core.models import Kind
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.router import Router
from tests.builders import a_chat
from tests.routing.helpers import BIG, LOCAL, MIDDLE, SMALL, context, router

EASY = (
    "What is 2+2?",
    "Set a timer for 10 minutes and dim the lights to 30 percent",
    "Wake me at 7:30 on 12 May",
    "Improve this and approve the informal note",
    "turn off the lights in the kitchen",
    "Schalte das Licht im Flur aus",
    "éteins la lumière du salon",
    "what's the weather like tomorrow",
)
HARD = "Prove that every finite integral domain is a field, then characterise exactly which finite rings have a cyclic group of units, deriving each step rigorously."  # fmt: skip


@pytest.fixture(scope="module")
def routes() -> Router:
    made = router(SMALL, BIG, MIDDLE, LOCAL)
    return Router(made.table, build({"providers": {"ollama": {}}}), DifficultyModel.load())


@pytest.mark.parametrize("text", EASY)
def test_digits_and_lookalike_words_need_no_dear_model(routes, text):
    assert routes.decide(a_chat(text), context()).model is not BIG


def test_a_hard_question_leaves_the_small_ones(routes):
    assert routes.decide(a_chat(HARD), context()).model in (BIG, MIDDLE)


def test_a_long_system_prompt_does_not_make_a_command_hard(routes):
    system = {"role": "system", "content": "You control a home. Explain, prove and derive. " * 100}
    made = routes.decide(a_chat(messages=[system, {"role": "user", "content": "light on"}]), context())
    assert made.model in (SMALL, LOCAL)


def test_tool_schemas_do_not_make_a_command_hard(routes):
    tools = [
        {"type": "function", "function": {"name": f"tool_{i}", "description": "Analyse and derive.", "parameters": {"type": "object"}}}
        for i in range(30)
    ]  # fmt: skip
    assert routes.decide(a_chat("turn on the light", tools=tools), context()).model is not BIG


@pytest.mark.parametrize("text", [*EASY, HARD])
def test_premium_never_takes_less_than_the_best_for_the_kind(routes, text):
    made = routes.decide(a_chat(text, "blockrun/premium"), context())
    at_home = made.difficulty is not None and made.difficulty.kind is Kind.HOME
    assert made.model is (SMALL if at_home else BIG)  # at home commands models of 40 points are among the good ones


def test_premium_pays_no_frontier_price_for_a_lamp(routes):
    assert routes.decide(a_chat("turn off the lights in the kitchen", "blockrun/premium"), context()).model is SMALL


def test_array_content_is_read_like_plain_text(routes):
    parts = [{"role": "user", "content": [{"type": "text", "text": HARD}]}]
    plain, array = routes.decide(a_chat(HARD), context()), routes.decide(a_chat(messages=parts), context())
    assert plain.model is array.model
    assert abs(plain.prompt_tokens - array.prompt_tokens) <= 5


def test_said_nine_times_it_is_no_easier(routes):
    once, often = routes.decide(a_chat(HARD), context()), routes.decide(a_chat(" ".join([HARD] * 9)), context())
    assert often.difficulty.score >= once.difficulty.score - 0.02
