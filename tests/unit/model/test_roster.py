"""Keys that a roster names."""

from eventfabric.model import Roster, digest_of_id


def test_retried_and_dead_keys_that_nobody_has_are_missing_together() -> None:
    retried, dead = digest_of_id("k1"), sorted(digest_of_id(key)[:3] for key in ("k2", "k3"))
    assert Roster({retried: 5_000}, tuple(dead)).missing([]) == 3
