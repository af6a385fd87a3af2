"""Counts the AWS calls of the local fabric, their capacity units, and their price."""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from botocore.client import BaseClient

from eventfabric.deployment.prices import Prices
from eventfabric.wire.item_size import item_bytes

_KIB = 1024


@dataclass
class Meter:
    """Calls by operation, and billed units by kind. Function duration and storage are not included."""

    calls: Counter[str] = field(default_factory=Counter)
    units: Counter[Prices] = field(default_factory=Counter)

    def watch(self, client: BaseClient) -> None:
        """Count this client's calls from now on."""
        client.meta.events.register("before-parameter-build", self._before)
        client.meta.events.register("after-call", self._after)

    @property
    def dollars(self) -> float:
        """Price of the counted units."""
        return sum(price.dollars(count) for price, count in self.units.items())

    def _before(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        name = model.name
        self.calls[name] += 1
        if model.service_model.service_name == "sqs":
            self.units[Prices.QUEUE_REQUEST] += 1
        elif name == "PutItem":
            self.units[Prices.WRITE_UNIT] += _write_units(params.get("Item") or {})
        elif name == "TransactWriteItems":
            for action in params["TransactItems"]:
                request = next(iter(action.values()))
                self.units[Prices.WRITE_UNIT] += 2 * _write_units(
                    request.get("Item") or request.get("Key") or {}
                )

    def _after(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "Query":
            size = sum(item_bytes(item) for item in parsed.get("Items", []))
            self.units[Prices.READ_UNIT] += max(
                1, ceil(size / (4 * _KIB))
            )  # consistent reads: one unit for 4 KiB


def _write_units(item: dict[str, Any]) -> int:
    return max(1, ceil(item_bytes(item) / _KIB))
