"""Wire formats, pure: bytes and values in, values and bytes out. One folder a format."""
