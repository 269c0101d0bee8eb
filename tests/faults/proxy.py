"""A TCP proxy that reads the SQL of each request, and can end the connection at any of them.

Of the frontend protocol it knows just enough to see complete requests: a simple Query, or everything up to a
Sync (PostgreSQL 18 manual, 54.7); a prepared statement it knows by its name. The connection with which
aoc-migrate watches itself passes unread.
"""

import asyncio
import contextlib
import enum
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

WATCHER = b"aoc-migrate watch"
_PROTOCOL_3 = 3


class Then(enum.Enum):
    """What happens to a request and to its connection."""

    PASS = "forward it, and go on"
    DROP = "drop it and the connection, to both sides"
    SEND = "forward it, and drop the connection at once"
    ANSWERED = "forward it, and drop the connection when the server answers; the client never learns"
    VANISH = "forward it, and leave the server alone with a connection that stays open"


class Proxy:
    """Listens on ``port`` of the loopback interface. ``judge`` decides what happens to each request's SQL."""

    def __init__(self, host: str, port: int, judge: Callable[[str], Then]) -> None:
        self.upstream, self.judge, self.port = (host, port), judge, 0
        self._loop = asyncio.new_event_loop()
        self._listening, self._stopped = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopped.wait()
        server.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        broken = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.closing(to_client), contextlib.suppress(*broken):
            startup = await _framed(client)
            server, to_server = await asyncio.open_connection(*self.upstream)
            with contextlib.closing(to_server):
                to_server.write(startup)
                # Only protocol 3 is a conversation; what else comes here is a request to cancel.
                read_along = struct.unpack("!H", startup[4:6])[0] == _PROTOCOL_3 and WATCHER not in startup
                conversation = _Conversation(client, to_client, server, to_server)
                await conversation.run(self.judge if read_along else None)


async def _framed(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!I", length)[0] - 4)


class _Conversation:
    """One connection, relayed in both directions until one side ends it."""

    def __init__(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self.client, self.to_client, self.server, self.to_server = client, to_client, server, to_server
        self.then = Then.PASS

    async def run(self, judge: Callable[[str], Then] | None) -> None:
        ways = [self._answers(), self._requests(judge) if judge else _relay(self.client, self.to_server)]
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answers(self) -> None:
        while data := await self.server.read(65536):
            if self.then is Then.ANSWERED:
                return
            if self.then is Then.PASS:
                self.to_client.write(data)
                await self.to_client.drain()

    async def _requests(self, judge: Callable[[str], Then]) -> None:
        request, text = b"", ""
        prepared: dict[bytes, str] = {}
        while True:
            kind = await self.client.readexactly(1)
            frame = await _framed(self.client)
            request += kind + frame
            first, second, *_ = [*frame[4:].split(b"\0", 2), b""]
            if kind == b"Q":
                text = first.decode()
            elif kind == b"P":
                prepared[first] = second.decode()
            elif kind == b"B":
                text = prepared[second]
            if kind == b"Q" or (kind == b"S" and text):  # without a Bind, a statement is only prepared
                self.then, text = judge(text), ""
            if self.then is Then.DROP:
                return
            if kind in b"QSHpXdcf":
                self.to_server.write(request)
                await self.to_server.drain()
                request = b""
            if self.then is Then.SEND:
                return
            if self.then is not Then.PASS:
                await asyncio.Event().wait()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
