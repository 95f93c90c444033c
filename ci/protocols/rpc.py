"""JSON-RPC: there is no client for it with a request in each line, so socat carries them."""

from __future__ import annotations

import json
from typing import Final

from .checking import HOST, Check, Protocol, Target, expect, run


def socat(target: Target) -> None:
    """Send requests at once: the fast one is answered first, the cancelled one with an error."""
    requests: list[dict[str, object]] = [
        {"id": 1, "method": "sleep", "params": [0.5]},
        {"id": "two", "method": "sleep", "params": [60]},
        {"id": 3, "method": "upper", "params": ["straße"]},
        {"id": 4, "method": "cancel", "params": ["two"]},
        {"id": 5, "method": "nonsense"},
    ]
    lines = b"".join(json.dumps({"jsonrpc": "2.0", **each}).encode() + b"\n" for each in requests)
    said = run(["socat", "-t", "30", "-", f"TCP:{HOST}:{target.port}"], lines + b"no JSON\n")
    replies = [json.loads(line) for line in said.splitlines()]
    expect("the last reply", (replies[-1]["id"], replies[-1].get("result")), (1, 0.5))
    got = {reply["id"]: reply.get("result", reply.get("error", {}).get("code")) for reply in replies}
    expect("the replies", got, {1: 0.5, "two": -32800, 3: "STRASSE", 4: True, 5: -32601, None: -32700})


PROTOCOL: Final = Protocol("JSON-RPC", "json_rpc:app", (Check("socat", socat, "socat"),))
