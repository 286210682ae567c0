from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import recorder, space
from cheaprouter.books import totals as books
from cheaprouter.books.prometheus import MOST_SERIES, Page, _escape
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.core.events import DeviceRemoved
from cheaprouter.core.models import Usage


async def test_a_finished_request_is_audited_at_once_as_the_predecessor_did(office):
    office = office()
    office.book(latency_ms=12.34)
    assert await office.reports.audit(10) == [
        {
            "id": "req_1",
            "timestamp": "2026-11-22T11:00:00.000Z",
            "device_id": "kitchen",
            "model": "blockrun/auto",
            "routed_model": "lab/small",
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "latency_ms": 12.3,
            "cost_usd": 0.001,
            "status": 200,
            "error": None,
        }
    ]


async def test_the_audit_is_newest_first_refusals_included(office):
    office = office()
    office.book()
    office.refuse()
    office.book(cost=None)
    rows = await office.reports.audit(2)
    assert [(r["id"], r["status"], r["error"], r["cost_usd"]) for r in rows] == [
        ("req_3", 200, None, None),
        ("req_2", 429, "rate_limit_exceeded", 0.0),
    ]


async def test_the_audit_survives_a_restart(office):
    office = office()
    office.book()
    await office.restart()
    assert [r["id"] for r in await office.reports.audit(5)] == ["req_1"]


async def test_usage_is_summed_by_day_in_the_local_zone(office):
    office = office(at="2026-11-21T23:30:00")
    office.book()
    office.later(hours=1)
    office.book()
    office.book()
    report = await office.usage({"from": "2026-11-01", "to": "2026-11-30"})
    assert [(r["day"], r["requests"], r["cost_usd"]) for r in report["data"]] == [
        ("2026-11-21", 1, 0.001),
        ("2026-11-22", 2, 0.002),
    ]
    assert (report["total"]["requests"], report["total"]["total_tokens"]) == (3, 360)
    assert (report["from"], report["to"], report["time_zone"]) == ("2026-11-01", "2026-11-30", "Europe/Berlin")


@pytest.mark.parametrize(
    ("group", "rows"),
    [
        ("device", [("den", 1), ("kitchen", 2)]),
        ("model", [("hub/big", 1), ("lab/small", 2)]),
        ("provider", [("hub", 1), ("lab", 2)]),
        ("month", [("2026-11", 3)]),
        ("hour", [("2026-11-22T12:00+01:00", 3)]),
    ],
)
async def test_usage_is_grouped_as_asked(office, group, rows):
    office = office()
    office.book()
    office.book()
    office.book(device_id="den", model_id="hub/big", provider="hub")
    report = await office.usage({"group_by": group})
    assert [(r[group], r["requests"]) for r in report["data"]] == rows


async def test_groups_can_be_combined_and_filtered(office):
    office = office()
    office.book()
    office.book(device_id="den")
    office.book(device_id="den", model_id="lab/big")
    report = await office.usage({"group_by": "device,model", "device": "den"})
    assert [(r["device"], r["model"], r["requests"]) for r in report["data"]] == [
        ("den", "lab/big", 1),
        ("den", "lab/small", 1),
    ]
    assert (await office.usage({"model": "lab/small"}))["total"]["requests"] == 2


@pytest.mark.parametrize(
    ("first", "last", "den"),
    [
        ("2026-10-01", "2026-11-30", 3),
        ("2026-10-01", "2026-11-22", 2),
        ("2026-10-01", "2026-10-31", 1),
        ("2026-10-02", "2026-10-31", None),
        ("2026-11-01", "2026-11-23", 2),
        ("2026-11-22", "2026-11-30", 2),
    ],
)
@pytest.mark.parametrize("group", ["device", "month,device", "device,model"])
async def test_a_device_has_the_same_sums_whether_days_make_months_or_not(office, first, last, den, group):
    office = office(at="2026-10-01T12:00:00")
    office.book(device_id="den")
    office.time.local("2026-11-22T12:00:00")
    office.book(device_id="den")
    office.book()
    office.later(days=1)
    office.book(device_id="den")
    report = await office.usage({"from": first, "to": last, "group_by": group})
    assert sum(r["requests"] for r in report["data"] if r["device"] == "den") == (den or 0)


