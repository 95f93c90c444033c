"""Before anything is measured: does the load generator notice a server that answers wrongly?"""

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from ci.bench.load import BenchError, LoadReport

#: The kind of error each way of answering must be counted as; no answer stands for closing at once.
WRONG_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "mismatch": lambda data: data,
    "excess": lambda data: data.upper() + b"!",
    "ended_early": lambda _: b"",
}


def _answer_once(server: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    client, _ = server.accept()
    with client:
        client.sendall(answer(client.recv(65536)))


def check(program: Path) -> None:
    """Run the load generator against servers that are wrong in one way each.

    Raises:
        BenchError: it did not notice.
    """
    for kind, answer in WRONG_ANSWERS.items():
        with socket.create_server(("127.0.0.1", 0)) as server:
            liar = threading.Thread(target=_answer_once, args=(server, answer), daemon=True)
            liar.start()
            endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            command = [str(program), endpoint, "lines", "--seconds", "0.1"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
            liar.join()
        if LoadReport.parse(said.strip().rpartition("\n")[2]).errors != {kind: 1}:
            raise BenchError(f"the load generator does not notice an answer with this fault: {kind}")
