"""What is odd about the models, in words for the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.settings import ProviderSettings, Settings
from ..core.models import Model, Profile


def of_provider(provider: ProviderSettings, models: list[Model]) -> Iterator[str]:
    """What is odd about one provider's models."""
    unpriced = [model.id for model in models if not model.priced and not model.hidden]
    if unpriced:
        shown = ", ".join(unpriced[:5]) + (", ..." if len(unpriced) > 5 else "")
        yield f"No price is known for {shown}: asked for by name only. Give a `price`, or `local: true` for a server at home."
    if models and all(model.hidden for model in models):
        yield f"No model of {provider.name} has a known price: they are asked for by name only, and profiles pass them by."
    if not models:
        yield (
            f"Provider {provider.name} has no models yet: none are configured, none are in the catalogue, "
            "and its own list has not been read."
        )


def dangling(settings: Settings, known: set[str]) -> Iterator[str]:
    """Names in the settings that lead nowhere. Silent on providers whose own list may still bring the model."""
    closed = {p.name for p in settings.providers if p.enabled and p.models and not p.discover}
    open_ = {p.name for p in settings.providers if p.enabled} - closed
    profiles = {profile.model_id for profile in Profile}

    def lost(name: str) -> bool:
        if name in known or name in settings.aliases or name.partition(":")[0] in profiles or name == "auto":
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
