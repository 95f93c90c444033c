"""SMTP: what sends mail, in plain text and by STARTTLS."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
import tempfile
from pathlib import Path
from typing import Final

from .checking import HOST, Check, Protocol, Target, expect, expect_in, run, s_client

FROM: Final = "ann@example.org"
TO: Final = "bob@example.net"
#: Lines of dots, and others that begin with one.
MESSAGE: Final = b"Subject: dots\r\n\r\n.\r\n..\r\n.one more\r\nplain\r\n\r\n.\r\nend\r\n"


def accepted(message: bytes) -> str:
    """Return what the server says of a message that has come whole."""
    return f"{len(message)} bytes, SHA-256 {hashlib.sha256(message).hexdigest()}"


def context(target: Target) -> ssl.SSLContext:
    """Return what checks the server's certificate."""
    return ssl.create_default_context(cafile=target.ca)


def send_by_smtplib(client: smtplib.SMTP) -> None:
    """Send a message; look whether it has come whole."""
    client.ehlo_or_helo_if_needed()
    for extension in ("size", "8bitmime", "pipelining"):
        expect(f"extension {extension}", client.has_extn(extension), wanted=True)
    expect("MAIL", client.mail(FROM)[0], 250)
    expect("RCPT", client.rcpt(TO)[0], 250)
    status, said = client.data(MESSAGE)
    expect("DATA", status, 250)
    expect_in("DATA", said.decode(), accepted(MESSAGE))


def smtplib_plain(target: Target) -> None:
    """Send two messages, and between them what is refused."""
    with smtplib.SMTP(HOST, target.port, local_hostname="client") as client:
        send_by_smtplib(client)
        expect("a message too large", client.docmd("MAIL", f"FROM:<{FROM}> SIZE=99999999")[0], 552)
        expect("an unknown command", client.docmd("NONSENSE")[0], 500)
        send_by_smtplib(client)


def smtplib_starttls(target: Target) -> None:
    """Send a message behind STARTTLS."""
    with smtplib.SMTP(HOST, target.port, local_hostname="client") as client:
        client.starttls(context=ssl.create_default_context(cafile=target.ca))
        send_by_smtplib(client)
        expect("STARTTLS is offered twice", client.has_extn("starttls"), wanted=False)


def swaks(target: Target, *options: str) -> None:
    """Send a message."""
    command = ["swaks", "--server", HOST, "--port", str(target.port), "--helo", "client", *options]
    without_end = MESSAGE.removesuffix(b"\r\n")  # swaks adds one
    said = run([*command, "--from", FROM, "--to", TO, "--data", "-"], without_end)
    expect_in("swaks", said, "250 2.1.0", "250 2.1.5", "354", accepted(MESSAGE), "221")


def swaks_plain(target: Target) -> None:
    """Send a message, one command after the other."""
    swaks(target)


def swaks_pipelined(target: Target) -> None:
    """Send a message, with MAIL, RCPT and DATA at once."""
    swaks(target, "--pipeline")


def swaks_starttls(target: Target) -> None:
    """Send a message behind STARTTLS, pipelined."""
    swaks(target, "--pipeline", "--tls", "--tls-verify", "--tls-ca-path", str(target.ca))


def curl(target: Target, *options: str) -> None:
    """Send a message; with --verbose, curl shows the replies."""
    url = f"smtp://{HOST}:{target.port}/client"
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(MESSAGE)
        command = ["curl", "--silent", "--show-error", "--verbose", *options, url]
        said = run([*command, "--mail-from", FROM, "--mail-rcpt", TO, "--upload-file", file.name])
    expect_in("curl", said, accepted(MESSAGE))


def curl_plain(target: Target) -> None:
    """Send a message."""
    curl(target)


def curl_starttls(target: Target) -> None:
    """Send a message behind STARTTLS, which is required."""
    curl(target, "--ssl-reqd", "--cacert", str(target.ca))


def openssl_starttls(target: Target) -> None:
    """Send all commands and the message at once, behind STARTTLS."""
    commands = ["EHLO client", f"MAIL FROM:<{FROM}>", f"RCPT TO:<{TO}>", "DATA"]
    text = "\r\n".join([*commands, "Subject: none", "", "..a dot", ".", "QUIT", ""])
    said = s_client(target, "smtp", text)
    expect_in("openssl", said, "354", accepted(b"Subject: none\r\n\r\n.a dot\r\n"), "221")


PROTOCOL: Final = Protocol(
    "SMTP",
    "smtp_sink:app",
    (
        Check("smtplib", smtplib_plain),
        Check("smtplib", smtplib_starttls),
        Check("swaks", swaks_plain, "swaks"),
        Check("swaks", swaks_pipelined, "swaks"),
        Check("swaks", swaks_starttls, "swaks"),
        Check("curl", curl_plain, "curl"),
        Check("curl", curl_starttls, "curl"),
        Check("openssl", openssl_starttls, "openssl"),
    ),
)
