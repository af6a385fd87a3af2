"""Changes of circles, and of keywords that are only decided if both sides have them."""

from tests.support.schema_changes import (
    NIL,
    NO,
    OPEN,
    YES,
    B,
    Change,
    I,
    N,
    S,
    any_of,
    defs,
    enum,
    lst,
    obj,
    one_of,
    ref,
    rows,
    string,
    tagged,
)

NODE = obj({"value!": I, "next": ref("node")})
WIDER = obj({"value!": N, "next": ref("node")})
CIRCLES: list[Change] = rows(
    "circles",
    (defs(ref("node"), node=NODE), defs(ref("node"), node=NODE), YES, YES, "nothing changed"),
    (defs(ref("node"), node=NODE), defs(ref("node"), node=WIDER), YES, NO, "1.5 comes, at any depth"),
    (
        defs(ref("node"), node=NODE),
        defs(ref("node"), node=obj({"value!": I, "next": ref("node"), "label": S})),
        YES,
        YES,
        "optional at any depth",
    ),
    (
        defs(ref("node"), node=NODE),
        defs(ref("node"), node=obj({"value!": I, "next!": ref("node")})),
        NO,
        YES,
        "required for ever: nobody can publish that",
    ),
    (
        defs(ref("node"), node=NODE),
        defs(ref("a"), a=obj({"value!": I, "next": ref("b")}), b=obj({"value!": I, "next": ref("a")})),
        YES,
        YES,
        "a circle of two is the circle of one, unrolled",
    ),
    (
        defs(ref("node"), node=NODE),
        defs(ref("a"), a=obj({"value!": I, "next": ref("b")}), b=obj({"value!": N, "next": ref("a")})),
        YES,
        NO,
        "every second value may be 1.5",
    ),
    (
        {**NODE, "properties": {"value": I, "next": {"$ref": "#"}}},
        defs(ref("node"), node=NODE),
        YES,
        YES,
        "the root, referred to",
    ),
    (
        defs(ref("t"), t=obj({"children": lst(ref("t")), "n": S})),
        defs(ref("t"), t=obj({"children": lst(ref("t")), "n": I})),
        NO,
        NO,
        "another type, at any depth",
    ),
    (
        defs(ref("t"), t=any_of(I, lst(ref("t")))),
        defs(ref("t"), t=any_of(N, lst(ref("t")))),
        YES,
        NO,
        "1.5 comes, at any depth",
    ),
    (
        defs(ref("t"), t=one_of(tagged("leaf"), tagged("pair", {"left!": ref("t"), "right!": ref("t")}))),
        defs(
            ref("t"),
            t=one_of(tagged("leaf"), tagged("pair", {"left!": ref("t"), "right!": ref("t"), "x": S}), NIL),
        ),
        YES,
        NO,
        "null comes, at any depth",
    ),
    (
        defs(obj({"m": ref("m")}), m=obj({}, additionalProperties=ref("m"))),
        obj({"m": {"type": "object"}}),
        YES,
        NO,
        "anything comes",
    ),
)
OPEN_INSIDE = {"if": {"properties": {"b": {"properties": {"c": True}}}}}
OPEN_ITEMS = {"if": {"properties": {"b": {"items": {"properties": {"c": True}}}}}}
OTHERS = {"unevaluatedProperties": S}
NAMED_BY_CONDITIONS: list[Change] = rows(
    "a condition lets members through that nothing else names",
    (
        obj({"a": True}, **OPEN_INSIDE),
        obj({"a": True, "b": obj({"d": I})}, **OPEN_INSIDE),
        OPEN,
        YES,
        "d is in b, which a condition names and nobody closes",
    ),
    (
        obj({"a": True}, **OPEN_ITEMS),
        obj({"a": True, "b": lst(obj({"d": I}))}, **OPEN_ITEMS),
        OPEN,
        YES,
        "items too",
    ),
    (obj({"a": True}, dependentSchemas={"a": OTHERS}), obj({"x": I}), OPEN, OPEN, "x beside a"),
    (obj({"a": True}, dependentSchemas={"a": {"anyOf": [OTHERS]}}), obj({"x": I}), OPEN, OPEN, "deeper"),
    (obj({"a": True}, **{"if": OTHERS}), obj({"x": I}), OPEN, YES, "nothing follows, but x is named"),
)
CONDITION = {"if": {"required": ["a"]}, "then": {"required": ["b"]}}
FIRST = {"if": {"properties": {"a": {"properties": {"x": {"const": 1}}}}}}
ONLY_IDENTICAL: list[Change] = rows(
    "only decided if both sides have it",
    (string(**{"not": enum("a")}), string(**{"not": enum("a")}), YES, YES, "nothing changed"),
    (
        string(**{"not": enum("a")}),
        string(**{"not": enum("b")}),
        OPEN,
        OPEN,
        "what is excluded is not compared",
    ),
    (S, string(**{"not": enum("a")}), OPEN, YES, "what is excluded is not compared"),
    (
        string(**{"not": enum("a")}),
        string(**{"not": enum("a")}, maxLength=3),
        OPEN,
        YES,
        "inexact beside 'not'",
    ),
    (
        obj({"a": S, "b": S}, **CONDITION),
        obj({"a": S, "b": S, "c": S}, **CONDITION),
        YES,
        YES,
        "one condition, and an optional member beside it",
    ),
    (
        obj({"a": S, "b": S}, **CONDITION),
        obj({"a": S, "b": S}, **{**CONDITION, "then": {"required": ["a"]}}),
        OPEN,
        OPEN,
        "conditions are not compared",
    ),
    (obj({"a": S, "b": S}), obj({"a": S, "b": S}, **CONDITION), OPEN, YES, "a condition comes"),
    (obj({"a": S}), obj({"a": S}, **{"if": {"required": ["a"]}}), YES, YES, "nothing follows"),
    (
        obj({"a": obj({"x": I, "y": I})}, **{**FIRST, "else": False}),
        obj({"a": obj({"x": I, "y": S})}),
        OPEN,
        NO,
        "a condition is not closed, so that y is there too",
    ),
    (obj({"b": S}, **FIRST), obj({"a": S, "b": S}), OPEN, YES, "a condition names members"),
    (obj({"a": S}), obj({"a": S}, then={"required": ["b"]}), YES, YES, "no condition"),
    (
        defs(string(**{"not": ref("x")}), x=enum("a")),
        string(**{"not": enum("a")}),
        OPEN,
        OPEN,
        "equal texts are compared, with references and all",
    ),
    (
        defs(string(**{"not": ref("x")}), x=enum("a")),
        defs(string(**{"not": ref("y")}), y=enum("a")),
        YES,
        YES,
        "references that lead to equal schemas are equal",
    ),
    (
        obj({"p": obj({"a": S}, minProperties=1), "q": S}),
        obj({"p": obj({"a": S}, minProperties=1), "q": S, "r": B}),
        YES,
        YES,
        "identical inside, and an optional member outside",
    ),
)
RARE = NAMED_BY_CONDITIONS + CIRCLES + ONLY_IDENTICAL
