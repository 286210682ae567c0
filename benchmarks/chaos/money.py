"""What is billed is booked, and budgets hold: many devices before a provider that bills, and much that goes wrong.

    script/chaos money [--quick] [--only load,kills,budgets,house,clocks,files,two] [--seed 1] [--product DIR]

Prints billed, booked, the difference by cause, and how far each budget was passed. Exit code 1 where that is too much:
booked must be within -0.5 % and +5 % of the bill over the load, and no budget passed by more than one request's last second.
The same seed asks the same; what the machine makes of it in time may differ. Takes up to ten minutes, `--quick` one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _judge as judge
from _clients import LEFT, UNREACHABLE, Ask, Said, send
from _damage import DAMAGES
from _judge import Verdict, usd
from _provider import PICO, Behaviour, Item, Provider, provider
from _router import FAKETIME, ROOT, Router

FLAKY = tuple(f"flaky{number}" for number in range(8))
"""Providers of their own: each is left alone for a while once it failed."""

MODELS = {
    "plain": Behaviour(),
    "told": Behaviour(told=True),
    "mute": Behaviour(usage=False),
    "whole": Behaviour(whole=True),
    "think": Behaviour(hidden=150, rate=150),
    "mutethink": Behaviour(hidden=60, usage=False, rate=150),
    "fast": Behaviour(rate=400),
    "cheap": Behaviour(input=0.01, output=0.01, rate=4000),
    **dict.fromkeys(FLAKY, Behaviour(faulty=True)),
}
CAUSES = (
    "calm", "left-before-headers", "left-before-token", "left-whole", "left-mid-stream", "left-unnoticed", "thinking",
    "left-thinking",    "silent", "cut", "empty", "not-json", "long", "budget",
)  # fmt: skip


GOES_ON = "going"
"""A provider of a kind that is known to write answers to their ends, and to bill them, whoever has left."""


def _provider(model: str) -> str:
    return model if model in FLAKY else GOES_ON if model == "whole" else "lab"


@dataclass(frozen=True)
class Options:
    """How much of it."""

    devices: int = 50
    streams: int = 8
    rounds: int = 12
    kills: int = 30
    kill_streams: int = 1
    damages: int = 100
    wait: float = 70.0
    seed: int = 1
    only: tuple[str, ...] = ()
    product: Path = ROOT
    python: str = sys.executable
    overbill: float = 1.0
    calm: bool = False


QUICK = Options(devices=12, streams=4, rounds=4, kills=4, damages=3, wait=0.0)


@dataclass
class Field:
    """Where it takes place."""

    options: Options
    folder: Path
    provider: Provider
    verdict: Verdict
    answers: Counter[int] = field(default_factory=Counter)

    def router(self, name: str, devices: dict[str, Any] | None = None, **settings: Any) -> Router:
        """A router of its own, with its own folder and books."""
        models = [
            {
                "id": f"{_provider(name)}/{name}", "upstream": name, "context": 1_000_000, "max_output": 100_000,
                "quality": 50, "price": {"input": b.input, "output": b.output},
            }
            for name, b in MODELS.items()
        ]  # fmt: skip
        timeouts = {"connect": 5, "first_token": 2, "idle": 3, "total": 240}
        lab = {"base_url": self.provider.url, "api_key": "sk-test", "timeouts": timeouts}
        config = {
            "auth": "open",
            "providers": {
                owner: {
                    **lab,
                    "kind": "groq" if owner == GOES_ON else "openai",
                    "models": [m for m in models if m["id"].startswith(f"{owner}/")],
                }
                for owner in ("lab", GOES_ON, *FLAKY)
            },
            "aliases": {f"{cause}.{name}": f"{_provider(name)}/{name}" for cause in CAUSES for name in MODELS},
            "fallbacks": {f"{name}/{name}": ["lab/plain"] for name in FLAKY},
            "devices": {"defaults": {}, **(devices or {})},
            "mqtt": {"enabled": False},
            **settings,
        }
        return Router(self.folder / name, config, self.options.product, self.options.python)

    def items(self, since: int, *devices: str) -> list[Item]:
        """The bill from a place in it on, of devices whose names begin so (all, where none are named)."""
        return [item for item in self.provider.items[since:] if not devices or item.device.startswith(devices)]

    async def ask(self, router: Router, asks: Sequence[Ask]) -> list[Said]:
        """All at once."""
        rng = random.Random(self.options.seed)
        return await asyncio.gather(*(send(router.port, ask, random.Random(rng.random())) for ask in asks))


# --- the load --------------------------------------------------------------------------------------------------------


def plan(rng: random.Random, device: str, *, calm: bool) -> Ask:
    """One request of the load."""
    if calm:
        return Ask("calm", _any(rng, "plain", "told"), device, rng.randint(10, 60), stream=rng.random() < 0.5, rate=400)
    (make,) = rng.choices([make for make, _ in MIX], [weight for _, weight in MIX])
    ask = make(rng, device)
    return replace(
        ask, words=rng.randint(20, 300), stream=ask.stream and (ask.events is not None or rng.random() < 0.7)
    )


def _any(rng: random.Random, *names: str) -> str:
    return rng.choice(names)


MIX: tuple[tuple[Callable[[random.Random, str], Ask], int], ...] = (
    (lambda r, d: Ask("calm", _any(r, "plain", "plain", "told", "mute", "whole"), d, r.randint(20, 200)), 44),
    (lambda r, d: Ask("left-before-headers", _any(r, "plain", "whole", "think"), d, r.randint(50, 200), leave=0.1), 5),
    (lambda r, d: Ask("left-before-token", _any(r, "plain", "whole", "mute"), d, r.randint(50, 200), leave=0.3), 5),
    (lambda r, d: Ask("left-whole", _any(r, "plain", "whole", "mute"), d, r.randint(100, 200), stream=False, leave=0.9), 5),
    (lambda r, d: Ask("left-mid-stream", _any(r, "plain", "mute"), d, r.randint(100, 300), events=r.randint(2, 8)), 7),
    (lambda r, d: Ask("left-unnoticed", "whole", d, r.randint(100, 300), events=r.randint(2, 8)), 1),
    (lambda r, d: Ask("thinking", _any(r, *["think"] * 5, "mutethink"), d, r.randint(20, 150)), 10),
    (lambda r, d: Ask("left-thinking", "think", d, r.randint(20, 150), leave=0.9), 4),
    (lambda r, d: Ask("silent", _any(r, *FLAKY), d, r.randint(50, 150), fault="silent"), 1),
    (lambda r, d: Ask("cut", _any(r, *FLAKY), d, r.randint(50, 150), fault="cut"), 3),
    (lambda r, d: Ask("empty", _any(r, *FLAKY), d, r.randint(50, 150), fault="empty"), 3),
    (lambda r, d: Ask("not-json", _any(r, *FLAKY), d, r.randint(50, 150), fault="not_json", stream=False), 2),
    (lambda r, d: Ask("long", "fast", d, r.randint(500, 1500), max_tokens=4000, n=r.choice((1, 1, 3))), 3),
)  # fmt: skip
"""What is asked, and how often."""


async def run(field: Field, router: Router, streams: int, seed: int, more: Callable[[int], bool]) -> None:
    """Every device with all its streams, each one request after the other for as long as there are to be `more` rounds."""

    async def stream(device: str, number: int) -> None:
        rng = random.Random(f"{seed} {device} {number}")
        await asyncio.sleep(0 if field.options.calm else rng.random() * 2)
        rounds = 0
        while more(rounds):
            said = await send(router.port, plan(rng, device, calm=field.options.calm), rng)
            rounds += 1
            field.answers[said.status] += 1
            if said.status == UNREACHABLE:
                await asyncio.sleep(0.3)

    names = [f"device-{number}" for number in range(field.options.devices)]
    await asyncio.gather(*(stream(name, number) for name in names for number in range(streams)))


async def load(field: Field) -> None:
    """The load, without and with kills, on one folder; then bill and books."""
    router, since = field.router("load"), len(field.provider.items)
    await router.start()
    options = field.options
    await run(field, router, options.streams, options.seed, lambda rounds: rounds < options.rounds)
    await _settle(field, router)
    judge.compare(field.verdict, "load", judge.causes(field.items(since, "device-")), router.booked())
    if field.options.kills and _wanted(field.options, "kills"):
        await _kills(field, router, since)


async def _kills(field: Field, router: Router, since: int) -> None:
    await router.start()
    options, left = field.options, field.options.kills

    async def reap() -> None:
        nonlocal left
        rng = random.Random(options.seed)
        for _ in range(options.kills):
            await asyncio.sleep(rng.uniform(2.0, 5.0))
            field.provider.mark_killed("device-")
            await router.kill()
            await router.start()
            left -= 1

    await asyncio.gather(reap(), run(field, router, options.kill_streams, options.seed + 1, lambda _: left > 0))
    await _settle(field, router)
    judge.compare(
        field.verdict, f"load with {options.kills} kills", judge.causes(field.items(since, "device-")), router.booked()
    )
    _answers(field)


def _answers(field: Field) -> None:
    """How the load was answered. What is refused or fails for no reason is no load: 503 tells of upstreams that rest after 504s."""
    fair = {200, 502, 503, 504, LEFT, UNREACHABLE}
    odd = sum(count for status, count in field.answers.items() if status not in fair)
    odd += max(0, field.answers[503] - field.answers[504])
    names = {LEFT: "left", UNREACHABLE: "cut off"}
    told = ", ".join(f"{names.get(status, status)} {count}" for status, count in sorted(field.answers.items()))
    field.verdict.say(f"load: answers {told}", good=odd == 0)


async def _settle(field: Field, router: Router) -> None:
    """Until what runs has ended on both sides."""
    await field.provider.quiet(60)
    await asyncio.sleep(0 if field.options.calm else 6)  # what left may be read to its end for some seconds
    await router.stop()
    await field.provider.quiet(30)


# --- budgets ---------------------------------------------------------------------------------------------------------

CENT = PICO // 100
LIMITED: dict[str, tuple[int, Ask, int, bool]] = {
    "eight-long": (5, Ask("budget", "fast", "", 4000, max_tokens=8000), 8, True),
    "eight-whole": (5, Ask("budget", "fast", "", 4000, stream=False), 8, True),
    "hundred-choices": (5, Ask("budget", "plain", "", 80, n=100, stream=False, rate=10), 2, True),
    "one-stream": (2, Ask("budget", "fast", "", 6000, wait=0.05), 1, True),
    "leaver": (2, Ask("budget", "whole", "", 150, stream=False, leave=0.3), 40, False),
    "stream-leaver": (2, Ask("budget", "whole", "", 150, leave=0.3), 40, False),
    "thinker": (2, Ask("budget", "think", "", 600, rate=400), 6, True),
    "mute": (2, Ask("budget", "mute", "", 3000, rate=400), 6, True),
    "fallen-back": (2, Ask("budget", "flaky0", "", 2000, fault="empty", rate=400), 6, True),
}
"""By device: its budget in cents; what it asks, how often, and whether all at once."""


async def budgets(field: Field) -> None:
    """Each kind of request that has passed a budget, against a device's own."""
    daily = {f"budgets-{name}": {"daily_budget": cents / 100} for name, (cents, *_) in LIMITED.items()}
    router = field.router(
        "budgets", {**daily, "budgets-agent": {"daily_budget": 0.05}, "budgets-tokens": {"tpm": 3000}}
    )
    since = len(field.provider.items)
    await router.start()
    asks = {
        name: (replace(ask, device=f"budgets-{name}"), times, at_once)
        for name, (_, ask, times, at_once) in LIMITED.items()
    }
    asks["agent"] = Ask("budget", "plain", "budgets-agent", 60, max_tokens=64_000), 5, False
    asks["tokens"] = Ask("budget", "fast", "budgets-tokens", 2000), 6, True

    async def ask(what: Ask, times: int, at_once: bool) -> list[Said]:  # noqa: FBT001 - as a row of the table has it
        if at_once:
            return await field.ask(router, [what] * times)
        rng = random.Random(field.options.seed)
        return [await send(router.port, what, rng) for _ in range(times)]

    said = dict(zip(asks, await asyncio.gather(*(ask(*one) for one in asks.values())), strict=True))
    await _settle(field, router)
    for name, (cents, *_) in LIMITED.items():
        judge.budget(field.verdict, name, cents * CENT, field.items(since, f"budgets-{name}"))
    judge.tokens(field.verdict, "tokens", 3000, field.items(since, "budgets-tokens"))
    served = sum(one.status == 200 for one in said["agent"])
    field.verdict.say(f"max_tokens 64000 under a budget of 5 cents: {served} of 5 served", good=served == 5)
    (one,) = said["one-stream"]
    told = one.refused or b'"error"' in one.data or b'"length"' in one.data
    field.verdict.say(f"a stream that its budget ends says so: {'yes' if told else 'no'}", good=told)
    _figures(field, "budgets", since, router)


