"""Run a check function under atheris; the harnesses' `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import atheris

from .groups import ARTIFACTS, GO_ON, Grouping
from .interrupt import end_with_parent
from .mutator import mutate

#: libFuzzer's options, unless the command line says otherwise.
_DEFAULTS: Final = (
    "-timeout=10",
    "-rss_limit_mb=1024",
    f"-dict={Path(__file__).with_name('lines.dict')}",
)


def instrumenting(*modules: str) -> AbstractContextManager[object]:
    """Instrument these modules of the package, imported within the block, and none of the others.

    What is not the target costs time, and leads the fuzzer to inputs that are news of something else.
    """
    spec = find_spec("caas_trio")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(next(iter(spec.submodule_search_locations)))
    files = (path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py"))
    known = {".".join(file.parts).removesuffix(".__init__") for file in files}
    assert known.issuperset(modules), f"not in the package: {set(modules) - known}"
    others = known.difference(modules)
    return atheris.instrument_imports(include=["caas_trio"], exclude=sorted(others))  # type: ignore[no-any-return]


def fuzz_conversations(
    check: Callable[[bytes], None], tokens: Sequence[bytes], max_len: int = 48, usual_len: int = 20
) -> None:
    """Fuzz a check of conversations as the command line says (libFuzzer's options); does not return.

    Args:
        check: what every input goes through.
        tokens: what its scripts are made of besides the common steps, see `mutate`.
        max_len: the longest input. What there is to find shows within a few lines, and short inputs
            are what the rate comes from.
        usual_len: what three mutations in four are no longer than.
    """

    def mutated(data: bytes, max_bytes: int, seed: int) -> bytes:
        """Return a mutation of the bytes, by libFuzzer, or of the script, in turn."""
        if seed & 6:
            max_bytes = min(max_bytes, usual_len)
        if seed & 1:
            return bytes(atheris.Mutate(data, max_bytes))
        return mutate(data, max_bytes, seed >> 3, tokens)

    atheris.Setup(_arguments(max_len), _going_on(check), custom_mutator=mutated)
    atheris.Fuzz()


def fuzz_bytes(check: Callable[[bytes], None], max_len: int) -> None:
    """Fuzz a check of plain bytes; otherwise as `fuzz_conversations`."""
    atheris.Setup(_arguments(max_len), _going_on(check))
    atheris.Fuzz()


def _going_on(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return the check, or what keeps its failures instead of raising them, if `GO_ON` asks for that."""
    if not os.environ.get(GO_ON):
        return check
    [prefix] = [each for each in sys.argv if each.startswith(ARTIFACTS)]
    return Grouping(check, Path(prefix.removeprefix(ARTIFACTS)))


def _arguments(max_len: int) -> list[str]:
    end_with_parent()
    name = Path(sys.argv[0]).stem
    # libFuzzer starts itself again, by a shell, to merge. In one file with Python, that file is it.
    again = sys.executable if getattr(sys, "frozen", False) else f"{sys.executable} -m fuzz.{name}"
    return [again, f"-max_len={max_len}", *_DEFAULTS, *sys.argv[1:]]
