"""What a refused request asked, however large it was."""

from __future__ import annotations

import pytest

from cheaprouter.core.models import Model
from cheaprouter.providers.failures import asked_of

MODEL = Model("lab/small", "lab", "small", context=1000)
MANY = 17_000_000


@pytest.mark.parametrize(
    ("letters", "fullness"), [(b"a" * 4000, 0.0), (b"a b " * 1000, 1.0), (b"a" * 500 + b" ", 0.125)]
)
def test_embedded_files_are_no_text(letters, fullness):
    assert asked_of(MODEL, letters, None).fullness == pytest.approx(fullness, abs=0.001)


def test_a_request_with_many_megabytes_of_pictures_is_not_looked_at():
    asked = asked_of(MODEL, b'{"a":"%b"}' % (b"a" * MANY), None)
    assert (asked.fullness, asked.decoded()) == (0.0, None)