def _figures(field: Field, scene: str, since: int, router: Router) -> None:
    """Bill and books of a scene, for those who want to know: it is the load that is judged."""
    billed, booked = (
        sum(item.pico for item in field.items(since, scene)),
        sum(cost for cost, _ in router.booked().values()),
    )
    field.verdict.say(f"{scene}: billed {usd(billed)}, booked {usd(booked)}: {(booked - billed) / (billed or 1):+.2%}")


async def house(field: Field) -> None:
    """A budget above all devices; one of them reads nothing of its stream, and must not lock out the others."""
    settings = {"budget": {"daily": 0.10}, "http": {"client_idle": IDLE}}
    router, since = field.router("house", **settings), len(field.provider.items)
    try:
        await router.start()
    except RuntimeError:
        router = field.router("house-2", budget={"daily": 0.10})
        await router.start()
    reads_nothing = Ask("budget", "cheap", "house-stalled", 80_000, n=50, stall=120, wait=0.05)
    stalled = asyncio.create_task(field.ask(router, [reads_nothing]))
    await asyncio.sleep(2)
    (said,) = await field.ask(router, [Ask("budget", "plain", "house-other", 20, stream=False, wait=0.05)])
    field.verdict.say(f"another device while one reads nothing: {said.status}", good=said.status == 200)
    await field.ask(router, [Ask("budget", "fast", f"house-{n % 8}", 1500) for n in range(32)])
    for _ in range(8 * IDLE * 5):
        if any(item.open for item in field.items(since, "house-stalled")):
            await asyncio.sleep(0.2)
    cut = not any(item.open for item in field.items(since, "house-stalled"))
    field.verdict.say(f"who reads nothing for {IDLE} s (http.client_idle) is cut: {'yes' if cut else 'no'}", good=cut)
    stalled.cancel()
    await asyncio.gather(stalled, return_exceptions=True)
    await _settle(field, router)
    judge.budget(field.verdict, "house, 8 devices x 4 streams", 10 * CENT, field.items(since, "house"))
    _figures(field, "house", since, router)


