"""A long mixed load with faults on the real router: does its memory stay flat, and is nothing left at the end? `script/soak`.

Ends with 1 where a task, a socket or a descriptor is left, a request is not booked or answered as it should not be, or memory
grows by more than is stated here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import aiomqtt
import lab
from soak_load import Client, Kind, Mix, Seen
from soak_watch import Router, State, outside, router, slope

BOUND = 20.0
"""kB of memory per 1,000 requests that are no leak: what the allocator keeps varies by some MB in a run of 200,000."""

JUDGED_FROM = 50_000
"""Requests below which memory is still settling, so that its slope says nothing."""

CLIENTS = 64
SETTLE_SECONDS = 30.0
"""Time for what is left to go: timers, cool-downs' probes, connections that close."""

# --- what happens beside the load


async def keeper(session: aiohttp.ClientSession, broker: int | None, seen: Seen) -> None:
    """Somebody who changes settings by API and MQTT, asks over MQTT, reads reports, and ends cool-downs, for ever."""
    dice = random.Random(7)
    async with contextlib.AsyncExitStack() as stack:
        mqtt = None if broker is None else await stack.enter_async_context(aiomqtt.Client("127.0.0.1", broker))
        for turn in _count():
            device = f"home-{dice.randrange(20)}"
            await call(session, "POST", "/router/providers/clear-cooldowns")
            if turn % 4 == 1:
                change = {"profile": dice.choice(["auto", "eco", "premium"]), "rpm": dice.randrange(100_000, 1_000_000)}
                await call(session, "PATCH", f"/router/devices/{device}", change)
            if turn % 8 == 3:
                await call(session, "PATCH", "/router/settings", {"cost_quality": dice.randrange(11)})
                await call(session, "POST", "/router/route", {"messages": [{"role": "user", "content": "Hello"}]})
            if turn % 20 == 5:
                for path in ("/v1/metrics", "/metrics", "/router/usage", "/router/devices", "/v1/audit?limit=100"):
                    await call(session, "GET", path)
            if mqtt is not None and turn % 4 == 2:
                topic = f"cheaprouter/device/{device.replace('-', '_')}"
                await mqtt.publish(f"{topic}/daily_budget/set", str(dice.randrange(500, 1000)), qos=1)
                await mqtt.publish(f"{topic}/chat/request", "Is the door closed?", qos=1)
                seen.sent += 1
                seen.booked += 1
            await asyncio.sleep(0.25)


def _count() -> Iterator[int]:
    turn = 0
    while True:
        yield turn
        turn += 1


async def call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
    """One call of the router's API; its JSON, where it is that. Raises ClientResponseError for an error."""
    async with session.request(method, path, json=body, raise_for_status=True) as reply:
        text = await reply.text()
        return json.loads(text) if reply.content_type == "application/json" else text


async def sampler(router: Router, seen: Seen, every: float, samples: list[tuple[int, int]]) -> None:
    """Note memory twice a second, and print a line now and then, for ever."""
    began = printed = time.monotonic()
    before = 0
    print(
        f"{'s':>5} {'requests':>9} {'/s':>6} {'RSS kB':>8} {'own kB':>8} {'PSS kB':>8} {'files':>6} {'tasks':>6} {'objects':>8}  sockets"
    )
    while True:
        await asyncio.sleep(0.5)
        samples.append((seen.sent, outside(router.process.pid).rss))
        now = time.monotonic()
        if now - printed >= every:
            state = await asyncio.to_thread(router.state)
            print(
                f"{now - began:5.0f} {seen.sent:9} {(seen.sent - before) / (now - printed):6.0f} {state.rss:8} {state.own:8} {state.pss:8} "
                f"{state.descriptors.total():6} {state.tasks.total():6} {state.objects:8}  {state.sockets()}",
                flush=True,
            )
            printed, before = now, seen.sent


