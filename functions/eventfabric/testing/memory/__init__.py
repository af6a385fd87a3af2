"""The cloud in memory: adapters with the semantics of AWS, including the awkward ones. One thread, one clock."""
