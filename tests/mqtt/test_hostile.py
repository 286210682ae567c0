"""Nothing that a publisher sends crashes, blocks or gets past the table of settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.calendar import Clock
from cheaprouter.home_assistant.topics import Topics
from cheaprouter.mqtt.inbox import Inbox
from cheaprouter.mqtt.messages import Incoming
from cheaprouter.mqtt.pacing import Once
from cheaprouter.mqtt.publisher import Publisher
from cheaprouter.mqtt.retained import Memory
from tests.builders import until
from tests.builders_house import make_house
from tests.fakes.mosquitto import watching

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


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    """A house that lives through all examples, in a loop of its own."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        home = runner.run(stack.enter_async_context(make_house(tmp_path_factory.mktemp("house"))))
        home.add("kitchen")
        yield runner, home
        runner.run(stack.aclose())


@given(messages=st.lists(MESSAGES, max_size=6))
def test_whatever_is_published_every_question_is_answered_or_refused_and_no_fault_is_logged(living, messages):
    runner, home = living
    log, before = Log(), home.state("kitchen").keys()
    logging.getLogger("cheaprouter.mqtt").addHandler(log)
    try:
        outbox = runner.run(published(home, messages))
    finally:
        logging.getLogger("cheaprouter.mqtt").removeHandler(log)
    assert log.records == []
    assert home.state("kitchen").keys() == before
    answered = [message.topic for _, message in outbox._waiting]
    assert all(NAMES.may_answer_on(topic) or topic.endswith("/chat/stream") for topic in answered)


async def published(home, messages):
    settings, once = MqttSettings("b"), Once(logging.getLogger("t"))
    publisher = Publisher(settings, home.control, Memory(None), Clock(), lambda when: None)
    inbox = Inbox(settings, home.control, home.gateway, publisher, Clock(), once)
    for message in messages:
        inbox.take(message)
    while inbox._jobs:
        await asyncio.gather(*inbox._jobs)
    return publisher.outbox


FOLLOW_FROM_SETTINGS = {"requests_remaining", "tokens_remaining", "budget_percent", "rate_limited"}
SETTINGS = {"profile", "model", "rpm", "tpm", "parallel", "daily_budget", "monthly_budget", "enabled"}


@given(changes=st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_only_settings_of_the_table_can_be_changed_by_a_request(living, changes):
    runner, home = living
    before = home.state("kitchen")
    message = Incoming("cheaprouter/request/set_device", orjson.dumps({**changes, "device": "kitchen"}))
    runner.run(published(home, [message]))
    after = home.state("kitchen")
    changed = {key for key in after if after[key] != before[key]} - FOLLOW_FROM_SETTINGS
    assert changed <= SETTINGS & changes.keys()


SPOILT = ["+/#", "a\0b", "x" * 70_000, 5, ["x"], {"a": 1}, "\ud800"]
PLACES = [(where, value) for where in ("slug", "platform", "hub", "base", "prefix", "broker") for value in SPOILT]
PLACES += [("gone", value) for value in (-1, 1e300, "9" * 5000, None, [1], 1 << 70)]
PLACES += [(where, value) for where in ("slug", "platform", "component") for value in ("", "a/b")]


@pytest.mark.parametrize(("where", "value"), PLACES, ids=lambda each: repr(each)[:12])
def test_what_was_kept_of_topics_counts_as_empty_where_no_topic_can_be_made_of_it(tmp_path, where, value):
    """Such a topic would be refused at each start, and MQTT never come up again."""
    place = {"broker": "b:1", "base": "cheaprouter", "prefix": "homeassistant", "hub": "h"}
    device, component, gone = ["tablet", 0], {"requests": "sensor"}, {"old": 1}
    if where == "slug":
        device[0] = value
    elif where == "gone":
        gone["old"] = value
    elif where == "platform":
        component["requests"] = value
    elif where == "component":
        component[value] = "sensor"
    else:
        place[where] = value
    path = tmp_path / "mqtt_topics.json"
    path.write_text(json.dumps({"place": place, "components": [component], "known": {"tablet": device}, "gone": gone}))
    memory = Memory(path)
    memory.load()
    assert (memory.place, memory.known) == (None, {})


@pytest.mark.parametrize(("protocol", "megabytes"), [("3.1.1", 5), ("3.1.1", 20), ("5", 20)])
async def test_of_a_message_that_is_too_large_not_all_is_kept_and_the_next_ones_come(broker, run, protocol, megabytes):
    taken = []
    async with run(broker, mqtt={"protocol": protocol}) as running, watching(broker.port) as watcher:
        await until(lambda: running.bridge.state == "connected")
        take = running.bridge._inbox.take

        def noted(message):
            taken.append(len(message.payload))
            take(message)

        running.bridge._inbox.take = noted
        for size in (megabytes * 1024 * 1024, 2, 3):
            await watcher.client.publish("cheaprouter/request/health", b"{" + b" " * (size - 2) + b"}", qos=1)
        wanted = 3 if protocol == "3.1.1" else 2  # the newer broker is told what we take, and keeps the first from us
        await until(lambda: [m.topic.value for m in watcher.seen].count("cheaprouter/response/health") == wanted)
    assert all(size < 9 * 1024 * 1024 for size in taken)
    assert len(taken) == wanted
    told = [json.loads(m.payload) for m in watcher.seen if m.topic.value == "cheaprouter/response/health"]
    codes = [one["error"]["code"] if one["error"] else "ok" for one in told]
    assert codes == ["request_too_large", "ok", "ok"][-wanted:]
