"""What hashes of values from outside start from: nobody who sends values can know which of them look for the same slot.

One for a process: tables that are made once are looked up in for as long as it lives.
"""

from __future__ import annotations

import os

SEED = int.from_bytes(os.urandom(8), "little", signed=True)
