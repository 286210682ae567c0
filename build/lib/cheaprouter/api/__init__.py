"""The LAN's front door: OpenAI's endpoints, our own JSON API, and the errors of both in one shape."""
