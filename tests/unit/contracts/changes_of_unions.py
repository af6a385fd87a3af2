"""Changes of unions, and of schemas that are put together."""

from collections.abc import Callable
from typing import Any

from tests.support.schema_changes import (
    NIL,
    NO,
    OPEN,
    YES,
    Change,
    I,
    N,
    S,
    all_of,
    any_of,
    defs,
    enum,
    integer,
    lst,
    number,
    obj,
    one_of,
    ref,
    rows,
    string,
    tagged,
)

CARD, CASH, BANK = tagged("card", {"number!": S}), tagged("cash"), tagged("bank", {"iban!": S})


def of_tagged(keyword: str, union: Callable[..., Any]) -> list[Change]:
    return rows(
        f"{keyword} told apart by a constant",
        (union(CARD, CASH), union(CARD, CASH), YES, YES, "nothing changed"),
        (union(CARD, CASH), union(CASH, CARD), YES, YES, "order means nothing"),
        (union(CARD, CASH), union(CARD, CASH, BANK), YES, NO, "old readers do not know bank"),
        (union(CARD), union(CASH), NO, NO, "another branch"),
        (union(CARD, CASH), CARD, NO, YES, "cash went"),
        (CARD, union(CARD, CASH), YES, NO, "cash came"),
        (union(CARD, CASH), union(tagged("card", {"number": S}), CASH), YES, NO, "number may be left out"),
        (union(CARD, CASH), union(tagged("card", {"number!": I}), CASH), NO, NO, "another type inside"),
        (union(CARD, CASH), union(tagged("card", {"number!": S, "x": S}), CASH), YES, YES, "optional inside"),
        (union(CARD, CASH), obj({"kind!": S, "number": S}), YES, NO, "any kind comes"),
        (
            union(CARD, CASH),
            obj({"kind!": enum("card", "cash"), "number": S}),
            YES,
            NO,
            "a card without a number",
        ),
    )


def of_tagged_in_depth(keyword: str, union: Callable[..., Any]) -> list[Change]:
    return rows(
        f"{keyword} told apart by a constant, in depth",
        (
            union(tagged("a"), tagged("b")),
            obj({"kind!": enum("a", "b")}),
            YES,
            YES,
            "branches that differ in the constant only",
        ),
        (
            union(obj({"kind!": enum("a", "b")}), tagged("c")),
            union(tagged("a"), tagged("b"), tagged("c")),
            YES,
            YES,
            "a branch for two constants, and a branch for each",
        ),
        (
            union(obj({"kind!": enum("a", "b"), "n": I}), tagged("c")),
            union(tagged("a", {"n": N}), tagged("b", {"n": S}), tagged("c")),
            NO,
            NO,
            "n of b was an integer, now of a 1.5 comes",
        ),
        (
            obj({"p!": union(CARD, CASH)}),
            obj({"p!": union(CARD, CASH, BANK)}),
            YES,
            NO,
            "inside a member",
        ),
        (
            lst(union(CARD, CASH)),
            lst(union(CARD, CASH, BANK)),
            YES,
            NO,
            "inside a list",
        ),
        (
            union(tagged(1), tagged(2)),
            union(tagged(1.0), tagged(2)),
            YES,
            YES,
            "1 and 1.0 are one constant",
        ),
        (
            defs(union(ref("card"), ref("cash")), card=CARD, cash=CASH),
            union(CARD, CASH),
            YES,
            YES,
            "branches that are referred to",
        ),
    )


def of_tagged_with_more(keyword: str, union: Callable[..., Any]) -> list[Change]:
    return rows(
        f"{keyword} told apart by a constant, with more beside",
        (
            union(CARD, CASH, type="object"),
            union(CARD, CASH),
            YES,
            YES,
            "the type is said in each branch already",
        ),
        (
            obj({"id!": S}, **union({"properties": {"kind": {"const": "a"}}, "required": ["kind"]})),
            obj({"id!": S, "kind!": {"const": "a"}}),
            YES,
            YES,
            "members beside a union",
        ),
        (
            union(tagged("a", {"n": union(tagged("x"), tagged("y"))}), tagged("b")),
            union(tagged("a", {"n": union(tagged("x"), tagged("y"), tagged("z"))}), tagged("b")),
            YES,
            NO,
            "a union inside a branch",
        ),
        (
            union(CARD, CASH, NIL),
            union(CARD, CASH),
            NO,
            YES,
            "null went",
        ),
    )


