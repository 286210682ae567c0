"""The decision: which model answers a request, which ones stand in, and why. Synchronous, and nobody is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..catalog.prices import cost
from ..catalog.table import ModelTable
from ..config.settings import BudgetAction, DeviceSettings, Settings
from ..core.errors import BudgetError, NoCandidateError
from ..core.models import Difficulty, Json, Model, Operation, Profile, RouteDecision, Usage
from ..core.records import dataclass
from ..wire.openai_chat.request import parse
from . import reasons
from .access import Access, Resolution, Resolver, access
from .candidates import Constraints, Needs, Shortlist, Shortlists, ceiling, select, too_big
from .choose import CACHE_LIFE, RETRY_SPAN, Pin, RankedCandidate, StickyStore, close, fitting, mixed, order
from .difficulty import DifficultyModel
from .features import Features, extract

_FEW: Final = 6
"""Where fewer of a short list fit a request, all candidates are looked at."""

_LOOKED_AT: Final = 12
"""How many of the best are looked for among those that may be asked: enough for a chain that mixes providers."""

_ROUTES: Final = 512
_LONGEST_KEPT: Final = 200
"""How many routes are kept, and the longest name they are kept for: names come from clients."""

_ESCALATED: Final = 0.6
"""Least difficulty of a question that came back: whatever answered it before did not satisfy."""

_SCORED: Final = (Profile.AUTO, Profile.ECO)
"""Profiles that ask how hard a request is."""

_FREE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What a decision may know besides the request: values alone, nobody is asked for more.

    `policy`: the device's effective settings. `budget_action`: what a spent budget asks for, None while there is money.
    `at`: UTC, for prices. `now`: monotonic seconds. By model id, as far as known: `down`: may not be asked now; `latency`:
    milliseconds to the first token; `outputs`: tokens a reply usually has; `corrections`: actual over estimated prompt
    tokens. `only_local`: cloud models are paused. `profile`, `cost_quality`: the home's, where changed at run time; None:
    as configured.
    """

    device_id: str
    policy: DeviceSettings
    at: datetime
    now: float
    budget_action: BudgetAction | None = None
    down: frozenset[str] = frozenset()
    latency: Mapping[str, float] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    corrections: Mapping[str, float] = field(default_factory=dict)
    only_local: bool = False
    profile: Profile | None = None
    cost_quality: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What the model's name and the device's rules make of a request, whatever it says; kept for the next one."""

    policy: DeviceSettings
    target: Resolution
    access: Access
    constraints: Constraints
    cost_quality: float
    who: str


@dataclass(slots=True)
class _Work:
    """One request on its way to a decision."""

    context: RouteContext
    route: Route
    features: Features
    needs: Needs
    pin: Pin | None = None
    difficulty: Difficulty | None = None
    kept_on: bool = False
    escalated: bool = False


class Router:
    """Decides for one table and one configuration; a new one of either makes a new router, which takes over `sticky`."""

    def __init__(
        self,
        table: ModelTable,
        settings: Settings,
        difficulty: DifficultyModel,
        *,
        sticky: StickyStore | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = table
        self.settings = settings
        self.sticky = StickyStore() if sticky is None else sticky
        self.baseline = table.baseline(settings)
        self._difficulty = difficulty
        self._resolver = Resolver(table, settings)
        self._shortlists = Shortlists(table)
        self._routes: dict[object, Route] = {}
        self._fallbacks = max(0, settings.routing.max_attempts - 1)
        # Where there is nothing to change to, nobody needs to know which model a conversation is on.
        self._sticky = settings.routing.sticky and len(table.ids()) > 1
        self._monotonic = monotonic

    def decide(self, request: Operation, context: RouteContext) -> RouteDecision:
        """The model and its stand-ins.

        Raises ModelNotFoundError, PermissionDeniedError (the device may not), InvalidRequestError (a named model is of
        another kind), NoCandidateError (none can) or BudgetError (the budget is spent and nothing free is left).
        """
        return self._decided(self._begin(request, context))

    def served(self, device_id: str, decision: RouteDecision, model: Model) -> None:
        """That model answered: the conversation stays with it while that pays."""
        if self._sticky:
            self.sticky.remember(device_id, decision, model, self._monotonic())

    def failed(self, device_id: str, decision: RouteDecision) -> None:
        """Nothing of the chain answered: another try of the same asks for something better."""
        if self._sticky:
            self.sticky.failed(device_id, decision, self._monotonic())

    def explain(self, body: Json, context: RouteContext) -> Json:
        """All that a decision looks at, in numbers and words. Raises what `decide` raises, except for want of a candidate."""
        work = self._begin(parse(body, default_model=Profile.AUTO.model_id), context)
        route = work.route
        difficulty = work.difficulty = self._difficulty.score(work.features)
        kept, dropped = select(self.table, work.needs, route.constraints, context.at, context.latency)
        view = reasons.view(route.target, route.access.profile, work.features, difficulty, dropped)
        if route.access.model is not None:
            return {**view, **reasons.outcome(self._decided(work))}
        try:
            ranked = self._ranked(work)
        except (NoCandidateError, BudgetError) as error:
            return {**view, "model": None, "error": error.message}
        level = self._level(work)
        rows = [reasons.row(one, level, healthy=one.candidate.id not in context.down) for one in ranked]
        listed = {row["id"] for row in rows}
        beaten = [{"id": model.id, "beaten": True} for model in kept if model.id not in listed]
        return {**view, **reasons.outcome(self._chosen(work, ranked)), "candidates": [*rows, *beaten]}

    # --- the way to a decision ---------------------------------------------------------------------------------

    def _begin(self, request: Operation, context: RouteContext) -> _Work:
        features = extract(request.body)
        return _Work(context, self._route(request, context), features, Needs.of(features, request.n))

    def _decided(self, work: _Work) -> RouteDecision:
        if work.route.access.model is not None:
            return self._named(work, work.route.access.model)
        return self._chosen(work, self._ranked(work))

    def _route(self, request: Operation, context: RouteContext) -> Route:
        requested, policy = request.model, context.policy
        key = (
            requested, request.kind, id(policy), context.budget_action, context.only_local, context.profile,
            context.cost_quality,
        )  # fmt: skip
        route = self._routes.get(key)
        if route is not None and route.policy is policy:
            return route
        route = self._made(requested, request.kind, context)
        if len(requested) <= _LONGEST_KEPT:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            self._routes[key] = route
        return route

    def _made(self, requested: str, kind: str, context: RouteContext) -> Route:
        policy, routing = context.policy, self.settings.routing
        target = self._resolver.resolve(requested, policy)
        granted = access(
            target, policy, context.profile or routing.profile, routing.exclude, context.budget_action,
            only_local=context.only_local, kind=kind,
        )  # fmt: skip
        alias = target.alias
        wishes = (target.cost_quality, alias.cost_quality if alias else None, policy.cost_quality, context.cost_quality)
        slider = next((value for value in wishes if value is not None), routing.cost_quality)
        constraints = Constraints(
            granted.bounds,
            ceiling(routing.max_cost, alias.max_cost if alias else None),
            alias.max_first_token_ms if alias else None,
        )
        return Route(policy, target, granted, constraints, slider, reasons.who(target, granted))

    def _named(self, work: _Work, model: Model) -> RouteDecision:
        """As asked, whatever it can do; only its own fallbacks, and of those only what can serve the request."""
        route, context, needs = work.route, work.context, work.needs
        named = map(self.table.get, self.settings.fallbacks.get(model.id, ()))
        stand_ins = [other for other in named if other is not None and self._may_stand_in(other, work)]
        output = needs.reply(context.outputs.get(model.id))
        return self._decision(work, (model, *stand_ins), output, reasons.named(route.target, model))

    def _may_stand_in(self, model: Model, work: _Work) -> bool:
        needs, limit = work.needs, work.route.constraints.max_cost
        if not needs.capabilities <= model.capabilities or too_big(model, needs):
            return False
        if not work.route.access.permits(model):
            return False
        if limit is None:
            return True
        amount = cost(Usage(needs.prompt_tokens, needs.reply(None)), model, work.context.at)
        return amount is not None and amount <= limit

    def _ranked(self, work: _Work) -> list[RankedCandidate]:
        """Every candidate that fits, best first. Raises where there is none."""
        route, context = work.route, work.context
        profile = route.access.profile
        shortlist = self._shortlists.get(work.needs.capabilities, route.access.bounds, context.at)
        if self._sticky and profile is not Profile.PREMIUM and len(shortlist.every) > 1:
            work.pin = self._pin(work.features, context)
        ranked = self._fitting(shortlist, work)
        if not ranked:
            _, dropped = select(self.table, work.needs, route.constraints, context.at, context.latency)
            raise reasons.no_candidate(route.access, dropped)
        if len(ranked) == 1:
            return ranked
        order(ranked, profile, self._level(work) if profile in _SCORED else 0.0, route.cost_quality)
        return ranked if work.pin is None else self._settled(ranked, work.pin, work)

    def _fitting(self, shortlist: Shortlist, work: _Work) -> list[RankedCandidate]:
        context, pin = work.context, work.pin
        # What the conversation's provider probably still has in its cache.
        cached = None if pin is None or context.now - pin.at > CACHE_LIFE else (pin.model_id, pin.prompt_tokens)
        found: list[RankedCandidate] = []
        for candidates in (shortlist.best, shortlist.every):
            found = fitting(candidates, work.needs, work.route.constraints, context.outputs, context.latency, cached)
            if len(found) >= _FEW or len(shortlist.every) == len(candidates):
                break
        return found

    def _level(self, work: _Work) -> float:
        if work.difficulty is None:
            work.difficulty = self._difficulty.score(work.features)
        level = work.difficulty.score
        if work.features.repeats or (work.pin is not None and work.pin.failed):
            level = max(level, _ESCALATED)
        return level

    def _pin(self, features: Features, context: RouteContext) -> Pin | None:
        pin = self.sticky.find(context.device_id, features.conversation_key, context.now)
        if features.turns <= 1 and not features.in_tool_loop:
            # Two chats may open with the same words: only a request that just failed counts as the same one again.
            return pin if pin is not None and pin.failed and context.now - pin.at <= RETRY_SPAN else None
        if pin is None and features.in_tool_loop:
            pin = self.sticky.find(context.device_id, features.opening_key, context.now)
        return pin

    @staticmethod
    def _settled(ranked: list[RankedCandidate], pin: Pin, work: _Work) -> list[RankedCandidate]:
        """The order, with the conversation's own model in front where it should stay, or behind where it has failed."""
        if pin.failed or work.features.repeats:
            better = [one for one in ranked if one.quality > pin.quality]
            work.escalated = bool(better) and better[0] is not ranked[0]
            return [*better, *(one for one in ranked if one.quality <= pin.quality)]
        held = next((one for one in ranked if one.candidate.id == pin.model_id), None)
        if held is None:
            return ranked
        if held is ranked[0] or work.features.in_tool_loop or close(held, ranked[0], work.route.access.profile):
            work.kept_on = True
            return [held, *(one for one in ranked if one is not held)]
        return ranked

    def _chosen(self, work: _Work, ranked: list[RankedCandidate]) -> RouteDecision:
        """The best that may be asked now and its stand-ins; those that may not go last."""
        down, route = work.context.down, work.route
        ready, cooling = list[RankedCandidate](), list[RankedCandidate]()
        for one in ranked:
            (cooling if one.candidate.id in down else ready).append(one)
            if len(ready) >= _LOOKED_AT:
                break
        chain = mixed([one.candidate.model for one in ready], self._fallbacks)
        if cooling:
            chain = (*chain, *(one.candidate.model for one in cooling))[: self._fallbacks + 1]
        first = ready[0] if ready else cooling[0]
        kept_on = work.kept_on and first is ranked[0]
        found, hard, escalated = len(ranked), work.difficulty, work.escalated
        reason = reasons.chosen(
            route.who, route.access.profile, first, found, hard, kept_on=kept_on, escalated=escalated, cooling=not ready
        )
        return self._decision(work, chain, first.output, reason, first)

    def _decision(
        self, work: _Work, chain: tuple[Model, ...], output: int, why: str, chosen: RankedCandidate | None = None
    ) -> RouteDecision:
        model, context, estimate = chain[0], work.context, work.needs.prompt_tokens
        prompt = max(1, round(estimate * context.corrections.get(model.id, 1.0)))
        free = chosen is not None and chosen.candidate.free
        return RouteDecision(
            model=model,
            fallbacks=chain[1:],
            reason=why if why.isascii() and why.isprintable() else reasons.ascii_line(why),
            profile=None if chosen is None else work.route.access.profile,
            named=chosen is None,
            difficulty=work.difficulty,
            expected_cost=_FREE if free else cost(Usage(prompt, output), model, context.at),
            prompt_tokens=prompt,
            estimated_prompt=estimate,
            expected_output=output,
            conversation_key=work.features.conversation_key if self._sticky else "",
        )
