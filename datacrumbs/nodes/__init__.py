"""Doing the same on many nodes, over ssh."""
