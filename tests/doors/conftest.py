"""A house with the API in front of it, and what it booked."""

from __future__ import annotations

import pytest

from cheaprouter.core.events import RequestCompleted
from tests.builders_house import make_house
from tests.doors.wire import lines


@pytest.fixture
async def home(tmp_path):
    async with make_house(tmp_path) as home:
        yield home


@pytest.fixture
async def api(home):
    async with lines(home.control) as api:
        yield api


@pytest.fixture
def booked(home):
    """All records, as they are booked."""
    found = []
    home.bus.on(lambda _: found.append(home.house.recorder.recent(1)[0]), RequestCompleted)
    return found
