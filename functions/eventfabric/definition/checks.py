"""Rules that relate several keys of a definition, such as that a subscription's stream exists.

The rules read the raw tables of the file instead of a validated definition, so that their problems are reported
together with those of single keys. A value that is wrong by itself counts as unknown here: one mistake, one problem.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from eventfabric.definition.annotations import KeyPath
from eventfabric.definition.backpressure_checks import broken_backpressure_rules
from eventfabric.definition.facts import BrokenRule, Facts, duplicates, listed, quoted
from eventfabric.definition.function_checks import broken_function_rules
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.handler_lookup import missing
from eventfabric.definition.marks import TABLE_PLACE
from eventfabric.definition.schema import (
    QUORUM_REGIONS,
    RESERVED_STREAM_NAMES,
    RESERVED_SUBSCRIPTION_ENDINGS,
    name_in_stage,
)
from eventfabric.limits import FABRIC_CHARACTERS_MAX

QUORUM_REGION_SETS = (
    frozenset({"us-east-1", "us-east-2", "us-west-2"}),
    frozenset({"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"}),
    frozenset({"ap-northeast-1", "ap-northeast-2", "ap-northeast-3"}),
)
"""Sets of Regions; a strongly consistent global table must stay in one of them (AWS's DynamoDB documentation, 2026)."""
QUORUM_ALLOWED = 'three of one of these sets, as durability is "quorum": ' + "; ".join(
    listed(sorted(allowed)) for allowed in QUORUM_REGION_SETS
)


def broken_rules(facts: Facts) -> Iterator[BrokenRule]:
    """Yield every rule between keys that the definition breaks."""
    yield from _fabric(facts)
    yield from broken_function_rules(facts)
    for name in facts.names("streams"):
        yield from _stream(facts, name)
    for name in facts.names("subscriptions"):
        yield from _subscription(facts, name)
    yield from broken_backpressure_rules(facts)


def _fabric(facts: Facts) -> Iterator[BrokenRule]:
    regions = facts.texts("fabric", "regions")
    yield from duplicates(("fabric", "regions"), regions)
    yield from _closing(facts, regions)
    yield from _lost(facts, regions)
    yield from _former_owner(facts)
    yield from _alarm_actions(facts, regions)
    yield from _stage(facts)
    used = [facts.regions(stream) for stream in facts.names("streams")]
    known = [regions_of_stream for regions_of_stream in used if regions_of_stream is not None]
    if not used or len(known) < len(used):
        return
    for place, region in enumerate(regions or ()):
        if not any(region in stream_regions for stream_regions in known):
            yield BrokenRule(
                ("fabric", "regions", place), quoted(region), "a Region that at least one stream has"
            )


def _closing(facts: Facts, regions: Sequence[str] | None) -> Iterator[BrokenRule]:
    """Check that what is closing is there, and that no stream's table is deployed from it."""
    path: KeyPath = ("fabric", "closing")
    closing = facts.texts("fabric", "closing") or ()
    yield from duplicates(path, closing)
    needed = {home: stream for stream in facts.names("streams") if (home := _table_home(facts, stream))}
    for place, region in enumerate(closing):
        if regions is not None and region not in regions:
            yield BrokenRule((*path, place), quoted(region), f"a Region of the fabric: {listed(regions)}")
        elif region in needed:
            allowed = f"a Region from which no table is deployed, as that of stream {needed[region]} is from this one"
            yield BrokenRule((*path, place), quoted(region), allowed)


def _lost(facts: Facts, regions: Sequence[str] | None) -> Iterator[BrokenRule]:
    """Check that nothing is deployed to a Region that is gone."""
    path: KeyPath = ("fabric", "lost")
    lost = facts.texts("fabric", "lost") or ()
    yield from duplicates(path, lost)
    for place, region in enumerate(lost):
        if region in (regions or ()):
            yield BrokenRule((*path, place), quoted(region), "a Region that is not in `regions` any more")


def _former_owner(facts: Facts) -> Iterator[BrokenRule]:
    """Check that a fabric is handed over from somebody to somebody else."""
    owner, former = facts.text("fabric", "owner"), facts.text("fabric", "former_owner")
    if former is not None and not facts.is_wrong("fabric", "owner") and owner in (None, former):
        found = f"{quoted(former)} {'without `owner`' if owner is None else 'as in `owner`'}"
        yield BrokenRule(
            ("fabric", "former_owner"), found, "no such key, or another one than `owner` beside it"
        )


def _table_home(facts: Facts, stream: str) -> str | None:
    """Return the Region from which a stream's table is deployed: the fabric's first, if the stream is there."""
    of_fabric, of_stream = facts.texts("fabric", "regions"), facts.regions(stream)
    if not of_fabric or not of_stream:
        return None
    return of_fabric[0] if of_fabric[0] in of_stream else of_stream[0]


def _stage(facts: Facts) -> Iterator[BrokenRule]:
    name, stage = facts.text("fabric", "name"), facts.text("fabric", "stage")
    if name is None or stage is None:
        return
    most = FABRIC_CHARACTERS_MAX - len("_")
    if len(name) + len(stage) > most:
        allowed = (
            f"name and stage of at most {most} characters together, as both are in the name of every function"
        )
        yield BrokenRule(("fabric", "stage"), f"{quoted(stage)} beside {quoted(name)}", allowed)


def _alarm_actions(facts: Facts, regions: Sequence[str] | None) -> Iterator[BrokenRule]:
    """Check that each Region has a topic: CloudWatch notifies only topics in the alarm's Region, and else nobody."""
    path: KeyPath = ("fabric", "alarm_actions")
    topics = facts.texts("fabric", "alarm_actions")
    yield from duplicates(path, topics)
    if not topics or regions is None:
        return
    of_topics = [topic.split(":")[3] for topic in topics]
    for place, region in enumerate(of_topics):
        if region not in regions:
            yield BrokenRule((*path, place), quoted(topics[place]), f"a topic in one of {listed(regions)}")
    lacking = [region for region in regions if region not in of_topics]
    if lacking:
        yield BrokenRule(
            path, f"none in {listed(lacking)}", "none at all, or a topic in each Region of the fabric"
        )


def _deprecations(facts: Facts, name: str) -> Iterator[BrokenRule]:
    """Check that the end of a type comes after its announcement, and that another type comes in its place."""
    types = facts.given("streams", name, "types")
    for type_ in types if isinstance(types, dict) else ():
        path = ("streams", name, "types", type_, "deprecated")
        since, sunset = facts.text(*path, "since"), facts.text(*path, "sunset")
        if since and sunset and sunset < since:
            yield BrokenRule(
                (*path, "sunset"), quoted(sunset), f"{quoted(since)}, its `since`, or a later day"
            )
        if facts.text(*path, "use") == type_:
            yield BrokenRule((*path, "use"), quoted(type_), "another type than the deprecated one")


def _stream(facts: Facts, name: str) -> Iterator[BrokenRule]:
    yield from _stream_name(name)
    yield from _stream_regions(facts, name)
    yield from _deprecations(facts, name)
    match facts.text("streams", name, "durability"):
        case "quorum":
            yield from _quorum_stream(facts, name)
        case "regional":
            yield from _regional_stream(facts, name)


def _stream_name(name: str) -> Iterator[BrokenRule]:
    endings = tuple(f"-{reserved}" for reserved in RESERVED_STREAM_NAMES)
    if name in RESERVED_STREAM_NAMES or name.endswith(endings):
        allowed = "another name: the fabric has a table of that name"
        yield BrokenRule(("streams", name), quoted(name), allowed)


def _stream_regions(facts: Facts, name: str) -> Iterator[BrokenRule]:
    path: KeyPath = ("streams", name, "regions")
    own, of_fabric = facts.texts("streams", name, "regions"), facts.texts("fabric", "regions")
    yield from duplicates(path, own)
    if of_fabric is None:
        return
    for place, region in enumerate(own or ()):
        if region not in of_fabric:
            yield BrokenRule((*path, place), quoted(region), f"a Region of the fabric: {listed(of_fabric)}")


def _quorum_stream(facts: Facts, name: str) -> Iterator[BrokenRule]:
    regions = set(facts.regions(name) or ())
    if regions and len(regions) != QUORUM_REGIONS:
        allowed = 'exactly three Regions, as durability is "quorum"'
        yield BrokenRule(("streams", name, "regions"), listed(sorted(regions)), allowed)
    days = facts.number("streams", name, "retention_days")
    if days is not None:
        allowed = 'no such key, as durability is "quorum": strongly consistent global tables have no TTL'
        yield BrokenRule(("streams", name, "retention_days"), f"{days:g}", allowed)


def _regional_stream(facts: Facts, name: str) -> Iterator[BrokenRule]:
    regions = set(facts.regions(name) or ())
    if len(regions) > 1:
        allowed = 'exactly one Region, as durability is "regional"'
        yield BrokenRule(("streams", name, "regions"), listed(sorted(regions)), allowed)


def impossible_quorums(facts: Facts) -> Iterator[BrokenRule]:
    """Yield every quorum stream for whose three Regions AWS offers no strongly consistent table."""
    for name in facts.names("streams"):
        regions = facts.regions(name) or ()
        if facts.text("streams", name, "durability") != "quorum" or len(set(regions)) != QUORUM_REGIONS:
            continue
        if not can_be_quorum(regions):
            yield BrokenRule(("streams", name, "regions"), listed(regions), QUORUM_ALLOWED)


def can_be_quorum(regions: Iterable[str]) -> bool:
    """Tell if AWS offers a strongly consistent table of these Regions."""
    return any(allowed.issuperset(regions) for allowed in QUORUM_REGION_SETS)


def _subscription(facts: Facts, name: str) -> Iterator[BrokenRule]:
    stream = facts.text("subscriptions", name, "stream")
    yield from _subscription_name(name)
    yield from _stream_of_subscription(facts, name, stream)
    yield from duplicates(("subscriptions", name, "types"), facts.texts("subscriptions", name, "types"))
    yield from _delivering_region(facts, name, stream)
    yield from _guarantee(facts, name, stream)
    yield from _publishes(facts, name, stream)
    yield from _tables(facts, name)
    yield from _on_late(facts, name)
    yield from _on_expired(facts, name, stream)
    yield from _backoff(facts, name)
    yield from _concurrency(facts, name)


def _concurrency(facts: Facts, name: str) -> Iterator[BrokenRule]:
    most = facts.given("subscriptions", name, "concurrency_max")
    is_auto = facts.text("subscriptions", name, "concurrency") == "auto"
    if most is not None and not is_auto and not facts.is_wrong("subscriptions", name, "concurrency"):
        allowed = 'no such key without concurrency = "auto", whose bound it is'
        yield BrokenRule(("subscriptions", name, "concurrency_max"), str(most), allowed)


def _subscription_name(name: str) -> Iterator[BrokenRule]:
    for ending in RESERVED_SUBSCRIPTION_ENDINGS:
        if name == ending or name.endswith(f"-{ending}"):
            allowed = f"a name that does not end in {ending}: the fabric uses that itself"
            yield BrokenRule(("subscriptions", name), quoted(name), allowed)


def _stream_of_subscription(facts: Facts, name: str, stream: str | None) -> Iterator[BrokenRule]:
    streams = facts.names("streams")
    if stream is not None and streams and stream not in streams:
        allowed = f"the name of a stream: {one_of(stream, streams)}"
        yield BrokenRule(("subscriptions", name, "stream"), quoted(stream), allowed)


def _guarantee(facts: Facts, name: str, stream: str | None) -> Iterator[BrokenRule]:
    if stream is None or stream not in facts.names("streams"):
        return
    guarantee = facts.guarantee(name)
    if guarantee is None or not guarantee.transactional:
        return
    if facts.text("streams", stream, "durability") == "quorum":
        without_transactions = " or ".join(quoted(other) for other in Guarantee if not other.transactional)
        yield BrokenRule(
            ("subscriptions", name, "guarantee"),
            quoted(guarantee),
            f'{without_transactions}, as the durability of the stream is "quorum": '
            "strongly consistent global tables have no transactions",
        )


def _publishes(facts: Facts, name: str, stream: str | None) -> Iterator[BrokenRule]:
    """Check that what a handler publishes can be appended wherever its subscription may deliver."""
    path: KeyPath = ("subscriptions", name, "publishes")
    targets, streams = facts.texts("subscriptions", name, "publishes"), facts.names("streams")
    yield from duplicates(path, targets)
    guarantee, delivering = facts.guarantee(name), facts.regions(stream)
    for place, target in enumerate(targets or ()):
        regions = facts.regions(target)
        if streams and target not in streams:
            allowed = f"the name of a stream: {one_of(target, streams)}"
            yield BrokenRule((*path, place), quoted(target), allowed)
        elif regions is not None and delivering is not None and not set(delivering) <= set(regions):
            # After a failover, any Region of the stream may deliver.
            found = f"{quoted(target)}, which is in {listed(regions)}"
            allowed = (
                f"a stream in each Region in which stream {stream} may be delivered: {listed(delivering)}"
            )
            yield BrokenRule((*path, place), found, allowed)
        elif (
            guarantee is not None
            and guarantee.transactional
            and facts.text("streams", target, "durability") == "quorum"
        ):
            allowed = (
                f'a stream whose durability is not "quorum", as guarantee is "{guarantee}": '
                "strongly consistent global tables have no transactions"
            )
            yield BrokenRule((*path, place), quoted(target), allowed)


def _tables(facts: Facts, name: str) -> Iterator[BrokenRule]:
    """Check that the tables which a subscription lists are the user's own, and each action is there once."""
    path: KeyPath = ("subscriptions", name, "tables")
    full = name_in_stage(facts.text("fabric", "name") or "", facts.text("fabric", "stage"))
    streams = facts.names("streams")
    taken = {
        f"{full}-{table}" for table in (*RESERVED_STREAM_NAMES, *streams, *(f"{s}-ledger" for s in streams))
    }
    tables = facts.given(*map(str, path))
    for table, actions in tables.items() if isinstance(tables, dict) else ():
        yield from duplicates((*path, table), actions)
        if table.replace(TABLE_PLACE, full) in taken:
            yield BrokenRule((*path, table, "[key]"), quoted(table), "no table of the fabric itself")


def _on_late(facts: Facts, name: str) -> Iterator[BrokenRule]:
    guarantee = facts.guarantee(name)
    if guarantee is None or guarantee.sets_aside:
        return
    if facts.text("subscriptions", name, "on_late") == "dead_letter":
        allowed = f'"deliver" or "reconcile", as guarantee is "{guarantee}", which sets nothing aside'
        yield BrokenRule(("subscriptions", name, "on_late"), '"dead_letter"', allowed)


def _on_expired(facts: Facts, name: str, stream: str | None) -> Iterator[BrokenRule]:
    if stream is None or stream not in facts.names("streams"):
        return
    skips = facts.text("subscriptions", name, "on_expired") == "skip"
    if skips and facts.number("streams", stream, "retention_days") is None:
        allowed = f'"halt", as nothing of stream "{stream}" expires'
        yield BrokenRule(("subscriptions", name, "on_expired"), '"skip"', allowed)


def _backoff(facts: Facts, name: str) -> Iterator[BrokenRule]:
    first = facts.number("subscriptions", name, "retry", "backoff_seconds")
    most = facts.number("subscriptions", name, "retry", "backoff_max_seconds")
    if first is not None and most is not None and most < first:
        path: KeyPath = ("subscriptions", name, "retry", "backoff_max_seconds")
        yield BrokenRule(path, f"{most:g}", f"at least backoff_seconds, {first:g}")


def _delivering_region(facts: Facts, name: str, stream: str | None) -> Iterator[BrokenRule]:
    table = ("subscriptions", name)
    path: KeyPath = (*table, "region")
    region = facts.text(*table, "region")
    deliver = facts.text(*table, "deliver")
    if region is None or deliver is None:
        return
    regions = facts.regions(stream)
    if deliver != "one":
        yield BrokenRule(path, quoted(region), f'no such key, as deliver is "{deliver}" and not "one"')
    elif regions is not None and region not in regions:
        yield BrokenRule(path, quoted(region), f"a Region of stream {stream}: {listed(regions)}")


def broken_references(facts: Facts, search_path: Sequence[str]) -> Iterator[BrokenRule]:
    """Yield every handler or exception type that does not exist on `search_path`. Nothing is imported."""
    for name in facts.names("subscriptions"):
        handler = facts.text("subscriptions", name, "handler")
        lack = handler and missing(handler, wanted="function", search_path=search_path)
        if handler and lack:
            path: KeyPath = ("subscriptions", name, "handler")
            yield BrokenRule(path, f"{quoted(handler)}, but {lack}", "a function that exists")
        for place, exception in enumerate(facts.texts("subscriptions", name, "retry", "permanent") or ()):
            lack = missing(exception, wanted="class", search_path=search_path)
            if lack:
                path = ("subscriptions", name, "retry", "permanent", place)
                yield BrokenRule(path, f"{quoted(exception)}, but {lack}", "an exception type that exists")


def one_of(name: str, names: Sequence[str], *, tables: Sequence[str] = ()) -> str:
    """List the names that are allowed, preceded by what was probably meant: one of them, or a key of those tables."""
    meant = [*get_close_matches(name, names, n=1), *(f"{name} in [{table}]" for table in tables)]
    return (f"did you mean {' or '.join(meant)}? " if meant else "") + (listed(names) or "there are none")
