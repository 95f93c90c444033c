"""Holds docs/deploy/kubernetes.yaml and the Containerfile against the schemas, the program and each other.

    python -m ci.deploy.manifests

Each object has to be valid, to the letter, in the oldest version that the file names and in the newest
known. What is said twice has to agree; the program takes the options; and the service, run by them, is probed
and ended as a kubelet does it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import trio
import yaml

from caas_trio.core.session import Oversize
from caas_trio.program.cli import command
from caas_trio.program.explain import session_ceiling

from .background import TIMEOUT_S, Service
from .balancers import DOCS

#: What Python itself takes, with what it has loaded; more than is measured.
PYTHON = 64 << 20


def main() -> int:
    """Check everything; return the exit status."""
    text = (DOCS / "kubernetes.yaml").read_text()
    manifests = {each["kind"]: each for each in yaml.safe_load_all(text)}
    [oldest] = re.findall(r"Kubernetes (\d\.\d+) or newer", text)
    newest = kubernetes_validate.latest_version()
    for version in (oldest, newest):
        for manifest in manifests.values():
            kubernetes_validate.validate(manifest, version, strict=True)
    pod = manifests["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    image = containerfile(DOCS / "Containerfile")
    agree(manifests, pod, container)
    fit(pod["spec"], container)
    agree_with_the_image(pod["spec"], container, image)
    for arguments in (container["args"], image["CMD"]):
        trio.run(partial(run, arguments, container))
    print(f"the manifests are right for Kubernetes {oldest} to {newest}, and the service runs as they say")
    return 0


def agree(manifests: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Compare what the objects say of each other."""
    labels = pod["metadata"]["labels"]
    for selector in (
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
    ):
        expect(selector.items() <= labels.items(), wanted=True)
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    [port] = manifests["Service"]["spec"]["ports"]
    expect((port["port"], port["appProtocol"]), (named[port["targetPort"]], "tcp"))
    for each in (pod["metadata"], manifests["Service"]["metadata"]):
        expect(each["annotations"]["config.linkerd.io/opaque-ports"], str(port["port"]))


def fit(spec: dict[str, Any], container: dict[str, Any]) -> None:
    """Compare what is asked of Kubernetes with what the options ask of the program."""
    chosen = options(container["args"])
    served = {endpoint.port for endpoint in (*chosen["endpoints"], chosen["metrics"])}
    expect(served, {port["containerPort"] for port in container["ports"]})
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = spec["terminationGracePeriodSeconds"]
    expect(before + chosen["drain_timeout"] + 5 <= grace, wanted=True)
    needed = chosen["max_connections"] * session_ceiling(
        chosen["max_line"], 1, Oversize(chosen["oversize"]), "hub"
    )
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
    expect(needed + PYTHON <= limit, wanted=True)


def options(arguments: list[str]) -> dict[str, Any]:
    """Return what the program takes its arguments for."""
    return command.make_context("caas-trio", list(arguments)).params


def containerfile(path: Path) -> dict[str, Any]:
    """Return the last value of each instruction, lists as lists."""
    pairs = re.findall(r"^([A-Z]+) (.*)$", path.read_text(), re.MULTILINE)
    return {word: json.loads(value) if value.startswith("[") else value for word, value in pairs}


def agree_with_the_image(spec: dict[str, Any], container: dict[str, Any], image: dict[str, Any]) -> None:
    """Compare the pod with the image."""
    ports = {port["containerPort"] for port in container["ports"]}
    expect({int(port) for port in image["EXPOSE"].split()}, ports)
    context = spec["securityContext"]
    expect(image["USER"], f"{context['runAsUser']}:{context['runAsGroup']}")
    expect(Path(image["ENTRYPOINT"][0]).name, "caas-trio")


async def run(arguments: list[str], container: dict[str, Any]) -> None:
    """Run the service as its container does, probe it and end it."""
    host = f"127.{1 + os.getpid() // 254 % 254}.{1 + os.getpid() % 254}.1"
    server = Service(*(each.replace("0.0.0.0", host) for each in arguments))  # noqa: S104 - it is replaced
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    await server.start()
    try:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]
            url = f"http://{host}:{named[get['port']]}{get['path']}"
            expect(await trio.to_thread.run_sync(partial(status_of, url)), 200)
        async with await trio.open_tcp_stream(host, named["tcp-lines"]) as client:
            await client.send_all(b"hello\n")
            expect(await client.receive_some(), b"HELLO\n")
        await server.stop()
    finally:
        await server.kill()


def status_of(url: str) -> int:
    """Return the status of a page that is there."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:  # noqa: S310 - our own
        return int(page.status)


def expect(got: object, wanted: object) -> None:
    """Fail if they differ."""
    if got != wanted:
        raise AssertionError(f"{got!r}, and not {wanted!r}")


if __name__ == "__main__":
    sys.exit(main())
