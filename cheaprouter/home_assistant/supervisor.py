"""What Home Assistant's Supervisor tells an app: the MQTT broker's address and credentials, and facts about ourselves.

Everything here is optional: outside Home Assistant there is no token, and inside it the Supervisor may be busy, or have no
broker yet. Neither may stop the app, so each question is answered with None where there is no answer.
Left out: anything that needs more than an app's own rights (`hassio_api`).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import aiohttp

from ..config.settings import MqttSettings
from ..core.models import Json
from ..core.records import dataclass

_LOG: Final = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

BASE_URL: Final = "http://supervisor"
TOKEN_VARIABLE: Final = "SUPERVISOR_TOKEN"  # noqa: S105 - the name of a variable, not a secret
_SLUG: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_ASK_AGAIN: Final = 60.0
_LOOK_FOR_UPDATES: Final = 6 * 3600.0
_RETRIES: Final = (1.0, 3.0)
"""Seconds before the second and third try. A restart of the Supervisor takes longer; callers come back later anyway."""


@dataclass(frozen=True, slots=True)
class AppInfo:
    """Facts about this installation. Empty or None where the Supervisor did not say.

    `hostname`: the name under which Home Assistant itself reaches this container. `lan_hostname`: the machine's name on
    the LAN. `lan_port`: the host's port that leads to ours, None where the user closed it. `ingress_url`: the page's path; `page`:
    its address as links in Home Assistant have it.
    """

    version: str = ""
    latest_version: str = ""
    hostname: str = ""
    lan_hostname: str = ""
    lan_port: int | None = None
    ingress_url: str = ""
    page: str = ""


@dataclass(slots=True)
class About:
    """This installation as far as it is known by now."""

    info: AppInfo | None = None
    learned: Callable[[AppInfo], None] = lambda _: None

    async def learn(self, supervisor: Supervisor, container_port: int, *, sleep: Sleep = asyncio.sleep) -> None:
        """Ask for ever: often until it is known, then rarely, since only the version in the store changes."""
        while True:
            info = await supervisor.info(container_port)
            if info is not None and info != self.info:
                self.info = info
                self.learned(info)
            await sleep(_ASK_AGAIN if self.info is None else _LOOK_FOR_UPDATES)


class SupervisorError(Exception):
    """The Supervisor could not be asked, or its answer made no sense. The message holds no token."""


class Supervisor:
    """The Supervisor's HTTP API, as far as an app without further rights may use it.

    `sleep` is what waits between tries, so that tests need not.
    """

    def __init__(
        self, token: str, session: aiohttp.ClientSession, *, base_url: str | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session = session
        self._base_url = (base_url or BASE_URL).rstrip("/")
        self._sleep = sleep
        self._silent: set[str] = set()

    async def mqtt(self) -> MqttSettings | None:
        """Where the broker is and how to log in; None while there is none. Ask again: it may come or change."""
        data = await self._ask("/services/mqtt")
        try:
            return None if data is None else _mqtt_settings(data)
        except (KeyError, TypeError, ValueError) as err:
            self._complain("/services/mqtt", f"its answer has no usable {err}")
            return None

    async def info(self, container_port: int) -> AppInfo | None:
        """About ourselves; None where it cannot be asked. `container_port`: the port whose host port is looked up."""
        own = await self._ask("/addons/self/info")
        if own is None:
            return None
        machine = await self._ask("/info") or {}
        return _app_info(own, machine, container_port)

    async def _ask(self, path: str) -> Json | None:
        """The `data` of an answer; None for "no such thing here" and, once logged, for anything else."""
        problem = ""
        for pause in (*_RETRIES, None):
            try:
                data = await self._get(path)
            except SupervisorError as err:
                problem = str(err)
            else:
                self._silent.discard(path)
                return data
            if pause is not None:
                await self._sleep(pause)
        self._complain(path, problem)
        return None

    async def _get(self, path: str) -> Json | None:
        """One try. None: the Supervisor said that there is no such service (400) or that we may not ask (401, 403)."""
        try:
            async with self._session.get(
                self._base_url + path, headers=self._headers, timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                if response.status == 400:
                    return None
                if response.status in {401, 403}:
                    self._complain(path, f"it refused with HTTP {response.status}")
                    return None
                if response.status != 200:
                    raise SupervisorError(f"HTTP {response.status}")
                return _data(await response.json(content_type=None))
        except TimeoutError as err:
            raise SupervisorError("no answer in time") from err
        except (aiohttp.ClientError, ValueError, OSError) as err:
            raise SupervisorError(type(err).__name__) from err

    def _complain(self, path: str, problem: str) -> None:
        """Say it once for each path, until it works again."""
        if path not in self._silent:
            self._silent.add(path)
            told = "The Supervisor gave no answer for %s: %s. Going on without; it is asked again."
            _LOG.warning(told, path, problem)


class MqttCredentials:
    """Where the MQTT bridge asks before each attempt to connect.

    A broker that the user typed in wins; else the Supervisor's, with everything else (topics, discovery, …) as the user
    set it. `settings` is called each time, so that a reloaded configuration counts.
    """

    def __init__(self, supervisor: Supervisor, settings: Callable[[], MqttSettings]) -> None:
        self._supervisor = supervisor
        self._settings = settings

    async def __call__(self) -> MqttSettings | None:
        """What to connect with now; None: no broker is known, try again later."""
        mine = self._settings()
        if mine.host or mine.embedded or not mine.enabled:
            return mine
        theirs = await self._supervisor.mqtt()
        if theirs is None:
            return None
        return replace(
            mine,
            host=theirs.host,
            port=theirs.port,
            tls=theirs.tls,
            username=mine.username or theirs.username,
            password=mine.password if mine.username else theirs.password,
        )


def token(environ: Mapping[str, str]) -> str | None:
    """The token that the Supervisor gives at each start; None outside Home Assistant."""
    return environ.get(TOKEN_VARIABLE, "").strip() or None


def _data(body: object) -> Json:
    """What is inside the Supervisor's envelope; SupervisorError where it is not one."""
    if not isinstance(body, dict) or body.get("result") != "ok" or not isinstance(body.get("data"), dict):
        raise SupervisorError("an answer of an unknown shape")
    data: Json = body["data"]
    return data


def _mqtt_settings(data: Mapping[str, Any]) -> MqttSettings:
    """A service record as settings; KeyError or ValueError names what is missing."""
    host = data["host"]
    if not isinstance(host, str) or not host:
        raise ValueError("host")
    port = int(data.get("port") or (8883 if data.get("ssl") else 1883))
    if not 0 < port < 65536:
        raise ValueError("port")
    return MqttSettings(
        host=host,
        port=port,
        tls=bool(data.get("ssl")),
        username=str(data["username"]) if data.get("username") else None,
        password=str(data["password"]) if data.get("password") else None,
    )


def _app_info(own: Mapping[str, Any], machine: Mapping[str, Any], container_port: int) -> AppInfo:
    network = own.get("network")
    mapped = network.get(f"{container_port}/tcp") if isinstance(network, dict) else None
    return AppInfo(
        version=str(own.get("version") or ""),
        latest_version=str(own.get("version_latest") or ""),
        hostname=str(own.get("hostname") or ""),
        lan_hostname=str(machine.get("hostname") or ""),
        lan_port=mapped if isinstance(mapped, int) else None,
        ingress_url=str(own.get("ingress_url") or ""),
        page=f"homeassistant://hassio/ingress/{slug}" if _SLUG.fullmatch(slug := str(own.get("slug") or "")) else "",
    )
