"""The agent in a page with lib-jitsi-meet, Prosody and a bridge behind it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio

from browser import Chrome, JoinFailed, MeetingPage, PageState, Secret, Visit, XmppLogin
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingOptions, Participant, Standing

ROOM_WITH_LOBBY = "club"
ADDRESS, NEXT_ADDRESS = "sip:a@b.example", "sip:c@d.example"
RENAMED = "Raum <b>7</b>"
_IS_MODERATED = "return APP.store.getState()['features/av-moderation'].audioModerationEnabled"
JOIN_S = 60.0  # two seconds, where the machine is not busy
SOON_S = 30.0
NO_GHOST_S = 4.0
"""Prosody lets go of a page that went without a word after five (smacks_hibernation_time)."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def meeting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedMeeting]:
    """A meeting with its prejoin page on, as Jitsi Meet has it."""
    options = MeetingOptions(prejoin=True, accounts={"gateway": "geh'heim\"<&"})
    async with EmbeddedMeeting(tmp_path_factory.mktemp("meeting"), library_directory(), options) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alice(meeting: EmbeddedMeeting) -> AsyncIterator[Participant]:
    """Somebody who is in the room "room" with a picture."""
    async with Participant(meeting, "room", name="alice", width=320, height=180, fps=10) as participant:
        yield participant


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def carol(meeting: EmbeddedMeeting) -> AsyncIterator[Participant]:
    """The host of the room with a lobby."""
    async with Participant(meeting, ROOM_WITH_LOBBY, name="carol", width=160, height=90, fps=5) as participant:
        yield participant


@pytest.fixture
def page(shared_chrome: Chrome) -> MeetingPage:
    """The shared Chrome's page, at rest."""
    page = shared_chrome.page()
    page.show_blank()
    return page


def visit(meeting: EmbeddedMeeting, room: str = "room", **more: object) -> Visit:
    """A visit of the guest "SIP Guest"."""
    return Visit(base_url=meeting.base_url, room=room, display_name="SIP Guest", **more)  # type: ignore[arg-type]


def wait_for(page: MeetingPage, condition: Callable[[PageState], bool], seconds: float = SOON_S) -> PageState:
    """Return the first state that fulfils the condition."""
    deadline = time.monotonic() + seconds
    while not condition(state := page.state()):
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    return state


async def wait_for_names(meeting: EmbeddedMeeting, room: str, *names: str, seconds: float = SOON_S) -> None:
    """Wait until these are in the room, and nobody else: the meeting hears who came and went later than they know."""
    deadline = time.monotonic() + seconds
    while (found := sorted(occupant.name for occupant in await meeting.occupants(room))) != sorted(names):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("alice")
