"""The routable models, ready to be asked for by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from ..config.settings import Settings
from ..core.models import Model, Profile
from .quality import measured


class ModelTable:
    """All models of all providers in use. Immutable; a new configuration makes a new table.

    `reference`: models that are known but not in use, for a baseline to count savings against. `notes`: what is odd about
    the models, in words, for the log.
    """

    def __init__(
        self, models: Iterable[Model], *, reference: Mapping[str, Model] | None = None, notes: Iterable[str] = ()
    ) -> None:
        self._by_id = {model.id: model for model in models}
        self.models: tuple[Model, ...] = tuple(self._by_id.values())
        self.notes = tuple(notes)
        self._reference = dict(reference or {})

    def get(self, model_id: str) -> Model | None:
        """The model of exactly that id."""
        return self._by_id.get(model_id)

    def ids(self) -> list[str]:
        """Ids of the models that anything may use; those that answer only to their own name are left out."""
        return [model.id for model in self.models if not model.hidden]

    def near(self, name: str, others: Iterable[str] = ()) -> list[str]:
        """At most three names that look like a mistyped one."""
        names = [*self._by_id, *(profile.model_id for profile in Profile), *others]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        tail = name.rsplit("/", 1)[-1]
        return close or [model_id for model_id in self._by_id if tail and model_id.rsplit("/", 1)[-1] == tail][:3]

    def baseline(self, settings: Settings) -> Model | None:
        """What savings are counted against: the model named in the settings, in use or not; else the best one in use."""
        if name := settings.routing.baseline_model:
            return self._by_id.get(name) or self._reference.get(name)
        priced = [model for model in self.models if model.priced and not model.hidden]
        return max(priced, key=_standing, default=None)


def _standing(model: Model) -> tuple[bool, float, str]:
    return measured(model.quality), model.quality.value, model.id
