"""Settings of all tests."""

from hypothesis import settings

# A law is not a time: a busy machine must not make one fail.
settings.register_profile("voltledger", deadline=None)
settings.load_profile("voltledger")
