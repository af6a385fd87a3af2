"""Stacks that wait for what they ask: nothing is touched before, and the answer has time to come."""

from collections.abc import Iterator
from typing import Any

from eventfabric.resources import CHECK, DECLARE
from tests.infra.synthesis import Synthesised


def test_nothing_is_touched_before_a_check_is_answered(shop: Synthesised, wide: Synthesised) -> None:
    for template in (*shop.templates.values(), *wide.templates.values()):
        resources = template["Resources"]
        for check in [name for name, body in resources.items() if body["Type"] == CHECK]:
            needed = needs(check, resources, set())
            early = [name for name in resources if check not in needs(name, resources, set())]
            assert set(early) <= needed


def needs(name: str, resources: dict[str, Any], known: set[str]) -> set[str]:
    """Return a resource, and all that is made before it."""
    if name in resources and name not in known:
        known.add(name)
        body = resources[name]
        after = body.get("DependsOn", [])
        for other in (*([after] if isinstance(after, str) else after), *named_in(body.get("Properties", {}))):
            needs(other, resources, known)
    return known


def named_in(value: Any) -> Iterator[str]:
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case dict():
            for own in value.values():
                yield from named_in(own)
        case list():
            for own in value:
                yield from named_in(own)


def test_a_stack_waits_until_its_question_is_answered_or_dropped(shop: Synthesised) -> None:
    waits = [int(own["ServiceTimeout"]) for kind in (CHECK, DECLARE) for own in shop.properties(kind)]
    functions = {
        own["FunctionName"]: own["Timeout"]
        for own in shop.properties("AWS::Lambda::Function")
        if str(own["FunctionName"]).endswith("catalogue-lookup")
    }
    ages = [
        own["MaximumEventAgeInSeconds"]
        for template in shop.templates.values()
        for logical_id, body in template["Resources"].items()
        if body["Type"] == "AWS::Lambda::EventInvokeConfig" and logical_id.startswith("Catalogue")
        for own in [body["Properties"]]
    ]
    assert len(ages) == 3  # of the tables' stack and of two cells
    assert max(ages) + max(functions.values()) < min(waits) <= 3_600
