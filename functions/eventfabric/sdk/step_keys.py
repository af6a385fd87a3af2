"""Keys of steps by what an operator knows of them: an event's id or place, and the name that the handler gave."""

from eventfabric.errors import InvalidEventError, SettingError
from eventfabric.model import StepKey, StreamName, SubscriptionName, check_event, parse_place
from eventfabric.ports import Log
from eventfabric.sdk.step import STEP_NAMES, is_step_name
from eventfabric.services.lanes.locate import event_at
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology


def step_key_of(
    subscription: SubscriptionTopology,
    stream: StreamTopology,
    log: Log,
    *,
    event: str,
    name: str,
    source: str | None,
) -> StepKey:
    """Return the key of a step. SettingError: no step can have that name, or no event stands at that place (any more).

    `event`: the event's id, or its place in the log, unless `source` is given: then it is an id of that source.
    """
    if not is_step_name(name):
        raise SettingError("step", name, STEP_NAMES)
    place = parse_place(event) if source is None else None
    if place is not None:
        there = event_at(log, *place)
        if there is None:
            raise SettingError("event", event, "a place where an event stands, or an id with its source")
        event, source = there.id or "", there.source or ""
    source = stream.source if source is None else source
    try:
        check_event(id=event, type="-", key="-", source=source, headers=None)
        f"{event}{source}".encode()
    except (InvalidEventError, UnicodeEncodeError) as error:
        raise SettingError("event", f"{error}", "an id and a source that an event can have") from None
    return StepKey(StreamName(stream.name), SubscriptionName(subscription.state_name), name, source, event)
