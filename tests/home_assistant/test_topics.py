from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.home_assistant.topics import Topics

TOPICS = Topics("home/router", "homeassistant", ("answers/+", "flows/#", "exact"))


@pytest.mark.parametrize(
    "topic",
    [
        "answers/esp32",
        "exact",
        "flows",
        "flows/a/b",
        "home/router/response/esp32",
        "home/router/response/a/b",
        "home/router/chat/response",
        "home/router/device/k/chat/response",
        "home/router/device/k/chat/response/mine",
    ],
)
def test_an_answer_may_go_there(topic):
    assert TOPICS.may_answer_on(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "", "home/router", "home/router/status", "home/router/request/usage", "home/router/device/k/rpm/set",
        "home/router/device/k/chat/request", "homeassistant/device/x/config", "homeassistant/status", "$SYS/x", "a/+", "#",
        "a\0b", "x" * 300, "x", "answers", "answers/a/b", "exact/below", "home/router/response", "home/router/a/chat/response",
    ],
)  # fmt: skip
def test_an_answer_may_not_go_there(topic):
    assert not TOPICS.may_answer_on(topic)


def test_a_base_of_several_levels_is_understood():
    assert TOPICS.inside("home/router/device/k/rpm/set") == ["device", "k", "rpm", "set"]
    assert TOPICS.inside("home/routers/x") is None


def test_nothing_is_listened_to_that_is_switched_off():
    assert TOPICS.subscriptions(commands=False, chat=False, discovery=False) == ["home/router/request/+"]


@given(levels=st.lists(st.text(), min_size=1))
def test_no_filter_opens_our_own_topics_or_discovery(levels):
    everything = Topics("home/router", "homeassistant", ("#", "home/#", "homeassistant/#"))
    assert not everything.may_answer_on("/".join(["homeassistant", *levels]))
    topic = "/".join(["home/router", *levels])
    assert everything.may_answer_on(topic) == TOPICS.may_answer_on(topic)
