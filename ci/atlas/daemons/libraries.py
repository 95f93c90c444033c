"""Servers of libraries."""

from __future__ import annotations

from pathlib import Path

import trio

import caas_trio

from .daemon import Daemon, Place, Start, own

_ROOT = Path(__file__).parents[3]


def _python(*words: str) -> Start:
    def start(place: Place) -> list[str]:
        named = {"folder": str(place.folder), "port": str(place.port)}
        return ["/usr/bin/python3", "-m", *(word.format(**named) for word in words)]

    return start


def _example(name: str) -> Start:
    def start(place: Place) -> list[str]:
        # The user may not be able to reach the interpreter that runs this, but may read its packages.
        packages = ":".join(str(Path(module.__path__[0]).parent) for module in (caas_trio, trio))
        program = f"{_ROOT}/docs/examples/{name}.py"
        return [
            "env",
            f"PYTHONPATH={packages}",
            "/usr/bin/python3",
            program,
            f"tcp://127.0.0.1:{place.port}",
        ]

    return start


DAEMONS = (
    Daemon("aiosmtpd", "python3-aiosmtpd", "smtp", _python("aiosmtpd", "-n", "-l", "127.0.0.1:{port}")),
    Daemon(
        "pyftpdlib",
        "python3-pyftpdlib",
        "ftp",
        _python("pyftpdlib", "-i", "127.0.0.1", "-p", "{port}", "-d", "{folder}"),
    ),
    Daemon(
        "Twisted (SMTP)",
        "python3-twisted",
        own("helo"),
        _python(
            "twisted",
            "mail",
            "--smtp",
            "tcp:{port}:interface=127.0.0.1",
            "--maildirdbmdomain",
            "example.net={folder}/mail",
        ),
    ),
    Daemon(
        "Twisted (POP3)",
        "python3-twisted",
        "pop3",
        _python(
            "twisted",
            "mail",
            "--pop3",
            "tcp:{port}:interface=127.0.0.1",
            "--no-smtp",
            "--maildirdbmdomain",
            "example.net={folder}/mail",
        ),
    ),
    Daemon("caas_trio (SMTP)", "", "smtp", _example("smtp_sink")),
    Daemon("caas_trio (POP3)", "", "pop3", _example("pop3_server")),
    Daemon("caas_trio (Redis)", "", "redis", _example("redis_subset")),
    Daemon("caas_trio (memcached)", "", "memcached", _example("memcached_ascii")),
    Daemon("caas_trio (IRC)", "", "irc", _example("ircd")),
)
