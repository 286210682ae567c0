"""Which transport a request takes: the network's, see `direct`, or the built-in provider's."""

from __future__ import annotations

from ..providers.adapter import Response, Transport, TransportError, WireRequest


class SchemeTransport:
    """Sends `mock://…` to the built-in provider and everything else over the network."""

    def __init__(self, network: Transport, mock: Transport | None) -> None:
        self._network = network
        self._mock = mock

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """See `Transport`."""
        if request.url.startswith("mock:"):
            if self._mock is None:
                raise TransportError("upstream_unreachable", "There is no mock provider here.")
            return await self._mock.open(request, connect_timeout)
        return await self._network.open(request, connect_timeout)

    async def close(self) -> None:
        """See `Transport`."""
        await self._network.close()
        if self._mock is not None:
            await self._mock.close()
