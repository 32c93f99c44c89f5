"""The server: listens, says where, and answers until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from dicomlake.errors import UsageError
from dicomlake.settings import FILE, Service, Settings
from dicomlake.web.access.gate import Gate, is_loopback
from dicomlake.web.service import app


def run(lake: Path, settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve a lake until somebody stops it; UsageError when the address cannot be had."""
    service = settings.service
    made = app(lake, settings)
    gate: Gate = made.state.gate
    if not is_loopback(service.host) and not gate.configured:
        raise UsageError(
            f"Anybody who reaches {service.host} could read patients' data, so the service needs "
            f"a way to tell who calls. Make a token with: dicomlake access token add NAME --role "
            f"admin --lake {lake}; or set oidc in [service.access] of {FILE}, see docs/access.md."
        )
    with _listening(service) as listening:
        port = listening.getsockname()[1]
        host = f"[{service.host}]" if ":" in service.host else service.host
        say(f"Serving {lake} at http://{host}:{port}/ (stop with Ctrl-C)")
        if gate.open:
            say("It is open to everybody on this machine, and to nobody else.")
        config = uvicorn.Config(
            made,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _listening(service: Service) -> socket.socket:
    """A socket that listens; its port is known."""
    try:
        family = socket.getaddrinfo(service.host, service.port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((service.host, service.port), family=family, backlog=128)
        # A body follows its head at once, or clients wait 40 ms for it.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    except OSError as error:
        raise UsageError(
            f"{service.host} port {service.port} cannot be listened on: {error.strerror}. Choose "
            "another one with --port."
        ) from error
