"""The requests of one poll of an account, one module per type of resource: bulk lists, never a GET per object."""
