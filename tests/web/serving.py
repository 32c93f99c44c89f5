"""A real server on loopback, in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from dicomlake.settings import Service, Settings, Source
from dicomlake.web import app
from dicomlake.web.server import _listening

SOURCES = {
    "pacs": Source(kind="dimse", host="127.0.0.1", port=1, called="PACS", timeout_s=1),
    "bucket": Source(kind="objects", url="s3://bucket/ct"),
}
"""Archives that nobody asks."""


@contextlib.contextmanager
def served(lake: Path, settings: Settings | None = None) -> Iterator[str]:
    """The address of the service of a lake, as long as the block runs."""
    settings = settings or Settings()
    anywhere = Service.model_construct(**{**settings.service.model_dump(), "port": 0})
    with _listening(anywhere) as listening:
        config = uvicorn.Config(app(lake, settings), log_level="error", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
