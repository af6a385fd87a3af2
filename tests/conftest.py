"""Settings of all tests: Hypothesis has no deadline, since other tests run beside it."""

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
