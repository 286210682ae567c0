"""`llama3.2` and `llama3.2:latest` are one model, whichever of them is listed and whichever is meant."""

from __future__ import annotations

import pytest

from cheaprouter.core.errors import ModelNotFoundError, PermissionDeniedError
from tests.builders import a_chat, a_model
from tests.routing.helpers import SMALL, context, router

SHORT, LONG = "home/llama3.2", "home/llama3.2:latest"
BOTH_WAYS = pytest.mark.parametrize(("listed", "said"), [(SHORT, LONG), (LONG, SHORT)])


def model(name: str):
    return a_model(name, 36, ("0", "0"), local=True)


def chosen(name, *models, policy=None, **settings):
    decision = router(*models, **settings).decide(a_chat("turn on the light", name), context(policy=policy or {}))
    return decision.model.id


@BOTH_WAYS
def test_either_name_finds_it(listed, said):
    assert chosen(said, model(listed)) == listed


def test_where_both_are_there_each_is_itself():
    assert [chosen(name, model(SHORT), model(LONG)) for name in (SHORT, LONG)] == [SHORT, LONG]


@pytest.mark.parametrize("said", ["home/llama3.2:3b", "home/llama3", ":latest", "home/"])
def test_another_tag_is_another_model(said):
    with pytest.raises(ModelNotFoundError):
        chosen(said, model(LONG))


@BOTH_WAYS
def test_an_alias_a_device_and_fallbacks_may_name_it_either_way(listed, said):
    assert chosen("mine", model(listed), aliases={"mine": said}) == listed
    assert chosen("lab/small", model(listed), SMALL, policy={"model": said}) == listed
    decision = router(model(listed), SMALL, fallbacks={said: ["lab/small"]}).decide(a_chat("hello", said), context())
    assert [other.id for other in decision.fallbacks] == ["lab/small"]


@BOTH_WAYS
def test_a_list_of_what_is_allowed_or_excluded_means_it_either_way(listed, said):
    assert chosen(listed, model(listed), SMALL, policy={"models": (said,)}) == listed
    assert chosen("blockrun/auto", model(listed), SMALL, policy={"models": (said,)}) == listed
    assert chosen("blockrun/free", model(listed), model("home/other"), policy={"exclude": (said,)}) == "home/other"
    with pytest.raises(PermissionDeniedError):
        chosen(said, model(listed), policy={"exclude": (listed,)})
