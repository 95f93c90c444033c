"""Every check of the project, each as one nox session.

`nox` without arguments is the short gate: minutes, with nothing but Python installed. `nox -t gate` is the
rest of it. Where uv is installed it makes the environments, in a second each; elsewhere pip does.

It is one file however long, since nox loads it by its path and puts no folder of ours on the import path.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
#: Those that the gate tests on; CI's workflows test on all of them.
NEWEST = PYTHONS[-2:]
AT_HAND = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Where lines and branches are counted. From 3.14 on the interpreter does so itself, at a third of the cost.
COUNTING = next((python for python in NEWEST if shutil.which(f"python{python}")), AT_HAND)
#: More than twice as many processes of pytest as cores, since half of the time is waiting: for processes,
#: clients, silence. One that has no tests left takes some of another's.
IN_PARALLEL = (f"--numprocesses={2 * (os.cpu_count() or 1) + 1}", "--dist=worksteal")
#: What the short gate leaves out: `coverage` runs it.
QUICK = ("-m", "not slow")
#: On other Pythons, and with other dependencies, the tests of the benchmark and its like say nothing new.
ELSEWHERE = (*QUICK, *(f"--ignore=tests/{folder}" for folder in ("bench", "ci", "deploy", "soak")))

nox.needs_version = ">=2026.10.20"
nox.options.sessions = ["lint", "types", "tests", "fuzz_replay", "conformance_quick"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
# A supported Python that is absent is not fetched: its session is skipped, and named in the closing table.
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
# Two sessions side by side, of those that wait for a browser, a download or a client for much of their time.
# One that is asked for by name has the terminal to itself.
if not any(word.startswith(("-s", "--session", "-e")) for word in sys.argv):
    nox.options.parallel = 2


def activate_pyenv_versions() -> None:
    """Expose each supported Python that pyenv has installed, not only the active one."""
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


def run_tests(session: nox.Session, *command: str) -> None:
    """Run the tests in parallel; those that fail once more, one after the other, and fail if one fails again.

    Many of them start processes and speak to them. On a machine that is busy with other things, one may
    miss its time beside the others; what fails alone is a fault.
    """
    parallel = () if session.posargs else IN_PARALLEL
    try:
        session.run(*command, *parallel)
    except nox.command.CommandFailed:
        session.warn("some tests have failed; they are run again, one after the other")
        session.run(*command, "--last-failed", "--last-failed-no-failures=none")


@nox.session(allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting; change nothing."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(allow_parallel=True)
def types(session: nox.Session) -> None:
    """Check types strictly over everything that is Python here."""
    session.install(".[html]", *group("types"))
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Test the installed wheel on the Python at hand, without what is slow by its nature."""
    session.install(".[html]", *group("tests"))
    run_tests(session, "pytest", *(session.posargs or QUICK))


@nox.session(python=COUNTING, tags=["gate"])
def coverage(session: nox.Session) -> None:
    """Run all the tests, and require that they reach every line and branch of the package.

    It does so on Python 3.14 or newer where there is one, else on the Python at hand.

    Where processes and threads race, a run may miss a branch that the next one takes: what is missing then
    is printed, and one more run is added.
    """
    session.install(".[html]", *group("tests"))
    session.run("coverage", "erase")
    run_tests(session, "coverage", "run", "-m", "pytest")
    session.run("coverage", "combine", "--quiet")
    try:
        session.run("coverage", "report")
    except nox.command.CommandFailed:
        session.warn("lines were not reached; a second run is added")
        run_tests(session, "coverage", "run", "-m", "pytest")
        session.run("coverage", "combine", "--quiet", "--append")
        session.run("coverage", "report")


@nox.session(python=[python for python in NEWEST if python not in (AT_HAND, COUNTING)], tags=["gate"])
def pythons(session: nox.Session) -> None:
    """Test the installed wheel on the newest Pythons, but for that of `coverage`.

    `nox -s tests -P 3.12` does so on another one.
    """
    session.install(".[html]", *group("tests"))
    run_tests(session, "pytest", *(session.posargs or ELSEWHERE))


