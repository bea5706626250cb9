"""A fresh Python process without a network: every way out but loopback is shut, and each attempt is written down.

    environment = {**os.environ, **blocked(tmp_path)}
    subprocess.run([...], env=environment)
    assert attempts(tmp_path) == []

Works in every Python process that inherits the environment, by a `sitecustomize` that audits sockets: connections and
datagrams to other machines, and look-ups of names other than localhost, raise OSError. Not covered: native libraries
that open sockets without Python.
"""

from __future__ import annotations

import os
from pathlib import Path

SITE = """\
import os
import sys

LOG = os.environ["DANLU_BLOCKED_NETWORK_LOG"]
LOCAL = ("localhost", "localhost.localdomain", "ip6-localhost", "", None, "0.0.0.0", "::", "::1")


def local(host):
    host = host.decode() if isinstance(host, bytes) else host
    return host in LOCAL or str(host).startswith("127.")


def refuse(event, what):
    with open(LOG, "a", encoding="utf-8") as file:
        file.write(f"{event} {what!r} {' '.join(sys.argv)[:200]}\\n")
    raise OSError(101, f"the network is blocked in this test: {event} {what!r}")


def audit(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and not local(address[0]):
            refuse(event, address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not local(args[0]):
        import socket

        if args[0] != socket.gethostname():
            refuse(event, args[0])


sys.addaudithook(audit)
"""


def blocked(folder: Path) -> dict[str, str]:
    """The variables to add to a process's environment; `folder` takes the hook and the list of attempts."""
    site = folder / "blocked_network"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "DANLU_BLOCKED_NETWORK_LOG": str(folder / "attempts.log")}


def attempts(folder: Path) -> list[str]:
    """What tried to leave the machine, one line each."""
    log = folder / "attempts.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []
