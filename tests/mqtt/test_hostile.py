"""Nothing that a publisher sends crashes, blocks or gets past the table of settings."""

from __future__ import annotations

import asyncio
import copy
import logging

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.clock import Clock
from cheaprouter.core.events import EventBus
from cheaprouter.home_assistant.topics import Topics
from cheaprouter.mqtt.inbox import Inbox
from cheaprouter.mqtt.memory import Memory
from cheaprouter.mqtt.messages import Incoming
from cheaprouter.mqtt.once import Once
from cheaprouter.mqtt.publisher import Publisher
from tests.mqtt.home import SETTINGS, Home

NAMES = Topics("cheaprouter", "homeassistant")
LEVELS = st.sampled_from(
    [
        "device",
        "kitchen",
        "set",
        "request",
        "chat",
        "rpm",
        "profile",
        "enabled",
        "usage",
        "route",
        "set_device",
        "set_hub",
        "",
        " ",
        "🙂",
    ]
) | st.text(st.characters(exclude_characters="+#/\0", exclude_categories=("Cs",)), max_size=20)
TOPICS = st.lists(LEVELS, min_size=1, max_size=6).map(lambda levels: "cheaprouter/" + "/".join(levels))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["device", "messages", "prompt", "stream", "model", "rpm", "transaction", "role", "content"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PAYLOADS = st.binary(max_size=60) | JSON.map(orjson.dumps)
MESSAGES = st.builds(
    Incoming, TOPICS, PAYLOADS, st.booleans(), st.none() | st.text(max_size=30), st.none() | st.binary(max_size=10)
)


class Log(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record.getMessage())


@given(st.lists(MESSAGES, max_size=6))
def test_whatever_is_published_every_question_is_answered_or_refused_and_no_fault_is_logged(messages):
    log = Log()
    logging.getLogger("cheaprouter.mqtt").addHandler(log)
    try:
        home, outbox = asyncio.run(published(messages))
    finally:
        logging.getLogger("cheaprouter.mqtt").removeHandler(log)
    assert log.records == []
    assert home.devices["kitchen"].keys() == fresh().devices["kitchen"].keys()
    answered = [message.topic for _, message in outbox._waiting]
    assert all(NAMES.may_answer_on(topic) or topic.endswith("/chat/stream") for topic in answered)


def fresh():
    home = Home(EventBus())
    home.add("kitchen")
    return home


async def published(messages):
    home = fresh()
    settings, once = MqttSettings("b"), Once(logging.getLogger("t"))
    publisher = Publisher(settings, home, Memory(None), Clock(), lambda: None)
    inbox = Inbox(settings, home, home.gateway, publisher, Clock(), once)
    for message in messages:
        inbox.take(message)
    while inbox._jobs:
        await asyncio.gather(*inbox._jobs)
    return home, publisher.outbox


@given(st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_only_settings_of_the_table_can_be_changed_by_a_request(changes):
    message = Incoming("cheaprouter/request/set_device", orjson.dumps({**changes, "device": "kitchen"}))
    home, _ = asyncio.run(published([message]))
    before, after = copy.deepcopy(fresh().devices["kitchen"]), home.devices["kitchen"]
    changed = {key for key in after if after[key] != before[key]}
    assert changed <= set(SETTINGS) & changes.keys()
