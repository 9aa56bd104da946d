"""An account at a SIP provider for one session: registered, called with, called at, signed off."""

import asyncio
import re

import pytest
from pydantic import SecretStr

from jibri_sip.config.sip_account import SipAccountSettings
from jibri_sip.dial_plan import SipAccount
from jibri_sip.errors import RegistrationFailed
from jibri_sip.sip.events import Ended
from tests.integration.sip.conftest import Gateway, until
from tests.peer.provider import SipProvider, field
from tests.peer.raw import AUDIO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "pa$$ word"  # noqa: S105  (a test's)
SOON_S = 10.0


def account(provider: SipProvider, password: str = PASSWORD, **more: str) -> SipAccount:
    """The account of that provider."""
    return SipAccount(provider.account, SecretStr(password), **more)


async def test_registered_and_signed_off(gateway: Gateway) -> None:
    """By digest, without the password on the wire; at the end the provider knows us no more."""
    async with SipProvider("room7", PASSWORD) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        assert provider.contact.startswith("sip:")
        await signed_on.close()
        await provider.registered(now=False)
        await signed_on.close()
    assert not [request for request in provider.requests if PASSWORD in request]


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256",), ("SHA-256", "MD5")], ids="-".join)
async def test_best_digest(gateway: Gateway, algorithms: tuple[str, ...]) -> None:
    """SHA-256 where the provider has it (RFC 8760), else MD5."""
    async with SipProvider("room7", PASSWORD, algorithms=algorithms) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        assert provider.shown_by == algorithms[0]
        await signed_on.close()


async def test_wrong_password(gateway: Gateway) -> None:
    """The provider's refusal is told."""
    async with SipProvider("room7", PASSWORD) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider, "wrong"))
        with pytest.raises(RegistrationFailed, match="401"):
            await asyncio.wait_for(signed_on.registered(), SOON_S)
        await signed_on.close()


@pytest.mark.parametrize("user", ["", "@host", "a b@host", "room\r\nX: y@host", "127.0.0.1"])
async def test_no_account(gateway: Gateway, user: str) -> None:
    """What is no SIP address never reaches PJSIP, nor the wire."""
    with pytest.raises(RegistrationFailed):
        await gateway.endpoint.sign_on(SipAccount(user, SecretStr("x")))


async def test_call_with_it(gateway: Gateway) -> None:
    """The INVITE goes through the proxy, from the account's address, and shows who we are when asked."""
    async with SipProvider("room7", PASSWORD) as provider:
        proxy = f"sip:127.0.0.1:{provider.port};lr"
        signed_on = await gateway.endpoint.sign_on(account(provider, proxy=proxy))
        call = await gateway.endpoint.dial("sip:out_guest@example.invalid", caller_name="Board", provider=signed_on)
        async with asyncio.timeout(SOON_S):
            while not isinstance(event := await call.events.get(), Ended):
                pass
        assert event.code == 486
        invite = provider.of("INVITE")[-1]
        assert invite.startswith("INVITE sip:out_guest@example.invalid SIP/2.0")
        assert field(invite, "From").startswith('"Board" <sip:room7@127.0.0.1')
        assert 'username="room7"' in field(invite, "Proxy-Authorization")
        await signed_on.close()


async def test_called_at_it(gateway: Gateway) -> None:
    """A call to where it is registered comes in as all calls do."""
    async with SipProvider("room7", PASSWORD) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        async with RawCaller(gateway.endpoint.ports.udp, "room7") as caller:
            caller.uri = provider.contact
            caller.request("INVITE", sdp(AUDIO))
            call = await gateway.take()
            await call.reject(603, "Not now")
            code, _ = await caller.response()
            caller.request("ACK")
        assert code == 603
        await signed_on.close()


async def test_forced_contact(gateway: Gateway) -> None:
    """Some providers want another address than ours."""
    async with SipProvider("room7", PASSWORD) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider, contact="sip:elsewhere@192.0.2.7:5070"))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        assert provider.contact.startswith("sip:elsewhere@192.0.2.7:5070")
        await signed_on.close()


async def test_another_way_without_an_account(gateway: Gateway) -> None:
    """Proxy and contact are followed, and nothing is registered."""
    async with SipProvider("room7", None) as provider:
        login = SipAccount(proxy=f"sip:127.0.0.1:{provider.port};lr", contact="sip:elsewhere@192.0.2.7:5070")
        signed_on = await gateway.endpoint.sign_on(login)
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        call = await gateway.endpoint.dial("sip:guest@example.invalid", caller_name="Board", provider=signed_on)
        async with asyncio.timeout(SOON_S):
            while not isinstance(await call.events.get(), Ended):
                pass
        [invite] = provider.of("INVITE")
        assert field(invite, "From").startswith('"Board" <sip:jibri-sip@127.0.0.1')
        assert field(invite, "Contact").startswith("<sip:elsewhere@192.0.2.7:5070")
        await signed_on.close()
        assert provider.of("REGISTER") == []


