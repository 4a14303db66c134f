"""Settings of all tests: no deadlines (machines are shared), and the same examples in every run.

A run that fails once fails again. `DIFFEO_PROBE_EXPLORE=1` draws new examples instead, which finds what nobody thought
of; hypothesis prints the one that failed, and it belongs into an `@example`.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None)
settings.load_profile("exploring" if os.environ.get("DIFFEO_PROBE_EXPLORE") else "reproducible")
