"""Remedies: what to do about a member of what is declared that the definition has otherwise.

`eventfabric deploy --all` is one only where it is not refused, and does what the definition wants. For all else, the
steps are in docs/deploy.md and docs/runbook.md, and nowhere else.
"""

from collections.abc import Collection
from typing import Final

from eventfabric.definition.schema import FabricSection
from eventfabric.model.catalogue import StreamFacts
from eventfabric.services.catalogue.changes import MemberChange

DEPLOY: Final = "`eventfabric deploy --all`"
DEPLOY_AGAIN: Final = "`eventfabric deploy --all -c streams_again=$(date +%s)`"
"""Deploy what has not changed: otherwise, CloudFormation would do nothing."""
GONE: Final = "docs/runbook.md, Something that was deployed is gone"
DRAIN: Final = "docs/deploy.md, Changing it, a drain that is called off"
MOVED: Final = (
    "docs/deploy.md, What a deployment refuses, a subscription that is not in the definition any more"
)
SUNSET: Final = "docs/contracts.md, Deprecation"
STREAM_LESS: Final = "docs/deploy.md, Changing it, a stream less"
REGION_MORE: Final = "docs/deploy.md, Changing it, a Region more"
_REGION_LESS: Final = "docs/deploy.md, Changing it, a Region less"
_REGION_LOST: Final = "docs/deploy.md, Changing it, a Region that is gone for good"
_WHO_DELIVERS: Final = "docs/deploy.md, Changing it, `region` or `deliver`"
_LANES: Final = "docs/deploy.md, Changing it, `lanes`, `durability`"
_HOME: Final = "docs/deploy.md, Changing it, another home Region"
_OWNER: Final = "docs/deploy.md, What a deployment refuses, another `owner`"


def of_stream(change: MemberChange, fabric: FabricSection, closing: Collection[str]) -> str:
    """Say what to do about a member of a stream's facts. `closing`: as for `of_leaving`."""
    if change.member in ("lanes", "durability"):
        return f"put it back, or {DEPLOY} if nothing was ever published to the stream: {_LANES}"
    if change.member == "owner" and change.before not in ("", fabric.former_owner):
        return f"put it back, or {_OWNER}"
    if change.member == "regions":
        return _of_regions(change, fabric, closing)
    return _of_sunsets(change) if change.member == "deprecated" else DEPLOY


def of_leaving(gone: Collection[str], fabric: FabricSection, closing: Collection[str]) -> str:
    """Say what to do about Regions that are declared and not in the definition. `closing`: those declared as such."""
    steps = _REGION_LOST if set(gone) & set(fabric.lost) else _REGION_LESS
    return f"{DEPLOY}, after {steps}" if set(gone) <= set(closing) else f"put it back, and do as in {steps}"


def of_subscription(change: MemberChange) -> str:
    """Say what to do about a member of a subscription's facts."""
    if change.member == "deliver" and change.after == "everywhere":
        return f"put it back, or give the subscription another name: {_WHO_DELIVERS}"
    return f"{DEPLOY}, then failback: {_WHO_DELIVERS}" if change.member in ("deliver", "region") else DEPLOY


def of_table(region: str, others: Collection[StreamFacts]) -> str:
    """Say what to do about a stream's table that is not in a Region. `others`: what other Regions declare of it."""
    if any(region in facts.regions for facts in others):
        return GONE
    return REGION_MORE if others else f"{DEPLOY} if it was never there, else {GONE}"


def sentence(change: MemberChange, against: str) -> str:
    """Say how a member differs."""
    return f"{change.member} is declared as {_text(change.before)}; {against} says {_text(change.after)}"


def _of_regions(change: MemberChange, fabric: FabricSection, closing: Collection[str]) -> str:
    assert isinstance(change.before, tuple)
    assert isinstance(change.after, tuple)
    gone = [region for region in change.before if region not in change.after]
    if gone:
        return of_leaving(gone, fabric, closing)
    if len(change.after) > len(change.before):
        return REGION_MORE
    if change.after[0] == fabric.regions[0]:  # perhaps only the stream's order was another one
        return f"put it back, if the fabric's first Region was another one ({_HOME}); else {_WHO_DELIVERS}"
    return f"{DEPLOY}, then failback: {_WHO_DELIVERS}"


def _of_sunsets(change: MemberChange) -> str:
    """Say what to do about announced ends. One that is brought forward, or has come when it is new, is refused."""
    assert isinstance(change.before, tuple)
    assert isinstance(change.after, tuple)
    declared = {own.type: own.sunset for own in change.before}
    forward, new = [], []
    for own in change.after:
        before = declared.get(own.type, "")
        if before and own.sunset and own.sunset < before:
            forward.append(f"that of {own.type} to {before} or a later day, or take it out")
        elif own.sunset and not before:
            new.append(own.sunset)
    if forward:
        return f"put the sunset off, {'; '.join(forward)}: {SUNSET}"
    return f"{DEPLOY} before {min(new)}, or with a later sunset: {SUNSET}" if new else DEPLOY


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return "unset" if value is None or not text else text
