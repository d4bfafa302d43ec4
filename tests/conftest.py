"""For all tests: hypothesis tries the same examples each time, so that a change is judged by what it changes.

`pytest tests/unit --hypothesis-profile=default` looks for new ones.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
