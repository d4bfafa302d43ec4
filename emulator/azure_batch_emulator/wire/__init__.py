"""How the service writes things: timestamps, ETags, durations, errors. Pure code without any state."""
