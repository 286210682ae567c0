"""placeholder"""
from __future__ import annotations
from collections.abc import AsyncIterator
from typing import Any
async def fuzz(stand: Any) -> AsyncIterator[Any]:
    for x in ():
        yield x
