from __future__ import annotations

import os
from pathlib import Path

import pytest

from cheaprouter.config.loader import Loaded, load
from cheaprouter.config.watcher import ConfigWatcher


class Watched:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "cheaprouter.yaml"
        self.file.write_text("max_devices: 1")
        self.seen: list[int] = []
        self.problems: list[list[str]] = []
        self.watcher = ConfigWatcher(
            [self.file], lambda: load(self.file, folder, {}), self.changed, on_problem=self.problems.append
        )

    async def changed(self, loaded: Loaded) -> None:
        self.seen.append(loaded.settings.max_devices)


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
        [tmp_path / "cheaprouter.yaml"], lambda: load(None, tmp_path, {}), changed, on_problem=print
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
