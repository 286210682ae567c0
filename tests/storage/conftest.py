from __future__ import annotations

import pytest

from cheaprouter.books.database import Database


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "cheaprouter.db")
    made.open()
    yield made
    made.close_sync()
