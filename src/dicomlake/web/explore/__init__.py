"""Explore a lake and ask it questions: the part of the service that a web application needs."""

from dicomlake.web.explore import (
    charts,
    cohorts,
    details,
    histories,
    images,
    lakes,
    own,
    quality,
    queries,
    saved,
    vocabulary,
)

ROUTERS = (
    lakes.router,
    vocabulary.router,
    queries.router,
    saved.router,
    cohorts.router,
    details.router,
    histories.router,
    images.router,
    charts.router,
    own.router,
    quality.router,
)

__all__ = ["ROUTERS"]
