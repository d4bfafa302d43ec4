"""The actions that are users' own; all others are the adversary's."""

USERS = frozenset({"account", "apply", "patch", "delete", "azure", "copy-pool", "rotate-key"})
