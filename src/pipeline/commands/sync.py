"""The command ``sync``: sends what MLflow did not take while its server was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.commands.command import Call, Command, NoOptions
from pipeline.errors import TrackingError

if TYPE_CHECKING:
    from pipeline.tracking import Synced


def run(call: Call[NoOptions]) -> None:
    """Send every open journal. Raises `TrackingError` where something stays open."""
    from pipeline.tracking import sync

    def tell(synced: Synced) -> None:
        print(line_of(synced), flush=True)

    done = sync(call.root, each=tell)
    if not done:
        print("nothing is open: MLflow has confirmed every write")
    failed = [s for s in done if s.leftover is not None and s.leftover.open]
    if failed:
        count = sum(s.leftover.open for s in failed if s.leftover is not None)
        stores = ", ".join(sorted({s.uri for s in failed}))
        raise TrackingError(
            f"{count} writes of {len(failed)} runs are still open ({stores}). "
            "journal/ keeps them. Start the server, then try again: pipeline sync"
        )


def line_of(synced: Synced) -> str:
    """Return the printed line of one journal."""
    left = synced.leftover
    if left is None:
        return f"{synced.name}: its process is alive and sends it"
    parts = [f"{left.sent} writes sent"]
    parts += [f"{left.open} open"] if left.open else []
    parts += [f"{left.refused} refused"] if left.refused else []
    because = f" ({left.reason})" if left.reason else ""
    return f"{synced.name}: {', '.join(parts)}{because}"


COMMAND = Command(options=NoOptions, run=run, examples=("pipeline sync",))
