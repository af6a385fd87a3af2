"""Narrows a definition to some of its Regions, as if the others had never been declared."""

from collections.abc import Collection
from dataclasses import replace

from eventfabric.definition.schema import Definition, Stream
from eventfabric.errors import SettingError, WrongRegionError


def narrowed(definition: Definition, regions: Collection[str] | None) -> Definition:
    """Return the definition with only these of its Regions, in its own order; None: all.

    Raises:
        WrongRegionError: the fabric has no such Region.
        SettingError: nothing is left of a stream, or the one Region that delivers a subscription is left out.
    """
    if regions is None:
        return definition
    left = _left(definition, regions)
    streams = {name: _narrowed_stream(name, stream, left) for name, stream in definition.streams.items()}
    for name, subscription in definition.subscriptions.items():
        if subscription.region is not None and subscription.region not in left:
            allowed = f"{subscription.region} among them, which delivers subscription {name}"
            raise SettingError("regions", list(left), allowed)
    return replace(definition, fabric=replace(definition.fabric, regions=left), streams=streams)


def _left(definition: Definition, regions: Collection[str]) -> tuple[str, ...]:
    every = definition.fabric.regions
    for region in regions:
        if region not in every:
            raise WrongRegionError(f"fabric {definition.fabric.name}", region, every)
    left = tuple(region for region in every if region in regions)
    if not left:
        raise SettingError("regions", [], f"at least one of {', '.join(every)}")
    return left


def _narrowed_stream(name: str, stream: Stream, left: tuple[str, ...]) -> Stream:
    own = tuple(region for region in stream.regions if region in left)
    if not own:
        allowed = f"at least one of stream {name}: {', '.join(stream.regions)}"
        raise SettingError("regions", list(left), allowed)
    return replace(stream, regions=own)
