"""Planted bugs in what handlers publish: into which stream, under which id, and how often."""

from typing import Final

from tests.simulation.planting import Bug

OF_CHAINS: Final = [
    Bug(
        "published again by a replay",
        "a replay publishes what its events had published before",
        "eventfabric.services.delivery.attempts:_checked",
        "if replay and published:",
        "if False:",
        by="wrong_publish",
        seed=9,
        profile="chains",
    ),
    Bug(
        "waiting events replayed",
        "a replay takes events out of parked keys, and then takes them for published",
        "eventfabric.services.operations.replay_plan:check_marks",
        "if held:",
        "if False:",
        by="wrong_publish",
        seed=20,
        profile="chains",
    ),
    Bug(
        "a token kept over other content",
        "a commit that goes on behind another's record is sent with the token of the one that was refused",
        "eventfabric.testing.memory.ledger:MemoryLedger.commit",
        "once = self._entropy.bytes(limits.COMMIT_TOKEN_BYTES).hex()",
        "once = request.token.hex()",
        by="innocent_dead_letter",
        seed=8,
        profile="chains",
    ),
    Bug(
        "an attempt counted for a lost tail",
        "a record in the way of what an event publishes counts as the event's failure",
        "eventfabric.services.delivery.publishing_commits:PublishingCommit._run",
        'busy = ThrottledError("publish", "others wrote there first, each time")',
        'return WriteRefused(0, "ConditionalCheckFailed", "")',
        by="innocent_dead_letter",
        seed=8,
        profile="chains",
    ),
    Bug(
        "an id that a redrive changes",
        "the id of what is published depends on how often its event was attempted",
        "eventfabric.sdk.publications:DeliveryPublications._published_id",
        "edit=edit,",
        'edit=f"{edit}{self._attempt.number}",',
        by="wrong_publish",
        seed=0,
        profile="chains",
    ),
    Bug(
        "committed and not published",
        "at least once, events are committed without what they publish",
        "eventfabric.services.delivery.publishing_commits:_appended",
        "append.run(deadline_ms)",
        "pass",
        by="wrong_publish",
        seed=1,
        profile="chains",
    ),
    Bug(
        "a tail that nobody wrote",
        "after a commit without a reply, the lane is taken to go on behind the records of the last try",
        "eventfabric.services.delivery.publishing_commits:PublishingCommit._sent",
        "if self._is_in_doubt:",
        "if False:",
        by="stuck_lane",
        seed=342,
        profile="chains",
        seeds_max=400,
    ),
]
