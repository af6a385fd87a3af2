"""Owns the names of the shop's own tables; every one has the text `id` as its key, and one copy in each Region."""

from typing import Final

KEY: Final = "id"
CHARGES: Final = "shop-charges"
"""An order's charges, by order."""
LABELS: Final = "shop-labels"
"""Parcel labels, by event."""
FACTS: Final = "shop-facts"
"""What analytics knows, by event."""
ALL: Final = (CHARGES, LABELS, FACTS)
