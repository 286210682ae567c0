"""Exit 0 while the server answers; for the image's HEALTHCHECK. Standard library alone: it runs once a minute on a Pi."""

import http.client
import os
import sys


def healthy(port: int) -> bool:
    """Whether `/health` answers 200 on this machine. "degraded" is 200 too: a restart would not bring a provider back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(int(os.environ.get("CHEAPROUTER_PORT") or 4000)) else 1)
