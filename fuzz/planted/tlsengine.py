"""Bugs in TLS without I/O."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what was decrypted before a record that is none is lost",
        "tls",
        "        except OSError:\n            self._end_input()\n        else:",
        "        except ssl.SSLEOFError:\n            self._end_input()\n        else:",
    ),
    Bug(
        "what was not read yet is lost at the end of the output",
        "tls",
        'self._unread += self._decrypt(2 * READ_SIZE) or b""',
        "self._decrypt(2 * READ_SIZE)",
    ),
    Bug(
        "the last read finds input that was not asked for",
        "tls",
        'self._unread += self._decrypt(2 * READ_SIZE) or b""',
        "pass",
    ),
    Bug(
        "a read gives more than it was asked for",
        "tls",
        "data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]",
        'data, self._unread = self._unread, b""',
    ),
    Bug(
        "a record that is none ends the input",
        "tls",
        "            self._end_input()\n            raise\n",
        "            part = b''\n",
    ),
    Bug(
        "the output ends without close_notify",
        "tls",
        "            self.tls.unwrap()",
        "            pass",
    ),
    Bug(
        "a client whose TLS is wrong gets no alert",
        "tls",
        'return self._outgoing.read() if self._gate.speaks_tls else b""',
        'return b"" if self._gate.speaks_tls else self._outgoing.read()',
    ),
    Bug(
        "a client without TLS gets an alert",
        "tls",
        'return self._outgoing.read() if self._gate.speaks_tls else b""',
        "return self._outgoing.read()",
    ),
    Bug(
        "a handshake that ends stays unsaid",
        "tls",
        'tls.version() != "TLSv1.3":\n            answers.append(self._outgoing.read())',
        "False:\n            pass",
    ),
    Bug(
        "session tickets are sent to a client that may have left",
        "tls",
        'tls.version() != "TLSv1.3":\n            answers.append(self._outgoing.read())',
        "True:\n            answers.append(self._outgoing.read())",
    ),
    Bug(
        "answers pile up that are never flushed",
        "tls",
        "if self._outgoing.pending > MAX_UNSAID:",
        "if False:",
    ),
    Bug(
        "the end of the input behind the last data is overlooked",
        "tls",
        "            if max_bytes > 0:\n                self._end_input()",
        "            self.drained = max_bytes > 0",
    ),
)
