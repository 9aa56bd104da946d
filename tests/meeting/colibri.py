"""The bridge channel (`colibri-ws`): JSON messages between the participants and the bridge.

Messages from participant to participant (`EndpointMessage`) are passed on. What else a Jitsi Videobridge would act on
(which sources are wanted, at what size) is not: everybody gets everything.
"""

import json
from collections import defaultdict
from typing import Any

from aiohttp import WSMsgType, web


class BridgeChannels:
    """The open channels, by room and endpoint id."""

    def __init__(self) -> None:
        self._rooms: defaultdict[str, dict[str, web.WebSocketResponse]] = defaultdict(dict)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one channel at `/colibri-ws/ROOM/ENDPOINT` until it closes."""
        endpoint = request.match_info["endpoint"]
        members = self._rooms[request.match_info["room"]]
        channel = web.WebSocketResponse(heartbeat=20)
        await channel.prepare(request)
        members[endpoint] = channel
        await channel.send_json({"colibriClass": "ServerHello", "version": "embedded"})
        async for message in channel:
            if message.type == WSMsgType.TEXT:
                await self._relay(members, endpoint, json.loads(message.data))
        if members.get(endpoint) is channel:
            del members[endpoint]
        return channel

    @staticmethod
    async def _relay(members: dict[str, web.WebSocketResponse], sender: str, message: dict[str, Any]) -> None:
        if message.get("colibriClass") != "EndpointMessage":
            return
        addressee = message.get("to")
        for endpoint, channel in list(members.items()):
            wanted = endpoint == addressee if addressee else endpoint != sender
            if wanted and not channel.closed:
                await channel.send_json({**message, "from": sender})
