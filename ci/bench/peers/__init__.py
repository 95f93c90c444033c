"""The table of peers, and how each is started.

Each is a program of its own that takes an endpoint and prints `listening on ENDPOINT` once it accepts.
"""

from dataclasses import dataclass

OURS = "caas_trio"
HANDLER = "caas_trio handler"
METERED = "caas_trio --metrics"
REDIS = "caas_trio, Redis"
REDIS_ASYNCIO = "asyncio streams, Redis"
REDIS_UVLOOP = "uvloop streams, Redis"
BARE_LOOP = "bare Python epoll"
C_LOOP = "epoll in C"
C_TLS_LOOP = "epoll and OpenSSL in C"
NODE = "Node"
AIOFASTNET = "aiofastnet Protocol"


@dataclass(frozen=True)
class Peer:
    """One server of the comparison.

    Attributes:
        name: how tables and targets call it.
        command: its arguments; `{python}`, `{endpoint}`, `{build}` (where C programs are) and
            `{certificate}` are filled in.
        package: the distribution whose version belongs into the description of the machine, if any.
        longest_line: the most bytes a line may have, its LF included; None without a limit.
        clients: how many clients it serves at a time; None without a limit.
        invited: whether it takes part only where it is named.
        cannot: the works that it cannot do.
        greeting: what it is sent before anything is measured, and what it has to answer.
    """

    name: str
    command: tuple[str, ...]
    package: str | None = None
    longest_line: int | None = None
    clients: int | None = None
    invited: bool = False
    cannot: tuple[str, ...] = ()
    greeting: tuple[bytes, bytes] = (b"hello\n", b"HELLO\n")


def _redis(name: str, *command: str, package: str | None = None) -> Peer:
    return Peer(name, command, package, invited=True, greeting=(b"PING\r\n", b"+PONG\r\n"))


def _program(module: str, *arguments: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"{__name__}.{module}", "{endpoint}", *arguments)


PEERS = (
    # Ours first: the service as a user starts it, and a handler as a user writes it.
    Peer(OURS, ("{python}", "-m", "caas_trio", "{endpoint}"), "caas-trio"),
    Peer(
        METERED,
        ("{python}", "-m", "caas_trio", "{endpoint}", "--metrics", "127.0.0.1:0"),
        "caas-trio",
        invited=True,
    ),
    Peer(HANDLER, _program("caas_handler"), "caas-trio", longest_line=65537),
    Peer("raw socket", _program("raw_socket"), clients=1),
    Peer("socketserver threads", _program("threads")),
    Peer("asyncio streams", _program("asyncio_streams")),
    Peer("asyncio Protocol", _program("asyncio_protocol")),
    Peer("uvloop streams", _program("asyncio_streams", "uvloop"), "uvloop"),
    Peer("uvloop Protocol", _program("asyncio_protocol", "uvloop"), "uvloop"),
    Peer("uvloop Protocol, unframed", _program("asyncio_protocol", "uvloop", "unframed"), "uvloop"),
    Peer(
        "rloop Protocol",
        _program("asyncio_protocol", "rloop"),
        "rloop",
        # It has no Unix sockets, and closes no socket until the server ends.
        cannot=("unix-50", "connect", "connect-reset"),
    ),
    Peer(AIOFASTNET, _program("asyncio_protocol", "aiofastnet"), "aiofastnet"),
    Peer("Twisted", _program("twisted_lines"), "twisted"),
    Peer("gevent", _program("gevent_lines"), "gevent"),
    Peer("plain trio", _program("trio_lines"), "trio"),
    Peer(NODE, ("node", "ci/bench/peers/node.js", "{endpoint}")),
    Peer(BARE_LOOP, _program("bare_loop")),
    Peer(C_LOOP, ("{build}/epoll", "{endpoint}")),
    Peer(C_TLS_LOOP, ("{build}/epoll_tls", "{endpoint}", "{certificate}"), invited=True),
    # The server of docs/examples, and the same as one writes it over streams.
    _redis(
        REDIS,
        *("{python}", "-m", "caas_trio", "{endpoint}", "--app", "redis_subset:app"),
        *("--app-dir", "docs/examples"),
        package="caas-trio",
    ),
    _redis(REDIS_ASYNCIO, "{python}", "-m", "ci.protocols.streams", "0"),
    _redis(REDIS_UVLOOP, "{python}", "-m", "ci.protocols.streams", "0", "uvloop", package="uvloop"),
)

#: Those that speak Redis.
REDIS_PEERS = (REDIS, REDIS_ASYNCIO, REDIS_UVLOOP)

#: Those that serve `tls://IPV4:PORT` with the certificate that CAAS_TRIO_TLS_CERT names.
TLS_PEERS = (
    OURS,
    HANDLER,
    "asyncio streams",
    "asyncio Protocol",
    "uvloop streams",
    "uvloop Protocol",
    AIOFASTNET,
    NODE,
    C_TLS_LOOP,
)
