from __future__ import annotations

import os
from pathlib import Path

import pytest

from cheaprouter.config.files import PATIENCE, SETTLE, ConfigWatcher
from cheaprouter.config.loader import Loaded, load
from cheaprouter.config.losses import may_grow


class Watched:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "cheaprouter.yaml"
        self.file.write_text("max_devices: 1")
        self.seen: list[int] = []
        self.problems: list[list[str]] = []
        self.watcher = ConfigWatcher(
            [self.file], self.load, self.changed, on_problem=self.problems.append, sleep=self.sleep
        )

    def load(self) -> Loaded:
        return load(self.file, self.file.parent, {})

    async def sleep(self, _seconds: float) -> None:
        """Files settle at once here."""

    async def changed(self, loaded: Loaded) -> None:
        self.seen.append(loaded.settings.max_devices)


async def at_once(_seconds: float) -> None:
    pass


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


async def test_an_unchanged_file_is_left_alone(watched):
    assert not await watched.watcher.poll()


async def test_a_changed_file_is_loaded_and_handed_on(watched):
    watched.file.write_text("max_devices: 22")
    assert await watched.watcher.poll()
    assert watched.seen == [22]


async def test_a_touched_file_with_the_same_content_changes_nothing(watched):
    os.utime(watched.file, ns=(1, 1))
    assert not await watched.watcher.poll()


async def test_a_broken_file_keeps_the_old_settings_and_is_reported_once(watched):
    watched.file.write_text("max_devices: none of your business")
    await watched.watcher.poll()
    await watched.watcher.poll()
    assert watched.seen == []
    assert len(watched.problems) == 1


async def test_a_mended_file_is_taken_again(watched):
    watched.file.write_text("max_devices: [")
    await watched.watcher.poll()
    watched.file.write_text("max_devices: 3")
    await watched.watcher.poll()
    assert watched.seen == [3]


async def test_a_file_that_appears_later_is_noticed(tmp_path):
    seen: list[Loaded] = []

    async def changed(loaded: Loaded) -> None:
        seen.append(loaded)

    watcher = ConfigWatcher(
        [tmp_path / "cheaprouter.yaml"], lambda: load(None, tmp_path, {}), changed, on_problem=print, sleep=at_once
    )
    (tmp_path / "cheaprouter.yaml").write_text("max_devices: 3")
    assert await watcher.poll()
    assert seen[0].settings.max_devices == 3


async def test_it_looks_again_after_each_interval(watched):
    waits: list[float] = []

    class EnoughError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise EnoughError

    watcher = ConfigWatcher(
        [watched.file], watched.watcher._load, watched.changed, on_problem=print, interval=5, sleep=sleep
    )
    with pytest.raises(EnoughError):
        await watcher.run()
    assert waits == [5, 5, 5]


async def test_a_file_that_is_still_being_written_is_left_alone_until_it_is_whole(watched, monkeypatch):
    async def writing(_seconds: float) -> None:
        watched.file.write_text("max_devices: 22\nlog_level: debug\n")

    watched.file.write_text("max_devices: 22\n")
    monkeypatch.setattr(watched.watcher, "_sleep", writing)
    assert not await watched.watcher.poll()
    assert watched.seen == []
    monkeypatch.setattr(watched.watcher, "_sleep", at_once)
    assert await watched.watcher.poll()


async def test_whatever_loading_raises_is_a_problem_and_does_not_end_the_watch(watched, monkeypatch):
    def bad() -> Loaded:
        raise RecursionError

    monkeypatch.setattr(watched.watcher, "_load", bad)
    watched.file.write_text("max_devices: 22")
    assert not await watched.watcher.poll()
    assert "RecursionError" in watched.problems[0][0]
    monkeypatch.setattr(watched.watcher, "_load", watched.load)
    watched.file.write_text("max_devices: 333")
    assert await watched.watcher.poll()


async def test_settings_that_cannot_be_taken_are_a_problem_too(watched, monkeypatch):
    async def refuse(_loaded: Loaded) -> None:
        raise OverflowError

    monkeypatch.setattr(watched.watcher, "_on_change", refuse)
    watched.file.write_text("max_devices: 22")
    assert not await watched.watcher.poll()
    assert "OverflowError" in watched.problems[0][0]


async def test_a_file_that_vanishes_between_two_looks_is_no_failure(watched, monkeypatch):
    monkeypatch.setattr(watched.watcher, "_look", lambda: [(1, 1, 1)])
    watched.file.unlink()
    assert not await watched.watcher.poll()
    assert "there is no such file" in watched.problems[0][0]


FILE = Path("cheaprouter.yaml")
OLD = "log_level: info\ndevices:\n  kid:\n    rpm: 5\n  sis:\n    rpm: 5\n"


class TestUnfinished:
    @pytest.mark.parametrize(
        "new",
        [
            OLD + "max_devices: 5\n",
            OLD.replace("info", "debug"),
            OLD.replace("info", "debug").rstrip() + "\n\n# the end",
        ],
        ids=["appended", "edited", "comment"],
    )
    def test_a_file_that_has_its_end_is_whole(self, new):
        assert not may_grow({FILE: OLD}, {FILE: new})

    @pytest.mark.parametrize(
        "new",
        ["max_devices: 5\n", OLD.replace("info", "debug")[:-5], OLD.replace("info", "debug").partition("  sis")[0]],
        ids=["first line", "within a line", "a line that is also the last"],
    )
    def test_one_without_may_be_on_its_way(self, new):
        assert may_grow({FILE: OLD}, {FILE: new})

    def test_a_new_file_may_be_too_but_not_options(self):
        assert may_grow({}, {FILE: OLD})
        assert not may_grow({FILE.with_name("options.json"): "{}"}, {FILE.with_name("options.json"): '{"rpm": 5}'})

    @pytest.fixture
    def growing(self, watched):
        watched.watcher = ConfigWatcher(
            [watched.file],
            watched.load,
            watched.changed,
            on_problem=watched.problems.append,
            may_grow=lambda loaded: loaded.settings.log_level == "info",
            sleep=watched.sleep,
        )
        return watched

    async def test_it_is_taken_once_it_stayed_as_it_is_for_long(self, growing, monkeypatch):
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            assert growing.seen == []

        monkeypatch.setattr(growing.watcher, "_sleep", sleep)
        growing.file.write_text("max_devices: 22\n")
        assert await growing.watcher.poll()
        assert growing.seen == [22]
        assert waits == [SETTLE, PATIENCE]

    async def test_a_slow_writers_first_line_is_never_in_force(self, growing, monkeypatch):
        async def write(seconds: float) -> None:
            if seconds == PATIENCE:
                growing.file.write_text("max_devices: 22\nlog_level: debug\n")

        monkeypatch.setattr(growing.watcher, "_sleep", write)
        growing.file.write_text("max_devices: 22\n")
        assert not await growing.watcher.poll()
        assert (growing.seen, growing.problems) == ([], [])
        assert await growing.watcher.poll()
        assert growing.seen == [22]

    async def test_one_that_is_only_touched_meanwhile_is_taken_at_the_next_look(self, growing, monkeypatch):
        async def touch(seconds: float) -> None:
            if seconds == PATIENCE:
                os.utime(growing.file, ns=(1, 1))

        monkeypatch.setattr(growing.watcher, "_sleep", touch)
        growing.file.write_text("max_devices: 22\n")
        assert not await growing.watcher.poll()
        assert await growing.watcher.poll()
