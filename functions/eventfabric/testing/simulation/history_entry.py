"""Entry: the base of everything that a history notes."""

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One thing that happened: when, by simulated time, and by whom."""

    at_ms: int
    actor: str
