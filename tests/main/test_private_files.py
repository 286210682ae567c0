"""What lies in the data folder is for its owner alone."""

from __future__ import annotations

import os

from cheaprouter.accounts import keys
from cheaprouter.config import files
from tests.fakes.router import router


async def test_no_file_that_holds_a_key_or_what_was_asked_can_be_read_by_others(tmp_path):
    before = os.umask(0)
    try:
        async with router(tmp_path / "data", {"auth": "open"}) as client:
            await client.app.house.accounts.add_key("kitchen")
            await client.sdk.chat.completions.create(
                model="mock/default", messages=[{"role": "user", "content": "hello"}]
            )
            await client.app.house.recorder.flush()
            keys.reset_admin_key(tmp_path / "data" / "admin_key")
            found = {
                path.relative_to(tmp_path / "data").as_posix(): path.stat().st_mode & 0o077
                for path in (tmp_path / "data").rglob("*")
                if path.is_file()
            }
    finally:
        os.umask(before)
    assert {"cheaprouter.db", "admin_key", files.LAST_GOOD} <= found.keys()
    # The user's own file, an id that is no secret, and an empty mark.
    assert {name for name, mode in found.items() if mode} <= {"cheaprouter.yaml", "instance_id", "cache/in-use"}
