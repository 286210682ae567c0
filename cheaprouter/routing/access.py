"""What a requested name stands for, and what the device may make of it. Pure rules; a denial is never worked around.

Names are looked up in this order: the device's fixed model, aliases, profile ids (`blockrun/auto:7` sets the slider), exact
ids, the alias `*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ..catalog.table import ModelTable
from ..config.settings import Alias, BudgetAction, DeviceSettings, Settings
from ..config.values import AUTO
from ..core.const import PROFILE_OWNER
from ..core.errors import InvalidRequestError, ModelNotFoundError, PermissionDeniedError
from ..core.models import Model, Profile
from ..core.records import dataclass
from .candidates import Bounds, matches, of_kind

ANY: Final = "*"
_SHOWN: Final = 80
_PROFILES: Final = {profile.value: profile for profile in Profile}
_PROFILE_IDS: Final = frozenset(profile.model_id for profile in Profile)

_ONCE_SPENT: Final[Mapping[BudgetAction, tuple[Profile, tuple[Profile, ...]]]] = {
    BudgetAction.FREE: (Profile.FREE, ()),
    BudgetAction.ECO: (Profile.ECO, (Profile.ECO, Profile.FREE)),
}
"""What chooses instead once a budget is spent, and which profiles may go on as they are; so may every free model."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A name made out: either one `model`, or a `profile` to choose by, and the alias whose rules apply.

    `steps`: the names on the way, the requested one first. `cost_quality`: from a suffix, None without one.
    """

    steps: tuple[str, ...]
    model: Model | None = None
    profile: Profile | None = None
    cost_quality: float | None = None
    alias: Alias | None = None
    wildcard: bool = False
    pinned: bool = False


class Resolver:
    """Makes names out against one table and one configuration."""

    def __init__(self, table: ModelTable, settings: Settings) -> None:
        self._table = table
        self._aliases = settings.aliases

    def resolve(self, requested: str, policy: DeviceSettings) -> Resolution:
        """What a request's model name stands for. Raises ModelNotFoundError with names that look alike."""
        if not policy.model or policy.model == AUTO:
            return self._made_out(requested)
        found = self._made_out(policy.model)
        return replace(found, steps=(requested, *found.steps), wildcard=False, pinned=True)

    def _made_out(self, requested: str) -> Resolution:
        steps = [requested]
        alias: Alias | None = None
        while (step := self._aliases.get(steps[-1])) is not None and steps[-1] != ANY:
            alias = alias or step
            if step.target in steps:
                break
            steps.append(step.target)
        found = self._direct(steps, alias)
        if found is None and (anything := self._aliases.get(ANY)) is not None:
            found = self._direct([*steps, anything.target], anything, wildcard=True)
        if found is None:
            raise ModelNotFoundError(self._missing(steps))
        return found

    def _direct(self, steps: list[str], alias: Alias | None, *, wildcard: bool = False) -> Resolution | None:
        name = steps[-1]
        if (profile := _profile_named(name)) is not None:
            return Resolution(tuple(steps), None, profile[0], profile[1], alias, wildcard)
        if (model := self._table.get(name)) is not None:
            return Resolution(tuple(steps), model, alias=alias, wildcard=wildcard)
        return None

    def _missing(self, steps: list[str]) -> str:
        name = steps[-1][:_SHOWN]
        through = f" (which `{steps[0][:_SHOWN]}` stands for)" if len(steps) > 1 else ""
        if name.startswith(f"{PROFILE_OWNER}/{Profile.AUTO.value}:"):
            return f"The model `{name}`{through} does not exist: after the colon belongs a number from 0 (cost) to 10 (quality)."
        near = self._table.near(name, (alias for alias in self._aliases if alias != ANY))
        likely = " or ".join(f"`{other}`" for other in near)
        hint = f"Did you mean {likely}?" if near else "GET /v1/models lists them all."
        return f"The model `{name}`{through} does not exist here. {hint}"


def _profile_named(name: str) -> tuple[Profile, float | None] | None:
    owner, _, rest = name.partition("/")
    word, colon, suffix = rest.partition(":")
    profile = _PROFILES.get(word) if owner == PROFILE_OWNER else None
    if profile is None or not colon:
        return None if profile is None else (profile, None)
    try:
        number = float(suffix)
    except ValueError:
        return None
    return (profile, number) if profile is Profile.AUTO and 0 <= number <= 10 else None


