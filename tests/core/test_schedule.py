from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config import texts
from cheaprouter.core.calendar import SPAN, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def local(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("spans", "moment", "is_open"),
    [
        (["mon-fri 07:00-21:30"], "2026-11-20T07:00", True),  # a Friday
        (["mon-fri 07:00-21:30"], "2026-11-20T21:29:59", True),
        (["mon-fri 07:00-21:30"], "2026-11-20T21:30", False),
        (["mon-fri 07:00-21:30"], "2026-11-21T12:00", False),
        (["Sat,SUN 09:00-24:00"], "2026-11-22T23:59", True),
        (["22:00-06:00"], "2026-11-22T23:00", True),
        (["22:00-06:00"], "2026-11-22T05:59", True),
        (["22:00-06:00"], "2026-11-22T06:00", False),
        (["fri 22:00-06:00"], "2026-11-21T05:00", True),  # Friday's night lasts into Saturday
        (["fri 22:00-06:00"], "2026-11-20T05:00", False),  # Thursday's is not his
        (["sun 22:00-06:00"], "2026-11-23T05:00", True),  # over the end of the week
        (["sat-mon"], "2026-11-22T00:00", True),
        (["sat-mon"], "2026-11-24T00:00", False),
        (["fri-mon 08:00-9:00"], "2026-11-23T08:30", True),
        (["mon 08:00-09:00", "sun 08:00-09:00"], "2026-11-22T08:30", True),
        (["sat 24:00-06:00"], "2026-11-22T03:00", True),
        (["sat 24:00-06:00"], "2026-11-21T03:00", False),
        (["00:00-00:00"], "2026-11-22T13:00", True),
    ],
)
def test_hours_are_those_of_the_walls_clock(spans, moment, is_open):
    assert Schedule(spans).open(local(moment)) is is_open


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "mon-fry 07:00-08:00", "07:00", "25:00-26:00", "07:60-08:00", "23:00-24:30", "mon 7-9"]
)
def test_what_cannot_be_read_is_refused_in_words(text):
    with pytest.raises(ValueError, match="`"):
        Schedule([text])


def test_it_says_when_it_opens():
    schedule = Schedule(["mon-fri 07:00-21:00"])
    assert (
        schedule.opens_in(local("2026-11-20T21:00").timestamp(), BERLIN) == timedelta(days=2, hours=10).total_seconds()
    )


def test_a_night_in_which_the_clocks_change_is_an_hour_shorter_or_longer():
    schedule = Schedule(["06:00-22:00"])
    assert schedule.opens_in(local("2026-03-28T22:00").timestamp(), BERLIN) == 7 * 3600
    assert schedule.opens_in(local("2026-10-24T22:00").timestamp(), BERLIN) == 9 * 3600


def test_a_start_that_the_clocks_skip_counts_from_the_change():
    schedule = Schedule(["sun 02:30-04:00"])
    moment = local("2026-03-29T01:00").timestamp()
    opens = moment + schedule.opens_in(moment, BERLIN)
    assert schedule.open(datetime.fromtimestamp(opens, BERLIN))


@given(st.from_regex(SPAN, fullmatch=True))
def test_whatever_the_settings_file_may_say_can_be_read(text):
    schedule = Schedule([texts.span(text)])
    assert schedule.open(local("2026-11-22T12:00")) in {True, False}
    assert schedule.opens_in(local("2026-11-22T12:00").timestamp(), BERLIN) > 0


@given(st.integers(1_700_000_000, 1_900_000_000))
def test_when_it_opens_it_is_open(moment):
    schedule = Schedule(["mon-fri 07:00-21:30", "sat 22:00-03:00"])
    if not schedule.open(datetime.fromtimestamp(moment, BERLIN)):
        wait = schedule.opens_in(moment, BERLIN)
        assert schedule.open(datetime.fromtimestamp(moment + wait, BERLIN))
        assert not schedule.open(datetime.fromtimestamp(moment + wait - 1, BERLIN))
