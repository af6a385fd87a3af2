"""Rules between the keys of functions, and between them and the rest of a definition."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from eventfabric import limits
from eventfabric.definition.annotations import KeyPath
from eventfabric.definition.facts import BrokenRule, Facts, duplicates, listed, quoted

_DEFAULTS = ("functions",)
_RESERVED, _MOST, _POLLERS = "reserved_concurrency", "maximum_concurrency", "provisioned_pollers"


def broken_function_rules(facts: Facts) -> Iterator[BrokenRule]:
    """Yield every rule between keys that the fabric's or a subscription's function breaks."""
    yield from _settings(facts, _DEFAULTS, facts.texts("fabric", "regions"), lanes=None)
    for name in facts.names("subscriptions"):
        stream = facts.text("subscriptions", name, "stream")
        path = ("subscriptions", name, "function")
        yield from _settings(facts, path, facts.regions(stream), lanes=_lanes(facts, stream))
    yield from _account(facts)


def _settings(
    facts: Facts, path: tuple[str, ...], regions: Sequence[str] | None, *, lanes: int | None
) -> Iterator[BrokenRule]:
    yield from _vpc(facts, path, regions)
    yield from _layers(facts, path, regions)
    yield from _environment(facts, path)
    yield from _concurrency(facts, path, lanes)


def _vpc(facts: Facts, path: tuple[str, ...], regions: Sequence[str] | None) -> Iterator[BrokenRule]:
    vpc = facts.given(*path, "vpc")
    if not isinstance(vpc, Mapping):
        return
    for region in vpc:
        for key in ("subnet_ids", "security_group_ids"):
            ids = facts.given(*path, "vpc", region, key)
            yield from duplicates((*path, "vpc", region, key), ids if isinstance(ids, list) else None)
    if vpc and regions is not None:
        yield from _each_region((*path, "vpc"), list(vpc), list(vpc), regions)


def _layers(facts: Facts, path: tuple[str, ...], regions: Sequence[str] | None) -> Iterator[BrokenRule]:
    layers = facts.given(*path, "layers")
    if not isinstance(layers, list):
        return
    yield from duplicates((*path, "layers"), layers)
    of_layers = [layer.split(":")[3] for layer in layers]
    for region in dict.fromkeys(of_layers):
        if of_layers.count(region) > limits.FUNCTION_LAYERS_MAX:
            number = f"{of_layers.count(region)} in {region}"
            yield BrokenRule(
                (*path, "layers"), number, f"at most {limits.FUNCTION_LAYERS_MAX} in each Region"
            )
    if layers and regions is not None:
        yield from _each_region((*path, "layers"), range(len(layers)), of_layers, regions)


def _each_region(
    path: KeyPath, keys: Sequence[str | int], of_keys: Sequence[str], regions: Sequence[str]
) -> Iterator[BrokenRule]:
    """Check that each Region has a value, and each value's Region is one in which the function runs."""
    for key, region in zip(keys, of_keys, strict=True):
        if region not in regions:
            yield BrokenRule(
                (*path, key), quoted(region), f"a Region where the function runs: {listed(regions)}"
            )
    lacking = [region for region in regions if region not in of_keys]
    if lacking:
        allowed = f"none at all, or at least one for each of {listed(regions)}"
        yield BrokenRule(path, f"none for {listed(lacking)}", allowed)


def _environment(facts: Facts, path: tuple[str, ...]) -> Iterator[BrokenRule]:
    defaults, own = facts.given(*_DEFAULTS, "environment"), facts.given(*path, "environment")
    if not isinstance(own, dict):
        return
    merged = {**(defaults if isinstance(defaults, dict) else {}), **own}
    size = len(json.dumps(merged, separators=(",", ":"), ensure_ascii=False).encode())
    if size > limits.ENVIRONMENT_BYTES_MAX:
        allowed = (
            f"at most {limits.ENVIRONMENT_BYTES_MAX} as JSON, together with the variables of [functions]"
        )
        yield BrokenRule((*path, "environment"), f"{size} bytes", allowed)


