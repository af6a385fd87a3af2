"""Settings of all tests: Hypothesis has no deadline, since other tests run beside it; models of AWS are read once."""

import botocore.loaders
from hypothesis import HealthCheck, settings

from eventfabric.testing.local.sessions import shared_loader

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Commands and fabrics make sessions of their own by the hundred, and each would read the same models from files.
botocore.loaders.create_loader = shared_loader
