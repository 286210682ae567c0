"""The table of a run: medians, what is added to a direct call, ratios to nginx, its place in README.md."""

from __future__ import annotations

import pytest


@pytest.fixture
def table(benchmark_file):
    return benchmark_file("table")


def a_run(**targets: dict[str, list[dict[str, float | None]]]) -> dict:
    found = {name: {"many": [{"other": 0.0}], **phases} for name, phases in targets.items()}
    return {
        "when": "today",
        "machine": "a machine",
        "python": "3.13.0",
        "quick": False,
        "missing": [],
        "targets": found,
    }


def row(text: str, words: str) -> list[str]:
    return next([c.strip() for c in line.split("|")[2:-1]] for line in text.splitlines() if words in line)


def test_what_is_added_is_the_difference_to_the_direct_call_of_the_same_round(table) -> None:
    run = a_run(
        direct={"one": [{"p50": 100.0}, {"p50": 500.0}, {"p50": 100.0}]},
        nginx={"one": [{"p50": 150.0}, {"p50": 550.0}, {"p50": 150.0}]},
        CheapRouter={"one": [{"p50": 300.0}, {"p50": 700.0}, {"p50": 350.0}]},
    )
    assert row(table.render(run), "added p50") == ["-", "50", "200", "4"]


def test_without_nginx_there_are_figures_and_no_ratios(table) -> None:
    run = a_run(direct={}, CheapRouter={"held": [{"peak": 80.0, "cpu": None}]})
    assert row(table.render(run), "highest memory") == ["-", "-", "80", "-"]


def test_what_other_benchmarks_found_is_a_table_below(table) -> None:
    run = a_run(direct={}, CheapRouter={})
    run["parts"] = {"start": {"python": "3.13.0", "bare": {"ms": 200.0}, "router": {"ms": 300.0}}, "growth": None}
    text = table.render(run)
    assert "Start (python: 3.13.0):" in text
    assert row(text, "| ms ") == ["200.0", "300.0"]
    assert "Growth" not in text


def test_a_table_takes_the_place_of_the_one_before(table, tmp_path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.into(file, "new")
    table.into(file, "newer")
    assert file.read_text() == f"before\n{table.BEGIN}\nnewer\n{table.END}\nafter\n"


def test_a_file_without_a_place_for_it_is_left_alone(table, tmp_path) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place"):
        table.into(file, "new")
    assert file.read_text() == "nothing here\n"
