"""`Subscriber`: a subscriber of webhooks, on a real socket, for as long as an `async with` lasts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class Heard:
    """A request that came.

    Attributes:
        path: Below the base URL.
        body: Its JSON.
        token: What came after `Bearer`; empty without.
        at: When, seconds of the event loop's clock.
    """

    path: str
    body: Any
    token: str
    at: float


class SigningKey:
    """An RSA key in a file, and what checks its signatures.

    Args:
        file: Where the private key goes.
    """

    def __init__(self, file: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.file = file
        self._public = key.public_key()

    def verified(self, token: str, audience: str = "jibri-queue") -> dict[str, Any]:
        """The claims, and under `header` the header.

        Raises:
            jwt.PyJWTError: The signature is wrong, or the token has expired, or is for somebody else.
        """
        claims = jwt.decode(
            token, self._public, algorithms=["RS256"], audience=audience, options={"require": ["exp", "iss", "aud"]}
        )
        return {**claims, "header": jwt.get_unverified_header(token)}


class Subscriber:
    """Writes down what it is told, and answers as it is told to.

    Args:
        port: Where to listen; 0 for any port.

    Attributes:
        heard: What came, in turn; refused requests too.
        answer: Gives the status to answer a request with.
        delay_s: How long it thinks before it answers.
    """

    def __init__(self, port: int = 0) -> None:
        self.heard: list[Heard] = []
        self.answer: Callable[[Heard], int] = lambda _heard: 200
        self.delay_s = 0.0
        self._port = port
        self._came = asyncio.Condition()
        application = web.Application()
        application.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._port}/hook"

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def until(self, wanted: Callable[[list[Heard]], bool], timeout_s: float = 40.0) -> list[Heard]:
        """Wait until what was heard is so.

        Raises:
            TimeoutError: It is not in time; the message tells what was heard.
        """
        try:
            async with asyncio.timeout(timeout_s), self._came:
                await self._came.wait_for(lambda: wanted(self.heard))
        except TimeoutError:
            raise TimeoutError(f"heard only {[(heard.path, heard.body) for heard in self.heard]}") from None
        return self.heard

    def sessions(self) -> list[dict[str, Any]]:
        """What was told of sessions."""
        return [heard.body["session"] for heard in self.heard if heard.path == "/v1/session/status"]

    async def _take(self, request: web.Request) -> web.Response:
        now = asyncio.get_running_loop().time()
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        heard = Heard(request.path.removeprefix("/hook"), await request.json(), token, now)
        async with self._came:
            self.heard.append(heard)
            self._came.notify_all()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return web.json_response({"status": "OK"}, status=self.answer(heard))
