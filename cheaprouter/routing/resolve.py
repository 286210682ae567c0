"""What a requested model name stands for. Pure.

In this order: the device's fixed model, aliases, profile ids (`blockrun/auto:7` sets the slider), exact ids, the alias `*`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..catalog.table import ModelTable
from ..config.settings import Alias, DeviceSettings, Settings
from ..core.const import PROFILE_OWNER
from ..core.errors import ModelNotFoundError
from ..core.models import Model, Profile

ANY: Final = "*"
PINNED_BY_NOBODY: Final = (None, "", "auto")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Target:
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

    def resolve(self, requested: str, policy: DeviceSettings) -> Target:
        """The target of a request. Raises ModelNotFoundError with names that look alike."""
        if policy.model not in PINNED_BY_NOBODY:
            assert policy.model is not None
            found = self._made_out(policy.model)
            return Target(
                (requested, *found.steps), found.model, found.profile, found.cost_quality, found.alias, pinned=True
            )
        return self._made_out(requested)

    def _made_out(self, requested: str) -> Target:
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

    def _direct(self, steps: list[str], alias: Alias | None, *, wildcard: bool = False) -> Target | None:
        name = steps[-1]
        if (profile := _profile(name)) is not None:
            return Target(tuple(steps), None, profile[0], profile[1], alias, wildcard)
        if (model := self._table.get(name)) is not None:
            return Target(tuple(steps), model, alias=alias, wildcard=wildcard)
        return None

    def _missing(self, steps: list[str]) -> str:
        name = steps[-1][:_SHOWN]
        through = f" (which `{steps[0][:_SHOWN]}` stands for)" if len(steps) > 1 else ""
        if name.startswith(f"{PROFILE_OWNER}/{Profile.AUTO.value}:"):
            return f"The model `{name}`{through} does not exist: after the colon belongs a number from 0 (cost) to 10 (quality)."
        near = self._table.near(name, (alias for alias in self._aliases if alias != ANY))
        hint = (
            f" Did you mean {' or '.join(f'`{other}`' for other in near)}?"
            if near
            else " GET /v1/models lists them all."
        )
        return f"The model `{name}`{through} does not exist here.{hint}"


def _profile(name: str) -> tuple[Profile, float | None] | None:
    owner, _, rest = name.partition("/")
    if owner != PROFILE_OWNER:
        return None
    word, colon, suffix = rest.partition(":")
    if word not in _PROFILES:
        return None
    profile = Profile(word)
    if not colon:
        return profile, None
    number = _slider(suffix)
    return (profile, number) if profile is Profile.AUTO and number is not None else None


def _slider(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 10 else None


_PROFILES: Final = frozenset(profile.value for profile in Profile)
