"""The clauses for servers of any dialect; `caas_trio.conformance.clauses` has them beside its own."""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.clause import Clause, Level

SECTIONS: Final = {
    "REPLY": "any dialect: requests and replies",
    "GREET": "any dialect: which side speaks first",
    "CUT": "any dialect: pieces",
    "PIPE": "any dialect: pipelining",
    "TERM": "any dialect: what ends a line",
    "LONG": "any dialect: long lines",
    "HALF": "any dialect: half-close",
    "QUIET": "any dialect: silence",
    "QUIT": "any dialect: the end",
    "IDLE": "any dialect: timeouts",
    "READ": "any dialect: slow readers",
    "HARM": "any dialect: other clients",
    "STLS": "any dialect: turning to TLS",
    "SAME": "any dialect: stability",
}


def _must(clause: str, text: str, unjudged: str = "") -> Clause:
    return Clause(clause, Level.MUST, text, unjudged)


def _should(clause: str, text: str) -> Clause:
    return Clause(clause, Level.SHOULD, text)


OF_DIALECTS: Final = (
    _must("REPLY-1", "A request MUST get the reply that the dialect declares, and get it at once."),
    _must("REPLY-2", "An unknown request MUST get the reply declared for it, and the conversation goes on."),
    _must("REPLY-3", "Each line that the server says MUST end with the dialect's terminator."),
    _must("GREET-1", "A server that speaks first MUST send its greeting before it has received anything."),
    _must("GREET-2", "The greeting MUST be sent once."),
    _must("GREET-3", "A server that does not speak first MUST stay silent until a request is there."),
    _must(
        "GREET-4", "Where a client need not wait for the greeting, it MUST get the greeting, then its reply."
    ),
    _must("CUT-1", "A reply MUST NOT depend on how the request was cut into reads."),
    _must("CUT-2", "A request MUST NOT be answered before its terminator is there."),
    _must("PIPE-1", "Each of several requests at once MUST get its reply, once, and in their order."),
    _must("TERM-1", "Each terminator that the dialect declares MUST end a request."),
    _must("TERM-2", "Where the dialect says what a bare LF is, the server MUST take it for that."),
    _must("TERM-3", "Where the dialect says what a bare CR is, the server MUST take it for that."),
    _must("TERM-4", "Where the dialect says what CR CR LF is, the server MUST take it for that."),
    _must("TERM-5", "Where the dialect says what a NUL is, the server MUST take it for that."),
    _must("TERM-6", "What ends a line MUST NOT depend on where a read ends."),
    _must("TERM-7", "A body MUST end at the line that is a lone dot, and at nothing that looks like one."),
    _must("LONG-1", "A line as long as the dialect allows MUST be taken."),
    _must("LONG-2", "The end of a long line MUST NOT be taken for a request of its own."),
    _must("LONG-3", "A line that is too long MUST get the reply declared for it, once."),
    _must("LONG-4", "Behind a line that is too long, the conversation MUST go on, or end, as declared."),
    _must(
        "LONG-5",
        "A line that does not end MUST NOT be kept in memory without a bound.",
        "memory cannot be seen from outside",
    ),
    _should("HALF-1", "A client that ends its input SHOULD get every reply still owed."),
    _must("HALF-2", "After a client has ended its input, the server MUST end its output."),
    _must(
        "HALF-3",
        "Where the dialect says what input without a terminator is, the server MUST take it for that.",
    ),
    _must("QUIET-1", "The server MUST NOT say anything unasked."),
    _must("QUIET-2", "The server MUST NOT end a conversation that is merely silent."),
    _must("QUIT-1", "The request that ends the conversation MUST get its reply before the end."),
    _must("QUIT-2", "The server MUST end a conversation with a FIN, not with a reset."),
    _must("QUIT-3", "What comes behind the request that ends the conversation MUST NOT be answered."),
    _should(
        "QUIT-4", "What comes behind that request SHOULD be read off, so that no reset destroys the reply."
    ),
    _must("QUIT-5", "After that request, the server MUST end its output."),
    _must("IDLE-1", "A quiet connection MUST be ended at the declared time, and not before."),
    _must("IDLE-2", "A line once begun MUST end within the declared time."),
    _must("READ-1", "A client that sends several requests and reads only later MUST get every reply."),
    _should("READ-2", "The server SHOULD stop reading from a client that does not read its replies."),
    _must("HARM-1", "A client that is slow or silent MUST NOT hold up another."),
    _must("HARM-2", "A client's reset, whatever the state, MUST NOT harm another."),
    _must("HARM-3", "A client that does not read its replies MUST NOT hold up another."),
    _must("HARM-4", "As many clients at once as the dialect allows MUST all be served."),
    _must("HARM-5", "Conversations MUST NOT mix: each client gets the replies to its own requests only."),
    _must("HARM-6", "The server MUST go on accepting connections, whatever its clients do."),
    _must("STLS-1", "What came in plain behind the request for TLS MUST NOT be answered over TLS."),
    _must("STLS-2", "The request for TLS MUST get its go-ahead, and requests over TLS their replies."),
    _must("STLS-3", "Behind the go-ahead, the server MUST NOT say anything in plain."),
    _must("SAME-1", "What the server takes for the end of a line MUST be the same each time."),
)
