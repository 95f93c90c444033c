"""Right servers of some dialects: as little of each protocol as its dialect requires."""

from __future__ import annotations

from .serving import Conversation, Protocol


def _smtp(conversation: Conversation, line: bytes) -> bytes:
    word = line.split(b" ")[0].upper()
    if word == b"STARTTLS" and conversation.certificate is not None:
        return conversation.turn_to_tls(b"220 go ahead\r\n")
    conversation.last = word == b"QUIT"
    if word == b"DATA":
        conversation.block = _message
    replies = {b"EHLO": b"250-here\r\n250 PIPELINING\r\n", b"QUIT": b"221 bye\r\n"}
    replies |= dict.fromkeys([b"RSET", b"NOOP", b"MAIL", b"RCPT"], b"250 OK\r\n")
    replies[b"DATA"] = b"354 go ahead\r\n"
    return replies.get(word, b"500 unknown\r\n")


def _message(conversation: Conversation, line: bytes) -> bytes:
    if line == b".":
        return b"250 taken\r\n"
    conversation.block = _message
    return b""


def _pop3(conversation: Conversation, line: bytes) -> bytes:
    word = line.split(b" ")[0].upper()
    conversation.last = word == b"QUIT"
    replies = {b"CAPA": b"+OK these\r\nPIPELINING\r\n.\r\n", b"QUIT": b"+OK bye\r\n", b"USER": b"+OK\r\n"}
    return replies.get(word, b"-ERR unknown\r\n")


def _imap(conversation: Conversation, line: bytes) -> bytes:
    tag, _, rest = line.partition(b" ")
    word = rest.upper()
    conversation.last = word == b"LOGOUT"
    before = {b"CAPABILITY": b"* CAPABILITY IMAP4rev2\r\n", b"LOGOUT": b"* BYE\r\n", b"NOOP": b""}
    if word not in before:
        return tag + b" BAD unknown\r\n"
    return before[word] + tag + b" OK done\r\n"


def _nntp(conversation: Conversation, line: bytes) -> bytes:
    word = line.split(b" ")[0].upper()
    conversation.last = word == b"QUIT"
    replies = {b"DATE": b"111 20261129000000\r\n", b"HELP": b"100 these\r\n  DATE\r\n.\r\n"}
    replies |= {b"GROUP": b"411 no such group\r\n", b"QUIT": b"205 bye\r\n"}
    return replies.get(word, b"500 unknown\r\n")


def _redis(conversation: Conversation, line: bytes) -> bytes:
    line = line.removesuffix(b"\r")
    word, *rest = line.split(b" ")
    conversation.last = word == b"QUIT"
    if word == b"ECHO" and len(rest) == 1:
        return b"$%d\r\n%s\r\n" % (len(rest[0]), rest[0])
    return {b"PING": b"+PONG\r\n", b"QUIT": b"+OK\r\n"}.get(line, b"-ERR unknown\r\n")


_LONGEST_KEY = 250


def _memcached(conversation: Conversation, line: bytes) -> bytes:
    word, *rest = line.removesuffix(b"\r").split(b" ")
    conversation.last = word == b"quit"
    if word == b"set":
        conversation.block = lambda _, __: b"STORED\r\n"
        return b""
    if word == b"get":
        return b"END\r\n" if len(rest) == 1 and len(rest[0]) <= _LONGEST_KEY else b"CLIENT_ERROR key\r\n"
    return {b"version": b"VERSION 1\r\n", b"quit": b""}.get(word, b"ERROR\r\n")


def _finger(conversation: Conversation, line: bytes) -> bytes:
    conversation.last = True
    return b"nobody is called " + line.strip() + b"\r\n"


SMTP = Protocol("smtp", _smtp, b"220-here\r\n220 SMTP\r\n", too_long=b"500 line too long\r\n")
POP3 = Protocol("pop3", _pop3, b"+OK ready\r\n", too_long=b"-ERR line too long\r\n")
IMAP = Protocol("imap", _imap, b"* OK ready\r\n", too_long=b"* BAD line too long\r\n")
NNTP = Protocol("nntp", _nntp, b"200 ready\r\n", too_long=b"501 line too long\r\n")
REDIS = Protocol("redis", _redis, end=b"\n", max_line=70_000, too_long=b"-ERR line too long\r\n")
MEMCACHED = Protocol("memcached", _memcached, end=b"\n", too_long=b"CLIENT_ERROR line too long\r\n")
FINGER = Protocol("finger", _finger, max_line=70_000)

PROTOCOLS = (SMTP, POP3, IMAP, NNTP, REDIS, MEMCACHED, FINGER)