@pytest.mark.parametrize(
    "login",
    [
        SipAccount(proxy="nonsense"),
        SipAccount(proxy="sip:a b"),
        SipAccount(proxy="sip:host;x=\r\nY: z"),
        SipAccount(contact="nonsense"),
        SipAccount(contact="sip:x\r\nY: z@host"),
        SipAccount(contact='"A\r\nY: z" <sip:x@host>'),
        SipAccount("u@host;x=\r\nY:z", SecretStr("x")),
    ],
)
async def test_no_other_way(gateway: Gateway, login: SipAccount) -> None:
    """What is no SIP address is refused, and so is what would break out of its line."""
    with pytest.raises(RegistrationFailed):
        await gateway.endpoint.sign_on(login)


async def test_account_of_the_instance(gateway: Gateway) -> None:
    """Calls are made with it where they have none of their own, and it is seen whether it is registered."""
    async with SipProvider("room7", PASSWORD) as provider:
        login = SipAccount(
            "board@example.invalid",
            SecretStr(PASSWORD),
            login="room7",
            registrar=f"sip:127.0.0.1:{provider.port}",
            proxy=f"sip:127.0.0.1:{provider.port};lr",
        )
        home = gateway.endpoint.home = await gateway.endpoint.sign_on(login)
        try:
            await asyncio.wait_for(home.registered(), SOON_S)
            assert (home.uri, home.is_registered, home.answer[:3]) == ("sip:board@example.invalid", True, "200")
            call = await gateway.endpoint.dial("sip:guest@elsewhere.invalid")
            async with asyncio.timeout(SOON_S):
                while not isinstance(await call.events.get(), Ended):
                    pass
            invite = provider.of("INVITE")[-1]
            assert field(invite, "From").startswith("<sip:board@example.invalid>")
            assert 'username="room7"' in field(invite, "Proxy-Authorization")
        finally:
            gateway.endpoint.home = None
            await home.close()
        await provider.registered(now=False)


async def test_proxy_of_the_instance(gateway: Gateway) -> None:
    """Without a password nothing registers: calls go through the proxy, from our own address or the one given."""
    async with SipProvider("room7", None, answers=480) as provider:
        proxy = f"sip:127.0.0.1:{provider.port};lr"
        for settings, shown in (
            (SipAccountSettings(proxy=proxy), "@127.0.0.1"),
            (SipAccountSettings(proxy=proxy, user="board@example.invalid"), "<sip:board@example.invalid>"),
        ):
            home = gateway.endpoint.home = await gateway.endpoint.sign_on(SipAccount.from_config(settings))
            try:
                await asyncio.wait_for(home.registered(), SOON_S)
                assert (home.registers, home.answer) == (False, "")
                call = await gateway.endpoint.dial("sip:guest@elsewhere.invalid")
                async with asyncio.timeout(SOON_S):
                    while not isinstance(await call.events.get(), Ended):
                        pass
            finally:
                gateway.endpoint.home = None
                await home.close()
            assert shown in field(provider.of("INVITE")[-1], "From")
        assert provider.of("REGISTER") == []


async def test_account_of_the_instance_refused(gateway: Gateway) -> None:
    """It is seen that nobody will call."""
    async with SipProvider("room7", PASSWORD) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider, "wrong"))
        with pytest.raises(RegistrationFailed):
            await asyncio.wait_for(signed_on.registered(), SOON_S)
        assert (signed_on.is_registered, signed_on.answer[:3]) == (False, "401")
        await signed_on.close()


@pytest.mark.parametrize("code", [503, pytest.param(403, marks=pytest.mark.slow)])
async def test_registrar_lost_and_back(gateway: Gateway, code: int) -> None:
    """Where a registration is refused for a while it is tried again, with growing pauses, until it is there again."""
    async with SipProvider("room7", PASSWORD, grants_s=7) as provider:
        signed_on = await gateway.endpoint.sign_on(account(provider))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        provider.fails_with = code
        await until(lambda: not signed_on.is_registered)
        assert signed_on.answer.startswith(str(code))
        assert 0 < (signed_on.again_in_s or 0) <= 2
        await until(lambda: (signed_on.again_in_s or 0) > 2)
        assert (signed_on.again_in_s or 0) <= 4
        provider.fails_with = 0
        await until(lambda: signed_on.is_registered)
        assert signed_on.again_in_s is None
        await signed_on.close()


async def test_connection_to_the_registrar_lost(gateway: Gateway) -> None:
    """A registration by TCP is renewed soon after its connection ended, by a new one."""
    registrations: asyncio.Queue[str] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        registrations.put_nowait(request)
        kept = re.findall(r"(?im)^(?:via|v|from|f|to|t|call-id|i|cseq|contact|m):[^\r]*", request)
        writer.write("\r\n".join(["SIP/2.0 200 OK", *kept, "Expires: 300", "Content-Length: 0", "", ""]).encode())
        if registrations.qsize() > 1:
            await asyncio.sleep(0.1)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        login = SipAccount(
            "room7@provider.invalid", SecretStr(PASSWORD), registrar=f"sip:127.0.0.1:{port};transport=tcp"
        )
        signed_on = await gateway.endpoint.sign_on(login)
        await asyncio.wait_for(registrations.get(), SOON_S)
        await asyncio.wait_for(registrations.get(), SOON_S)
        await signed_on.close()
