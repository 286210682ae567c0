"""What a start imports, and what it leaves alone."""

from __future__ import annotations

import gc
import subprocess
import sys

from cheaprouter.main import app

CERTIFICATES = """
import ssl
from cheaprouter.main.imports import no_certificates
with no_certificates():
    import aiohttp.connector as connector
stats = [connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"], connector._SSL_CONTEXT_VERIFIED.verify_mode.name]
print(*stats, "set_default_verify_paths" in vars(ssl.SSLContext))
"""

LAZY = """
import sys
import cheaprouter.main.app
print(*({"paho", "aiomqtt", "amqtt", "cheaprouter.dashboard.site", "cheaprouter.mqtt.bridge", "uvloop"} & sys.modules.keys()))
"""


def told(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_aiohttps_own_contexts_hold_no_certificates_and_trust_nobody():
    trusted, mode, _ = told(CERTIFICATES)
    assert (trusted, mode) == ("0", "CERT_REQUIRED")


def test_contexts_that_are_made_later_are_whole():
    assert told(CERTIFICATES)[2] == "False"


def test_what_a_start_does_not_need_is_not_imported_before_the_sockets_listen():
    assert told(LAZY) == []


def test_the_garbage_collector_works_once_the_router_serves():
    before = gc.get_threshold()
    gc.disable()
    try:
        app._settle_memory()
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*before)
