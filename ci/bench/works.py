"""The table of works: what the servers are made to do, and which metric of it counts."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ci.bench.peers import C_LOOP, HANDLER, METERED, OURS, REDIS_PEERS, TLS_PEERS, Peer


class Measure(Enum):
    """The metric a work is about: its name in `Run.metrics`, its unit, and which way is better."""

    LINES = ("throughput", "lines/s", True)
    MEGABYTES = ("megabytes", "MB/s", True)
    REQUESTS = ("throughput", "requests/s", True)
    CONNECTIONS = ("throughput", "connections/s", True)
    QUIET_P99 = ("p99", "µs at the 99th percentile", False)
    MEMORY = ("memory", "bytes/connection", False)
    CPU_PER_LINE = ("cpu", "µs of CPU/line", False)
    CPU_PER_BYTE = ("cpu_byte", "ns of CPU/byte", False)

    def __init__(self, metric: str, unit: str, more_is_better: bool) -> None:  # noqa: FBT001 - the tuples above
        self.metric = metric
        self.unit = unit
        self.more_is_better = more_is_better


@dataclass(frozen=True)
class Work:
    """One thing the load generator does to every peer.

    Attributes:
        name: `family` or `family/size`; the sizes of a family share a chart.
        title: one line for tables and charts.
        measure: the metric that counts.
        mode, connections, depth, line: the options of `load.c`; `line` in bytes, its LF included.
        unix: over a Unix socket instead of TCP.
        tls: over TLS.
        resume: each connection but the first resumes a session of TLS.
        reset: connections end with a reset.
        command: what redis-benchmark is told to send, in place of `load.c`; "" for a work of `load.c`.
        peers: the names of those who take part; None for everybody who can and needs no invitation.
    """

    name: str
    title: str
    measure: Measure
    mode: str = "lines"
    connections: int = 1
    depth: int = 1
    line: int = 32
    unix: bool = False
    tls: bool = False
    resume: bool = False
    reset: bool = False
    command: str = ""
    peers: tuple[str, ...] | None = None

    @property
    def family(self) -> str:
        """The name without the size."""
        return self.name.partition("/")[0]

    def takes(self, peer: Peer) -> bool:
        """Whether `peer` takes part: it is wanted here, and it can."""
        if self.name in peer.cannot:
            return False
        wanted = not peer.invited if self.peers is None else peer.name in self.peers
        line_fits = peer.longest_line is None or self.line <= peer.longest_line
        lasting = 1 if self.mode == "connect" else self.connections
        return wanted and line_fits and (peer.clients is None or lasting <= peer.clients)


def _over_tls(
    name: str, title: str, measure: Measure = Measure.LINES, mode: str = "lines", **further: Any
) -> Work:
    return Work(name, f"TLS: {title}", measure, mode, tls=True, peers=TLS_PEERS, **further)


_GROWING = (OURS, HANDLER, C_LOOP)

WORKS = (
    Work("line-1", "1 connection, a line at a time", Measure.LINES),
    Work("line-50", "50 connections, a line at a time", Measure.LINES, connections=50),
    Work("line-1000", "1000 connections, a line at a time", Measure.LINES, connections=1000),
    Work("pipeline", "20 connections, 100 lines in flight each", Measure.LINES, connections=20, depth=100),
    Work("long-line", "4 connections, lines of 1 MB", Measure.MEGABYTES, connections=4, line=1 << 20),
    Work("connect", "connect, a line, close; 20 at a time", Measure.CONNECTIONS, "connect", connections=20),
    Work(
        "connect-reset",
        "connect, a line, reset; 20 at a time",
        Measure.CONNECTIONS,
        "connect",
        connections=20,
        reset=True,
    ),
    _over_tls("tls-line-50", "50 connections, a line at a time", connections=50),
    _over_tls("tls-pipeline", "20 connections, 100 lines in flight each", connections=20, depth=100),
    _over_tls("tls-1MB", "4 connections, lines of 1 MB", Measure.MEGABYTES, connections=4, line=1 << 20),
    _over_tls("tls-handshakes", "connect, a line, close", Measure.CONNECTIONS, "connect", connections=20),
    _over_tls(
        "tls-resumed", "the same, resumed", Measure.CONNECTIONS, "connect", connections=20, resume=True
    ),
    _over_tls("tls-idle", "1000 connections, idle after one line", Measure.MEMORY, "hold", connections=1000),
    *(
        Work(
            f"redis-{name}-{depth}",
            f"Redis {name.upper()}, 50 connections, {'a command' if depth == 1 else '16 commands'} at a time",
            Measure.REQUESTS,
            "redis",
            connections=50,
            depth=depth,
            command=command,
            peers=REDIS_PEERS,
        )
        for depth in (1, 16)
        for name, command in (("ping", "ping_mbulk"), ("set", "set"), ("get", "get"))
    ),
    Work(
        "firehose",
        "100 quiet clients beside a firehose",
        Measure.QUIET_P99,
        "firehose",
        connections=101,
        depth=1000,
    ),
    Work(
        "unix-50",
        "50 connections over a Unix socket, a line at a time",
        Measure.LINES,
        connections=50,
        unix=True,
    ),
    Work("idle", "3000 connections, idle after one line", Measure.MEMORY, "hold", connections=3000),
    *(
        Work(
            f"line-size/{size // 1000} KB",
            "cost per byte as a line grows",
            Measure.CPU_PER_BYTE,
            connections=2,
            line=size,
            peers=_GROWING,
        )
        for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    ),
    *(
        Work(
            f"connections/{count}",
            "cost per line as connections grow",
            Measure.CPU_PER_LINE,
            connections=count,
            peers=_GROWING,
        )
        for count in (10, 100, 1000, 5000)
    ),
    *(
        Work(
            f"metrics/{name}",
            "cost of being counted",
            Measure.CPU_PER_LINE,
            mode,
            connections=connections,
            depth=depth,
            peers=(OURS, METERED),
        )
        for name, mode, connections, depth in (
            ("line-50", "lines", 50, 1),
            ("connect", "connect", 20, 1),
            ("pipeline", "lines", 20, 100),
        )
    ),
    # In one process, without sockets: see buffers.py.
    Work(
        "linebuffer/bytes",
        "a line of 256 KiB, byte by byte",
        Measure.MEGABYTES,
        "buffer",
        line=1 << 18,
        peers=(),
    ),
    Work(
        "linebuffer/chunks",
        "lines of 30 bytes in chunks of 1460",
        Measure.MEGABYTES,
        "buffer",
        line=30,
        peers=(),
    ),
    Work(
        "linebuffer/blocks",
        "lines of 30 bytes in blocks of 64 KiB",
        Measure.MEGABYTES,
        "buffer",
        line=30,
        peers=(),
    ),
)