async def test_joins_with_media_both_ways(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """In a meeting with somebody in it: sound and picture on, theirs drawn, and counted."""
    assert page.join(visit(meeting), JOIN_S).phase == "joined"
    state = wait_for(page, lambda state: state.remote_video and not state.video_muted and not state.audio_muted)
    assert state.participants == 1
    assert state.ice == "connected"
    await wait_for_names(meeting, "room", "SIP Guest", "alice")
    frames = state.remote_frames
    assert wait_for(page, lambda state: state.remote_frames > frames + 5).phase == "joined"
    wait_for(page, lambda state: (state.bitrates.video_sent or 0) > 0 and (state.bitrates.video_received or 0) > 0)


@pytest.mark.usefixtures("alice")
async def test_leaving_leaves_no_ghost(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """After leaving the room has the others only, at once."""
    page.join(visit(meeting), JOIN_S)
    await wait_for_names(meeting, "room", "SIP Guest", "alice")
    assert page.leave(SOON_S)
    await wait_for_names(meeting, "room", "alice", seconds=NO_GHOST_S)


@pytest.mark.usefixtures("alice")
async def test_kicked(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """A moderator's kick is seen as one."""
    page.join(visit(meeting), JOIN_S)
    await wait_for_names(meeting, "room", "SIP Guest", "alice")
    await meeting.kick("room", "SIP Guest")
    assert wait_for(page, lambda state: state.phase != "joined").phase == "kicked"


async def test_ended(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """The end of the meeting for all is told from a kick."""
    page.join(visit(meeting, "short"), JOIN_S)
    await meeting.end("short")
    assert wait_for(page, lambda state: state.phase != "joined").phase == "ended"


async def test_locked_room(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """A locked room: no password, a wrong one, the right one."""
    async with Participant(meeting, "vault", name="bob", width=160, height=90, fps=5):
        await meeting.lock("vault", 'open "sésame"')
        for password, kind in ((None, "password-required"), (Secret("wrong"), "password-wrong")):
            with pytest.raises(JoinFailed) as error:
                page.join(visit(meeting, "vault", password=password), JOIN_S)
            assert error.value.kind == kind
        assert page.join(visit(meeting, "vault", password=Secret('open "sésame"')), JOIN_S).phase == "joined"


@pytest.mark.usefixtures("carol")
@pytest.mark.parametrize("answer", ["admit", "deny", None])
async def test_lobby(page: MeetingPage, meeting: EmbeddedMeeting, answer: str | None) -> None:
    """In the lobby we wait until somebody lets us in, sends us away, or the wait is given up."""
    await meeting.set_lobby(ROOM_WITH_LOBBY, is_open=True)
    knocking = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch(state: PageState) -> None:
        if state.phase == "lobby":
            loop.call_soon_threadsafe(knocking.set)

    there, patience = visit(meeting, ROOM_WITH_LOBBY), JOIN_S if answer else 1
    joining = asyncio.create_task(asyncio.to_thread(page.join, there, JOIN_S, lobby_timeout=patience, on_state=watch))
    await asyncio.wait_for(knocking.wait(), 2 * JOIN_S)
    if answer:
        # Whose wait is given up so soon may be gone before it is seen.
        await meeting.wait_for_knock(ROOM_WITH_LOBBY, "SIP Guest")
    if answer == "admit":
        await meeting.admit(ROOM_WITH_LOBBY, "SIP Guest")
        assert (await joining).phase == "joined"
        page.leave(SOON_S)
        return
    if answer == "deny":
        await meeting.deny(ROOM_WITH_LOBBY, "SIP Guest")
    with pytest.raises(JoinFailed) as error:
        await joining
    assert error.value.kind == ("lobby-denied" if answer else "lobby-timeout")


async def test_account(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """With an XMPP login we are in the room as that account."""
    login = XmppLogin("sip.meet.test", "gateway", Secret("geh'heim\"<&"))
    page.join(visit(meeting, "account", xmpp_login=login), JOIN_S)
    await wait_for_names(meeting, "account", "SIP Guest")


async def test_wrong_account(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """A login that the deployment refuses is said to be refused, at once."""
    login = XmppLogin("sip.meet.test", "gateway", Secret("wrong"))
    with pytest.raises(JoinFailed) as error:
        page.join(visit(meeting, "account", xmpp_login=login), JOIN_S)
    assert error.value.kind == "not-allowed"


@pytest.mark.usefixtures("alice")
async def test_sip_address_once_for_each_stay(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """It is not on the join presence but comes with the next, after a reload in the middle of the meeting as before."""
    page.join(visit(meeting, sip_address=ADDRESS), JOIN_S)
    wait_for(page, lambda state: not state.video_muted)
    stays = [await stay(meeting, "SIP Guest", ADDRESS)]
    page._driver._remote.execute_script("location.reload()")
    stays.append(await stay(meeting, "SIP Guest", ADDRESS, but=stays))
    wait_for(page, lambda state: state.phase == "joined" and not state.video_muted, JOIN_S)
    await asyncio.sleep(1)
    for nick in stays:
        presences = [one for one in await meeting.presences("room") if f'/{nick}"' in one and "unavailable" not in one]
        published = [f"<sip_address>{ADDRESS}</sip_address>" in presence for presence in presences]
        assert published == sorted(published)
        assert (published[0], published[-1]) == (False, True)


async def stay(meeting: EmbeddedMeeting, name: str, address: str, but: Sequence[str] = ()) -> str:
    """The nick of the guest of this name in the room, once they have published their address; of those before, none."""
    deadline = time.monotonic() + JOIN_S
    while True:
        there = [occupant for occupant in await meeting.occupants("room") if occupant.id not in but]
        for occupant in there:
            if occupant.name == name and f"<sip_address>{address}</sip_address>" in occupant.presence:
                return occupant.id
        assert time.monotonic() < deadline, there
        await asyncio.sleep(0.1)


async def test_moderated_from_the_start(page: MeetingPage, meeting: EmbeddedMeeting, alice: Participant) -> None:
    """Who joins a meeting whose microphones are moderated is mute, obeys, and may ask for the floor."""
    await alice.moderate("audio", enabled=True)
    try:
        await alice.wait_until(_IS_MODERATED, bool, "moderation")
        page.join(visit(meeting), JOIN_S)
        wait_for(page, lambda state: state.audio_muted and not state.video_muted and state.muted_by_meeting)
        assert page.toggle("audio") == "hand-raised"
        await alice.wait_for_standing("SIP Guest", Standing(audio_muted=True, video_muted=False, hand_raised=True))
        await asyncio.sleep(2)
        assert page.state().audio_muted
    finally:
        await alice.moderate("audio", enabled=False)


async def test_room_names_of_all_kinds(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """Quotes, slashes, markup and other scripts are a room's name like any other."""
    for room in ("a/b", "it's (ours)!", '"<script>alert(1)</script>', "mötley 🎸", "x" * 900):
        assert page.join(visit(meeting, room), JOIN_S).phase == "joined"
        page.leave()


@pytest.mark.usefixtures("alice")
async def test_renamed(page: MeetingPage, meeting: EmbeddedMeeting) -> None:
    """Another name and SIP address in the middle of a meeting are seen at once, and stay when the page loads anew."""
    page.join(visit(meeting, sip_address=ADDRESS), JOIN_S)
    wait_for(page, lambda state: not state.video_muted)
    page.rename(RENAMED, NEXT_ADDRESS)
    stays = [await stay(meeting, RENAMED, NEXT_ADDRESS)]
    await asyncio.sleep(1)
    page._driver._remote.execute_script("location.reload()")
    stays.append(await stay(meeting, RENAMED, NEXT_ADDRESS, but=stays))
    wait_for(page, lambda state: state.phase == "joined" and not state.video_muted, JOIN_S)
    await asyncio.sleep(1)
    for nick in stays:
        presences = [one for one in await meeting.presences("room") if f'/{nick}"' in one and "unavailable" not in one]
        assert f"<sip_address>{NEXT_ADDRESS}</sip_address>" in presences[-1]
