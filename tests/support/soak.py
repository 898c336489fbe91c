"""Whether the long proofs run: `make soak` sets ONDECK_SOAK=1."""

from __future__ import annotations

import os

SOAK = os.environ.get("ONDECK_SOAK") == "1"
