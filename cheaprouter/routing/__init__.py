"""How hard a request is, which models can take it, and which one should."""
