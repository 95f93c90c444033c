"""The values of a worker's metrics, in mapped files that never end it: `slot_values`.

prometheus_client maps files as they grow, without allocating their blocks: on a full file system
the kernel ends a process that writes there with SIGBUS. Here a file gets its blocks before they are
mapped. While there is no room for it, a value is kept in memory.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from prometheus_client.mmap_dict import MmapedDict, mmap_key

#: The size of a new file (bytes); it doubles when it is full.
_INITIAL_SIZE: Final = 1 << 16

#: The largest file that is read (bytes): more than any number of values that make sense on a page.
_MAX_SIZE: Final = 1 << 24

_INT: Final = struct.Struct("i")

#: How many bytes a value takes beside its key: a size, the key's padding, a number and a time.
_MAX_AROUND_KEY: Final = 4 + 8 + 8 + 8

#: OnError why a value cannot be shared for now.
OnError: TypeAlias = Callable[[OSError], object]


class AllocatedDict(MmapedDict):
    """A file of values whose blocks are allocated before they are mapped.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, filename: str) -> None:
        with open(filename, "ab", buffering=0) as file:  # noqa: PTH123 - without a buffer
            size = os.fstat(file.fileno()).st_size  # odd if a worker was killed while it wrote it
            _append_zeros(file.fileno(), -size % _INITIAL_SIZE if size else _INITIAL_SIZE)
        super().__init__(filename)  # type: ignore[no-untyped-call]

    def make_room(self, key: str) -> None:
        """Extend the file until it has room for a value.

        Raises:
            OSError: there is none.
        """
        needed = len(key.encode()) + _MAX_AROUND_KEY
        while key not in self._positions and self._used + needed > self._capacity:
            _append_zeros(self._f.fileno(), self._capacity)
            self._m = mmap.mmap(self._f.fileno(), 2 * self._capacity)
            self._capacity *= 2


class Files:
    """The files of one slot, by kind of value.

    Args:
        folder: where they are.
        slot: the number in their names.
        on_error: called with the first failure.

    Attributes:
        unshared: the values that there was no room for.
    """

    def __init__(self, folder: Path, slot: int, on_error: OnError) -> None:
        self.lock = threading.Lock()
        self.unshared: set[_Value] = set()
        self._folder = folder
        self._slot = slot
        self._on_error = on_error
        self._files: dict[str, AllocatedDict] = {}
        self._has_failed = False

    def room_for(self, kind: str, key: str) -> AllocatedDict | None:
        """Return the file that has room for a value; None if there is none for now."""
        try:
            file = self._files.get(kind)
            if file is None:
                file = self._files[kind] = AllocatedDict(str(self._folder / f"{kind}_{self._slot}.db"))
            file.make_room(key)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._on_error(error)
            return None
        return file


def check_file(file: Path) -> None:
    """Refuse a file whose values do not follow one another, of a process that may have been taken over.

    prometheus_client trusts the lengths in it: a negative one makes it loop for ever.

    Raises:
        ValueError: the file is not one of values.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        data = opened.read(_MAX_SIZE + 1)
    used = _INT.unpack_from(data)[0] if len(data) >= _INT.size else -1
    at, end = 8, min(len(data), _MAX_SIZE)
    while 0 <= at < used <= end:
        length = _INT.unpack_from(data, at)[0]
        at += _MAX_AROUND_KEY + length - (length + 4) % 8 if length >= 0 else end
    if not 0 <= used <= end or at > max(used, 8):
        raise ValueError(f"{file.name} holds no values")


def slot_values(folder: Path, slot: int, on_error: OnError) -> type:
    """Return a class of values for `prometheus_client.values.ValueClass`, which share the slot's files.

    Args:
        folder: where the files are.
        slot: a number that no other process has at the time.
        on_error: called once with the reason why a value cannot be shared.
    """

    class SlotValue(_Value):
        files = Files(folder, slot, on_error)

    return SlotValue


class _Value:
    """A number that several processes add up, as prometheus_client wants it."""

    _multiprocess = True
    files: ClassVar[Files]

    def __init__(  # noqa: PLR0917 - as prometheus_client calls it
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: list[str],
        labelvalues: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        self._kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        self._key: str = mmap_key(metric_name, name, labelnames, labelvalues, help_text)
        self._value = 0.0
        self._file: AllocatedDict | None = None
        with self.files.lock:
            self._share()

    def inc(self, amount: float) -> None:
        """Add to the value."""
        with self.files.lock:
            self._share()
            self._write(self._value + amount, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Replace the value."""
        with self.files.lock:
            self._share()
            self._write(value, timestamp or 0.0)

    def get(self) -> float:
        """Return the value."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Do nothing: exemplars are not shared."""

    def get_exemplar(self) -> None:
        """Return None: exemplars are not shared."""

    def _share(self) -> None:
        """Share a value that waits for room, and then the others that wait, if there is room."""
        waits = self if self._file is None else next(iter(self.files.unshared), None)
        if waits is not None and waits.take_room():
            for other in tuple(self.files.unshared):
                other.take_room()

    def take_room(self) -> bool:
        """Take a place in the file, and go on from the value there; return whether there is room."""
        self._file = self.files.room_for(self._kind, self._key)
        if self._file is None:
            self.files.unshared.add(self)
            return False
        before, _ = self._file.read_value(self._key)  # type: ignore[no-untyped-call]
        self.files.unshared.discard(self)
        self._write(self._value + before, 0.0)
        return True

    def _write(self, value: float, timestamp: float) -> None:
        self._value = value
        if self._file is not None:
            self._file.write_value(self._key, value, timestamp)  # type: ignore[no-untyped-call]


def _append_zeros(fd: int, size: int) -> None:
    """Extend a file, with blocks; if there is no room, leave it as it is and raise OSError."""
    length = os.fstat(fd).st_size
    try:
        while size:
            size -= os.write(fd, bytes(size))
    except OSError:
        os.ftruncate(fd, length)
        raise
