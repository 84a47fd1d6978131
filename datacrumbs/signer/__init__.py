"""Keys, policy, trust and the signing service."""

from __future__ import annotations
