"""SnapStart: what a function does before its snapshot is taken, and when it is woken from it.

Lambda's runtimes for Python have the module `snapshot_restore_py`, with a list of what to call at either time. A handler enters itself
there when it is made in a function of that kind; in any other the module is not even looked for.

Every environment that is woken goes on from the same memory. So clients are forgotten, for their connections and credentials are
those of the machine that the snapshot was taken on, and Python's random numbers are seeded anew, else all of them would wait the same
"random" times between attempts. What else might be thought of:

- Names of temporary files come from os.urandom, which is the machine's own.
- The clock is read by each batch; nothing that was read of it is kept.
- The seed of hashes stays. It is to be unknown to who sends records, and it is: each snapshot has its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def register(warm: Callable[[], object], restored: Callable[[], None]) -> bool:
    """Have the runtime call `warm` before a snapshot, and renew what it must after, `restored` last; False where none is taken."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return False
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:  # a container image, or a runtime of one's own
        return False
    register_before_snapshot(warm)
    register_after_restore(restore, restored)
    return True


def restore(restored: Callable[[], None]) -> None:
    """Renew what environments of one snapshot must not share."""
    import random

    from millstream.sinks import clients

    clients.forget()
    random.seed()
    restored()