# --- what the device may ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """The outcome: a `model` to serve as asked, or a `profile` to choose by within `bounds`.

    `budget`: the consequence of a spent budget that changed the request, if one did. `paused`: cloud models are paused.
    """

    profile: Profile
    bounds: Bounds
    model: Model | None = None
    budget: BudgetAction | None = None
    paused: bool = False

    def permits(self, model: Model) -> bool:
        """Whether a stand-in named in the settings is of the kind, and keeps to the device's rules and the pause."""
        allow = self.bounds.allow
        if (allow is not None and not matches(allow, model)) or (self.paused and not model.local):
            return False
        return model.kind == self.bounds.kind and not matches(self.bounds.exclude, model)


def access(
    target: Resolution,
    policy: DeviceSettings,
    home: Profile,
    never: tuple[str, ...],
    action: BudgetAction | None,
    *,
    only_local: bool,
    kind: str = "chat",
) -> Access:
    """Apply the device's rules to what it asked for. Raises PermissionDeniedError, InvalidRequestError.

    `home`: the profile where nobody says otherwise. `never`: models that no profile may choose. `kind`: what kind of model
    the request needs.
    """
    profile = _profile(target, policy, home)
    allow = _allowed(target, profile, policy)
    excluded = policy.exclude or ()
    model, budget = target.model, None
    if model is not None:
        _check(model, target, Bounds(allow=allow, exclude=excluded, only_local=only_local, kind=kind))
    if (instead := _ONCE_SPENT.get(action) if action is not None else None) is not None:
        cheaper, content = instead
        if profile not in content if model is None else not model.free:
            model, profile, budget = None, cheaper, action
    alias = target.alias
    bounds = Bounds(
        allow=allow,
        alias_models=alias.models if alias else (),
        exclude=(*excluded, *(alias.exclude if alias else ()), *(never if model is None else ())),
        free_only=profile is Profile.FREE and model is None,
        only_local=only_local,
        kind=kind,
    )
    return Access(profile, bounds, model, budget, only_local)


def _profile(target: Resolution, policy: DeviceSettings, home: Profile) -> Profile:
    """The device's profile stands in where the choice is left to the router; a slider in the name is a choice."""
    if target.profile is not Profile.AUTO or target.cost_quality is not None:
        return target.profile or Profile.AUTO
    return policy.profile or home


def _allowed(target: Resolution, profile: Profile, policy: DeviceSettings) -> tuple[str, ...] | None:
    """The device's list as patterns for models; None where it may use any.

    A profile on the list opens every model to that profile. Names on the way (an alias, say) count as listed too.
    """
    listed = policy.models
    if listed is None or target.pinned:
        return None
    named = any(step in listed for step in target.steps)
    patterns = tuple(name for name in listed if name not in _PROFILE_IDS)
    if target.model is not None:
        return (*patterns, target.model.id) if named else patterns
    if named or profile.model_id in listed:
        return None
    if not patterns:
        told = f"This device may not use `{target.steps[0][:_SHOWN]}`; it may use {', '.join(listed) or 'nothing'}."
        raise PermissionDeniedError(told)
    return patterns


def _check(model: Model, target: Resolution, bounds: Bounds) -> None:
    """Whether a model that was named may be asked, and can be. A device's fixed model needs no place on its list."""
    allow, excluded, kind = bounds.allow, bounds.exclude, bounds.kind
    if not target.pinned and ((allow is not None and not matches(allow, model)) or matches(excluded, model)):
        raise PermissionDeniedError(f"This device may not use `{target.steps[0][:_SHOWN]}`.")
    if model.kind != kind:
        told = f"`{model.id}` is {of_kind(model.kind)}, and this request needs {of_kind(kind)}."
        raise InvalidRequestError(told, param="model")
    if bounds.only_local and not model.local:
        told = f"`{model.id}` runs in the cloud, and cloud models are paused."
        raise PermissionDeniedError(told, code="cloud_paused")
