"""Pixels without text that tells who somebody is (PS3.15 E.3.1), heads without faces (E.3.2)."""

from dicomlake.deid.pixels.options import Options
from dicomlake.deid.pixels.step import PixelStep

__all__ = ["Options", "PixelStep"]
