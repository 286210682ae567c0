"""Sending a request to whichever candidate can answer it, and knowing which ones cannot."""
