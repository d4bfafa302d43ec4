"""`make demo`: real work through a real API server, watched by a person."""
