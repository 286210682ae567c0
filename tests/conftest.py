"""What all tests share."""

from hypothesis import HealthCheck, settings

# Shared machines stall: a slow example is no failure. The same examples each time: a failure can be seen again.
settings.register_profile("cheaprouter", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cheaprouter")
