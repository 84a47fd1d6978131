"""The probe file: plan, canonical bytes, signed envelope, and back."""

from __future__ import annotations
