"""What every Python client's script shares: one line per call, its name and ``ok`` or what went wrong."""

import sys
import time


def check(name, call):
    """Make a call and say how it went; its value, or None."""
    try:
        value = call()
    except Exception as error:
        print(f"{name}\t{type(error).__name__}: {' '.join(str(error).split())[:120]}", flush=True)
        return None
    print(f"{name}\tok", flush=True)
    return value if value is not None else True


def until(condition, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError("not reached")
        time.sleep(0.05)
    return value


def expect(what):
    """Raise if something is not so."""
    if not what:
        raise AssertionError("not as expected")
    return what


ENDPOINT, ACCOUNT, KEY = sys.argv[1:4]
