"""The decision: which model answers a request, which ones stand in, and why. Synchronous, and nobody is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from ..catalog.prices import cost
from ..catalog.table import ModelTable
from ..config.settings import Settings
from ..core.errors import BudgetError, NoCandidateError
from ..core.models import Json, Model, Profile, RouteDecision, Usage
from ..wire.openai_chat.request import ChatRequest, parse
from . import reasons
from .access import access
from .candidates import Constraints, Needs, ceiling, select, too_big
from .choose import Option, close, fitting, mixed, order
from .context import Case, DifficultyScorer, Plan, RouteContext
from .features import Features, extract
from .resolve import Resolver
from .shortlist import Shortlist, Shortlists
from .sticky import CACHE_LIFE, RETRY_SPAN, Pin, StickyStore

__all__ = ["RouteContext", "Router"]

_FEW: Final = 6
"""Where fewer of a short list fit a request, all candidates are looked at."""

_LOOKED_AT: Final = 12
"""How many of the best are asked for their health: enough for a chain that mixes providers."""

_PLANS: Final = 512
_LONGEST_KEPT: Final = 200
"""How many plans are kept, and the longest name they are kept for: names come from clients."""

_ESCALATED: Final = 0.6
"""Least difficulty of a question that came back: whatever answered it before did not satisfy."""


class Router:
    """Decides for one table and one configuration; a new one of either makes a new router, which takes over `sticky`."""

    def __init__(
        self,
        table: ModelTable,
        settings: Settings,
        difficulty: DifficultyScorer,
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
        self._plans: dict[object, Plan] = {}
        self._fallbacks = max(0, settings.routing.max_attempts - 1)
        self._monotonic = monotonic

    def decide(self, request: ChatRequest, context: RouteContext) -> RouteDecision:
        """The model and its stand-ins.

        Raises ModelNotFoundError, PermissionDeniedError (the device may not), NoCandidateError (none can) or BudgetError
        (the budget is spent and nothing free is left).
        """
        case = self._case(request, context)
        if case.access.model is not None:
            return self._named(case, case.access.model, context)
        options = self._ranked(case, context)
        return self._decision(case, options, context)

    def served(self, device_id: str, decision: RouteDecision, model: Model) -> None:
        """That model answered: the conversation stays with it while that pays."""
        if self.settings.routing.sticky:
            self.sticky.remember(device_id, decision, model, self._monotonic())

    def failed(self, device_id: str, decision: RouteDecision) -> None:
        """Nothing of the chain answered: another try of the same asks for something better."""
        self.sticky.failed(device_id, decision, self._monotonic())

    def explain(self, body: Json, context: RouteContext) -> Json:
        """All that a decision looks at, in numbers and words. Raises what `decide` raises, except for want of a candidate."""
        request = parse(body, default_model=Profile.AUTO.model_id)
        case = self._case(request, context)
        difficulty = case.difficulty = self._difficulty.score(case.features)
        kept, dropped = select(self.table, case.needs, case.constraints, context.at)
        view = reasons.view(request.model, case.target, case.access.profile, case.features, difficulty, dropped)
        try:
            if case.access.model is not None:
                return {**view, **reasons.outcome(self._named(case, case.access.model, context))}
            options = self._ranked(case, context)
            decision = self._decision(case, options, context)
        except (NoCandidateError, BudgetError) as error:
            return {**view, "model": None, "error": error.message}
        level = self._level(case)
        rows = [reasons.row(option, level, healthy=context.healthy(option.model)) for option in options]
        listed = {row["id"] for row in rows}
        beaten = [{"id": model.id, "beaten": True} for model in kept if model.id not in listed]
        return {**view, **reasons.outcome(decision), "candidates": [*rows, *beaten]}

    # --- the way to a decision ---------------------------------------------------------------------------------

    def _case(self, request: ChatRequest, context: RouteContext) -> Case:
        plan = self._plan(request.model, context)
        features = extract(request.body)
        alias = plan.target.alias
        slow = alias.max_first_token_ms if alias is not None else None
        constraints = Constraints(plan.access.bounds, plan.max_cost, slow, context.latency)
        return Case(features, Needs.of(features, request.n), plan.target, plan.access, constraints, plan.cost_quality)

    def _plan(self, requested: str, context: RouteContext) -> Plan:
        policy = context.policy
        key = (requested, id(policy), context.budget_action, context.only_local, context.profile, context.cost_quality)
        known = self._plans.get(key)
        if known is not None and known.policy is policy:
            return known
        routing = self.settings.routing
        target = self._resolver.resolve(requested, policy)
        home = context.profile or routing.profile
        granted = access(target, policy, home, routing.exclude, context.budget_action, only_local=context.only_local)
        alias = target.alias
        wishes = (target.cost_quality, alias.cost_quality if alias else None, policy.cost_quality, context.cost_quality)
        slider = next((value for value in wishes if value is not None), routing.cost_quality)
        limit = ceiling(routing.max_cost, alias.max_cost if alias else None)
        plan = Plan(policy, target, granted, limit, slider)
        if len(requested) <= _LONGEST_KEPT:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _named(self, case: Case, model: Model, context: RouteContext) -> RouteDecision:
        """As asked, whatever it can do; only its own fallbacks, and of those only what can serve the request."""
        stand_ins = []
        for name in self.settings.fallbacks.get(model.id, ()):
            other = self.table.get(name)
            if other is not None and self._may_stand_in(other, case, context):
                stand_ins.append(other)
        return self._made(case, (model, *stand_ins), context, reasons.named(case.target, model))

    def _may_stand_in(self, model: Model, case: Case, context: RouteContext) -> bool:
        if not case.needs.capabilities <= model.capabilities or too_big(model, case.needs):
            return False
        if not case.access.permits(model):
            return False
        limit = case.constraints.max_cost
        if limit is None:
            return True
        amount = cost(Usage(case.needs.prompt_tokens, case.needs.reply(None)), model, context.at)
        return amount is not None and amount <= limit

    def _ranked(self, case: Case, context: RouteContext) -> list[Option]:
        """Every candidate that fits, best first. Raises where there is none."""
        profile = case.access.profile
        shortlist = self._shortlists.get(case.needs.capabilities, case.access.bounds, context.at)
        if profile is not Profile.PREMIUM and len(shortlist.every) > 1:
            case.pin = self._pin(case.features, context)
        options = self._fitting(shortlist, case, context)
        if not options:
            raise self._nothing(case, context)
        if len(options) == 1:
            return options
        level = 0.0
        if profile in (Profile.AUTO, Profile.ECO):
            level = self._level(case)
        order(options, profile, level, case.cost_quality)
        return self._settled(options, case)

    def _fitting(self, shortlist: Shortlist, case: Case, context: RouteContext) -> list[Option]:
        cached = _cached(case.pin, context.now)
        for candidates in (shortlist.best, shortlist.every):
            found = fitting(candidates, case.needs, case.constraints, context.average_output, cached)
            if len(found) >= _FEW or len(shortlist.every) == len(candidates):
                return found
        return found

    def _level(self, case: Case) -> float:
        if case.difficulty is None:
            case.difficulty = self._difficulty.score(case.features)
        level = case.difficulty.score
        if case.features.repeats or (case.pin is not None and case.pin.failed):
            level = max(level, _ESCALATED)
        return level

    def _pin(self, features: Features, context: RouteContext) -> Pin | None:
        if not self.settings.routing.sticky or not features.conversation_key:
            return None
        pin = self.sticky.find(context.device_id, features.conversation_key, context.now)
        if features.turns <= 1 and not features.in_tool_loop:
            # Two chats may open with the same words: only a request that just failed counts as the same one again.
            return pin if pin is not None and pin.failed and context.now - pin.at <= RETRY_SPAN else None
        if pin is None and features.in_tool_loop:
            pin = self.sticky.find(context.device_id, features.opening_key, context.now)
        return pin

    def _settled(self, options: list[Option], case: Case) -> list[Option]:
        """The order, with the conversation's own model in front where it should stay, or behind where it has failed."""
        pin = case.pin
        if pin is not None and (pin.failed or case.features.repeats):
            better = [option for option in options if option.quality > pin.quality]
            case.escalated = bool(better) and better[0] is not options[0]
            return [*better, *(option for option in options if option.quality <= pin.quality)]
        held = next((o for o in options if o.model.id == pin.model_id), None) if pin is not None else None
        if held is None or case.features.repeats:
            return options
        if held is options[0] or case.features.in_tool_loop or close(held, options[0], case.access.profile):
            case.kept_on = True
            return [held, *(option for option in options if option is not held)]
        return options

    def _decision(self, case: Case, options: list[Option], context: RouteContext) -> RouteDecision:
        ready: list[Option] = []
        cooling: list[Option] = []
        for option in options:
            (ready if context.healthy(option.model) else cooling).append(option)
            if len(ready) >= _LOOKED_AT:
                break
        chain = mixed([option.model for option in ready], self._fallbacks)
        chain = (*chain, *(option.model for option in cooling))[: self._fallbacks + 1]
        chosen = next(option for option in (*ready, *cooling) if option.model is chain[0])
        kept_on = case.kept_on and chosen is options[0]
        how = reasons.How(len(options), case.difficulty, kept_on, case.escalated, not ready)
        reason = reasons.chosen(case.target, case.access, chosen, how)
        return self._made(case, chain, context, reason, chosen)

    def _made(
        self, case: Case, chain: Sequence[Model], context: RouteContext, reason: str, chosen: Option | None = None
    ) -> RouteDecision:
        model = chain[0]
        needs = case.needs
        prompt = max(1, round(needs.prompt_tokens * context.correction(model.id)))
        output = needs.reply(context.average_output(model.id)) if chosen is None else chosen.output
        return RouteDecision(
            model=model,
            fallbacks=tuple(chain[1:]),
            reason=reason,
            profile=None if chosen is None else case.access.profile,
            named=chosen is None,
            difficulty=case.difficulty,
            expected_cost=cost(Usage(prompt, output), model, context.at),
            prompt_tokens=prompt,
            expected_output=output,
            conversation_key=case.features.conversation_key,
        )

    def _nothing(self, case: Case, context: RouteContext) -> NoCandidateError | BudgetError:
        """Why there is no candidate, in the words of those that were dropped."""
        _, dropped = select(self.table, case.needs, case.constraints, context.at)
        return reasons.no_candidate(case.access, dropped)


def _cached(pin: Pin | None, now: float) -> tuple[str, int] | None:
    """What the conversation's provider probably still has in its cache."""
    if pin is None or now - pin.at > CACHE_LIFE:
        return None
    return pin.model_id, pin.prompt_tokens
