"""Sealed summaries: what root says of a run, signed with a key of the node's own."""