async def test_the_hour_that_comes_twice_is_two_hours(office):
    office = office(at="2026-10-25T02:30:00")
    office.book()
    office.later(hours=1)
    office.book()
    office.book()
    report = await office.usage({"group_by": "hour"})
    assert [(r["hour"], r["requests"]) for r in report["data"]] == [
        ("2026-10-25T02:00+02:00", 1),
        ("2026-10-25T02:00+01:00", 2),
    ]


async def test_hours_of_a_zone_that_is_half_an_hour_off_are_whole_on_its_walls(office):
    office = office(at="2026-11-22T12:05:00", zone="Asia/Kolkata")
    office.book()
    office.later(minutes=50)
    office.book()
    report = await office.usage({"group_by": "hour"})
    assert [(r["hour"], r["requests"]) for r in report["data"]] == [("2026-11-22T12:00+05:30", 2)]


async def test_usage_by_the_hour_and_by_the_day_agree(office):
    office = office()
    office.book()
    office.refuse()
    office.book(status=500)
    office.book(status=499, cost=None)
    daily, hourly = [(await office.usage({"group_by": g}))["total"] for g in ("day", "hour")]
    assert daily == hourly


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "2026-11-23", "to": "2026-11-22"}, "from"),
        ({"from": "1990-01-01"}, "from"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": ","}, "group_by"),
        ({"until": "2026-11-22"}, "until"),
    ],
)
async def test_a_wrong_query_names_its_parameter(office, query, param):
    with pytest.raises(InvalidRequestError) as caught:
        await office().usage(query)
    assert caught.value.param == param


async def test_a_time_in_the_query_means_its_local_day(office):
    report = await office().usage({"from": "2026-11-21T23:30:00Z", "to": "2026-11-22"})
    assert report["from"] == "2026-11-22"


async def test_csv_has_a_heading_and_the_same_figures(office):
    office = office()
    office.book()
    office.book(device_id="=cmd|' /C calc'!A0", cost=Decimal("0.0000000375"))
    rows = list(csv.DictReader(io.StringIO((await office.reports.usage_csv({"group_by": "device"})).decode())))
    assert [r["device"] for r in rows] == ["'=cmd|' /C calc'!A0", "kitchen"]
    assert rows[0]["cost_usd"] == "0.0000000375"
    assert rows[1]["requests"] == "1"


async def test_the_summary_has_the_predecessors_fields_counted_truly(office):
    office = office(at="2026-11-20T12:00:00")
    office.book()
    office.later(hours=25)
    office.book(device_id="den", usage=Usage(1, 1))
    office.refuse()
    office.book(status=502)
    found = await office.reports.summary()
    assert found["summary"] | {"avg_latency_ms": 0} == {
        "total_requests": 4, "total_tokens": 242, "total_cost_usd": 0.003, "avg_latency_ms": 0, "success_count": 2,
        "error_count": 1, "limit_hits": 1, "unique_devices": 2,
    }  # fmt: skip
    assert found["last_24h"]["requests"] == 3
    assert found["byDevice"][0] == {"device_id": "kitchen", "requests": 3, "tokens": 240, "cost_usd": 0.002}
    assert [m["model"] for m in found["byModel"]] == ["lab/small"]


async def test_24_hours_are_24_hours(office):
    office = office()
    office.book()
    office.later(hours=23, minutes=59)
    assert (await office.reports.summary())["last_24h"]["requests"] == 1
    office.later(minutes=2)
    assert (await office.reports.summary())["last_24h"]["requests"] == 0


async def test_old_requests_go_and_totals_stay(office):
    office = office(storage=StorageSettings(retention_days=7))
    office.book()
    office.later(days=8)
    office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    assert [r["id"] for r in await office.reports.audit(10)] == ["req_2"]
    assert (await office.usage({"group_by": "month"}))["total"]["requests"] == 2
    await office.restart()
    assert office.metrics.snapshot(None)["requests"] == 2


async def test_a_file_beyond_its_size_loses_its_oldest_requests_and_shrinks(office, monkeypatch):
    monkeypatch.setattr(recorder, "_MEGABYTE", 1024)
    monkeypatch.setattr(space, "MEGABYTE", 1024)
    monkeypatch.setattr(recorder, "CHUNK", 50)
    monkeypatch.setattr(recorder, "FEW", 1)
    office = office(storage=StorageSettings(max_mb=400))
    for _ in range(3000):
        office.book(reason="x" * 200)
    await office.recorder.flush()
    await office.recorder.tidy()
    await office.recorder.tidy()
    rows = await office.reports.audit(10_000)
    assert rows[0]["id"] == "req_3000"
    assert 100 < len(rows) < 2000
    assert (office.folder / "cheaprouter.db").stat().st_size <= 400 * 1024
    assert await office.database.read(lambda c: books.totals(c)["kitchen"][0]) == 3000


