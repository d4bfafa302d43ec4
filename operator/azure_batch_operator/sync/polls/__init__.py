"""What one poll of an account asks for, one module per kind of thing: bulk lists, never a GET per object (docs/architecture.md)."""