IDLE = 3

# --- clocks, files, two of them --------------------------------------------------------------------------------------


def _spend(scene: str, *, stream: bool = False) -> Ask:
    return Ask("budget", "fast", f"{scene}-spender", 900, wait=0.05, stream=stream)


async def _spent(field: Field, scene: str) -> tuple[Router, int]:
    """A router whose spender has used up its budget of 2 cents; and the place in the bill."""
    spender = {f"{scene}-spender": {"daily_budget": 0.02, "monthly_budget": 0.02}}
    router, since = field.router(scene, spender, storage={"retention_days": 30}), len(field.provider.items)
    await router.start()
    for _ in range(4):
        await field.ask(router, [_spend(scene)])
    await router.stop()
    judge.budget(field.verdict, f"{scene}: at first", 2 * CENT, field.items(since, scene))
    return router, since


async def clocks(field: Field) -> None:
    """Clocks that are behind, ahead, and that jump: the budget stays spent, the history stays, and somebody says so."""
    if not FAKETIME:
        field.verdict.say("clocks: libfaketime is not installed (apt install faketime)", good=False)
        return
    router, since = await _spent(field, "clocks")
    for moment in MOMENTS[:: 1 if field.options.wait else 2]:
        await _at(field, router, moment)
    file = field.folder / "faketime"
    file.write_text("+0")
    router.at_file(file)
    await router.start()
    for moment in ("+40d", "-40d", "+0"):
        (field.folder / "faketime.new").write_text(moment)
        (field.folder / "faketime.new").rename(file)
        said = await field.ask(router, [_spend("clocks")] * 2)
        refused = all(one.refused for one in said)
        field.verdict.say(f"clock jumps to {moment} while it runs: {'refused' if refused else 'SERVED'}", good=refused)
    await router.stop()
    judge.budget(field.verdict, "clocks, all together", 2 * CENT, field.items(since, "clocks-spender"))


