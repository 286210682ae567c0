"""The decision: which model answers a request, which ones stand in, and why. Synchronous, and nobody is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from functools import partial
from typing import Final

from ..catalog.prices import cost
from ..catalog.table import ModelTable
from ..config.settings import BudgetAction, DeviceSettings, Settings
from ..core.errors import BudgetError, NoCandidateError
from ..core.models import Difficulty, Json, Kind, Model, Operation, Profile, RouteDecision, Usage
from ..core.records import dataclass
from ..wire import prompt_cache
from ..wire.openai_chat.request import parse
from . import reasons
from .access import Access, Resolution, Resolver, access
from .candidate import factor
from .candidates import Bounds, Constraints, Needs, ceiling, select, too_big
from .choice import SCORED, Choice
from .choose import Field, at_place, failing, fitting
from .comeback import why_back
from .dial import usual_gain
from .difficulty import DifficultyModel
from .features import Features, extract
from .forecast import Past, forecast
from .home import Taught
from .rehearse import Scenario
from .shortlist import Ruled, Shortlists
from .sticky import LEAST_KEPT, RETRY_SPAN, Pin, StickyStore, affinity

_FEW: Final = 6
"""Where fewer of a short list fit a request, all candidates are looked at."""

_ROUTES: Final = 512
_LONGEST_KEPT: Final = 200
"""How many routes are kept, and the longest name they are kept for: names come from clients."""

_SCORED_LATER: Final = 10
"""Of so many requests whose score was not needed one is scored afterwards, so that what is asked is known all the same."""


@dataclass(slots=True, eq=False)
class RouteContext:
    """What a decision may know besides the request: values alone, nobody is asked for more. Nobody changes one.

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
    """What the model's name and the device's rules make of a request, whatever it says; kept for the next one.

    `worth`: USD that a failed answer counts for, 0 where the profile does not ask. `rule`: what it chooses by, in words.
    """

    policy: DeviceSettings
    target: Resolution
    access: Access
    constraints: Constraints
    worth: float
    who: str
    rule: str
    shortlists: Ruled


