"""Every check of the project, each as one nox session; `nox` without arguments is the gate."""

import os
import shutil
import subprocess
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)

nox.needs_version = ">=2026.10.20"
nox.options.sessions = [
    *("lint", "types", "tests", "coverage"),
    *("conformance", "conformance_proof", "conformance_page", "haproxy"),
    *("fuzz_replay", "fuzz_smoke"),
    "systemd",
]
# A supported Python that is not installed is skipped, and named in nox's closing table.
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "virtualenv"


def activate_pyenv_versions() -> None:
    """Let nox see every supported Python that pyenv has installed, not only the active one."""
    if shutil.which("pyenv") is None:
        return
    listing = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)  # noqa: S607
    installed = listing.stdout.split()
    newest = [
        max(found) for python in PYTHONS if (found := [v for v in installed if v.startswith(f"{python}.")])
    ]
    os.environ["PYENV_VERSION"] = ":".join(newest) or "system"


activate_pyenv_versions()


def group(name: str) -> list[str]:
    """Return the requirements of one dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; change nothing."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly over everything that is Python here."""
    session.install(".", *group("types"))
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the installed wheel, not the source tree, on one supported Python."""
    session.install(".", *group("tests"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine what the `tests` sessions measured; every line and branch is required."""
    session.install(*group("tests"))
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def bench(session: nox.Session) -> None:
    """Compare line servers that do the same, side by side; `nox -s bench -- --help` names the options."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.bench", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge our server in all its settings, and the peers; `-- --write` renews docs/conformance.md."""
    session.install(".", *group("peers"))
    session.run("python", "-m", "ci.conformance.matrix", *session.posargs)


@nox.session
def conformance_proof(session: nox.Session) -> None:
    """Prove that the suite bites: each wrong server fails by the clause it breaks, the right one by none."""
    session.install(".")
    session.run("python", "-m", "ci.conformance.proof", *session.posargs)


@nox.session
def conformance_page(session: nox.Session) -> None:
    """Open the suite's pages in Debian's Chromium; CI has to have it."""
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        session.skip("chromium is not installed; Debian has it as the package chromium")
    session.install(".", *group("page"))
    session.run("python", "-m", "ci.conformance.page")


#: How long a fuzzing session may take after Ctrl-C to kill its harnesses and print its table.
_INTERRUPT_TIMEOUT_S = 10


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz: every harness for a minute, or what is asked for (see fuzz/README.md)."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.run", *session.posargs, interrupt_timeout=_INTERRUPT_TIMEOUT_S)


@nox.session
def fuzz_smoke(session: nox.Session) -> None:
    """Run each harness for a second."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.run", "--seconds", "1")


@nox.session
def fuzz_replay(session: nox.Session) -> None:
    """Run all seeds and old crashers through the checks; no atheris is needed."""
    session.install(".", *group("fuzz"))
    session.run("pytest", "fuzz", *session.posargs)


@nox.session
def fuzz_merge(session: nox.Session) -> None:
    """Add to a corpus what runs have found and is worth keeping, and prune the rest."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.merge", *session.posargs)


@nox.session
def fuzz_proof(session: nox.Session) -> None:
    """Plant bugs in a copy of the package, one at a time; the harnesses have to find them."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.proof", *session.posargs, interrupt_timeout=_INTERRUPT_TIMEOUT_S)


@nox.session
def haproxy(session: nox.Session) -> None:
    """Put Debian's haproxy in front of the service, and restart and kill servers; CI has to have it."""
    if shutil.which("haproxy") is None and not os.environ.get("CI"):
        session.skip("haproxy is not installed; Debian has it as the package haproxy")
    session.install(".", *group("tests"))
    session.run("python", "-m", "ci.deploy.headers")
    session.run("python", "-m", "ci.deploy", "--quick")


def install_atheris(session: nox.Session) -> None:
    """Install what the harnesses need, or say why that cannot be."""
    try:
        session.install(".", *group("fuzz"), *group("atheris"))
    except nox.command.CommandFailed:
        session.error(
            "atheris cannot be installed here: it has wheels for Linux and macOS on CPython 3.11 to 3.14"
        )


@nox.session
def systemd(session: nox.Session) -> None:
    """Check the units in docs/deploy by systemd's own tools; CI has to have them."""
    if shutil.which("systemd-socket-activate") is None and not os.environ.get("CI"):
        session.skip("systemd-socket-activate is not installed; Debian has it in the package systemd")
    session.install(".")
    session.run("python", "-m", "ci.systemd")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist, the wheel from it, and test both as they would be installed."""
    session.install(*group("package"))
    built = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", built)
    session.run("python", "-m", "ci.package", "--check", built)
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path(built).iterdir()))
    session.install(*map(str, Path(built).glob("*.whl")))
    session.run("python", "-P", str(Path("ci/package.py").resolve()), "--smoke", built)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Test with the oldest dependencies that pyproject.toml allows, on the oldest Python."""
    allowed = [requirement.replace(">=", "==") for requirement in PYPROJECT["project"]["dependencies"]]
    session.install(".", *allowed, *group("tests"))
    session.run("pytest", *session.posargs)


@nox.session
def deploy(session: nox.Session) -> None:
    """Hold docs/deploy against haproxy, nginx and Kubernetes' schemas; takes about a minute."""
    session.install(".", *group("deploy"))
    session.run("python", "-m", "ci.deploy.manifests")
    session.run("python", "-m", "ci.deploy")


@nox.session
def soak(session: nox.Session) -> None:
    """Load the service for twenty minutes with clients good and bad; `-- --help` names the options."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.soak", *session.posargs)


@nox.session
def soak_proof(session: nox.Session) -> None:
    """Prove that the soak bites: it has to find a service that leaks, miscounts or makes mistakes."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.soak.proof")


@nox.session
def workers(session: nox.Session) -> None:
    """Reload the service, kill its workers and add some, all under load."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.soak.workers", *session.posargs)


@nox.session
def promtool(session: nox.Session) -> None:
    """Have Prometheus's own tool read the pages of figures; CI has to have it."""
    if shutil.which("promtool") is None and not os.environ.get("CI"):
        session.skip("promtool is not installed; Debian has it in the package prometheus")
    session.install(".")
    session.run("python", "-m", "ci.promtool")
