"""One wire format each: what is sent to a provider, and what its answers mean."""