@nox.session(python=PYTHONS[0], tags=["gate"])
def oldest(session: nox.Session) -> None:
    """Test with the oldest dependencies that pyproject.toml allows, on the oldest Python."""
    project = PYPROJECT["project"]
    allowed = [*project["dependencies"], *project["optional-dependencies"]["html"]]
    pinned = [requirement.replace(">=", "==") for requirement in allowed]
    session.install(".", *pinned, *group("tests"))
    run_tests(session, "pytest", *(session.posargs or ELSEWHERE))


@nox.session
def bench(session: nox.Session) -> None:
    """Compare line servers that do the same, side by side; `nox -s bench -- --help` names the options."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.bench", *session.posargs)


@nox.session(allow_parallel=True)
def conformance_quick(session: nox.Session) -> None:
    """Judge our server on each transport, in one setting."""
    session.install(".[html]", *group("judged"))
    session.run("python", "-m", "ci.conformance.matrix", "--quick")


@nox.session(tags=["gate"])
def conformance(session: nox.Session) -> None:
    """Judge our server in all its settings, and the peers; `-- --write` renews docs/conformance.md."""
    session.install(".[html]", *group("peers"))
    session.run("python", "-m", "ci.conformance.matrix", *session.posargs)


@nox.session(tags=["gate"])
def conformance_proof(session: nox.Session) -> None:
    """Prove that the suite bites: wrong servers fail by the clause they break, right ones by none.

    One for each clause; `-- --all` judges every wrong server, in about half an hour on two cores.
    """
    session.install(".")
    names = [name for name in session.posargs or ["--quick"] if name != "--all"]
    session.run("python", "-m", "ci.conformance.proof", *names)


@nox.session
def dialects_proof(session: nox.Session) -> None:
    """Prove that the suite bites in any dialect: every wrong server fails by the clause it breaks.

    The tests do so for one server a clause; `-- NAME` or `-- CLAUSE` judges some.
    """
    session.install(".", *group("judged"))
    session.run("python", "-m", "ci.conformance.dialects.proof", *session.posargs)


@nox.session
def atlas(session: nox.Session) -> None:
    """Judge daemons from Debian's packages, each by its dialect; `-- --write` renews docs/atlas.md.

    The packages are unpacked, not installed; `apt-get update` may have to come first. Each daemon sees them
    in a user namespace, so the kernel has to allow those.
    """
    session.install(".[html]")
    session.run("python", "-m", "ci.atlas", *session.posargs)


@nox.session
def framers(session: nox.Session) -> None:
    """Judge the framers of libraries through shims; `-- --write` renews docs/framers.md."""
    session.install(".", *group("framers"))
    session.run("python", "-m", "ci.framers", *session.posargs)


@nox.session(tags=["gate"], allow_parallel=True)
def conformance_page(session: nox.Session) -> None:
    """Open the suite's pages in Debian's Chromium; CI has to have it."""
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        session.skip("chromium is not installed; Debian has it as the package chromium")
    session.install(".[html]", *group("page"))
    session.run("python", "-m", "ci.conformance.page")


@nox.session
def simulate(session: nox.Session) -> None:
    """Hold the simulated network to this machine's kernel, and the service on it to its promises.

    By 100 000 scripts of socket calls, the conformance suite, and 10 000 seeds; the supervisor, by 2000.
    `-- --seeds N` runs so many seeds of the service, and nothing else.
    """
    session.install(".", *group("judged"))
    if not session.posargs:
        session.run("python", "-m", "ci.simulate.calls")
        session.run("python", "-m", "ci.simulate.conformance")
        session.run("python", "-m", "ci.simulate.supervisor")
    session.run("python", "-m", "ci.simulate.service", *session.posargs)


@nox.session
def simulate_proof(session: nox.Session) -> None:
    """Plant bugs in a copy of the package, one at a time; a seed of the service's has to fail for each."""
    session.install(".")
    session.run("python", "-m", "ci.simulate.planted", *session.posargs)


