"""What is told of connections that cannot be taken."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket

from cheaprouter.main.sites import tell_of_no_more_files


class Full:
    """A listening socket of a process that may open no more files: many wait, and none can be taken."""

    def __init__(self, real: socket.socket):
        self.real, self.asked = real, 0

    def accept(self):
        self.asked += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def __getattr__(self, name):
        return getattr(self.real, name)


def test_where_no_more_files_can_be_opened_one_line_tells_it(caplog):
    caplog.set_level(logging.INFO)

    async def taking(turns):
        loop = asyncio.get_running_loop()
        tell_of_no_more_files(loop)
        with socket.socket() as real:
            full = Full(real)
            for _ in range(turns):
                loop._accept_connection(asyncio.Protocol, full, backlog=200)
            return full.asked

    assert asyncio.run(taking(3)) == 600
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]
    assert "Too many open files" in caplog.text


def test_other_faults_are_told_as_ever(caplog):
    async def faulty():
        loop = asyncio.get_running_loop()
        tell_of_no_more_files(loop)
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(faulty())
    assert "ZeroDivisionError" in caplog.text
