"""Contracts: what the data of an event may hold, by JSON Schema, and which changes of a schema break nobody."""
