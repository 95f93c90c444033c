"""The machine of a measurement: no names, no paths, only what makes a difference."""

import os
import platform
import shutil
import ssl
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ci.bench.peers import PEERS


def cores() -> tuple[int, int]:
    """Return the core for the server and the core for the load; the same one twice if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def _cpu_model() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "absent"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or "unknown").splitlines()[0]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def describe() -> dict[str, str]:
    """Return the machine as a table: CPU, cores, kernel, Python, and the versions of what is compared."""
    server, load = cores()
    packages = dict.fromkeys(["trio", *(peer.package for peer in PEERS if peer.package is not None)])
    return {
        "CPU": _cpu_model(),
        "cores": str(os.cpu_count()),
        "pinned": "server and load on one core each"
        if server != load
        else "server and load share the only core",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "OpenSSL": ssl.OPENSSL_VERSION,  # Python's, and that of the peer in C; Node has its own
        "C compiler": _first_line("cc", "--version"),
        "Node": _first_line("node", "--version"),
        **{package: _installed(package) for package in packages},
    }


def waited_seconds(pid: int) -> float:
    """Return how long the main thread of a process could have run while something else had its core.

    Source: "proc_pid_schedstat" in the kernel's documentation of scheduler statistics.
    """
    _, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(waited) / 1e9


def pin(core: int) -> None:
    """Keep this process, and the load generator it starts, on `core`."""
    os.sched_setaffinity(0, {core})
