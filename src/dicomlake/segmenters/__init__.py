"""Segmenters: which structures of the body there are in a volume of voxels, and where."""
