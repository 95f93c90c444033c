"""Bugs in a connection from accept to close."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a cancellation is swallowed",
        "server",
        "if rest is not None:\n            raise rest",
        "",
    ),
    Bug(
        "a service that fails takes the server down",
        "server",
        "            self._report_bug(bugs)\n",
        "            self._report_bug(bugs)\n            self._shared.tasks.cancel_scope.cancel()\n",
    ),
    Bug(
        "a client that does not read takes the server down",
        "server",
        "with suppress(PeerError):\n                await self._channel.close_gracefully()",
        "with suppress(KeyError):\n                await self._channel.close_gracefully()",
    ),
    Bug(
        "sockets are left open",
        "server",
        "self._sock.close()\n        self._release()",
        "self._release()",
    ),
    Bug(
        "a connection that has ended keeps its place",
        "server",
        "self._shared.admission.release(self._host)\n            self._host",
        "self._host",
    ),
    Bug(
        "a refused client gets no error line",
        "server",
        "await channel.send_all(REFUSAL)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a connection that is over at once counts as open",
        "server",
        "self.close(_COMPLETED)",
        "self._release()",
    ),
    Bug(
        "a conversation that was cancelled counts as open",
        "server",
        "self._listener.ended[outcome] += 1",
        "self._listener.ended[outcome] += outcome != Outcome.CUT_OFF",
    ),
    Bug(
        "what fails while a connection is begun ends the server",
        "opening",
        "        except FAULTS as error:\n            self.spawn(error)",
        "        except KeyboardInterrupt as error:\n            self.spawn(error)",
    ),
    Bug(
        "what fails before a connection is admitted ends the server",
        "opening",
        "except FAULTS as error:\n            self._report_bug(error)\n            self._sock.close()",
        "except EOFError as error:\n            self._report_bug(error)\n            self._sock.close()",
    ),
    Bug(
        "what fails where a client is rejected ends the server",
        "opening",
        "        except FAULTS as failure:\n            outcome = Outcome.FAILED\n",
        "        except EOFError as failure:\n            outcome = Outcome.FAILED\n",
    ),
    Bug(
        "a place is lost with a connection that fails",
        "opening",
        "self._release()\n        if shared.counting",
        "if outcome is not Outcome.FAILED:\n            self._release()\n        if shared.counting",
    ),
)