@nox.session(tags=["gate"], allow_parallel=True)
def status_page(session: nox.Session) -> None:
    """Open the status page of a service in Debian's Chromium; `-- --write` renews its picture."""
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        session.skip("chromium is not installed; Debian has it as the package chromium")
    session.install(".[html]", *group("page"))
    session.run("python", "-m", "ci.status_page", *session.posargs)


#: How long a fuzzing session may take after Ctrl-C to kill its harnesses and print its table.
_INTERRUPT_TIMEOUT_S = 10


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz: every harness for a minute, or what is asked for (see fuzz/README.md)."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.run", *session.posargs, interrupt_timeout=_INTERRUPT_TIMEOUT_S)


@nox.session(tags=["gate"], allow_parallel=True)
def fuzz_smoke(session: nox.Session) -> None:
    """Run each harness for a second, by one seed: `fuzz` is what looks for something new."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.run", "--seconds", "1", "--seed", "1")


@nox.session(allow_parallel=True)
def fuzz_replay(session: nox.Session) -> None:
    """Run all seeds and old crashers through the checks; no atheris is needed."""
    session.install(".", *group("fuzz"))
    session.run("pytest", *(session.posargs or ("fuzz", *IN_PARALLEL)))


@nox.session
def exhaustive(session: nox.Session) -> None:
    """Hold the core to its models in every case of up to eight bytes; `-- --length N` for fewer."""
    session.install(".", *group("tests"))
    session.run("python", "-m", "tests.exhaustive", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the program in every small way; a test has to notice. `-- --since REV` for what has changed."""
    session.install("-e", ".[html]", *group("mutants"))
    session.run("python", "-m", "ci.mutants", *session.posargs)


@nox.session
def fuzz_merge(session: nox.Session) -> None:
    """Add to a corpus what runs have found and is worth keeping, and prune the rest."""
    install_atheris(session)
    session.run("python", "-m", "fuzz.merge", *session.posargs)


@nox.session
def fuzz_proof(session: nox.Session) -> None:
    """Plant bugs in a copy of the package, one at a time; the harnesses have to find them."""
    install_atheris(session)
    session.install(*group("mutants"))
    session.run("python", "-m", "fuzz.proof", *session.posargs, interrupt_timeout=_INTERRUPT_TIMEOUT_S)


@nox.session(tags=["gate"], allow_parallel=True)
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


@nox.session(tags=["gate"], allow_parallel=True)
def systemd(session: nox.Session) -> None:
    """Check the units in docs/deploy by systemd's own tools; CI has to have them."""
    if shutil.which("systemd-socket-activate") is None and not os.environ.get("CI"):
        session.skip("systemd-socket-activate is not installed; Debian has it in the package systemd")
    session.install(".")
    session.run("python", "-m", "ci.systemd")


@nox.session(tags=["gate"], allow_parallel=True)
def package(session: nox.Session) -> None:
    """Build dist/ twice to the same bytes, look into it, and try it as it would be installed."""
    session.install(*group("package"))
    session.run("python", "-m", "ci.reproducible", "dist")
    session.run("python", "-m", "ci.package", "--check", "dist")
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    session.install("--force-reinstall", built_wheel(session))
    session.run("python", "-P", str(Path("ci/package.py").resolve()), "--smoke", str(Path("dist").resolve()))


