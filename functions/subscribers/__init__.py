"""The shop's handlers, one module a subscription of infra/fabric.toml; nothing of the fabric itself belongs here."""
