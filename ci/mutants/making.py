"""The mutants of a module, as mutmut makes them: `mutants_of`."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from types import CodeType
from typing import Final, TypeAlias

PACKAGE: Final = Path("src/caas_trio")
LAYERS: Final = ("core", "drivers", "server")
BUILD: Final = Path("build/mutants")
MADE: Final = BUILD / "made"

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_MANGLED: Final = re.compile(r"(?:xǁ(?P<kind>\w+)ǁ|x_)(?P<name>\w+)__mutmut_(?P<number>\d+|orig)")


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a mutant: lines removed, and lines in their place, without indentation."""

    removed: str
    added: str

    @classmethod
    def between(cls, before: list[str], after: list[str]) -> Change:
        """Return the change that leads from some lines to others."""
        old, new = ([line.strip() for line in lines] for lines in (before, after))
        removed: list[str] = []
        added: list[str] = []
        for kind, start, stop, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if kind != "equal":
                removed += old[start:stop]
                added += new[begin:end]
        return cls(" ".join(removed), " ".join(added))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant.

    Attributes:
        module: the dotted name of the module that it is in.
        qualname: the name of the function in the module.
        number: which mutant of the function it is.
        change: what it changes.
        definition: the function as the mutant has it.
        tree: the module as it is.
    """

    module: str
    qualname: str
    number: int
    change: Change
    definition: Function
    tree: ast.Module

    @property
    def function(self) -> str:
        """The dotted name of the function."""
        return f"{self.module}.{self.qualname}"

    @property
    def name(self) -> str:
        """A name that no other mutant has; the number in it changes with the function."""
        return f"{self.function}#{self.number}"

    @property
    def path(self) -> Path:
        """Where the module is."""
        return path_of(self.module)

    @property
    def digest(self) -> str:
        """Stays the same as long as the function and the mutant do."""
        known = ast.dump(self._original()) + ast.dump(self.definition)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    @property
    def is_in_signature(self) -> bool:
        """Whether it changes what is evaluated where the function is defined."""
        return ast.dump(self._original().args) != ast.dump(self.definition.args)

    def module_code(self) -> CodeType:
        """Return the compiled module that has the mutant in place of the function."""
        with self._in_place():
            return compile(self.tree, str(self.path.resolve()), "exec")

    def module_source(self) -> str:
        """Return the same as text, without comments."""
        with self._in_place():
            return ast.unparse(self.tree)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        original = self._original()
        kept = original.args, original.body
        original.args, original.body = self.definition.args, self.definition.body
        try:
            yield
        finally:
            original.args, original.body = kept

    def function_code(self) -> CodeType:
        """Return the compiled function."""
        return next(code for code in _nested(self.module_code()) if code.co_qualname == self.qualname)

    def _original(self) -> Function:
        return next(node for name, node in functions(self.tree) if name == self.qualname)


def path_of(module: str) -> Path:
    """Return where a module of the package is."""
    return PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")


def module_of(path: Path) -> str:
    """Return the dotted name of a module of the package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def modules(layers: Iterable[str]) -> list[str]:
    """Return the modules of some layers."""
    return [module_of(path) for layer in layers for path in sorted((PACKAGE / layer).glob("*.py"))]


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Return the functions of a module and the methods of its classes, by name."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield f"{node.name}.{inner.name}", inner


def mutants_of(module: str, cache: Path) -> list[Mutant]:
    """Return the mutants of a module; making them takes seconds, so what has been made is kept."""
    source = path_of(module).read_text()
    kept = cache / f"{module}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.py"
    if not kept.exists():
        from mutmut.mutation.file_mutation import mutate_file_contents  # noqa: PLC0415 - seldom needed, slow

        cache.mkdir(parents=True, exist_ok=True)
        for stale in cache.glob(f"{module}-*.py"):
            stale.unlink()
        kept.write_text(mutate_file_contents(str(path_of(module)), source).code)
    return parse(module, source, kept.read_text())


def parse(module: str, source: str, made: str) -> list[Mutant]:
    """Return the mutants in what mutmut has made of a module: each function, as often as it has mutants."""
    tree, lines = ast.parse(source), made.splitlines()
    mutants: list[Mutant] = []
    original: list[str] = []
    for _, node in functions(ast.parse(made)):
        match = _MANGLED.fullmatch(node.name)
        if match is None:
            continue
        first, *body = lines[node.lineno - 1 : node.end_lineno]
        text = [first.replace(node.name, match["name"]), *body]
        if match["number"] == "orig":
            original = text
            continue
        node.name = match["name"]
        qualname = f"{match['kind']}.{match['name']}" if match["kind"] else match["name"]
        change = Change.between(original, text)
        mutants.append(Mutant(module, qualname, int(match["number"]), change, node, tree))
    return mutants


def _nested(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested(constant)
