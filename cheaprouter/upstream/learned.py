"""What upstreams taught us about their models: parameters to rename or leave out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..core.models import Json, Model

_MOST: Final = 500
_NOTHING: Final[Mapping[str, str | None]] = MappingProxyType({})


class Learned:
    """Changes by provider and upstream model, as long as the process runs; the oldest go first."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], dict[str, str | None]] = {}

    def of(self, model: Model) -> Mapping[str, str | None]:
        """The changes for requests to this model."""
        return self._changes.get((model.provider, model.upstream), _NOTHING) if self._changes else _NOTHING

    def learn(self, model: Model, change: Mapping[str, str | None]) -> bool:
        """Remember a change; False where it was known already, so that another try is pointless.

        A rename that was refused too turns into leaving out, never back into the first name.
        """
        known = self._changes.setdefault((model.provider, model.upstream), {})
        fresh = {name: new for name, new in change.items() if name not in known and name not in known.values()}
        if not fresh:
            return False
        known.update(fresh)
        while len(self._changes) > _MOST:
            del self._changes[next(iter(self._changes))]
        return True

    def status(self, provider: str) -> Json:
        """For people: upstream model to its changes; "" for a parameter that is left out."""
        return {
            model: {name: new or "" for name, new in changes.items()}
            for (owner, model), changes in self._changes.items()
            if owner == provider and changes
        }
