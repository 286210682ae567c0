"""The routable models, ready to be asked for by name, and what is odd about them, in words for the log."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from ..config.settings import ProviderSettings, Settings
from ..core.ids import other_spelling
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
        """The model of that id, Ollama's default tag written or not."""
        return self._by_id.get(model_id) or self._by_id.get(other_spelling(model_id))

    def ids(self, kind: str = "chat") -> list[str]:
        """Ids of the models of a kind that anything may use; those that answer only to their own name are left out."""
        return [model.id for model in self.models if model.kind == kind and not model.hidden]

    def near(self, name: str, others: Iterable[str] = ()) -> list[str]:
        """At most three names that look like a mistyped one."""
        names = [*self._by_id, *(profile.model_id for profile in Profile), *others]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        tail = name.rsplit("/", 1)[-1]
        return close or [model_id for model_id in self._by_id if tail and model_id.rsplit("/", 1)[-1] == tail][:3]

    def baseline(self, settings: Settings) -> Model | None:
        """What savings are counted against: the model named in the settings, in use or not; else the best chat model in use."""
        if name := settings.routing.baseline_model:
            return self.get(name) or self._reference.get(name)
        priced = [model for model in self.models if model.kind == "chat" and model.priced and not model.hidden]
        return max(priced, key=_standing, default=None)


def _standing(model: Model) -> tuple[bool, float, str]:
    return measured(model.quality), model.quality.value, model.id


# --- what is odd ------------------------------------------------------------------------------------------------------


def of_provider(provider: ProviderSettings, models: list[Model], unreadable: list[str]) -> Iterator[str]:
    """What is odd about one provider's models. `unreadable`: those whose listed price is none."""
    unpriced = [model.id for model in models if not model.priced and not model.hidden]
    if unpriced:
        yield (
            f"No price is known for {_some(unpriced)}: asked for by name only. "
            "Give a `price`, or `local: true` for a server at home."
        )
    if unreadable:
        yield f"What {provider.name} lists as the price of {_some(unreadable)} is none, and is passed over."
    if models and all(model.hidden for model in models):
        yield f"No model of {provider.name} has a known price: they are asked for by name only, and profiles pass them by."
    if not models:
        yield (
            f"Provider {provider.name} has no models yet: none are configured, none are in the catalogue, "
            "and its own list has not been read."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def dangling(settings: Settings, known: set[str]) -> Iterator[str]:
    """Names in the settings that lead nowhere. Silent on providers whose own list may still bring the model."""
    closed = {p.name for p in settings.providers if p.enabled and p.models and not p.discover}
    open_ = {p.name for p in settings.providers if p.enabled} - closed
    profiles = {profile.model_id for profile in Profile}

    def lost(name: str) -> bool:
        if (
            name in known
            or other_spelling(name) in known
            or name in settings.aliases
            or name.partition(":")[0] in profiles
            or name == "auto"
        ):
            return False
        return name.partition("/")[0] not in open_

    named = [(f"alias `{alias}`", rule.target) for alias, rule in settings.aliases.items()]
    named += [(f"fallbacks of `{model}`", other) for model, others in settings.fallbacks.items() for other in others]
    named += [("`fallbacks`", model) for model in settings.fallbacks]
    devices = {"defaults": settings.device_defaults, **settings.devices}
    named += [(f"device `{device}`", policy.model) for device, policy in devices.items() if policy.model]
    if settings.routing.baseline_model:
        named.append(("`routing.baseline_model`", settings.routing.baseline_model))
    yield from (f"{where}: no provider has a model `{name}`." for where, name in named if lost(name))
