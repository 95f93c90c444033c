"""Redis: its own tools, its Python client, and its server, which has to give the same replies."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import redis

from .checking import HOST, Check, CheckError, Protocol, Target, expect, expect_in, run

#: What our server and Redis have to answer with the same bytes.
CONVERSATION: Final = (
    b"PING\r\nPING\n\r\nping hello\r\nECHO\r\n"
    b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$5\r\na\r\nb\x00\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
    b"SET k v\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\n\r\n\r\n$1\r\nGET k\r\nINCR k\r\n"
    b"DEL k k none\r\nGET k\r\nINCR n\r\nincr n\r\nGET n\r\nSET n 9223372036854775806\r\nINCR n\r\nINCR n\r\n"
    b"SET n 01\r\nINCR n\r\nSET n -1\r\nINCR n\r\nDEL n\r\n*0\r\n*-1\r\nGET\r\nSET k\r\nDEL\r\n"
    b"INCRBY n -9\r\nINCRBY n x\r\nINCRBY n\r\n"
    b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$1\r\nk\r\nPING a b\r\nDEL k n\r\n"
)
#: An invalid command, at which both end the connection.
GARBLED: Final = (b"*1\r\n+PING\r\n", b"*x\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*99999999999\r\n")


def talk(port: int, data: bytes) -> bytes:
    """Return all that comes to a client that sends `data` at once, then the end."""
    with socket.create_connection((HOST, port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@contextmanager
def redis_server() -> Iterator[int]:
    """Run Redis itself; yield its port."""
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
    command = ["redis-server", "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until_open(port)
            yield port
        finally:
            server.terminate()


def wait_until_open(port: int) -> None:
    """Return once there is a server at a port.

    Raises:
        CheckError: there is none after ten seconds.
    """
    for _ in range(200):
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise CheckError("redis-server has not started")


def same_replies(target: Target) -> None:
    """Answer a conversation as Redis does, and end where it does."""
    with redis_server() as port:
        expect("the replies", talk(target.port, CONVERSATION), talk(port, CONVERSATION))
        for garbled in GARBLED:
            ours, theirs = (talk(each, b"PING\r\n" + garbled + b"PING\r\n") for each in (target.port, port))
            expect(f"the reply to {garbled!r}", ours, theirs)


def redis_cli(target: Target) -> None:
    """Send each command; then a file of commands, one by one and in one stream."""
    command = ["redis-cli", "-h", HOST, "-p", str(target.port)]
    expect("SET", run([*command, "SET", "cli", "a b"]), "OK\n")
    expect("GET", run([*command, "GET", "cli"]), "a b\n")
    expect("ECHO", run([*command, "-x", "ECHO"], b"\0\r\n"), "\0\r\n\n")
    expect("INCR and DEL", run(command, b"DEL n\nINCR n\nINCR n\nDEL n cli\n").split(), ["0", "1", "2", "2"])
    expect_in("an error", run([*command, "GET"]), "ERR wrong number of arguments for 'get' command")
    count = 20 if target.cut else 20000
    many = b"*2\r\n$4\r\nINCR\r\n$5\r\npiped\r\n" * count
    expect_in("--pipe", run([*command, "--pipe"], many), f"errors: 0, replies: {count}")
    run([*command, "DEL", "piped"])


def redis_benchmark(target: Target) -> None:
    """Count replies, one command at a time and 16 at once."""
    count = "32" if target.cut else "20000"
    for depth in ("1", "16"):
        command = ["redis-benchmark", "-h", HOST, "-p", str(target.port), "-n", count, "-c", "4", "-P", depth]
        said = run([*command, "-t", "ping_inline,ping_mbulk,set,get,incr", "--csv"])
        expect(
            f"-P {depth}",
            len(re.findall(r'^"(?:PING_INLINE|PING_MBULK|SET|GET|INCR)"', said, re.MULTILINE)),
            5,
        )


def redis_py(target: Target) -> None:
    """Store bytes of every value; pipeline; see errors."""
    with redis.Redis(HOST, target.port, protocol=2) as client:
        expect("PING", client.ping(), wanted=True)
        value = bytes(range(256)) * (1 if target.cut else 400)
        expect("SET", client.set("py", value), wanted=True)
        expect("GET", client.get("py"), value)
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(50):
                pipeline.incr("count").echo("x").get("none")
            pipeline.delete("py", "count")
            expect(
                "a pipeline",
                pipeline.execute(),
                [*(each for n in range(1, 51) for each in (n, b"x", None)), 2],
            )
        try:
            client.execute_command("FLUSHALL")
        except redis.ResponseError as error:
            expect_in("an error", str(error), "unknown command")
        else:
            raise CheckError("FLUSHALL was not refused")


PROTOCOL: Final = Protocol(
    "Redis",
    "redis_subset:app",
    (
        Check("redis-cli", redis_cli, "redis-tools"),
        Check("redis-benchmark", redis_benchmark, "redis-tools"),
        Check("redis-py", redis_py),
        Check("redis-server", same_replies, "redis-server"),
    ),
)
