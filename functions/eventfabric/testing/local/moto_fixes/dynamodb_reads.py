"""Makes queries of moto's DynamoDB fast, and bounds what reads of its streams leave behind."""

from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodbstreams.models import DynamoDBStreamsBackend

from eventfabric.testing.local.moto_fixes.partition import OrderedPartition
from eventfabric.testing.local.moto_fixes.patching import replace
from eventfabric.testing.local.moto_fixes.serial import LOCK

KEPT_ITERATORS = 10_000


def install(patches: ExitStack) -> None:
    """Patch reads of moto's DynamoDB and its streams. Tables created before this work, but their queries are slow."""
    _install_ordered_partitions(patches)
    _install_iterator_bound(patches)


def _install_ordered_partitions(patches: ExitStack) -> None:
    def make(table: Table, *args: Any, **kwargs: Any) -> None:
        plain_make(table, *args, **kwargs)
        if table.range_key_attr is not None:
            table.items = defaultdict(OrderedPartition)

    def query(
        table: Table,
        hash_key: DynamoType | None,
        range_comparison: str | None,
        range_objs: list[DynamoType],
        limit: int | None,
        exclusive_start_key: dict[str, Any] | None,
        scan_index_forward: bool,
        projection_expressions: list[list[str]] | None,
        index_name: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        with LOCK:
            whole = table.items
            partition = None
            if table.range_key_attr is not None and hash_key is not None and not index_name:
                partition = whole.get(hash_key, _EMPTY)
            if isinstance(partition, OrderedPartition):
                filters = set(kwargs) - _QUERY_PARAMETERS
                start = (exclusive_start_key or {}).get(table.range_key_attr or "")
                chosen = partition.select(
                    range_comparison,
                    [value.cast_value for value in range_objs],
                    start=None if start is None else DynamoType(start).cast_value,
                    limit=None if filters else limit,
                    forward=scan_index_forward,
                )
                table.items = {hash_key: chosen}  # type: ignore[assignment]  # a plain dict
            try:
                return plain_query(
                    table,
                    hash_key,
                    range_comparison,
                    range_objs,
                    limit,
                    exclusive_start_key,
                    scan_index_forward,
                    projection_expressions,
                    index_name,
                    *args,
                    **kwargs,
                )
            finally:
                table.items = whole

    plain_make = replace(patches, Table, "__init__", make)
    plain_query = replace(patches, Table, "query", query)


_EMPTY = OrderedPartition()
"""A partition without items: moto would go through the whole table to find none."""
_QUERY_PARAMETERS = {"consistent_read", "filter_expression", "hash_key_conditions", "range_key_conditions"}


def _install_iterator_bound(patches: ExitStack) -> None:
    def get_records(backend: DynamoDBStreamsBackend, *args: Any, **kwargs: Any) -> Any:
        # Each read leaves a new iterator; AWS expires them after 15 minutes, moto never.
        while len(backend.shard_iterators) > KEPT_ITERATORS:
            del backend.shard_iterators[next(iter(backend.shard_iterators))]
        return plain_get_records(backend, *args, **kwargs)

    plain_get_records = replace(patches, DynamoDBStreamsBackend, "get_records", get_records)
