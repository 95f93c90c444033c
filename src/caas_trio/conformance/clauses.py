"""The clauses: id, level, requirement. `ci/conformance/specification.py` writes them into the specification.

The page, `docs/specification.md`, adds each clause's reason and source.
"""

from __future__ import annotations

from typing import Final

from .clause import Clause, Level
from .dialects.clauses import OF_DIALECTS
from .dialects.clauses import SECTIONS as _DIALECT_SECTIONS
from .profile import Profile, Service

__all__ = [
    "CLAUSES",
    "IN_OTHER_WORDS",
    "OF_SERVICES",
    "SECTIONS",
    "Clause",
    "Level",
    "clauses_of",
    "requirement",
]

SECTIONS: Final = {
    "SERVE": "the service",
    "FRAME": "framing",
    "ORDER": "speaking order",
    "SAY": "what the server says for itself",
    "LIMIT": "limits",
    "CLOSE": "the end",
    "LOAD": "concurrency",
    "FLOW": "flow",
    "TIME": "timing",
    "STOP": "the stop",
    "WORKERS": "several processes, and reloads",
    "TLS": "TLS endpoints",
    "UNIX": "Unix sockets",
    "DGRAM": "datagrams",
    "PROXY": "behind a proxy",
    "TRUST": "who may connect",
    **_DIALECT_SECTIONS,
}

_MUST: Final = Level.MUST
_SHOULD: Final = Level.SHOULD

