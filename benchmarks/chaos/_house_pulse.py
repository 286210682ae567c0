"""A client that asks the router how it is, again and again: how long it was silent, and how much memory it took at most.

    python benchmarks/chaos/_house_pulse.py PORT PID

For each line on standard input a line of JSON on standard output, about the time since the line before; after the line `rest` it
asks nothing until the next. From each answer's time is
taken what its router and this client spent waiting for a core: on a machine that others use, too, it is the router that is judged.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

EVERY = 0.005
"""Seconds between an answer and the next question."""

PATIENCE = 30.0
"""Seconds after which a question counts as not answered."""

ASK = b"GET /router/pulse-of-the-house HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""Answered with 404, and no work but the loop's own."""


@dataclass
class Beats:
    """`longest`: ms of silence; `waited`: ms of those that were spent waiting for a core; `peak`, `now`: MB of memory."""

    count: int = 0
    failed: int = 0
    longest: float = 0.0
    waited: float = 0.0
    peak: float = 0.0
    now: float = 0.0


def waiting(stat: str) -> int:
    """Nanoseconds that a thread was ready to run and had no core; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(stat).read_text().split()[1])
    return 0


def memory(pid: int) -> int:
    """kB that a process and those it has started hold in memory."""
    found = 0
    with contextlib.suppress(OSError, ValueError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (str(pid), *children):
            with contextlib.suppress(OSError, ValueError):
                found += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)
    return found


class Pulse:
    """See the module."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self.beats = Beats()
        self.resting = False
        self.sock: socket.socket | None = None

    def run(self) -> None:
        """For ever."""
        theirs, mine = f"/proc/{self.pid}/task/{self.pid}/schedstat", "/proc/thread-self/schedstat"
        while True:
            while self.resting:
                time.sleep(EVERY)
            before = waiting(theirs) + waiting(mine)
            began = time.perf_counter()
            answered = self.ask()
            took = (time.perf_counter() - began) * 1000
            waited = (waiting(theirs) + waiting(mine) - before) / 1e6
            beats = self.beats
            beats.count += 1
            beats.failed += not answered
            if took - waited > beats.longest:
                beats.longest, beats.waited = took - waited, waited
            beats.now = memory(self.pid) / 1024
            beats.peak = max(beats.peak, beats.now)
            time.sleep(EVERY)

    def ask(self) -> bool:
        """Once; whether there was an answer."""
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(ASK)
            if self.sock.recv(65536):
                return True
        except OSError:
            pass
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        return False


def main(port: int, pid: int) -> None:
    pulse = Pulse(port, pid)
    threading.Thread(target=pulse.run, daemon=True).start()
    for line in sys.stdin:
        pulse.resting = line.startswith("rest")
        beats, pulse.beats = pulse.beats, Beats()
        print(json.dumps(asdict(beats)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
