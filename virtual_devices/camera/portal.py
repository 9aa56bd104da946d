"""The camera half of a desktop portal (org.freedesktop.portal.Camera), which is how browsers find PipeWire cameras.

The browser's capture process calls, in this order: Properties.GetAll, AccessCamera (answered by a Request.Response
signal on the path that it expects), OpenPipeWireRemote (answered with a connected socket of the daemon).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from dbus_fast import Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

from virtual_devices.errors import DeviceError

BUS_NAME = "org.freedesktop.portal.Desktop"
OBJECT_PATH = "/org/freedesktop/portal/desktop"
CAMERA = "org.freedesktop.portal.Camera"
PROPERTIES = {"IsCameraPresent": Variant("b", True), "version": Variant("u", 1)}
GRANTED = 0


class CameraPortal:
    """The service on a session bus of our own; it runs in the event loop and needs no process.

    Attributes:
        on_lost: called in the loop when the bus is gone without `close`.
    """

    def __init__(self, bus_address: str, pipewire_socket: Path) -> None:
        self.on_lost: Callable[[], None] | None = None
        self._address = bus_address
        self._pipewire_socket = pipewire_socket
        self._bus: MessageBus | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes the portal's name on the bus.

        Raises:
            DeviceError: the bus does not answer, or another service has the name.
        """
        try:
            self._bus = await MessageBus(bus_address=self._address, negotiate_unix_fd=True).connect()
            self._bus.add_message_handler(self._on_message)
            reply = await self._bus.request_name(BUS_NAME)
        except (OSError, EOFError) as error:
            raise DeviceError("camera", f"its D-Bus does not answer: {error}") from error
        if reply != RequestNameReply.PRIMARY_OWNER:
            raise DeviceError("camera", "another service has the portal's name on our own D-Bus")
        self._watch = asyncio.create_task(self._report_loss(self._bus))

    async def close(self) -> None:
        """Leaves the bus. Idempotent."""
        self.on_lost = None
        bus, self._bus = self._bus, None
        watch, self._watch = self._watch, None
        if bus:
            bus.disconnect()
        if watch:
            await watch

    async def _report_loss(self, bus: MessageBus) -> None:
        with contextlib.suppress(Exception):  # whatever ended the connection, it has ended
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        if self.on_lost:
            self.on_lost()

    def _on_message(self, message: Message) -> Message | bool | None:
        """Answers a call; None leaves it to the library, which answers with an error."""
        if message.message_type != MessageType.METHOD_CALL or message.path != OBJECT_PATH:
            return None
        if message.interface == CAMERA and message.member == "AccessCamera":
            return self._grant(message)
        if message.interface == CAMERA and message.member == "OpenPipeWireRemote":
            return self._hand_out_socket(message)
        if message.interface == "org.freedesktop.DBus.Properties" and message.body[:1] == [CAMERA]:
            return _property_reply(message)
        return None

    def _grant(self, message: Message) -> Message:
        options = message.body[0] if message.body else {}
        token = options["handle_token"].value if "handle_token" in options else "t"
        sender = (message.sender or "")[1:].replace(".", "_")
        path = f"{OBJECT_PATH}/request/{sender}/{token}"
        response = Message(
            destination=message.sender,
            path=path,
            interface="org.freedesktop.portal.Request",
            member="Response",
            message_type=MessageType.SIGNAL,
            signature="ua{sv}",
            body=[GRANTED, {}],
        )
        asyncio.get_running_loop().call_soon(self._send, response)
        return Message.new_method_return(message, "o", [path])

    def _send(self, message: Message) -> None:
        if self._bus:
            self._bus.send(message)

    def _hand_out_socket(self, message: Message) -> Message | bool:
        if not self._bus:
            return Message.new_error(message, "org.freedesktop.portal.Error.Failed", "closing")
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(self._pipewire_socket))
        except OSError as error:
            client.close()
            return Message.new_error(message, "org.freedesktop.portal.Error.Failed", str(error))
        fd = client.detach()
        sent = self._bus.send(Message.new_method_return(message, "h", [0], unix_fds=[fd]))
        # Kept open here, it would make a killed browser a client that never reads, and stall the camera for good.
        sent.add_done_callback(lambda _: os.close(fd))
        return True


def _property_reply(message: Message) -> Message | None:
    if message.member == "GetAll":
        return Message.new_method_return(message, "a{sv}", [PROPERTIES])
    if message.member == "Get" and message.body[1] in PROPERTIES:
        return Message.new_method_return(message, "v", [PROPERTIES[message.body[1]]])
    return None