_ALL: Final = (
    Clause("SERVE-1", _MUST, "A reply MUST be its line with each ASCII letter a to z raised to upper case."),
    Clause("SERVE-2", _MUST, "Every other byte of a line MUST come back untouched, whatever its value."),
    Clause(
        "FRAME-1",
        _MUST,
        "A line MUST end with one LF byte and with nothing else: every other byte is payload.",
    ),
    Clause("FRAME-2", _MUST, "A line MUST come back whole, its end as it came: LF for LF, CRLF for CRLF."),
    Clause("FRAME-3", _MUST, "An empty line is a line and MUST be answered."),
    Clause(
        "FRAME-4",
        _MUST,
        "Input that ends without a terminator is a last line and MUST be answered without one.",
    ),
    Clause("FRAME-5", _MUST, "Where there is no input there MUST be no reply."),
    Clause("FRAME-6", _MUST, "The reply stream MUST NOT depend on how the input was cut into reads."),
    Clause(
        "FRAME-7",
        _MUST,
        "A line within the limit MUST be answered whole; a server that declares no limit takes 1000 bytes.",
    ),
    Clause("FRAME-8", _SHOULD, "A server that declares no limit SHOULD answer a line of 65536 bytes."),
    Clause(
        "FRAME-9",
        _MUST,
        "Where lines are declared to end with CR LF, a bare CR or a bare LF MUST count as an error, once "
        "for its line and as soon as it is certain, and MUST NOT end the line; the limit counts the bytes "
        "before CR LF.",
    ),
    Clause(
        "ORDER-1",
        _MUST,
        "A client-first server MUST stay silent until a line, or the end of input, is there.",
    ),
    Clause("ORDER-2", _MUST, "A server-first server MUST send its prompt before it has received anything."),
    Clause("ORDER-3", _MUST, "The prompt MUST be the declared one, byte by byte, and MUST be sent once."),
    Clause("ORDER-4", _MUST, "A client that speaks before the prompt MUST get the prompt, then its replies."),
    Clause(
        "ORDER-5", _MUST, "Where either side may begin, a client that stays silent MUST get the prompt, once."
    ),
    Clause(
        "ORDER-6", _MUST, "Where either side may begin, a client that speaks first MUST NOT see the prompt."
    ),
    Clause(
        "ORDER-7",
        _MUST,
        "A client that ends its input at once MUST still get a server-first server's prompt.",
    ),
    Clause(
        "ORDER-8", _MUST, "Replies MUST come in the order of the lines, and a client need not wait for them."
    ),
    Clause("SAY-1", _MUST, "What the server says for itself MUST contain a lower-case letter and end in LF."),
    Clause(
        "LIMIT-1", _MUST, "A line with exactly the limit's number of bytes before its LF MUST be answered."
    ),
    Clause(
        "LIMIT-2", _MUST, "A line with one byte more MUST count as oversize, even if its LF is already there."
    ),
    Clause("LIMIT-3", _MUST, "The limit MUST count every byte before the LF, a CR too."),
    Clause("LIMIT-4", _MUST, "A line MUST count as oversize as soon as the byte too many is in."),
    Clause("LIMIT-5", _MUST, "The notice MUST read `error: line longer than N bytes`, N being the limit."),
    Clause("LIMIT-6", _MUST, "Every line before an oversize one MUST be answered, ahead of the notice."),
    Clause(
        "LIMIT-7",
        _MUST,
        "With `reject`, the notice MUST be the last the server says, and the conversation ends.",
    ),
    Clause(
        "LIMIT-8",
        _MUST,
        "With `discard`, the oversize line MUST be skipped whole, and the conversation goes on.",
    ),
    Clause(
        "LIMIT-9",
        _MUST,
        "There MUST be one notice for each oversize line, however long it is and however it comes.",
    ),
    Clause("LIMIT-10", _MUST, "With `stream`, a line beyond the limit MUST be answered like any other."),
    Clause("LIMIT-11", _MUST, "An oversize last line without a terminator MUST get the notice and no reply."),
    Clause("CLOSE-1", _MUST, "A client that half-closes MUST get every reply still owed."),
    Clause("CLOSE-2", _MUST, "The server MUST end a conversation with a FIN, not with a reset."),
    Clause(
        "CLOSE-3",
        _MUST,
        "After the last reply to a client that has ended its input, the server MUST end its output.",
    ),
    Clause("CLOSE-4", _MUST, "The server MUST NOT end a conversation that the client has not ended."),
    Clause(
        "CLOSE-5",
        _MUST,
        "A server of one line per connection MUST answer one line and then end the conversation.",
    ),
    Clause(
        "LOAD-1", _MUST, "Conversations MUST NOT mix: each client gets the replies to its own lines only."
    ),
    Clause("LOAD-2", _MUST, "A client that is slow or silent MUST NOT hold up another."),
    Clause("LOAD-3", _MUST, "A client's reset, whatever the state, MUST NOT harm another."),
    Clause("LOAD-4", _MUST, "A client that does not read its replies MUST NOT hold up another."),
    Clause("LOAD-5", _MUST, "Two hundred clients at once MUST all be served."),
    Clause("LOAD-6", _MUST, "The server MUST go on accepting connections, whatever its clients do."),
    Clause(
        "LOAD-7",
        _MUST,
        "At capacity the server MUST say `error: too many connections` and close, or let the client wait.",
        unjudged="the capacity cannot be seen from outside, and reaching it would deny others the service",
    ),
    Clause("FLOW-1", _MUST, "A client that sends much and reads only later MUST get every reply."),
    Clause(
        "FLOW-2", _MUST, "Traffic that fills both directions MUST NOT stop, and nothing of it may be lost."
    ),
    Clause("FLOW-3", _SHOULD, "The server SHOULD stop reading from a client that does not read its replies."),
    Clause(
        "FLOW-4",
        _MUST,
        "A client that does not read its replies MUST be dropped after the write timeout.",
        unjudged="it takes the server's own timeout, a minute by default, to see it",
    ),
    Clause(
        "TIME-1", _MUST, "A reply MUST be sent when its line is complete, not at the next line or the end."
    ),
    Clause(
        "TIME-2",
        _SHOULD,
        "The work for a line SHOULD grow linearly with its length, and with the number of lines.",
    ),
    Clause(
        "TIME-3",
        _MUST,
        "A line once begun MUST end within the line timeout; a quiet connection ends after the idle timeout.",
        unjudged="it takes the server's own timeouts, minutes by default, to see it",
    ),
    Clause(
        "STOP-1",
        _MUST,
        "When told to stop, the server MUST answer every line it has received before it ends.",
        unjudged="it takes a signal, and the suite may judge a server that is not its own",
    ),
    Clause(
        "STOP-2",
        _MUST,
        "A client that waits to be accepted at a stop MUST be admitted, or refused as at capacity.",
        unjudged="it takes a signal, and a server that is at capacity",
    ),
    Clause(
        "WORKERS-1",
        _MUST,
        "The death of a worker MUST end its own connections and no others.",
        unjudged="it takes a process that is killed",
    ),
    Clause(
        "WORKERS-2",
        _MUST,
        "Where an endpoint stays, a reload MUST NOT refuse a client or leave a received line unanswered.",
        unjudged="it takes a signal, and a client that connects at every moment of the reload",
    ),
    Clause(
        "WORKERS-3",
        _MUST,
        "At a reload, open connections MUST have the drain timeout to end by themselves, before the drain.",
        unjudged="it takes a signal, and the server's own timeout",
    ),
    Clause(
        "WORKERS-4",
        _MUST,
        "A reload that fails MUST change nothing for any client.",
        unjudged="it takes settings that are wrong",
    ),
    Clause(
        "TLS-1",
        _MUST,
        "Over TLS, the server MUST end its output with close_notify, ahead of the FIN.",
        unjudged="CLOSE-2 counts an end without it as a connection cut off, where the endpoint is tls",
    ),
    Clause(
        "TLS-2",
        _MUST,
        "A client that ends its output with close_notify MUST get every reply still owed.",
        unjudged="CLOSE-1 does, where the endpoint is tls",
    ),
    Clause(
        "TLS-3",
        _MUST,
        "Input that ends without close_notify MUST NOT count as ended: its tail is no line.",
        unjudged="the suite ends its own input properly",
    ),
    Clause(
        "TLS-4",
        _MUST,
        "A client that does not finish its handshake MUST NOT be told more than an alert or hold up another.",
        unjudged="it takes the server's own timeout to see what becomes of such a client",
    ),
    Clause(
        "TLS-5",
        _MUST,
        "The server MUST NOT speak a version of TLS below 1.2.",
        unjudged="the library that the suite speaks TLS with offers none of them by itself",
    ),
    Clause(
        "UNIX-1",
        _MUST,
        "A server MUST NOT take the path of a live server, nor a path at which there is no socket.",
        unjudged="it takes a second server on the same path",
    ),
    Clause(
        "UNIX-2",
        _MUST,
        "A server MUST be able to have the path of one that was killed.",
        unjudged="it takes a server that is killed",
    ),
    Clause(
        "UNIX-3",
        _MUST,
        "When it ends, a server MUST remove what is its own and MUST NOT remove anything else.",
        unjudged="it takes a server that ends while another begins",
    ),
    Clause(
        "UNIX-4",
        _MUST,
        "A socket MUST have its permissions before the first client can connect.",
        unjudged="the moment before the first connection cannot be seen from outside",
    ),
    Clause(
        "UNIX-5",
        _MUST,
        "At a takeover, every client MUST be accepted by one of the two servers and have time to ask.",
        unjudged="it takes two servers, and a client that connects at every moment between them",
    ),
    Clause(
        "DGRAM-1",
        _MUST,
        "A datagram is one message: its reply MUST be the whole of it, raised to upper case.",
    ),
    Clause("DGRAM-2", _MUST, "A datagram server MUST NOT send anything unasked: no prompt, no second reply."),
    Clause("DGRAM-3", _MUST, "A reply MUST NOT be longer than its request."),
    Clause("DGRAM-4", _MUST, "A reply MUST go to the sender of its request and to no other address."),
    Clause("DGRAM-5", _MUST, "A datagram of the largest size MUST be answered whole."),
    Clause("DGRAM-6", _MUST, "A sender that has gone before its reply comes MUST NOT harm another."),
    Clause("DGRAM-7", _MUST, "A reply MUST come from the address that its request was sent to."),
    Clause(
        "PROXY-1",
        _MUST,
        "A PROXY header MUST be taken off the front of the input; what follows it is served as if alone.",
    ),
    Clause("PROXY-2", _SHOULD, "A PROXY header that comes in pieces SHOULD be waited for."),
    Clause("PROXY-3", _MUST, "The server MUST stay silent until the PROXY header is complete."),
    Clause("PROXY-4", _MUST, "A connection that the proxy makes for itself (LOCAL) MUST be served."),
    Clause("PROXY-5", _SHOULD, "A connection without an address in its header (UNKNOWN) SHOULD be served."),
    Clause(
        "PROXY-6",
        _MUST,
        "What is not exactly a PROXY header MUST end the connection, and nothing is answered.",
    ),
    Clause(
        "PROXY-7", _SHOULD, "A PROXY header that contradicts its checksum or TLVs SHOULD end the connection."
    ),
    Clause(
        "PROXY-8",
        _MUST,
        "The address in the PROXY header MUST count as the client's, for every limit and every list.",
        unjudged="the service does not say whom it takes its client for",
    ),
    Clause(
        "PROXY-9",
        _SHOULD,
        "A PROXY header SHOULD be taken from trusted networks only, and within the opening timeout.",
        unjudged="the suite connects from one address, and does not know the timeout",
    ),
    Clause(
        "TRUST-1",
        _MUST,
        "A client that is not on the list of networks or of users MUST get no answer.",
        unjudged="the suite is on the list, or nothing can be judged",
    ),
)

