"""POP3: what fetches mail, in plain text and by STLS."""

from __future__ import annotations

import poplib
import ssl
from typing import Final

from .checking import HOST, Check, Protocol, Target, expect, expect_in, run, s_client

USER, PASSWORD = "joe", "secret"
#: The second of the two messages that the server has by itself.
BODY: Final = [b".", b"..", b".a dot begins this line", b"the end"]


def read_mailbox(client: poplib.POP3) -> None:
    """Log in, and look at all there is; delete, and think better of it."""
    client.user(USER)
    client.pass_(PASSWORD)
    count, size = client.stat()
    expect("messages", count, 2)
    listed = [line.split() for line in client.list()[1]]
    expect("LIST", sum(int(octets) for _, octets in listed), size)
    expect("UIDL", len({line.split()[1] for line in client.uidl()[1]}), 2)
    _, lines, octets = client.retr(2)
    expect("RETR", lines[-len(BODY) :], BODY)
    expect("octets", octets, int(listed[1][1]))
    expect("TOP", client.top(2, 1)[1], lines[: 1 - len(BODY)])
    client.dele(1)
    expect("DELE", client.stat()[0], 1)
    try:
        client.retr(1)
    except poplib.error_proto:
        client.rset()
    expect("RSET", client.stat()[0], 2)


def poplib_plain(target: Target) -> None:
    """Read a mailbox, delete a message and undelete it."""
    client = poplib.POP3(HOST, target.port)
    read_mailbox(client)
    client.quit()


def poplib_stls(target: Target) -> None:
    """Do so behind STLS."""
    client = poplib.POP3(HOST, target.port)
    client.stls(ssl.create_default_context(cafile=target.ca))
    read_mailbox(client)
    client.quit()


def curl(target: Target, path: str, *options: str) -> str:
    """Return what curl gets."""
    url = f"pop3://{USER}:{PASSWORD}@{HOST}:{target.port}/{path}"
    return run(["curl", "--silent", "--show-error", *options, url])


def curl_plain(target: Target) -> None:
    """List the messages, fetch one, and the top of it."""
    expect("LIST", len(curl(target, "").splitlines()), 2)
    message = curl(target, "2")
    expect("RETR", message.encode().splitlines()[-len(BODY) :], BODY)
    expect_in("TOP", curl(target, "", "--request", "TOP 2 0"), "Subject: ")


def curl_stls(target: Target) -> None:
    """Fetch a message behind STLS, which is required."""
    message = curl(target, "2", "--ssl-reqd", "--cacert", str(target.ca))
    expect("RETR", message.encode().splitlines()[-len(BODY) :], BODY)


def openssl_stls(target: Target) -> None:
    """Send all commands at once, behind STLS."""
    commands = ["CAPA", f"USER {USER}", f"PASS {PASSWORD}", "STAT", "UIDL", "RETR 2", "QUIT", ""]
    said = s_client(target, "pop3", "\r\n".join(commands))
    expect_in("openssl", said, "PIPELINING", "+OK 2 ", "\r\n..\r\n...\r\n..a dot", "the end\r\n.\r\n", "+OK")


PROTOCOL: Final = Protocol(
    "POP3",
    "pop3_server:app",
    (
        Check("poplib", poplib_plain),
        Check("poplib", poplib_stls),
        Check("curl", curl_plain, "curl"),
        Check("curl", curl_stls, "curl"),
        Check("openssl", openssl_stls, "openssl"),
    ),
)