MOMENTS = ("@1970-01-01 00:02:00", "-45d", "-2d", "+40d", "@2099-03-04 05:06:07", "+2d")


async def _at(field: Field, router: Router, moment: str) -> None:
    """One start at another time."""
    rows = router.booked("device_id").get("clocks-spender", (0, 0))[1]
    router.at(moment)
    await router.start()
    said = await field.ask(router, [_spend("clocks")] * 2)
    told = any("clock" in words for words in await router.problems())
    if field.options.wait and moment in ("+40d", "@2099-03-04 05:06:07"):
        await field.ask(router, [Ask("budget", "plain", "clocks-guest", 10)])
        await asyncio.sleep(field.options.wait)  # past the round that drops what is old
    await router.stop()
    refused = all(one.refused for one in said)
    more = router.booked("device_id").get("clocks-spender", (0, 0))[1] - rows
    words = f"clock at {moment}: {'refused' if refused else 'SERVED'}, {'told' if told else 'NOT TOLD'}, {more:+} rows"
    field.verdict.say(words, good=refused and told and more >= 0)


async def files(field: Field) -> None:
    """Files that break between two runs: a spent budget stays spent, or paid models are refused until somebody has looked."""
    first, since = await _spent(field, "files")
    spent = sum(item.pico for item in field.items(since, "files"))
    for number, (words, damage) in enumerate(DAMAGES[: field.options.damages]):
        router = first.copy(field.folder / f"files-{number}")
        damage(router.folder / "data", random.Random(field.options.seed + number))
        since = len(field.provider.items)
        try:
            await router.start()
        except RuntimeError as error:
            field.verdict.say(f"files, {words}: {str(error)[-200:]}", good=False)
            continue
        await field.ask(router, [_spend("files", stream=stream) for stream in (True, False)])
        await router.stop()
        judge.budget(field.verdict, f"files, {words}", 2 * CENT, field.items(since, "files"), min(spent, 2 * CENT))


