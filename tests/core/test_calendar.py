from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.calendar import Calendar, find_zone, from_date, to_date, zone_name

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
]
moments = st.floats(min_value=1_200_000_000, max_value=2_000_000_000)


def at(text, zone):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@given(st.sampled_from(ZONES), moments)
def test_a_moment_lies_within_the_bounds_of_its_day(zone, moment):
    calendar = Calendar(ZoneInfo(zone))
    start, end = calendar.bounds(calendar.day(moment))
    assert start <= moment < end
    assert calendar.day_end(moment) == end


@given(st.sampled_from(ZONES), moments, moments)
def test_remembering_a_day_changes_no_answer(zone, first, second):
    used, fresh = Calendar(ZoneInfo(zone)), Calendar(ZoneInfo(zone))
    used.day(first)
    assert used.day(second) == fresh.day(second)


@given(st.sampled_from(ZONES), st.dates(date(2008, 1, 1), date(2030, 1, 1)))
def test_days_follow_each_other_without_gap_or_overlap(zone, day):
    calendar = Calendar(ZoneInfo(zone))
    assert calendar.bounds(from_date(day))[1] == calendar.bounds(from_date(day + timedelta(days=1)))[0]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", 20260329, 23),
        ("Europe/Berlin", 20261025, 25),
        ("America/Sao_Paulo", 20181104, 23),  # no midnight: the day begins at one o'clock
        ("America/Havana", 20251102, 25),  # midnight twice
        ("Australia/Lord_Howe", 20260405, 24.5),
        ("UTC", 20261122, 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone, day, hours):
    start, end = Calendar(ZoneInfo(zone)).bounds(day)
    assert (end - start) / 3600 == hours


def test_the_day_changes_at_local_midnight_not_at_utc_midnight():
    calendar = Calendar(ZoneInfo("Europe/Berlin"))
    assert calendar.day(at("2026-11-22T23:59:59", "Europe/Berlin")) == 20261122
    assert calendar.day(at("2026-11-23T00:00:00", "Europe/Berlin")) == 20261123


def test_the_clock_may_step_back_over_midnight():
    calendar = Calendar(UTC)
    assert [calendar.day(m) for m in (86_400.0, 86_399.9, 86_400.0)] == [19700102, 19700101, 19700102]


def test_a_month_ends_at_the_next_first_midnight():
    calendar = Calendar(ZoneInfo("Europe/Berlin"))
    assert calendar.month_end(at("2026-10-25T12:00", "Europe/Berlin")) == at("2026-11-01T00:00", "Europe/Berlin")
    assert calendar.month_end(at("2026-12-31T12:00", "Europe/Berlin")) == at("2027-01-01T00:00", "Europe/Berlin")


def test_moving_to_another_zone_forgets_the_day_remembered():
    calendar = Calendar(UTC)
    moment = datetime(2026, 11, 22, 23, 30, tzinfo=UTC).timestamp()
    assert calendar.day(moment) == 20261122
    calendar.move(ZoneInfo("Europe/Berlin"))
    assert calendar.day(moment) == 20261123


@given(st.dates())
def test_a_day_number_is_a_date(day):
    assert to_date(from_date(day)) == day


def test_a_named_zone_wins_over_the_environment():
    assert zone_name(find_zone("Asia/Tokyo", {"TZ": "Europe/Berlin"})) == "Asia/Tokyo"


def test_the_environment_wins_over_the_system(tmp_path):
    assert zone_name(find_zone("", {"TZ": "Europe/Berlin"}, tmp_path / "none")) == "Europe/Berlin"


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "europe berlin"])
def test_a_wrong_zone_is_refused_in_words(name):
    with pytest.raises(ValueError, match="is not a time zone"):
        find_zone(name, {})


def test_without_any_zone_it_is_utc(tmp_path):
    assert find_zone("", {"TZ": "nonsense"}, tmp_path / "none") is UTC


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("moment", [-1e30, -62_135_596_800.0, 253_402_300_799.0, 1e30, float("inf"), float("nan")])
def test_no_clock_is_too_wrong_for_a_calendar(zone, moment):
    calendar = Calendar(ZoneInfo(zone))
    assert 1_01_01 <= calendar.day(moment) <= 9999_12_31
    assert calendar.day_end(moment) <= calendar.month_end(moment)
    calendar.local(moment)
