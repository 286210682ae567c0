"""The house put together: every part made once, handed what it needs, and made anew where a reload asks for it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .booking import Books
from .catalog.build import build_models
from .catalog.catalog import Catalog
from .catalog.table import ModelTable
from .clock import Clock
from .config import loader
from .config.loader import Loaded
from .config.settings import Settings
from .devices.service import Devices
from .events import EventBus, ModelsChanged
from .gateway import Gateway
from .logs import Redactor
from .models import Json
from .mqtt.bridge import Bridge
from .routing.difficulty import DifficultyModel
from .routing.router import RouteContext, Router
from .services import Control, Services
from .upstream.cache import ResponseCache
from .upstream.pool import Pool
from .usage.recorder import Recorder

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class House:
    """Every part of a running router."""

    loaded: Loaded
    data: Path
    clock: Clock
    redactor: Redactor
    bus: EventBus
    catalog: Catalog
    difficulty: DifficultyModel
    table: ModelTable
    devices: Devices
    recorder: Recorder
    pool: Pool
    gateway: Gateway
    control: Control
    bridge: Bridge
    admin_key_is_new: bool = False
    discovered: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What holds now."""
        return self.loaded.settings