@nox.session(tags=["gate"], allow_parallel=True, requires=["package"])
def sbom(session: nox.Session) -> None:
    """List what the wheel in dist/ brings along, as CycloneDX: build/sbom/caas-trio.cdx.json."""
    wheel = built_wheel(session)
    session.install(*group("sbom"))
    clean = Path(session.create_tmp()) / "environment"
    session.run("python", "-m", "venv", "--clear", str(clean))
    python = str(clean / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", wheel, external=True)
    session.run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip", external=True)
    session.run("python", "-m", "ci.sbom", wheel, python, "build/sbom/caas-trio.cdx.json")


@nox.session
def tests_built(session: nox.Session) -> None:
    """Test the wheel in dist/ and no other, as a release does."""
    session.install(f"caas-trio[html] @ {Path(built_wheel(session)).as_uri()}", *group("tests"))
    session.run("pytest", *(session.posargs or IN_PARALLEL))


@nox.session
def trio_next(session: nox.Session) -> None:
    """Test with trio's newest release, a pre-release if there is one."""
    session.install(".[html]", *group("tests"))
    session.install("--pre", "--upgrade", "trio")
    session.run("pytest", *(session.posargs or IN_PARALLEL))


@nox.session(tags=["gate"], allow_parallel=True)
def workflows(session: nox.Session) -> None:
    """Audit the workflows with zizmor, container files with hadolint, shell scripts with ShellCheck."""
    session.install(*group("workflows"))
    session.run("zizmor", "--offline", "--no-progress", ".")
    session.run(
        "hadolint", "docs/deploy/Containerfile", "docs/judge/Containerfile", ".clusterfuzzlite/Dockerfile"
    )
    session.run("shellcheck", ".ci/run", ".ci/pythons", ".clusterfuzzlite/build.sh")


def built_wheel(session: nox.Session) -> str:
    """Return the path of the one wheel in dist/; end the session if there is none."""
    wheels = list(Path("dist").resolve().glob("*.whl"))
    if len(wheels) != 1:
        session.error(f"dist/ has {len(wheels)} wheels, not one; `nox -s package` builds it")
    return str(wheels[0])


@nox.session(tags=["gate"], allow_parallel=True)
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
def deployments(session: nox.Session) -> None:
    """Deploy new versions of an app, ten in a minute, under clients that see which one answers."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.soak.deployments", *session.posargs)


@nox.session
def workers(session: nox.Session) -> None:
    """Reload the service, kill its workers and add some, all under load."""
    session.install(".", *group("bench"))
    session.run("python", "-m", "ci.soak.workers", *session.posargs)


@nox.session(tags=["gate"], allow_parallel=True)
def docs(session: nox.Session) -> None:
    """Build the documentation as a site in build/site, and open it in Debian's Chromium; CI has to have it.

    A warning is an error.
    """
    session.install(".[html]", *group("docs"), *group("page"))
    session.run("python", "-m", "sphinx", "-qEW", "--keep-going", "-c", "docs/site", ".", "build/site")
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        session.warn("chromium is not installed, so nobody has looked; Debian has it as the package chromium")
    else:
        session.run("python", "-m", "ci.site_look")


@nox.session(tags=["gate"], allow_parallel=True)
def fail2ban(session: nox.Session) -> None:
    """Count refusals with fail2ban's own tool, by the filter in docs/deploy; CI must have it."""
    if shutil.which("fail2ban-regex") is None and not os.environ.get("CI"):
        session.skip("fail2ban-regex is not installed; Debian has it in the package fail2ban")
    session.install(".")
    session.run("python", "-m", "ci.fail2ban")


@nox.session
def protocols(session: nox.Session) -> None:
    """Hold the servers of docs/examples against clients that nobody here wrote; CI has to have them.

    `-- NAME` checks one protocol; `-- benchmark` compares the Redis example with others by redis-benchmark.
    """
    session.install(".", *group("protocols"))
    if session.posargs[:1] == ["benchmark"]:
        session.run("python", "-m", "ci.protocols.benchmark", *session.posargs[1:])
    else:
        session.run("python", "-m", "ci.protocols", *session.posargs)


@nox.session(tags=["gate"], allow_parallel=True)
def promtool(session: nox.Session) -> None:
    """Check the metrics pages with Prometheus's own tool; CI must have it."""
    if shutil.which("promtool") is None and not os.environ.get("CI"):
        session.skip("promtool is not installed; Debian has it in the package prometheus")
    session.install(".")
    session.run("python", "-m", "ci.promtool")
