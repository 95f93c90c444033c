"""memcached: a Python client, and the tools of libmemcached."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError

from .checking import HOST, Check, CheckError, Protocol, Target, expect, expect_in, run


def pymemcache(target: Target) -> None:
    """Store, add, replace by cas, count and delete; with noreply, and many at once."""
    client = Client((HOST, target.port), default_noreply=False)
    value = bytes(range(256)) * (1 if target.cut else 1000)
    expect("set", client.set("a", value), wanted=True)
    expect("get", client.get("a"), value)
    expect("add", (client.add("a", b"x"), client.add("b", b"1")), (False, True))
    got, version = client.gets("a")
    expect(
        "cas", (got, client.cas("a", b"new", version), client.cas("a", b"old", version)), (value, True, False)
    )
    expect("incr", (client.incr("b", 41), client.incr("none", 1)), (42, None))
    expect("delete", (client.delete("a"), client.delete("a")), (True, False))
    client.set("quiet", b"1", noreply=True)
    client.incr("quiet", 1, noreply=True)
    client.delete("b", noreply=True)
    expect("noreply", client.get_many(["quiet", "b", "none"]), {"quiet": b"2"})
    many = {f"key{number}": b"\r\nEND\r\n" * number for number in range(5 if target.cut else 100)}
    expect("set_many", client.set_many(many), [])
    expect("get_many", client.get_many(many), many)
    client.set_many(many, noreply=True)
    client.delete_many(many, noreply=True)
    expect("delete_many", client.gets_many(many), {})
    client.set("gone", b"x", expire=-1)
    expect("expire", client.get("gone"), None)
    client.close()


def pymemcache_refused(target: Target) -> None:
    """Go on behind a value that is too large."""
    client = Client((HOST, target.port), default_noreply=False)
    try:
        client.set("large", bytes((1 << 20) + 1))
    except MemcacheServerError as error:
        expect("too large", error.args, (b"object too large for cache",))
    else:
        raise CheckError("a value that is too large was stored")
    expect("version", client.version(), b"1.0.0")
    client.quit()


def tool(target: Target, name: str, *arguments: str) -> str:
    """Return what one of libmemcached's tools says."""
    return run([name, f"--servers={HOST}:{target.port}", *arguments])


def memcstat(target: Target) -> None:
    """Ask for statistics."""
    expect_in("memcstat", tool(target, "memcstat"), "curr_items", "limit_maxbytes")


def items(target: Target) -> list[str]:
    """Return what memcstat says of how many items there are."""
    return re.findall(r"curr_items: \d+", tool(target, "memcstat"))


def memccat(target: Target) -> None:
    """Store a file by memccp, fetch it by memccat, delete it by memcrm."""
    content = "lines\r\nEND\r\nand more\n"
    before = items(target)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "copied"
        file.write_bytes(content.encode())
        tool(target, "memccp", str(file))
    expect("memccat", tool(target, "memccat", "copied").rstrip("\n") + "\n", content)
    tool(target, "memcrm", "copied")
    expect("memcrm", items(target), before)


PROTOCOL: Final = Protocol(
    "memcached",
    "memcached_ascii:app",
    (
        Check("pymemcache", pymemcache),
        Check("pymemcache", pymemcache_refused, large=True),
        Check("memcstat", memcstat, "libmemcached-tools"),
        Check("memccat", memccat, "libmemcached-tools"),
    ),
)
