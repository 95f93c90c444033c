"""A dictionary in SQLite, with a pool of connections that is opened before anything is served.

Each line is a word, each reply what it means. `LOOKUP_DB` names the database; its table is
`words(word TEXT PRIMARY KEY, meaning TEXT)`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial

import trio

import caas_trio


class Pool:
    """A few connections to one database, each used by one query at a time."""

    def __init__(self, databases: list[sqlite3.Connection]) -> None:
        self._give_back, self._free = trio.open_memory_channel[sqlite3.Connection](len(databases))
        for database in databases:
            self._give_back.send_nowait(database)

    async def meaning(self, word: str) -> str | None:
        """Return what a word means; None if it is not in the database."""
        database = await self._free.receive()
        try:
            # SQLite blocks: in a thread, it keeps nobody else waiting. A cancelled query runs to its end.
            return await trio.to_thread.run_sync(look_up, database, word)
        finally:
            self._give_back.send_nowait(database)


def look_up(database: sqlite3.Connection, word: str) -> str | None:
    """Return what a word means, once the database has answered."""
    row = database.execute("SELECT meaning FROM words WHERE word = ?", [word]).fetchone()
    return None if row is None else str(row[0])


async def handler(pool: Pool, connection: caas_trio.Connection) -> None:
    """Serve one client."""
    async for line in connection:
        meaning = await pool.meaning(line.decode(errors="replace").strip())
        reply = "error: no such word" if meaning is None else " ".join(meaning.split())
        await connection.send(f"{reply}\n".encode())


@asynccontextmanager
async def app() -> AsyncIterator[object]:
    """Open the pool in each worker before it is ready, and close it after its drain."""
    path = os.environ.get("LOOKUP_DB", "lookup.sqlite")
    with ExitStack() as opened:
        databases = [
            opened.enter_context(
                closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False))
            )
            for _ in range(4)
        ]
        look_up(databases[0], "")  # a database that is not right is told at the start
        yield partial(handler, Pool(databases))


if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
