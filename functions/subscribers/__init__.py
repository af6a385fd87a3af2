"""The shop's handlers, one module for each subscription of infra/fabric.toml. Nothing of the fabric belongs here."""
