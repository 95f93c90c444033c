"""The load generator `load.c` from Python's side: build it, run it, read what it says."""

import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ci.bench.works import Work

HERE = Path(__file__).parent
#: What is compiled, by the program's name: the source, and the compiler's further arguments.
PROGRAMS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "load": (HERE / "load.c", ()),
    "epoll": (HERE / "peers" / "epoll.c", ()),
}
TLS_PROGRAMS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "load_tls": (HERE / "load.c", ("-DTLS", "-lssl", "-lcrypto")),
    "epoll_tls": (HERE / "peers" / "epoll_tls.c", ("-lssl", "-lcrypto")),
}
CERTIFICATE = "certificate.pem"


class BenchError(Exception):
    """Something the benchmark cannot do without; the message is one line for the user."""


@dataclass(frozen=True)
class LoadReport:
    """The measurements of one run of the load generator.

    Attributes:
        operations: exchanges whose latency was measured.
        lines: replies, or the share of them that arrived while measuring.
        seconds: how long it measured.
        throughput: lines (for `connect`: connections) per second.
        p50_us, p99_us: latency of an exchange in microseconds; None if there was none.
        load_cpu: the share of a core the load generator itself used; near 1 it was the bottleneck.
        errors: how often what went wrong; kinds that did not occur are left out.
    """

    operations: int
    lines: float
    seconds: float
    throughput: float
    p50_us: float | None
    p99_us: float | None
    load_cpu: float
    errors: dict[str, int]

    @classmethod
    def parse(cls, text: str) -> "LoadReport":
        """Read the JSON object `load.c` ends with.

        Raises:
            BenchError: `text` is no such object.
        """
        try:
            said = json.loads(text)
            return cls(
                operations=int(said["operations"]),
                lines=float(said["lines"]),
                seconds=float(said["seconds"]),
                throughput=float(said["throughput"]),
                p50_us=_latency(said["p50_us"]),
                p99_us=_latency(said["p99_us"]),
                load_cpu=float(said["load_cpu"]),
                errors={kind: count for kind, count in said["errors"].items() if count},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BenchError(f"the load generator gave no report, but {text[:80]!r}") from None


def _latency(said: object) -> float | None:
    if said is None or isinstance(said, int | float):
        return said
    raise TypeError(f"{said!r} is no latency")


def build(directory: Path) -> None:
    """Compile the C programs into `directory`.

    Raises:
        BenchError: there is no C compiler, or it fails.
    """
    if shutil.which("cc") is None:
        raise BenchError(
            "the benchmark needs a C compiler named `cc` (Debian: apt-get install gcc libc6-dev)"
        )
    directory.mkdir(parents=True, exist_ok=True)
    _compile(directory, PROGRAMS, "")


def build_tls(directory: Path) -> None:
    """Compile what works over TLS need into `directory`, and make a certificate, of a P-256 key.

    Raises:
        BenchError: OpenSSL's headers or its program are missing.
    """
    _compile(directory, TLS_PROGRAMS, ", which needs OpenSSL (Debian: apt-get install libssl-dev)")
    key, certificate = directory / "key.pem", directory / CERTIFICATE
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 30"
    command = ["openssl", *words.split(), "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise BenchError(
            "works over TLS need the program openssl (Debian: apt-get install openssl)"
        ) from None
    certificate.write_text(certificate.read_text() + key.read_text())


def _compile(directory: Path, programs: dict[str, tuple[Path, tuple[str, ...]]], hint: str) -> None:
    for name, (source, further) in programs.items():
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(directory / name), str(source), *further]
        if subprocess.run(command, check=False).returncode != 0:
            raise BenchError(f"`cc` could not compile {source.name}{hint}")


def arguments(work: Work, endpoint: str, *, warmup: float, seconds: float) -> list[str]:
    """Return the arguments with which `load.c` does `work`."""
    options = {
        "connections": work.connections,
        "depth": work.depth,
        "line": work.line,
        "warmup": warmup,
        "seconds": seconds,
    }
    flags = {"--reset": work.reset, "--resume": work.resume}
    return [
        endpoint,
        work.mode,
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        *(flag for flag, wanted in flags.items() if wanted),
    ]


class Load:
    """A running load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self._last = ""

    def stages(self) -> Iterator[str]:
        """Yield `measuring`, `measured` or `holding` as they are reached, until the load ends."""
        for text in cast("IO[str]", self._process.stdout):  # a pipe
            self._last = text.strip()
            if self._last.isalpha():
                yield self._last

    @property
    def report(self) -> LoadReport:
        """The measurements, once `stages` has ended; raises `BenchError` if it ended without a report."""
        return LoadReport.parse(self._last)

    def let_go(self) -> None:
        """End what `holding` began."""
        cast("IO[str]", self._process.stdin).close()  # a pipe


@contextmanager
def running(program: Path, arguments: list[str]) -> Iterator[Load]:
    """Run the load generator on the runner's own core; it is gone when the block ends."""
    with subprocess.Popen(
        [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Load(process)
        finally:
            if process.poll() is None:
                process.kill()


def raise_file_limit() -> int:
    """Allow this process and its children as many descriptors as the hard limit does; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def spare_descriptors() -> int:
    """Return how many connections one process may hold here."""
    return raise_file_limit() - sum(1 for _ in Path("/proc/self/fd").iterdir()) - 32
