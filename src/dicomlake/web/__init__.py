"""The REST service of a lake; needs the extra `web`."""

from dicomlake.web.service import app

__all__ = ["app"]
