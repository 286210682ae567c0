"""How much JSON holds is found out before any of it is made."""

from __future__ import annotations

import asyncio
import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import BodyTooLargeError, InvalidRequestError
from cheaprouter.wire import tally as room
from cheaprouter.wire.tally import DEEPEST, MOST_GROUPS, MOST_MEMBERS, MOST_TEXT, MOST_VALUES, at_once, weigh

MANY = 300_000


def refusal(raw: bytes) -> str:
    with pytest.raises(BodyTooLargeError) as caught:
        at_once(weigh(raw, "The body"))
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")
    return caught.value.message


@pytest.mark.parametrize("unit", [b"1,", b'"",', b'"\\"",', b"null,", b'"\\\\",'])
def test_too_many_values_are_refused_with_the_number_that_is_taken(unit):
    assert f"{MOST_VALUES:,} values" in refusal(b"[" + unit * MANY + b"1]")


@pytest.mark.parametrize("unit", [b"[],", b'{"a":1},', b"[1,2],"])
def test_too_many_arrays_and_objects_are_refused(unit):
    assert f"{MOST_GROUPS:,} arrays and objects" in refusal(b"[" + unit * MANY + b"1]")


def test_too_many_members_are_refused_repeated_ones_too():
    assert f"{MOST_MEMBERS:,} members" in refusal(b"{" + b'"a":1,' * MANY + b'"a":1}')
    at_once(weigh(b"{" + b'"a":1,' * (MOST_MEMBERS - 1) + b'"a":1}', "The body"))


def test_too_much_text_is_refused_with_what_is_taken():
    assert f"at most {MOST_TEXT:,} are taken" in refusal(b'"' + b"a" * MOST_TEXT + b'"')


@pytest.mark.parametrize("text", ["a, b; [c] {d}", "[],{}", ",", '{"a": [1, 2]}', '\\"', "\\", '"', '\\",[', "é,[\n"])
def test_a_long_text_may_hold_as_many_marks_as_it_likes(text):
    raw = orjson.dumps({"messages": [{"role": "user", "content": text * (4_000_000 // len(text) // 2)}]})
    at_once(weigh(raw, "The body"))


@pytest.mark.parametrize("levels", [DEEPEST + 1, 10_000])
def test_what_nests_too_deeply_is_refused_before_it_is_parsed(levels):
    with pytest.raises(InvalidRequestError, match=f"deeper than {DEEPEST} levels"):
        at_once(weigh(b"[" * levels + b"]" * levels, "The body"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a,:[]{}"\\\n', max_size=12),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('a,:[{"\\', max_size=3), inner, max_size=5),
    max_leaves=40,
)


def counted(value: object) -> tuple[int, int, int]:
    """Arrays and objects, all that is in one beside its first, and members of objects."""
    if not isinstance(value, (dict, list)):
        return 0, 0, 0
    inner = list(value.values()) if isinstance(value, dict) else value
    own = (1, max(0, len(inner) - 1), len(inner) if isinstance(value, dict) else 0)
    return tuple(map(sum, zip(own, *map(counted, inner), strict=True)))


@given(value=JSON, window=st.integers(4, 40))
def test_what_is_counted_is_what_a_parser_makes_wherever_the_windows_are(value, window):
    raw = orjson.dumps(value)
    groups, commas, members = counted(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_WINDOW", window)
        patch.setattr(room, "MOST_GROUPS", groups)
        patch.setattr(room, "MOST_VALUES", groups + commas)
        patch.setattr(room, "MOST_MEMBERS", members)
        at_once(room._count(raw, "The body"))
        if groups:
            patch.setattr(room, "MOST_VALUES", groups + commas - 1)
            with pytest.raises(BodyTooLargeError):
                at_once(room._count(raw, "The body"))
        if members:
            patch.setattr(room, "MOST_VALUES", groups + commas)
            patch.setattr(room, "MOST_MEMBERS", members - 1)
            with pytest.raises(BodyTooLargeError):
                at_once(room._count(raw, "The body"))


async def test_between_long_steps_others_have_as_many_turns_as_a_small_request_takes():
    turns, seen = 0, []

    def work():
        for _ in range(3):
            seen.append(turns)
            yield

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(beside())
    await room.in_turns(work())
    seen.append(turns)
    other.cancel()
    assert all(after - before >= 3 for before, after in itertools.pairwise(seen))
