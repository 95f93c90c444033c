"""Check what a release would ship: what is in the files, and that the installed package serves.

`python -m ci.package --check DIST` looks into the sdist and the wheel; `python -P ci/package.py --smoke
DIST` tries the installed wheel, from a directory that has no source tree.
"""

import argparse
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

#: What the wheel has beside modules.
REPORTS = "caas_trio/conformance/reports"
DATA = ("caas_trio/py.typed", f"{REPORTS}/page.css", f"{REPORTS}/page.html")

#: What the sdist has, so that it can be tested and read.
SOURCES = (
    *("LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "pyproject.toml"),
    *("noxfile.py", "src/caas_trio/py.typed", "tests/test_process.py", "fuzz/README.md"),
    *("ci/package.py", "docs/specification.md"),
)


def main() -> None:
    """Run the check that is asked for; exit with the reason if it fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=Path)
    parser.add_argument("--smoke", type=Path)
    asked = parser.parse_args()
    if asked.check:
        check_wheel(only(asked.check, "*.whl"))
        check_sdist(only(asked.check, "*.tar.gz"))
    if asked.smoke:
        smoke(only(asked.smoke, "*.whl"))


def only(directory: Path, pattern: str) -> Path:
    """Return the one file that matches."""
    found = list(directory.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{directory} has {len(found)} files like {pattern}, not one")
    return found[0]


def check_wheel(wheel: Path) -> None:
    """The package with its data, its metadata and its license, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    information = {top for top in tops if top.endswith(".dist-info")}
    if tops != {"caas_trio"} | information or len(information) != 1:
        sys.exit(f"the wheel has {sorted(tops)} at its top")
    missing = [name for name in DATA if name not in names]
    missing += [] if any(name.endswith("/licenses/LICENSE") for name in names) else ["LICENSE"]
    if missing:
        sys.exit(f"the wheel lacks {missing}")
    modules = {
        f"caas_trio/{path.relative_to('src/caas_trio')}" for path in Path("src/caas_trio").rglob("*.py")
    }
    if modules != {name for name in names if name.endswith(".py")}:
        sys.exit(f"the wheel's modules differ from the source's: {sorted(modules ^ set(names))}")
    print(f"{wheel.name}: {len(names)} files, as they should be")


def check_sdist(sdist: Path) -> None:
    """All that is needed to build and to test, and nothing that was lying about."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in SOURCES if name not in names]
    if missing:
        sys.exit(f"the sdist lacks {missing}")
    stray = [name for name in names if "__pycache__" in name or name.startswith((".venv", ".nox", ".fuzz"))]
    if stray:
        sys.exit(f"the sdist has {sorted(stray)}")
    print(f"{sdist.name}: {len(names)} files, as they should be")


def smoke(wheel: Path) -> None:
    """The scripts are there, say the wheel's version, and a line is served, far from the source tree."""
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        version = BytesParser().parsebytes(archive.read(metadata))["Version"]
    scripts = Path(sysconfig.get_path("scripts"))
    with tempfile.TemporaryDirectory() as elsewhere:
        where = said(elsewhere, sys.executable, "-c", "import caas_trio; print(caas_trio.__file__)")
        if not where.startswith(sysconfig.get_path("purelib")):
            sys.exit(f"the package is imported from {where}")
        for command in ([str(scripts / "caas-trio")], [sys.executable, "-m", "caas_trio"]):
            printed = said(elsewhere, *command, "--version")
            if printed != f"caas-trio, version {version}":
                sys.exit(f"{command} says {printed!r}")
            said(elsewhere, *command, "--explain")
        said(elsewhere, str(scripts / "caas-conformance"), "--list")
        serve_a_line(elsewhere, str(scripts / "caas-trio"))
    print(f"{wheel.name}, installed: {version} serves")


def said(directory: str, *command: str) -> str:
    """Return what a command that succeeds prints."""
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout.rstrip(
        "\n"
    )


def serve_a_line(directory: str, program: str) -> None:
    """Start the service, have a line answered, stop it."""
    command = [program, "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        host, _, port = process.stdout.readline().rstrip("\n").rpartition("/")[2].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"hello\n")
            answer = client.recv(100)
        process.terminate()
        status = process.wait(30)
    if (answer, status) != (b"HELLO\n", 0):
        sys.exit(f"the service answered {answer!r} and ended with {status}")


if __name__ == "__main__":
    main()