TAGGED = [
    change
    for keyword, union in (("oneOf", one_of), ("anyOf", any_of))
    for table in (of_tagged, of_tagged_in_depth, of_tagged_with_more)
    for change in table(keyword, union)
]
KINDS: list[Change] = [
    *rows(
        "unions told apart by type",
        (any_of(S, I), any_of(I, S), YES, YES, "order means nothing"),
        (any_of(S, I), any_of(S, I, NIL), YES, NO, "null comes"),
        (one_of(S, I), one_of(S, N), YES, NO, "1.5 comes"),
        (one_of(S, NIL), any_of(S, NIL), YES, YES, "apart, both unions mean one thing"),
        (one_of(I, N), N, YES, NO, "integers match both branches, so that the union refuses them"),
        (any_of(I, N), N, YES, YES, "integers are numbers"),
        (any_of(lst(S), S), any_of(lst(S), S, obj({"a": S})), YES, NO, "objects come"),
        (any_of(obj({"a": S}), NIL), any_of(obj({"a!": S}), NIL), NO, YES, "required inside"),
        (any_of(S, True), any_of(I, True), YES, YES, "anything passes"),
        (any_of(S, False), S, YES, YES, "no value passes the second"),
        (one_of(S, True), I, OPEN, YES, "all but strings; what is left is not computed"),
        (one_of(S, False), S, YES, YES, "no value passes the second"),
        (any_of(False, False), S, YES, NO, "nothing was published"),
        (any_of(enum("a"), enum("b")), enum("a", "b"), YES, YES, "constants are apart"),
        (one_of(enum("a", "b"), enum("c")), enum("a", "c"), NO, YES, "b went"),
        (obj({"a": any_of(S, NIL)}), obj({"a": S}), NO, YES, "null went"),
    ),
    *rows(
        "unions that are not told apart",
        (
            any_of(obj({"a": S}), obj({"b": S})),
            any_of(obj({"a": S}), obj({"b": S})),
            YES,
            YES,
            "nothing changed",
        ),
        (
            any_of(obj({"a": S}), obj({"b": S})),
            any_of(obj({"b": S}), obj({"a": S})),
            YES,
            YES,
            "order means nothing",
        ),
        (
            any_of(obj({"a!": S}), obj({"b!": S})),
            any_of(obj({"a!": S}), obj({"b!": S}), obj({"c!": S})),
            YES,
            OPEN,
            "a branch more refuses nothing; old readers have none that is surely its own",
        ),
        (
            one_of(obj({"a!": S}), obj({"b!": S})),
            one_of(obj({"a!": S}), obj({"b!": S}), obj({"c!": S})),
            YES,
            OPEN,
            "closed, an old document has members of one branch only",
        ),
        (one_of(string(minLength=2), string(maxLength=3)), S, YES, OPEN, "strings of two match both"),
        (any_of(number(maximum=5), number(minimum=5)), N, YES, OPEN, "the branches are not put together"),
        (
            any_of(string(pattern="^a"), string(pattern="^b")),
            any_of(string(pattern="^a")),
            OPEN,
            YES,
            "b went",
        ),
        (
            any_of(obj({"a!": S, "c": S}), obj({"b!": S, "c": I})),
            obj({"a": S, "b": S, "c": {"type": ["string", "integer"]}}),
            YES,
            OPEN,
            "members of both branches",
        ),
    ),
]
TOGETHER: list[Change] = rows(
    "allOf",
    (all_of(S), S, YES, YES, "one part is the whole"),
    (all_of(obj({"a": S}), obj({"b": I})), obj({"a": S, "b": I}), YES, YES, "members of both parts"),
    (all_of(obj({"a": S}), obj({"b": I})), obj({"a": S}), YES, YES, "b is passed over"),
    (all_of(obj({"a": S}), obj({"b": I})), obj({"a": S, "b": S}), NO, NO, "b was an integer"),
    (all_of(obj({"a": N}), obj({"a": I})), obj({"a": I}), YES, YES, "the narrower part counts"),
    (all_of(obj({"a": N}), obj({"a": I})), obj({"a": N}), YES, NO, "1.5 comes"),
    (all_of(obj({"a": S}), {"required": ["a"]}), obj({"a!": S}), YES, YES, "required in another part"),
    (
        all_of(integer(minimum=0), integer(maximum=9)),
        integer(minimum=0, maximum=9),
        YES,
        YES,
        "bounds of both",
    ),
    (all_of(enum("a", "b"), enum("b", "c")), {"const": "b"}, YES, YES, "what is in both lists"),
    (all_of(S, I), obj({"a!": S}), YES, NO, "no value is both: nothing was published"),
    (all_of(S, False), I, YES, NO, "nothing was published"),
    (all_of(S, True), S, YES, YES, "true refuses nothing"),
    (all_of(all_of(obj({"a": S})), obj({"b": S})), obj({"a": S, "b": S}), YES, YES, "parts of parts"),
    (
        obj({"a": S}, allOf=[obj({"b": S})]),
        obj({"a": S, "b": S}, additionalProperties=False),
        YES,
        YES,
        "closed as a whole",
    ),
    (
        obj({"a": S}, allOf=[obj({"b": S}, additionalProperties=False)]),
        obj({"a": I, "b": S}),
        YES,
        NO,
        "the part refuses a, so that a was never published",
    ),
    (all_of(lst(I), lst(minItems=1)), lst(N, minItems=1), YES, NO, "1.5 comes"),
    (all_of({"items": I}, {"prefixItems": [N]}), {"items": I}, YES, YES, "the first is both"),
    (
        all_of(one_of(tagged("a"), tagged("b")), one_of(tagged("b"), tagged("c"))),
        tagged("b"),
        YES,
        YES,
        "one branch of each goes together",
    ),
    (
        all_of(obj({"a": S}), obj({"b": S}), unevaluatedProperties=False),
        obj({"a": S, "b": S}),
        YES,
        OPEN,
        "said twice",
    ),
)
UNIONS = TAGGED + KINDS + TOGETHER
