"""The memory for thoughts: bounded, and each device's its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.upstream.thoughts import Memory


def test_what_is_kept_is_recalled_by_its_device_alone():
    memory = Memory()
    memory.keep("tablet", "call_1", "Hmm.")
    assert memory.recall("tablet", "call_1") == "Hmm."
    assert memory.recall("phone", "call_1") is None


def test_an_id_that_comes_again_stands_for_the_later_thoughts():
    memory = Memory()
    memory.keep("tablet", "call_1", "a")
    memory.keep("tablet", "call_1", "b")
    assert memory.recall("tablet", "call_1") == "b"


def test_a_device_forgets_its_own_oldest_thoughts_first():
    memory = Memory(most=100, most_of_a_device=12)
    memory.keep("phone", "x", "y")
    for call_id in "abc":
        memory.keep("tablet", call_id, "12345")
    assert [memory.recall("tablet", call_id) for call_id in "abc"] == [None, "12345", "12345"]
    assert memory.recall("phone", "x") == "y"


def test_all_together_forget_those_of_whoever_was_silent_longest():
    memory = Memory(most=12, most_of_a_device=12)
    for device in ("a", "b", "c"):
        memory.keep(device, "1", "12345")
    assert [memory.recall(device, "1") for device in ("a", "b", "c")] == [None, "12345", "12345"]


kept = st.tuples(st.sampled_from("abc"), st.sampled_from("12345"), st.text(max_size=30))


@given(st.lists(kept, max_size=60), st.integers(0, 80), st.integers(0, 80))
def test_it_never_holds_more_than_it_may(entries, most, most_of_a_device):
    memory = Memory(most, most_of_a_device)
    for entry in entries:
        memory.keep(*entry)
        sizes = {
            device: sum(len(call_id) + len(text) for call_id, text in own.items())
            for device, own in memory._kept.items()
        }
        assert sum(sizes.values()) == memory._size <= most
        assert sizes == memory._sizes
        assert all(size <= most_of_a_device for size in sizes.values())