CLAUSES: Final = {clause.id: clause for clause in (*_ALL, *OF_DIALECTS)}

_UNCHANGED: Final = {
    "SERVE-1": "A reply MUST be its line, unchanged.",
    "DGRAM-1": "A datagram is one message: its reply MUST be the whole of it, unchanged.",
}
_BYTES: Final = {
    **_UNCHANGED,
    "ORDER-1": "A client-first server MUST stay silent until something is there.",
    "TIME-1": "What has come MUST be sent back at once, not at the end of its line or of the input.",
}
#: The text of a clause for services other than capitals, where it differs.
IN_OTHER_WORDS: Final = {Service.ECHO: _UNCHANGED, Service.ECHO_BYTES: _BYTES}


#: The clauses for services, capitals and echo, which do not apply to servers of a dialect.
OF_SERVICES: Final = {clause.id: clause for clause in _ALL}


def clauses_of(profile: Profile) -> list[Clause]:
    """Return the clauses that apply to a server, by what it is declared to be."""
    return list(OF_SERVICES.values() if profile.dialect is None else OF_DIALECTS)


def requirement(clause: str, service: Service) -> str:
    """Return what a clause requires of a service, in the words of the specification."""
    return IN_OTHER_WORDS.get(service, {}).get(clause) or CLAUSES[clause].text
