"""Tool calls against what was offered and what is listed: right ones pass, one change is found."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.wire.checks.entities import is_about_home
from cheaprouter.wire.checks.fault import Kind
from cheaprouter.wire.checks.schema import MOST_STEPS
from cheaprouter.wire.checks.tool_calls import LONGEST, Call, no_call, written_call, wrong_call

_NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=12)


def _tool(name: str, /, **properties: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


_TEXT = {"type": "string"}
_INTENT = _tool("HassTurnOn", name=_TEXT, area=_TEXT, domain={"type": "array", "items": _TEXT})
_ASSIST = """You are a voice assistant for Home Assistant.
You are in area Office (floor First) and all generic commands should target this area.
Static Context: An overview of the areas and the devices in this smart home:
- names: Kitchen Light, Main lamp
  domain: light
  areas: Kitchen
- names: 'TV'
  domain: media_player
  areas: Living Room, Lounge
- names: A very long name of an entity that goes on and on and on and on until it is
    folded, Alias
  domain: switch
- names: Küche Decke
  domain: light
  areas: Küche
- names: To-do
  domain: todo
"""


def _body(system: str = "", *tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Turn it on."}]
    return {"messages": messages, "tools": [*tools], **more}


def _why(name: str, arguments: str, body: dict[str, Any], *, whole: bool = True) -> str | None:
    found = wrong_call([Call(name, arguments)], body, whole=whole)
    return None if found is None else found.why


@given(st.sets(_NAMES, min_size=1, max_size=5), _NAMES)
def test_a_name_that_is_not_offered_is_found_and_one_that_is_passes(offered: set[str], name: str) -> None:
    found = wrong_call([Call(name, "{}")], _body("", *map(_tool, sorted(offered))))
    assert (found is None) == (name in offered)
    assert found is None or found.kind is Kind.TOOL


@given(st.text(max_size=30))
def test_arguments_that_are_no_object_are_found(arguments: str) -> None:
    try:
        right = not arguments.strip() or isinstance(orjson.loads(arguments), dict)
    except ValueError:
        right = False
    assert (wrong_call([Call("f", arguments)], _body("", _tool("f"))) is None) == right


@given(st.dictionaries(_NAMES, st.integers(-9999, 9999) | st.text(max_size=5), max_size=4), st.integers(1, 40))
def test_arguments_that_are_cut_off_are_found_unless_the_client_cut_them(value: dict[str, Any], short: int) -> None:
    whole = orjson.dumps(value).decode()
    cut = whole[: max(1, len(whole) - short)]
    body = _body("", _tool("f"))
    if cut != whole:
        assert wrong_call([Call("f", cut)], body) is not None
        assert wrong_call([Call("f", cut)], body, whole=False) is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"name": "kitchen light"}, None),
        ({"name": " KITCHEN  LIGHT "}, None),
        ({"name": "main lamp", "domain": ["light"], "area": "Kitchen"}, None),
        ({"name": "Alias"}, None),
        ({"name": "A very long name of an entity that goes on and on and on and on until it is folded"}, None),
        ({"name": "küche decke", "area": "küche"}, None),
        ({"area": "living room", "domain": ["media_player"]}, None),
        ({"area": "living_room"}, None),
        ({"area": "Office"}, None),
        ({"domain": ["light"]}, None),
        ({"name": "lamp.kitchen"}, "lamp.kitchen is not in the request's list"),
        ({"name": "Kitchen"}, "Kitchen is not in the request's list"),
        ({"name": "Küche"}, "Küche is not in the request's list"),
        ({"area": "Garage"}, "the area Garage is not in the request's list"),
        ({"name": "tv", "domain": ["light"]}, "tv is in the request's list, but is no light"),
        ({"name": "TV", "area": "Kitchen"}, "TV is in the request's list, but not in the area Kitchen"),
    ],
)
def test_an_intent_names_what_home_assistant_lists(arguments: dict[str, Any], why: str | None) -> None:
    assert _why("HassTurnOn", orjson.dumps(arguments).decode(), _body(_ASSIST, _INTENT)) == why


def test_a_name_in_a_result_that_came_later_is_listed_too() -> None:
    body = _body(_ASSIST, _INTENT)
    result = {
        "success": True,
        "result": "Live Context: An overview\n- names: Garage lamp\n  domain: light\n  areas: Garage\n",
    }
    body["messages"].append({"role": "tool", "tool_call_id": "1", "content": orjson.dumps(result).decode()})
    assert _why("HassTurnOn", '{"name": "Garage lamp", "area": "Garage"}', body) is None


@pytest.mark.parametrize(
    "name", ["HassStartTimer", "HassBroadcast", "assist__HassCancelTimer", "set_name", "HassRespond"]
)
def test_a_name_that_is_no_entitys_is_not_looked_for(name: str) -> None:
    assert not is_about_home(name)
    assert _why(name, '{"name": "pizza"}', _body(_ASSIST, _tool(name, name=_TEXT))) is None


@pytest.mark.parametrize("name", ["HassTurnOn", "assist__HassTurnOff", "intent__HassLightSet", "GetLiveContext"])
def test_an_intent_is_known_by_its_name(name: str) -> None:
    assert is_about_home(name)
    assert _why(name, '{"name": "pizza"}', _body(_ASSIST, _tool(name, name=_TEXT))) is not None


_DEVICES = (
    "Devices: light.kitchen (Kitchen), light.hall, switch.fan. Call light.turn_on or light.turn_off.",
    "Available Devices:\n```csv\nentity_id,name,state,aliases\nlight.kitchen,Kitchen,on,\nlight.hall,Hall,off,\nswitch.fan,Fan,off,\n```",
    "Devices:\nlight.kitchen 'Kitchen' = on;80%\nlight.hall 'Hall' = off\nswitch.fan 'Fan' = off",
    '[{"entity_id": "light.kitchen", "name": "Kitchen"}, {"entity_id": "light.hall"}, {"entity_id": "switch.fan"}]',
)


@pytest.mark.parametrize("devices", _DEVICES)
@pytest.mark.parametrize(
    ("arguments", "unknown"),
    [
        ({"entity_id": "light.kitchen"}, None),
        ({"entity_id": ["light.hall", "switch.fan"]}, None),
        ({"entity_id": "light.hall, switch.fan"}, None),
        ({"entity_id": "all"}, None),
        ({"list": [{"service_data": {"entity_id": ["light.kitchen"]}}]}, None),
        ({"message": "light.unknown is what I say"}, None),
        ({"entity_id": "lamp.kitchen"}, "lamp.kitchen"),
        ({"entity_id": ["light.hall", "light.kitchn"]}, "light.kitchn"),
        ({"list": [{"service_data": {"entity_id": "switch.fans"}}]}, "switch.fans"),
        ({"target": {"entity_id": ["cover.hall"]}}, "cover.hall"),
    ],
)
def test_an_id_is_looked_for_in_the_list(devices: str, arguments: dict[str, Any], unknown: str | None) -> None:
    why = _why("execute", orjson.dumps(arguments).decode(), _body(devices, _tool("execute")))
    assert why == (None if unknown is None else f"{unknown} is not in the request's list")


@pytest.mark.parametrize(
    "system",
    [
        "You control a home with tools.",
        "Entities have ids, e.g. light.kitchen or switch.fan.",
        "Call light.turn_on, light.turn_off or switch.toggle.",
        "See example.com and os.path for more.",
    ],
)
def test_without_a_list_no_id_is_wrong(system: str) -> None:
    assert _why("execute", '{"entity_id": "lamp.kitchen"}', _body(system, _tool("execute"))) is None


def test_an_id_that_a_tool_has_found_or_the_user_has_named_is_known() -> None:
    body = _body(_DEVICES[0], _tool("execute"))
    body["messages"][1]["content"] = "Turn on light.garage."
    body["messages"] += [
        {"role": "assistant", "content": "I believe there is light.made_up."},
        {"role": "tool", "content": '{"found": ["cover.gate"]}'},
    ]
    assert _why("execute", '{"entity_id": ["light.garage", "cover.gate"]}', body) is None
    assert _why("execute", '{"entity_id": "light.made_up"}', body) is not None


_POSITION = _tool("HassSetPosition", name=_TEXT, domain={"type": "array", "items": _TEXT}, position={"type": "integer"})


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"name": "Kitchen Light", "domain": "light", "position": "50"}, True),
        ({"name": ["Kitchen Light"], "position": 50}, True),
        ({"name": "Kitchen Light", "position": "half"}, False),
        ({"name": "Kitchen Light", "position": [50, 60]}, False),
        ({"name": ["Kitchen Light", "TV"], "position": 50}, False),
        ({"name": ["Kitchen"], "position": 50}, False),
    ],
)
def test_an_intents_arguments_are_read_as_home_assistant_reads_them(arguments: dict[str, Any], right: bool) -> None:
    told = orjson.dumps(arguments).decode()
    assert (_why("HassSetPosition", told, _body(_ASSIST, _POSITION)) is None) == right


def test_other_tools_take_what_their_schema_says() -> None:
    tool = _tool("set_position", position={"type": "integer"}, domain={"type": "array", "items": _TEXT})
    assert _why("set_position", '{"position": "50"}', _body("", tool)) is not None
    assert _why("set_position", '{"domain": "light"}', _body("", tool)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "[TOOL_CALLS] I will open the curtain for you.",
        "To lock the door, use this command:\n\n```\nHassTurnOn('lock.smart_lock', ['Entry'])\n```",
        "I will turn off the fan. [HassTurnOn, area='Bedroom', domain='fan']",
        "You can say 'HassTurnOn Living Room Light'.",
        '<tool_call>{"name": "HassTurnOn", "arguments": {"name": "TV"}}</tool_call>',
        'Here is the call: {"name": "get_weather", "parameters": {"city": "Rome"}}',
        "{'name': 'HassTurnOn', 'parameters': {'name': 'TV'}}",
        "get_weather(city='Rome')",
    ],
)
def test_a_call_that_is_written_down_is_found(text: str) -> None:
    found = written_call(text, _body(_ASSIST, _INTENT, _tool("get_weather"), _tool("search")))
    assert found is not None
    assert found.kind is Kind.WRITTEN


@pytest.mark.parametrize(
    "text",
    [
        "The kitchen light is on.",
        "Which light would you like to turn off?",
        "I can search (and find) things for you.",
        "search(x) is a function of your own.",
        "other_tool(1)",
        '{"name": "Bob", "age": 7}',
        "I used get_weather to look it up.",
    ],
)
def test_an_answer_in_words_is_no_call(text: str) -> None:
    assert written_call(text, _body(_ASSIST, _INTENT, _tool("get_weather"), _tool("search"))) is None


def test_who_asks_about_a_tool_may_be_told_of_it() -> None:
    body = _body("", _tool("get_weather"))
    body["messages"][1]["content"] = "How do I call get_weather in Python?"
    assert written_call("Write get_weather('Rome').", body) is None
    assert written_call("Write get_weather('Rome').", {**body, "tool_choice": "none"}) is None
    assert written_call("Write get_weather('Rome').", {"messages": []}) is None


def test_tools_that_the_upstream_runs_make_any_name_possible() -> None:
    assert _why("web_search", "{}", _body("", _tool("f"), {"type": "web_search"})) is None


def test_custom_tools_take_any_text_and_older_functions_count() -> None:
    custom = {"type": "custom", "custom": {"name": "shell"}}
    assert wrong_call([Call("shell", "ls -l", custom=True)], _body("", custom)) is None
    body = {"messages": [], "functions": [{"name": "f", "parameters": {"required": ["a"]}}]}
    assert _why("f", "{}", body) == "the arguments of f do not fit: `a` is missing"
    assert _why("g", "{}", body) == "g is not among the tools"


def test_the_choice_of_a_tool_is_kept_to() -> None:
    wanted = {"type": "function", "function": {"name": "f"}}
    body = _body("", _tool("f"), _tool("g"), tool_choice=wanted)
    assert _why("f", "{}", body) is None
    assert _why("g", "{}", body) == "f was to be called, and another is"
    assert no_call(body) is not None
    assert no_call({**body, "tool_choice": "required"}) is not None
    assert no_call({**body, "tool_choice": "auto"}) is None
    assert _why("f", "{}", {**body, "tool_choice": "none"}) == "no tool was to be called"


def test_parallel_calls_pass_and_the_same_one_over_and_over_does_not() -> None:
    body = _body("", _tool("f"))
    assert wrong_call([Call("f", f'{{"a": {n}}}') for n in range(8)], body) is None
    found = wrong_call([Call("f", '{"a": 1}')] * 8, body)
    assert found is not None
    assert found.kind is Kind.LOOP


def test_a_second_call_is_looked_at_like_the_first() -> None:
    body = _body("", _tool("f"))
    assert wrong_call([Call("f", "{}"), Call("h", "{}")], body) is not None


def test_long_arguments_are_let_through() -> None:
    assert _why("f", "x" * (LONGEST + 1), _body("", _tool("f"))) is None


def test_many_calls_against_a_hostile_schema_share_what_may_be_looked_at() -> None:
    """Counted in calls of functions: each step makes a few."""
    schema = {"anyOf": [{"$ref": "#"}] * 1000}
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"a": {"anyOf": [{"allOf": [schema] * 50}] * 50}}}},
    }
    made = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal made
        made += event == "call"

    sys.setprofile(count)
    try:
        wrong_call([Call("f", f'{{"a": {n}}}') for n in range(200)], _body("", tool))
    finally:
        sys.setprofile(None)
    assert made < 20 * MOST_STEPS


def test_a_name_from_an_answer_is_bounded_in_a_sentence() -> None:
    assert len(str(_why("n" * 5000, "{}", _body("", _tool("f"))))) < 120
    assert "\n" not in str(_why("a\nb", "{}", _body("", _tool("f"))))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9999, 9999) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "function", "name", "content", "role", "text"]), inner),
        max_leaves=8,
    )
)  # fmt: skip
def test_no_request_makes_it_stumble(junk: Any) -> None:
    for body in ({"tools": junk, "messages": junk}, {"tools": [junk], "messages": [junk], "tool_choice": junk}):
        wrong_call([Call("HassTurnOn", '{"name": "x", "entity_id": "light.x"}')], body)
        no_call(body)
