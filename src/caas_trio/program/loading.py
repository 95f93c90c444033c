"""The app that `--app MODULE:NAME` names: `load`.

It is imported where it serves: in each worker, and never in the supervisor, so that a worker that is
started later has the code of its day.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final, NoReturn

import trio

from caas_trio.core.errors import AppError, UsageError
from caas_trio.server.app import App, Lifespan, as_app
from caas_trio.server.hosting import first_cause

_PACKAGE: Final = str(Path(__file__).parent.parent)

#: The modules whose frames are left out of a traceback: they lead to the app's own code.
_ON_THE_WAY: Final = (_PACKAGE, importlib.__file__, "<frozen importlib")


@dataclass(frozen=True)
class AppName:
    """An app, by name.

    Attributes:
        module: the module, with dots.
        name: its name in the module; dots lead to attributes of attributes.
        folder: what is first on the path when the module is imported.
    """

    module: str
    name: str
    folder: Path = Path()

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"

    @classmethod
    def parse(cls, text: str, folder: Path = Path(), *, folder_needed: bool = True) -> AppName:
        """Return the app that MODULE:NAME names.

        Args:
            text: MODULE:NAME.
            folder: what is to be first on the path.
            folder_needed: whether the folder has to exist.

        Raises:
            UsageError: the text is something else, such as the name of a file; or the folder does not exist.
        """
        module, colon, name = text.partition(":")
        if module.endswith(".py") or "/" in module:
            file = Path(module).with_suffix("")
            dotted = ".".join(each for each in file.parts if each not in ("/", ".", ".."))
            raise UsageError(f"{module!r} is a file; name the module: {dotted}:{name or 'NAME'}")
        if not colon or not all(each.isidentifier() for each in (*module.split("."), *name.split("."))):
            raise UsageError(f"{text!r} is not MODULE:NAME, such as mypackage.server:handler")
        if folder_needed and not folder.is_dir():
            raise UsageError(f"{folder} is not a directory to import an app from")
        return cls(module, name, folder)


async def load(app: AppName) -> App | Lifespan:
    """Import an app and return it.

    It is async so that a module that calls `trio.run` while it is imported fails, and does not serve
    instead of this program.

    Raises:
        UsageError: there is no such module, no such name in it, or the object cannot be served.
        AppError: the module fails while it is imported; the cause has a traceback of the app's frames.
    """
    found: object = _import(app)
    path = app.module
    for name in app.name.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UsageError(
                f"there is no {name!r} in {_place(found, path)}{_nearest(name, dir(found))}"
            ) from None
        path = f"{path}.{name}"
    return as_app(found)


def _import(app: AppName) -> ModuleType:
    folder = str(app.folder.absolute())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    # A file that is edited twice in a second may have a stale .pyc of the same time and size.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        return importlib.import_module(app.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the app's
        _tell(app, error)


def _tell(app: AppName, error: BaseException) -> NoReturn:
    """Raise the error that reports a failed import."""
    frames = _own_frames(error.__traceback__)
    if frames is None and isinstance(error, ModuleNotFoundError):
        folder = app.folder.absolute()
        hint = "" if "." in app.module else _nearest(app.module, _modules_in(folder))
        raise UsageError(
            f"there is no module {error.name!r} in {folder}, or elsewhere on the path{hint}"
        ) from None
    if isinstance(error, RuntimeError) and _calls_run(frames):
        raise UsageError(
            f"{app.module} runs a server while it is imported; put that under `if __name__ == '__main__':`"
        ) from None
    reason = "it calls sys.exit" if isinstance(error, SystemExit) else first_cause(error)
    raise AppError(app.module, f"it cannot be imported: {reason}") from error.with_traceback(frames)


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the first frame of the app on; None if it has none."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_ON_THE_WAY):
        traceback = traceback.tb_next
    return traceback


def _calls_run(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if traceback.tb_frame.f_code is trio.run.__code__:
            return True
        traceback = traceback.tb_next
    return False


def _place(found: object, path: str) -> str:
    if not isinstance(found, ModuleType):
        return path
    file = getattr(found, "__file__", None)
    return f"the module {path} ({file})" if file else f"the module {path}"


def _modules_in(folder: Path) -> list[str]:
    return [each.name for each in pkgutil.iter_modules([str(folder)])]


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return a question that suggests the most similar name; "" if none is similar."""
    near = difflib.get_close_matches(name, [each for each in names if not each.startswith("__")], 1)
    return f"; did you mean {near[0]!r}?" if near else ""
