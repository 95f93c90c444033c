"""The queue of a connection's sends: tasks that wait, and posted bytes. `SendQueue`."""

from __future__ import annotations

import trio


class SendQueue:
    """The tasks that wait for their turn to send, and what was posted meanwhile, which goes first.

    True while anything waits.
    """

    def __init__(self) -> None:
        self._tasks = trio.lowlevel.ParkingLot()
        self._posted = bytearray()
        self._under_way = 0

    def __bool__(self) -> bool:
        return bool(self._posted or self._tasks)

    @property
    def posted(self) -> bool:
        """Whether bytes wait."""
        return bool(self._posted)

    async def wait_for_turn(self) -> None:
        """Return when the tasks that came before have sent."""
        await self._tasks.park()

    def wake_next(self) -> None:
        """Wake the next task that waits."""
        self._tasks.unpark()

    def post(self, data: bytes | memoryview, limit: int) -> bool:
        """Add data to send, unless more than `limit` bytes would wait; return whether it was added."""
        if self._under_way + len(self._posted) + len(data) > limit:
            return False
        self._posted += data
        return True

    def take_posted(self) -> bytes:
        """Take all that was posted; it counts until the next call."""
        taken = bytes(self._posted)
        self._posted.clear()
        self._under_way = len(taken)
        return taken

    def drop_posted(self) -> None:
        """Drop what was posted."""
        self._posted.clear()
        self._under_way = 0
