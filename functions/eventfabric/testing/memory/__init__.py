"""The cloud in memory: adapters with the same semantics as AWS, the awkward ones included; one thread, one clock."""