def _concurrency(facts: Facts, path: tuple[str, ...], lanes: int | None) -> Iterator[BrokenRule]:
    most, pollers = facts.given(*path, _MOST), facts.given(*path, _POLLERS)
    if most is not None and pollers is not None:
        allowed = "no such key beside maximum_concurrency: Lambda has one or the other for a queue"
        yield BrokenRule((*path, _POLLERS), "a table", allowed)
        return
    if isinstance(pollers, dict):
        least, greatest = pollers.get("minimum", limits.POLLERS_MIN), pollers.get("maximum")
        if greatest is not None and greatest < least:
            yield BrokenRule((*path, _POLLERS, "maximum"), str(greatest), f"at least minimum, {least}")
            return
    yield from _reserved(facts, path, lanes)


def _account(facts: Facts) -> Iterator[BrokenRule]:
    """Check that the account's quota suffices for what the subscriptions of a Region reserve."""
    account = facts.number("fabric", "account_concurrency")
    reserved = Counter[str]()
    for name in facts.names("subscriptions"):
        own = facts.given("subscriptions", name, "function", _RESERVED) or facts.given(*_DEFAULTS, _RESERVED)
        for region in facts.regions(facts.text("subscriptions", name, "stream")) or ():
            reserved[region] += own if isinstance(own, int) else 0
    region, most = max(reserved.items(), key=itemgetter(1), default=("", 0))
    if account is not None and most and most > account - limits.UNRESERVED_CONCURRENCY_MIN:
        allowed = (
            f"at least {most + limits.UNRESERVED_CONCURRENCY_MIN}: {most} are reserved by the subscriptions in "
            f"{region}, and Lambda keeps {limits.UNRESERVED_CONCURRENCY_MIN} for functions that reserve none"
        )
        yield BrokenRule(("fabric", "account_concurrency"), f"{account:.0f}", allowed)


def _reserved(facts: Facts, path: tuple[str, ...], lanes: int | None) -> Iterator[BrokenRule]:
    """Check that the function may have the invocations that its queue may have."""
    own = {key: facts.given(*path, key) is not None for key in (_RESERVED, _MOST, _POLLERS)}
    reserved = facts.given(*(path if own[_RESERVED] else _DEFAULTS), _RESERVED)
    needed, why = _invocations(facts, path if own[_MOST] or own[_POLLERS] else _DEFAULTS, lanes)
    if not isinstance(reserved, int) or reserved >= needed:
        return
    allowed = f"at least {needed} reserved for {why}, not {reserved}"
    for key, is_own in own.items():
        if is_own:
            yield BrokenRule((*path, key), str(reserved if key == _RESERVED else needed), allowed)
            return
    # Of the defaults themselves, a maximum is checked where they are given, and pollers for each stream's lanes.
    if facts.given(*_DEFAULTS, _POLLERS) is not None:
        yield BrokenRule((*_DEFAULTS, _RESERVED), str(reserved), f"{allowed}, in {'.'.join(path[:2])}")


def _invocations(facts: Facts, path: tuple[str, ...], lanes: int | None) -> tuple[int, str]:
    """Return how many invocations a queue may have at once by the keys at `path`, and why; 0: what is reserved."""
    most, pollers = facts.given(*path, _MOST), facts.given(*path, _POLLERS)
    if isinstance(most, int):
        return most, f"{_MOST} = {most}"
    if not isinstance(pollers, dict) or lanes is None:
        return 0, ""
    greatest = pollers.get("maximum", limits.MINIMUM_POLLERS_MAX)
    why = f"up to {greatest} pollers and {lanes} lanes"
    return min(limits.POLLER_INVOCATIONS_MAX * greatest, lanes), why


def _lanes(facts: Facts, stream: str | None) -> int | None:
    """Return how many lanes of a stream one Region may come to deliver: after a failover, those of every Region."""
    regions = facts.regions(stream)
    if stream is None or regions is None:
        return None
    lanes = facts.number("streams", stream, "lanes")
    return None if lanes is None else int(lanes) * len(regions)
