"""Lists what an installed wheel consists of, as a CycloneDX document (SBOM).

    python -m ci.sbom WHEEL PYTHON OUTPUT

PYTHON is that of an environment that has the wheel, what it needs, and nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> int:
    """Write the document and check it; return the exit status."""
    wheel, python, output = map(Path, sys.argv[1:])
    written = subprocess.run(
        ["cyclonedx-py", "environment", "--pyproject", PYPROJECT, "--output-reproducible", python],
        stdout=subprocess.PIPE,
        check=True,
    )
    document = json.loads(written.stdout)
    # The tool reads the name from pyproject.toml, where the version is a dynamic one.
    document["metadata"]["component"]["version"] = wheel.name.split("-")[1]
    listed = {normal(component["name"]) for component in document["components"]}
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    missing = {normal(re.split(r"[<>=!~;\[ ]", requirement)[0]) for requirement in declared} - listed
    if missing:
        print(f"the document does not list {', '.join(sorted(missing))}")
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{output}: {', '.join(sorted(listed))}")
    return 0


def normal(name: str) -> str:
    """Return a project's name in its one normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
