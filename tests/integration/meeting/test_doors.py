"""Ways into a room and out of it: prejoin, password, lobby, login, kick, end."""

import json
from pathlib import Path

import pytest

from tests.meeting import EmbeddedMeeting, MeetingOptions, Participant

pytestmark = pytest.mark.asyncio(loop_scope="session")

_NO_PREJOIN = {"config.prejoinConfig.enabled": False}
_LOCAL_TRACKS = "return APP.conference._room.getLocalTracks().map(track => track.getType()).sort()"


async def test_prejoin_screen_and_the_trap_of_switching_it_off(library: Path, tmp_path: Path) -> None:
    """With prejoin on, the join button leads in; switched off by the address, one is in but without tracks."""
    async with EmbeddedMeeting(tmp_path, library, MeetingOptions(prejoin=True)) as meeting:
        async with Participant(meeting, "prejoin", "alice", must_join=False) as alice:
            await alice.wait_for_screen("prejoin")
            await alice.join()
            assert await alice.evaluate(_LOCAL_TRACKS) == ["audio", "video"]
        async with Participant(meeting, "prejoin", "bob", overrides=_NO_PREJOIN) as bob:
            assert await bob.evaluate(_LOCAL_TRACKS) == []
            await bob.set_audio_muted(False)
            await bob.set_video_muted(False)
            assert await bob.evaluate(_LOCAL_TRACKS) == ["audio", "video"]


async def test_locked_room_asks_for_its_password(meeting: EmbeddedMeeting) -> None:
    """Who comes to a locked room is asked for the password, again after a wrong one, and gets in with the right one."""
    async with Participant(meeting, "locked", "alice"):
        await meeting.lock("locked", "s3cret 'ü'")
        async with Participant(meeting, "locked", "bob", must_join=False) as bob:
            await bob.wait_for_screen("password")
            assert len(await meeting.occupants("locked")) == 1
            await bob.type_password("wrong")
            await bob.wait_for_text("This is not the password.")
            await bob.join("s3cret 'ü'")
            assert len(await meeting.occupants("locked")) == 2


async def test_login_and_password_from_local_storage(meeting: EmbeddedMeeting) -> None:
    """An XMPP login and a room password in local storage are used without asking, as Jibri hands them over."""
    stored = {
        "xmpp_username_override": "gateway@sip.meet.test",
        "xmpp_password_override": 'pass"word\\é',
        "xmpp_conference_password_override": "pw",
        "email": "inbound-sip-jibri@jitsi.net",
    }
    overrides = {"config.iAmSipGateway": True, "appData.localStorageContent": json.dumps(stored)}
    async with Participant(meeting, "login", "alice"):
        await meeting.lock("login", "pw")
        async with Participant(meeting, "login", "gateway", overrides=overrides):
            by_name = {occupant.name: occupant for occupant in await meeting.occupants("login")}
            assert by_name["gateway"].jid.startswith("gateway@sip.meet.test/")
            assert "<email>inbound-sip-jibri@jitsi.net</email>" in by_name["gateway"].presence
            assert by_name["alice"].jid.split("/")[0].endswith("@meet.test")


async def test_token_in_the_address_is_json(meeting: EmbeddedMeeting) -> None:
    """A token in the hash is parsed like all that stands there, and is the connection's."""
    async with Participant(meeting, "token", "alice", overrides={"jwt": "abc.def.ghi"}) as alice:
        assert await alice.evaluate("return APP.connection.token") == "abc.def.ghi"


async def test_characters_that_links_lose(meeting: EmbeddedMeeting) -> None:
    """An apostrophe in a link is left out of the room's name, which could not be an XMPP address with it."""
    async with Participant(meeting, "it's", "alice"):
        assert [occupant.name for occupant in await meeting.occupants("its")] == ["alice"]


async def test_lobby_admits_and_denies(meeting: EmbeddedMeeting) -> None:
    """A gateway knocks by itself; it waits in the lobby until it is let in, or is told that it may not enter."""
    overrides = {"config.iAmSipGateway": True}
    async with Participant(meeting, "lobbied", "alice"):
        await meeting.set_lobby("lobbied", is_open=True)
        async with Participant(meeting, "lobbied", "bob", overrides=overrides, must_join=False) as bob:
            await bob.wait_for_screen("lobby")
            await meeting.wait_for_knock("lobbied", "bob")
            await meeting.admit("lobbied", "bob")
            await bob.join()
        async with Participant(meeting, "lobbied", "carol", overrides=overrides, must_join=False) as carol:
            await meeting.wait_for_knock("lobbied", "carol")
            await meeting.deny("lobbied", "carol")
            await carol.wait_for_screen("failed")


async def test_kicked_and_ended(meeting: EmbeddedMeeting) -> None:
    """Who is kicked is out and knows it; when the conference is ended, everybody is."""
    async with Participant(meeting, "over", "alice") as alice, Participant(meeting, "over", "bob", tone_hz=550) as bob:
        await meeting.kick("over", "bob")
        await bob.wait_for_screen("kicked")
        assert [occupant.name for occupant in await meeting.occupants("over")] == ["alice"]
        await alice.wait_for_screen("waiting")
        await meeting.end("over")
        await alice.wait_for_screen("ended")
        assert "over" not in await meeting.rooms()
