"""Queues of subscriptions: whether one is there."""

from eventfabric.aws.clients import Clients, named_failures
from eventfabric.stream_topology import doorbell_queue


class Queues:
    """The queues of a fabric, as the clients of one Region reach them in each."""

    def __init__(self, fabric: str, clients: Clients) -> None:
        self._fabric = fabric
        self._clients = {clients.region: clients}
        self._first = clients

    def look(self, region: str, subscription: str) -> None:
        """Find the queue of a subscription's doorbells. LastingError: it is missing, or denied. Other PortErrors."""
        clients = self._clients.get(region) or self._clients.setdefault(region, self._first.of(region))
        with named_failures("GetQueueUrl"):
            clients.sqs.get_queue_url(QueueName=doorbell_queue(self._fabric, subscription))