async def two(field: Field) -> None:
    """Two routers on one folder, asked at the same time."""
    router = field.router("two", {"two-spender": {"daily_budget": 0.02}})
    since, other = len(field.provider.items), router.another()
    await router.start()
    try:
        await other.start()
        running = [router, other]
    except RuntimeError:
        field.verdict.say("two: the second did not start")
        running = [router]
    await asyncio.gather(*(field.ask(one, [_spend("two", stream=n % 2 > 0) for n in range(8)]) for one in running))
    for one in running:
        await field.ask(one, [_spend("two")])
    await other.stop()
    await router.stop()
    judge.budget(field.verdict, "two routers on one folder", 2 * CENT, field.items(since, "two"))
    _figures(field, "two", since, router)


SCENES: dict[str, Callable[[Field], Awaitable[None]]] = {
    "budgets": budgets, "house": house, "clocks": clocks, "files": files, "two": two,
}  # fmt: skip
"""What runs beside each other, once the load is over."""


def _wanted(options: Options, name: str) -> bool:
    return not options.only or name in options.only


async def _take(field: Field, name: str, scene: Callable[[Field], Awaitable[None]]) -> None:
    began = time.monotonic()
    try:
        await scene(field)
    except RuntimeError as error:
        field.verdict.say(f"{name}: {error}", good=False)
    field.verdict.say(f"({name} took {time.monotonic() - began:.0f} s)")


async def main(options: Options) -> int:
    """All of it; the exit code."""
    began = time.monotonic()
    verdict = Verdict()
    print(f"seed {options.seed}; {options.devices} devices x {options.streams} streams; {options.product}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with provider(MODELS, options.overbill) as billing:
            stage = Field(options, Path(folder), billing, verdict)
            scenes = [_take(stage, name, scene) for name, scene in SCENES.items() if _wanted(options, name)]
            if _wanted(options, "load"):
                first = _take(stage, "load", load)
                if options.wait:  # there is time: nothing else disturbs the load
                    await first
                else:
                    scenes.append(first)
            await asyncio.gather(*scenes)
    print(
        f"\n{'all holds' if not verdict.wrong else f'{len(verdict.wrong)} do not hold:'} ({time.monotonic() - began:.0f} s)"
    )
    for words in verdict.wrong:
        print(f"  {words}")
    return 1 if verdict.wrong else 0


def read(arguments: Sequence[str] | None = None) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="some of " + ", ".join(["load", "kills", *SCENES]))
    for name in ("seed", "devices", "streams", "rounds", "kills", "damages"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--product", type=Path, help="the checkout to run (this one)")
    parser.add_argument("--python", help="the Python that runs the router (this one)")
    parser.add_argument("--calm", action="store_true", help="a load in which nothing goes wrong")
    parser.add_argument("--overbill", type=float, help="bill so many times what is told: the judge must notice")
    found = vars(parser.parse_args(arguments))
    options = QUICK if found.pop("quick") else Options()
    only = found.pop("only")
    given = {name: value for name, value in found.items() if value is not None}
    if only is not None:
        given["only"] = tuple(only.split(","))
    if "product" in given:
        given["product"] = given["product"].resolve()
    return replace(options, **given)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(read())))