async def test_totals_of_long_ago_are_kept_by_month(office):
    office = office(at="2025-03-01T12:00:00")
    for _ in range(120):
        office.book()
        office.book(device_id="den")
        office.later(days=1)
    office.later(days=365)
    office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    await office.recorder.tidy()
    days = await office.database.read(
        lambda c: [r[0] for r in c.execute("SELECT DISTINCT day FROM daily ORDER BY day")]
    )
    assert days[:4] == [20250301, 20250401, 20250501, 20250525]
    report = await office.usage({"from": "2025-03-01", "to": "2025-04-30", "group_by": "month,device"})
    assert [(r["month"], r["device"], r["requests"]) for r in report["data"]] == [
        ("2025-03", "den", 31),
        ("2025-03", "kitchen", 31),
        ("2025-04", "den", 30),
        ("2025-04", "kitchen", 30),
    ]
    await office.restart()
    assert office.metrics.snapshot(None)["requests"] == 241


LINE = re.compile(r'^(#.*|[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? [0-9.e+-]+(Inf)?)$')


async def test_prometheus_can_read_every_line(office):
    office = office()
    office.book(device_id='a "quoted"\\device')
    office.book(first_token_ms=None, latency_ms=10**7)
    text = Page(office.metrics).render([{"name": "lab", "state": "degraded"}, {"name": "hub", "state": "cooling_down"}])
    assert text.endswith("\n")
    for line in text.splitlines():
        assert LINE.fullmatch(line), line
    assert "cheaprouter_requests_total 2" in text
    assert 'cheaprouter_device_requests_total{device="a \\"quoted\\"\\\\device"} 1' in text
    assert "cheaprouter_cost_usd_total 0.002" in text
    assert 'cheaprouter_request_duration_seconds_bucket{le="0.05"} 1' in text
    assert 'cheaprouter_request_duration_seconds_bucket{le="+Inf"} 2' in text
    assert 'cheaprouter_provider_up{provider="lab"} 1' in text
    assert 'cheaprouter_provider_up{provider="hub"} 0' in text


async def test_every_family_is_described_once(office):
    office = office()
    office.book()
    described = re.findall(r"^# TYPE (\S+)", Page(office.metrics).render(), re.MULTILINE)
    assert len(described) == len(set(described))


async def test_series_are_bounded_and_add_up(office):
    office = office()
    for n in range(MOST_SERIES + 50):
        office.book(device_id=f"device {n}", model_id=f"lab/{n}")
    text = Page(office.metrics).render()
    for label in ("device", "model"):
        values = re.findall(rf"^cheaprouter_{label}_requests_total\{{.*\}} (\d+)$", text, re.MULTILINE)
        assert len(values) == MOST_SERIES + 1
        assert sum(map(int, values)) == MOST_SERIES + 50


def counters(text):
    lines = [line.rpartition(" ") for line in text.splitlines() if "_total" in line and line[0] != "#"]
    return {name: float(value) for name, _, value in lines}


async def test_no_counter_steps_back_when_others_become_the_busiest_or_are_forgotten(office):
    office = office()
    for n in range(MOST_SERIES + 50):
        office.book(device_id=f"device {n:03}")
    page = Page(office.metrics)
    before = counters(page.render())
    for n in range(MOST_SERIES, MOST_SERIES + 50):
        for _ in range(5):
            office.book(device_id=f"device {n:03}")
    office.metrics.on_event(DeviceRemoved("device 000"))
    office.metrics.on_event(DeviceRemoved("device 149"))
    office.book(device_id="newcomer")
    after = counters(page.render())
    gone = {name for name in before if name not in after}
    assert all('"device 000"' in name for name in gone)
    assert [name for name in after if after[name] < before.get(name, 0)] == []


async def test_a_device_called_as_the_rest_is_among_the_rest(office):
    office = office()
    for device in ("other", "kitchen"):
        office.book(device_id=device)
    found = counters(Page(office.metrics).render())
    assert found['cheaprouter_device_requests_total{device="other"}'] == 1


@given(st.text())
def test_no_label_breaks_a_line(text):
    assert "\n" not in _escape(text)
    assert '"' not in re.sub(r"\\.", "", _escape(text))
