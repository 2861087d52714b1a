"""A server for datagrams, and the grammars of what DogStatsD and StatsD may be sent."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# DogStatsD protocol 1.3: name:value[:value…]|type[|@rate][|#tags][|c:container][|e:…][|T…]
_METRIC = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_.]{0,199})"
    r":(?P<values>-?[0-9.]+(?:e[+-]?\d+)?(?::-?[0-9.]+(?:e[+-]?\d+)?)*)"
    r"\|(?P<type>c|g|d)"
    r"(?:\|#(?P<tags>[^|\n]*))?"
    r"(?:\|c:[^|\n]+)?(?:\|e:[^|\n]+)?"
    r"(?:\|T(?P<second>\d+))?",
    re.ASCII,
)
_TAG = re.compile(r"[a-z][\w\-:/.]{0,199}")
_EVENT = re.compile(r"_e\{(?P<title>\d+),(?P<text>\d+)\}:", re.ASCII)

# StatsD: name:value|type, a name without what the protocol itself uses.
_STATSD = re.compile(
    r"(?P<name>[A-Za-z0-9_.-]+):(?P<value>[+-]?\d+(?:\.\d+)?)\|(?P<type>c|g)", re.ASCII
)


@dataclass
class Received:
    """What came, by the rules of each server; anything else fails."""

    packets: list[bytes] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def add(self, packet: bytes) -> None:
        with self._arrived:
            self.packets.append(packet)
            self._arrived.notify_all()

    def clear(self) -> None:
        with self._arrived:
            self.packets.clear()

    def lines(self) -> list[str]:
        with self._arrived:
            # Nothing of UDP on the loopback interface comes later than that.
            while self._arrived.wait(0.2):
                pass
            return [line for one in self.packets for line in one.decode().rstrip("\n").split("\n")]

    def dogstatsd(self) -> DogStatsdTotals:
        totals = DogStatsdTotals()
        for line in self.lines():
            totals.add(line)
        return totals

    def statsd(self) -> StatsdTotals:
        totals = StatsdTotals()
        for line in self.lines():
            totals.add(line)
        return totals


Series = tuple[str, frozenset[str]]


@dataclass
class DogStatsdTotals:
    """With a time, the last count of a series and second stands; without, counts are added."""

    timed: dict[tuple[Series, str], float] = field(default_factory=dict)
    untimed: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[Series, float] = field(default_factory=dict)
    distributions: dict[Series, list[float]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[str, str]] = field(default_factory=list)

    def add(self, line: str) -> None:
        if line.startswith("_e{"):
            self._add_event(line.encode())
            return
        found = _METRIC.fullmatch(line)
        assert found, f"no DogStatsD: {line!r}"
        tags = (found["tags"] or "").split(",")
        assert all(_TAG.fullmatch(one) for one in tags if one), tags
        series = found["name"], frozenset(tags)
        values = [float(value) for value in found["values"].split(":")]
        match found["type"]:
            case "d":
                assert not found["second"]
                self.distributions[series].extend(values)
            case "g":
                (self.gauges[series],) = values
            case _ if found["second"]:
                (self.timed[series, found["second"]],) = values
            case _:
                (value,) = values
                self.untimed[series] += value

    def total(self, metric: str, *tags: str) -> float:
        counts = [*((series, n) for (series, _), n in self.timed.items()), *self.untimed.items()]
        return sum(n for (name, has), n in counts if name == metric and has.issuperset(tags))

    def _add_event(self, line: bytes) -> None:
        head = _EVENT.match(line.decode(errors="replace"))
        assert head, line
        start = head.end()
        middle = start + int(head["title"])
        end = middle + 1 + int(head["text"])
        assert line[middle : middle + 1] == b"|", line
        assert end == len(line) or line[end : end + 1] == b"|", line
        self.events.append((line[start:middle].decode(), line[middle + 1 : end].decode()))


@dataclass
class StatsdTotals:
    """Counts are added; a gauge with a sign is a change of it."""

    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, line: str) -> None:
        found = _STATSD.fullmatch(line)
        assert found, f"no StatsD: {line!r}"
        name, value = found["name"], float(found["value"])
        assert "" not in name.split(".")
        if found["type"] == "c":
            self.counts[name] += value
        elif found["value"][0] in "+-":
            self.gauges[name] += value
        else:
            self.gauges[name] = value

    def total(self, start: str) -> float:
        return sum(value for name, value in self.counts.items() if name.startswith(start))


@contextmanager
def udp_server(port: int = 0) -> Iterator[tuple[str, Received]]:
    """A UDP server on a loopback port: its URL, and what it gets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        server.bind(("127.0.0.1", port))
        with _reading(server) as received:
            yield f"udp://127.0.0.1:{server.getsockname()[1]}", received


@contextmanager
def unix_server(path: Path) -> Iterator[tuple[str, Received]]:
    """A Unix datagram server."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        with _reading(server) as received:
            yield f"unix://{path}", received
    path.unlink()


@contextmanager
def unix_stream_server(path: Path) -> Iterator[tuple[str, Received]]:
    """A Unix stream server, each packet after its length, as the Datadog Agent reads them."""
    received = Received()

    def read() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                while head := stream.read(4):
                    received.add(stream.read(struct.unpack("<I", head)[0]))

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield f"unix://{path}", received
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def _reading(server: socket.socket) -> Iterator[Received]:
    received = Received()
    stopped = threading.Event()
    server.settimeout(0.1)

    def read() -> None:
        while not stopped.is_set():
            with suppress(TimeoutError):
                received.add(server.recv(65536))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        stopped.set()
        thread.join(10)