class Router:
    """Decides for one table and one configuration; a new one of either makes a new router, which takes over `sticky`."""

    def __init__(
        self,
        table: ModelTable,
        settings: Settings,
        difficulty: DifficultyModel,
        *,
        sticky: StickyStore | None = None,
        taught: Taught | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = table
        self.settings = settings
        self.sticky = StickyStore() if sticky is None else sticky
        self._taught = taught if taught is not None and settings.routing.learn else Taught()
        self.baseline = table.baseline(settings)
        self._difficulty = difficulty
        self._kinds = {provider.name: provider.kind for provider in settings.providers}
        self._resolver = Resolver(table, settings)
        self._shortlists = Shortlists(table)
        self._routes: dict[object, Route] = {}
        named = ((table.get(name), others) for name, others in settings.fallbacks.items())
        self._stand_ins = {model.id: others for model, others in named if model is not None}
        self._fallbacks = max(0, settings.routing.max_attempts - 1)
        # Where there is nothing to change to, nobody needs to know which model a conversation is on.
        self._sticky = settings.routing.sticky and len(table.ids()) > 1
        self._monotonic = monotonic
        self._skipped = 0

    def decide(self, request: Operation, context: RouteContext) -> RouteDecision:
        """The model and its stand-ins.

        Raises ModelNotFoundError, PermissionDeniedError (the device may not), InvalidRequestError (a named model is of
        another kind), NoCandidateError (none can) or BudgetError (the budget is spent and nothing free is left).
        """
        route, features = self._route(request, context), extract(request.body)
        needs = Needs.of(features, request.n)
        if route.access.model is not None:
            return self._named(route, features, needs, context, route.access.model)
        return self._chosen(self._choice(route, features, needs, context), route, needs, context)

    def served(self, device_id: str, decision: RouteDecision, model: Model) -> None:
        """That model answered: the conversation stays with it while that pays."""
        if self._sticky:
            self.sticky.remember(device_id, decision, model, self._monotonic())

    def failed(self, device_id: str, decision: RouteDecision) -> None:
        """Nothing of the chain answered: another try of the same asks for something better."""
        if self._sticky:
            self.sticky.failed(device_id, decision, self._monotonic())

    def score_skipped(self, decision: RouteDecision) -> Difficulty | None:
        """Score one in ten of the requests that were decided without it; to be called once the reply has left."""
        if decision.score_later is None:
            return None
        self._skipped += 1
        return decision.score_later() if self._skipped % _SCORED_LATER == 0 else None

    def explain(self, body: Json, context: RouteContext) -> Json:
        """All that a decision looks at, in numbers and words. Raises what `decide` raises, except for want of a candidate."""
        request = parse(body, default_model=Profile.AUTO.model_id)
        route, features = self._route(request, context), extract(request.body)
        needs = Needs.of(features, request.n)
        kept, dropped = select(self.table, needs, route.constraints, context.at, context.latency)
        difficulty = self._difficulty.score(features)
        view = reasons.view(route.target, route.access.profile, features, difficulty, dropped)
        if route.access.model is not None:
            return {
                **view,
                **reasons.outcome(self._named(route, features, needs, context, route.access.model), context.at),
            }
        try:
            choice = self._choice(route, features, needs, context)
        except (NoCandidateError, BudgetError) as error:
            return {**view, "model": None, "error": error.message}
        decision, level = self._chosen(choice, route, needs, context), choice.weigh(difficulty)[0]
        ranked = [at_place(choice.entries, place) for place in choice.order()]
        rows = [reasons.row(one, level, healthy=one.candidate.id not in context.down) for one in ranked]
        listed = {row["id"] for row in rows}
        beaten = [{"id": model.id, "beaten": True} for model in kept if model.id not in listed]
        return {**view, **reasons.outcome(decision, context.at), "candidates": [*rows, *beaten]}

    def forecaster(
        self, at: datetime, cost_quality: float | None = None
    ) -> Callable[[int, Sequence[Sequence[float]]], Json]:
        """What tells what the dial would have done with recorded requests, in any thread; see `forecast.forecast`.

        It is given how many there are, and score and tokens in and out of those with a score. `at`: UTC, for prices.
        """
        now = self.settings.routing.cost_quality if cost_quality is None else cost_quality
        ruled = self._shortlists.under(Bounds(exclude=self.settings.routing.exclude))
        dial, field = ruled.dial(at), Field(ruled.get(frozenset(), at).best.candidates)  # nobody else's to change

        def told(requests: int, rows: Sequence[Sequence[float]]) -> Json:
            past = [Past(score, usual_gain(score), int(prompt), int(output)) for score, prompt, output in rows]
            return forecast(field, dial, past if len(field) else (), requests, now)

        return told

    def scenario(self, name: str, at: datetime, profile: Profile, cost_quality: float | None = None) -> Scenario:
        """What recorded requests can be rehearsed with. `at`: UTC, for prices; `cost_quality` None: as configured."""
        routing = self.settings.routing
        ruled = self._shortlists.under(Bounds(exclude=routing.exclude, free_only=profile is Profile.FREE))
        field = Field(ruled.get(frozenset(), at).best.candidates)  # nobody else's to change
        wanted = routing.cost_quality if cost_quality is None else cost_quality
        return Scenario(name, field, ruled.dial(at), profile, wanted)

    def chance(self, model_id: str, score: float) -> float | None:
        """That a model fails at a request so hard; None for one that is not there."""
        model = self.table.get(model_id)
        return None if model is None else failing(score, factor(model.quality.value))

    # --- the way to a decision ---------------------------------------------------------------------------------

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
        shortlists, profile = self._shortlists.under(granted.bounds), granted.profile
        worth = shortlists.dial(context.at).worth(slider) if profile is Profile.AUTO and granted.model is None else 0.0
        return Route(
            policy, target, granted, constraints, worth, reasons.who(target, granted), reasons.rule(profile, worth), shortlists,
        )  # fmt: skip

    def _named(
        self, route: Route, features: Features, needs: Needs, context: RouteContext, model: Model
    ) -> RouteDecision:
        """As asked, whatever it can do; only its own fallbacks, and of those only what can serve the request.

        Where its server refused before what this request needs, the first of them at once.
        """
        named = map(self.table.get, self._stand_ins.get(model.id, ()))
        stand_ins = tuple(
            [other for other in named if other is not None and _may_stand_in(other, route, needs, context.at)]
        )
        reason = reasons.named(route.target, model)
        if stand_ins and (lacks := needs.capabilities & model.lacks):
            reason = f"{reason}, which lacks {', '.join(sorted(lacks))}: {stand_ins[0].id} stands in"
            model, stand_ins = stand_ins[0], stand_ins[1:]
        decision = RouteDecision(model, stand_ins, reason, named=True)
        return self._estimated(decision, features, needs, context, needs.reply(context.outputs.get(model.id)))

    def _choice(self, route: Route, features: Features, needs: Needs, context: RouteContext) -> Choice:
        """The request and all candidates that fit. Raises where there is none."""
        shortlist, profile = route.shortlists.get(needs.capabilities, context.at), route.access.profile
        pin = outlook = None
        back = why_back(features) if features.turns > 1 or features.in_tool_loop else ""
        if self._sticky and profile is not Profile.PREMIUM and shortlist.count > 1:
            # Two chats may open with the same words: only a request that just failed counts as the same one again.
            opens = features.turns <= 1 and not features.in_tool_loop
            if not opens or context.now - self.sticky.last_failure <= RETRY_SPAN:
                pin = self._pin(features, context, opens=opens, back=back)
        if pin is not None:
            outlook = pin.outlook(context.now, self._kept)
        entries = fitting(shortlist.best, needs, route.constraints, context.outputs, context.latency, outlook)
        if len(entries.costs) < _FEW and shortlist.count > len(shortlist.best.ids):
            entries = fitting(shortlist.every, needs, route.constraints, context.outputs, context.latency, outlook)
        if not entries.costs:
            _, dropped = select(self.table, needs, route.constraints, context.at, context.latency)
            raise reasons.no_candidate(route.access, dropped)
        return Choice(
            entries, profile, route.worth, features, pin, context.down, self._fallbacks,
            partial(self._corrected, context.device_id) if self._taught.head.active else self._difficulty.judge,
            why_back=back,
        )  # fmt: skip

    def _corrected(self, device_id: str, features: Features) -> Difficulty:
        """How hard a request is, its gain as this home has learned to expect it."""
        told = self._difficulty.judge(features)
        gain = told.gain + self._taught.head.correction(device_id, self._difficulty.vector(told), told.gain)
        return Difficulty(
            told.score,
            told.tier,
            told.contributions,
            max(0.0, min(1.0, round(gain, 6))),
            told.kind,
            told.row,
            told.stakes,
        )

    def _kept(self, model_id: str) -> prompt_cache.PromptCache:
        """What a model's provider keeps of prompts."""
        model = self.table.get(model_id)
        if model is None:
            return prompt_cache.UNKNOWN
        return prompt_cache.of(self._kinds.get(model.provider, ""), model.upstream)

    def _pin(self, features: Features, context: RouteContext, *, opens: bool, back: str) -> Pin | None:
        pin = self.sticky.find(context.device_id, features.conversation_key, context.now)
        if opens:
            return pin if pin is not None and pin.failed and context.now - pin.at <= RETRY_SPAN else None
        if pin is None and (features.in_tool_loop or back):  # what is complained of may be the first answer
            pin = self.sticky.find(context.device_id, features.opening_key, context.now)
        return pin

    def _chosen(self, choice: Choice, route: Route, needs: Needs, context: RouteContext) -> RouteDecision:
        """The best that may be asked now; its stand-ins are worked out if they are asked for."""
        place, entries = choice.place(), choice.entries
        one, profile, hard = entries.field.candidates[place], choice.profile, choice.difficulty
        at_home = hard is not None and hard.kind is Kind.HOME and profile not in SCORED
        reason = reasons.chosen(
            route.who, reasons.AT_HOME if at_home else route.rule, one, entries.costs[place], len(entries.costs), hard,
            kept_on=choice.kept_on, escalated=choice.escalated, cooling=one.id in choice.down,
        )  # fmt: skip
        if choice.why_back:
            reason = f"{reason}; {choice.why_back}"
        decision = RouteDecision(one.model, choice.stand_ins, reason, profile)
        decision.came_back = choice.why_back
        decision.rejected = choice.pin.model_id if choice.why_back and choice.pin is not None else ""
        decision.difficulty = hard
        if hard is None and profile in SCORED:
            decision.score_later = choice.score_later
        output = entries.outputs.get(place, entries.guess)
        return self._estimated(decision, choice.features, needs, context, output)

    def _estimated(
        self, decision: RouteDecision, features: Features, needs: Needs, context: RouteContext, output: int
    ) -> RouteDecision:
        """The decision with the numbers by which it is reserved, and by which the conversation is known again."""
        if not (decision.reason.isascii() and decision.reason.isprintable()):
            decision.reason = reasons.ascii_line(decision.reason)
        estimate = decision.estimated_prompt = decision.prompt_tokens = needs.prompt_tokens
        if estimate < 1 or decision.model.id in context.corrections:
            decision.prompt_tokens = max(1, round(estimate * context.corrections.get(decision.model.id, 1.0)))
        decision.expected_output = output
        if estimate >= LEAST_KEPT and self.settings.routing.sticky:
            decision.affinity = affinity(context.device_id, *features.opening)
        if self._sticky:
            decision.conversation_key = features.conversation_key
        return decision


def _may_stand_in(model: Model, route: Route, needs: Needs, at: datetime) -> bool:
    limit = route.constraints.max_cost
    if not needs.capabilities <= model.capabilities or too_big(model, needs):
        return False
    if not route.access.permits(model):
        return False
    if limit is None:
        return True
    amount = cost(Usage(needs.prompt_tokens, needs.reply(None)), model, at)
    return amount is not None and amount <= limit