@contextlib.asynccontextmanager
async def beside(*work: Any) -> AsyncIterator[None]:
    """Run coroutines while the block runs; what one of them raises is raised here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()


# --- the run


async def settled(router: Router, upstream: subprocess.Popen[bytes], before: State | None) -> State:
    """The state once connections are closed and nothing more than before is left; after some time, whatever is left."""
    end = time.monotonic() + SETTLE_SECONDS
    calm, last = 0, None
    while True:
        upstream.send_signal(signal.SIGUSR1)  # again and again: a probe may open another one
        await asyncio.sleep(1)
        state = await asyncio.to_thread(router.state)
        calm = (
            calm + 1 if last is not None and (state.tasks, state.descriptors) == (last.tasks, last.descriptors) else 0
        )
        if time.monotonic() > end or (calm >= 3 and (before is None or not state.left(before))):
            return state
        last = state


async def soak(router: Router, upstream: subprocess.Popen[bytes], broker: int | None, args: argparse.Namespace) -> bool:
    """All of it; whether it went well."""
    seen, samples = Seen(), list[tuple[int, int]]()
    async with aiohttp.ClientSession(router.url, headers=router.admin) as session:
        booked_before = await booked(session)
        key = (await call(session, "POST", "/router/keys", {"device": "with-a-key"}))["key"]
        mix = Mix(args.requests, key)
        async with beside(keeper(session, broker, seen)):
            await ask(router.port, seen, mix.each_once(), 4)
            await asyncio.sleep(6)  # the keeper has done each thing once
        await session.connector.close()  # type: ignore[union-attr]
    before = await settled(router, upstream, None)
    print(f"before: {words(before)}")
    async with aiohttp.ClientSession(router.url, headers=router.admin) as session:
        async with beside(keeper(session, broker, seen), sampler(router, seen, args.every, samples)):
            began, cpu, own = time.monotonic(), lab.cpu_seconds(router.process.pid), time.process_time()
            await ask(router.port, seen, iter(mix), CLIENTS)
            took = time.monotonic() - began
            spent = [
                1e6 * used / args.requests
                for used in (lab.cpu_seconds(router.process.pid) - cpu, time.process_time() - own)
            ]
        await asyncio.sleep(2)  # the last chats over MQTT
        booked_now = await booked(session)
    after = await settled(router, upstream, before)
    print(f"after:  {words(after)}")
    print(
        f"{seen.sent} requests in {took:.0f} s, {args.requests / took:.0f}/s; CPU a request: router {spent[0]:.0f} µs, clients {spent[1]:.0f}"
    )
    return verdict(seen, samples, after.left(before), booked_now - booked_before)


async def ask(port: int, seen: Seen, requests: Iterator[tuple[Kind, bytes]], clients: int) -> None:
    """Clients that share what is to be asked."""
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(Client(port, seen).work(requests))


async def booked(session: aiohttp.ClientSession) -> int:
    """Requests in the books."""
    return int((await call(session, "GET", "/v1/metrics"))["summary"]["total_requests"])


def words(state: State) -> str:
    return (
        f"RSS {state.rss} kB ({state.own} its own), PSS {state.pss} kB, {state.descriptors.total()} descriptors (sockets: {state.sockets()}), "
        f"{state.tasks.total()} tasks, {state.objects} objects"
    )


def verdict(seen: Seen, samples: list[tuple[int, int]], left: dict[str, int], booked: int) -> bool:
    """Say what was found; whether all of it is as it should be."""
    for kind, outcomes in sorted(by_kind(seen).items()):
        print(f"  {kind:32} {', '.join(f'{status}: {n}' for status, n in sorted(outcomes.items()))}")
    grown = slope(samples)
    judged = seen.sent >= JUDGED_FROM
    complaints = [f"left at the end: {n} {what}" for what, n in left.items()]
    complaints += [f"not as expected: {n} x {what}" for what, n in seen.wrong.items()]
    if booked != seen.booked:
        complaints.append(f"{seen.booked} requests to be booked, {booked} are")
    if judged and grown > BOUND:
        complaints.append(f"memory grows by {grown:.1f} kB per 1,000 requests, more than {BOUND:.0f}")
    print(f"booked: {booked} of {seen.booked}")
    print(
        f"memory: {grown:+.1f} kB per 1,000 requests over the last two thirds{'' if judged else ' (too few to judge)'}"
    )
    print("\n".join(complaints) or f"nothing is left{', and memory is flat' if judged else ''}")
    return not complaints


def by_kind(seen: Seen) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (kind, status), number in seen.outcomes.items():
        found.setdefault(kind, {})[status] = number
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument(
        "--quick", action="store_true", help="10,000 requests: what is left, but not whether memory is flat"
    )
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="how often a line is printed")
    args = parser.parse_args()
    if args.quick:
        args.requests = min(args.requests, 10_000)
    lab.raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, contextlib.ExitStack() as stack:
        folder, cores, port = Path(name), lab.Cores(), lab.free_port()
        command = [sys.executable, str(lab.HERE / "soak_upstream.py"), str(port)]
        upstream = stack.enter_context(lab.running(command, folder / "upstream.log"))
        lab.first_answer(port, upstream)
        broker = stack.enter_context(lab.broker(folder))
        if broker is None:
            print("no Mosquitto: without MQTT")
        running = stack.enter_context(router(folder, port, broker, cores))
        well = asyncio.run(soak(running, upstream, broker, args))
        log = (folder / "router.log").read_text()
        if "Traceback" in log:
            print(f"the router's log has a traceback:\n{log[log.index('Traceback') :][:3000]}")
    raise SystemExit(0 if well and "Traceback" not in log else 1)


if __name__ == "__main__":
    main()
