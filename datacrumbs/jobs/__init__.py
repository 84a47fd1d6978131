"""Tracing in jobs of a scheduler: what a job says of it, and what its prolog and epilog do."""
