"""What a device may use, and what a spent budget or a pause makes of its request. Pure rules; a denial is never worked around."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import BudgetAction, DeviceSettings
from ..core.errors import PermissionDeniedError
from ..core.models import Model, Profile
from .candidates import Bounds, matches
from .resolve import Target


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
        """Whether a stand-in named in the settings keeps to the device's rules and the pause."""
        allow = self.bounds.allow
        if (allow is not None and not matches(allow, model)) or (self.paused and not model.local):
            return False
        return not matches(self.bounds.exclude, model)


def access(
    target: Target,
    policy: DeviceSettings,
    home: Profile,
    never: tuple[str, ...],
    action: BudgetAction | None,
    *,
    only_local: bool,
) -> Access:
    """Apply the device's rules to what it asked for. Raises PermissionDeniedError.

    `home`: the profile where nobody says otherwise. `never`: models that no profile may choose.
    """
    profile = _profile(target, policy, home)
    allow = _allowed(target, profile, policy)
    excluded = policy.exclude or ()
    model = target.model
    if model is not None and not target.pinned:
        _check(model, target, allow, excluded)
    if model is not None and only_local and not model.local:
        raise PermissionDeniedError(
            f"`{model.id}` runs in the cloud, and cloud models are paused.", code="cloud_paused"
        )
    budget: BudgetAction | None = None
    if action is BudgetAction.FREE and (model is None or not model.free):
        model, profile, budget = None, Profile.FREE, action
    elif action is BudgetAction.ECO and (
        profile not in (Profile.ECO, Profile.FREE) if model is None else not model.free
    ):
        model, profile, budget = None, Profile.ECO, action
    alias = target.alias
    bounds = Bounds(
        allow=allow,
        alias_models=alias.models if alias else (),
        exclude=(*excluded, *(alias.exclude if alias else ()), *(never if model is None else ())),
        free_only=profile is Profile.FREE and model is None,
        only_local=only_local,
    )
    return Access(profile, bounds, model, budget, only_local)


def _profile(target: Target, policy: DeviceSettings, home: Profile) -> Profile:
    """The device's profile stands in where the choice is left to the router; a slider in the name is a choice."""
    if target.profile is not Profile.AUTO or target.cost_quality is not None:
        return target.profile or Profile.AUTO
    return policy.profile or home


def _allowed(target: Target, profile: Profile, policy: DeviceSettings) -> tuple[str, ...] | None:
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
        raise PermissionDeniedError(
            f"This device may not use `{target.steps[0][:80]}`; it may use {', '.join(listed) or 'nothing'}."
        )
    return patterns


def _check(model: Model, target: Target, allow: tuple[str, ...] | None, excluded: tuple[str, ...]) -> None:
    if (allow is not None and not matches(allow, model)) or matches(excluded, model):
        raise PermissionDeniedError(f"This device may not use `{target.steps[0][:80]}`.")


_PROFILE_IDS = frozenset(profile.model_id for profile in Profile)
