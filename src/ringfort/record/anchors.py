"""What control says about traffic once it is published: anchors, and the ends of past months' shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger import entry_control as control

if TYPE_CHECKING:
    from ringfort.record.core import LedgerCore
    from ringfort.record.logs import Publication


def stage_anchors(core: LedgerCore, publication: Publication) -> None:
    """Stage the anchors of a published round, and the ends of shards of which all is published."""
    for part in publication.logs:
        name = part.log.shard
        if part.log is not core.control and part.size > core.state.shards[name].anchored:
            core.stage_own(
                control.TrafficAnchored(
                    **core.own(), origin=part.log.origin, size=part.size, root=part.root.hex()
                )
            )
    current = core.current_shard()
    for log in [each for each in core.shards.values() if each.name < current.name and not each.waiting]:
        name = log.shard
        core.stage_own(
            control.ShardClosed(
                **core.own(),
                shard=name,
                origin=log.origin,
                size=log.size,
                root=log.sequencer.root().hex(),
            )
        )
        del core.shards[name]
