"""What a home teaches: silent at first, bounded always, and of no use where labels teach nothing that holds."""

from __future__ import annotations

import random

import pytest

from cheaprouter.routing.home import LEAST, MOST_DEVICES, SEEN, TAUGHT_BY, TOLD, HomeHead, Lesson, Lessons, residual

NAMES = TAUGHT_BY


def vector(number: float, *, maths: float = 0.0) -> list[float]:
    values = dict.fromkeys(NAMES, 0.0) | {"fail": number, "gain": number / 2, "maths": maths}
    return [values[name] for name in NAMES]


def learned(lessons: list[Lesson]) -> HomeHead:
    taught = Lessons(NAMES)
    for lesson in lessons:
        taught.add(lesson)
    steps = list(taught.solve())
    assert steps[-1] is not None
    assert not any(steps[:-1])
    return steps[-1]


def labels(count: int, teach, devices: int = 4, seed: int = 1) -> list[Lesson]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        device, maths = f"device-{number % devices}", float(chance.random() < 0.5)
        made.append(Lesson(device, teach(device, maths, chance), 1.0, vector(chance.random(), maths=maths)))
    return made


def test_it_is_silent_until_enough_was_judged():
    head = learned(labels(LEAST - 1, lambda *_: 1.0))
    assert not head.active
    assert "nothing is learned yet" in head.told()[0]
    assert learned(labels(LEAST, lambda *_: 1.0)).active


def test_a_device_is_learned_apart_from_the_others():
    head = learned(
        labels(400, lambda device, _, chance: (0.3 if device == "device-0" else 0.0) + chance.gauss(0, 0.05))
    )
    assert head.correction("device-0", vector(0.5), 0.5) == pytest.approx(0.5 * TOLD)
    assert abs(head.correction("device-1", vector(0.5), 0.5)) < 0.02
    assert any("device-0" in said for said in head.told())


def test_what_all_have_in_common_is_learned_for_all():
    head = learned(labels(3000, lambda _, maths, chance: 0.2 * (maths - 0.5) + chance.gauss(0, 0.1)))
    gap = head.correction("a newcomer", vector(0.5, maths=1.0), 0.5) - head.correction("a newcomer", vector(0.5), 0.5)
    assert gap > 0.02
    assert any("mathematics" in said for said in head.told())


def test_labels_that_teach_nothing_change_nothing_much():
    head = learned(labels(1000, lambda _, __, chance: chance.choice((-1.0, 1.0))))
    assert max(abs(head.correction(f"device-{n}", vector(0.5), 0.5)) for n in range(4)) < 0.5 * TOLD


@pytest.mark.parametrize("lie", [-1.0, 1.0])
def test_a_correction_is_bounded_whatever_was_said(lie):
    head = learned(labels(5000, lambda *_: lie, devices=1))
    assert abs(head.correction("device-0", vector(1.0, maths=1.0), 0.5)) <= 0.5 * TOLD


def test_a_device_that_judges_all_day_counts_for_no_more_than_half():
    honest = labels(300, lambda _, maths, chance: 0.0)
    flood = [Lesson("loud", 1.0, 1.0, vector(n % 10 / 10, maths=1.0)) for n in range(5000)]
    head = learned([*honest, *flood])
    assert abs(head.correction("device-0", vector(0.5, maths=1.0), 0.5)) < 0.25 * TOLD


def test_what_the_router_saw_itself_may_correct_more_than_what_it_was_told():
    told = labels(400, lambda *_: 1.0)
    seen = [lesson._replace(seen=True) for lesson in told]
    assert learned(told).correction("device-0", vector(0.5), 0.5) == pytest.approx(0.5 * TOLD)
    assert learned(seen).correction("device-0", vector(0.5), 0.5) == pytest.approx(0.5 * SEEN)


def test_devices_are_bounded():
    taught = Lessons(NAMES)
    for number in range(2 * MOST_DEVICES):
        taught.add(Lesson(f"device-{number}", 0.0, 1.0, vector(0.5)))
    assert taught.labels == MOST_DEVICES


def test_a_vector_of_another_model_is_left_out():
    taught = Lessons(NAMES)
    taught.add(Lesson("a", 0.0, 1.0, [0.1, 0.2]))
    assert taught.labels == 0


def test_names_that_a_model_has_not_are_left_out():
    taught = Lessons(("fail", "gain", "length"))
    for number in range(LEAST):
        taught.add(Lesson(f"device-{number % 3}", 0.5, 1.0, [0.1, 0.1, number % 7 / 7]))
    head = list(taught.solve())[-1]
    assert head.active
    assert 0 < head.correction("device-0", [0.1, 0.1, 0.3], 0.5) <= 0.5 * TOLD


@pytest.mark.parametrize(
    ("share", "good", "off"),
    [
        (0.0, 1.0, -0.3),  # a small model did it, which was likely to fail in three of ten
        (0.0, 0.0, 0.7),
        (1.0, 1.0, 0.1),  # a large one did it, which was likely to in nine of ten
        (1.0, 0.0, -0.9),
        (0.5, 1.0, -0.1),
    ],
)
def test_what_one_answer_says_of_the_gain(share, good, off):
    assert residual(0.3, 0.2, share, good) == pytest.approx(off)
