"""Joining: whatever the deployment does, we are in with sound and picture, or know why not."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser import Chrome, JoinFailed, MeetingPage, PageLoadFailed, PageState, Secret, Visit, XmppLogin
from browser.page import Medium
from tests.integration.browser.site import Site, serve, write_certificate

SOON_S = 15.0  # a second or two, where the machine is not busy
JOIN_S = 30.0  # half a second, likewise
CODE = 'sésame "; alert(1)//'
_SIGNS = """
    const host = document.getElementById('jibri-sip-signs');
    return host ? [...host.shadowRoot.querySelectorAll('svg')].map(sign => sign.parentElement.textContent) : [];
"""
_FADE_IN = """
    const style = document.createElement('style');
    style.textContent = '@keyframes fade { to { opacity: 1 } }'
        + '.animatedFadeIn { opacity: 0; animation: fade 9s forwards }';
    document.head.append(style);
    document.getElementById('edge').className = 'animatedFadeIn';
    const { animationName, opacity } = getComputedStyle(document.getElementById('edge'));
    return [ animationName, opacity ];
"""
HOSTILE_ROOMS = [
    "a/b",
    "..%2f..",
    "<script>document.title='hacked'</script>",
    '");alert(1)//',
    "?x=1&y#config.z=1",
    "mötley crüe 🎸",
    "r" * 1000,
]


@pytest.fixture
def page(shared_chrome: Chrome) -> MeetingPage:
    """The shared Chrome's page, at rest."""
    page = shared_chrome.page()
    page.show_blank()
    return page


def visit(site: Site, room: str = "room", deployment: str = "prejoin", **more: Any) -> Visit:
    """A visit to the stand-in page."""
    return Visit(base_url=f"{site.url}/{deployment}", room=room, display_name=more.pop("display_name", "Guest"), **more)


def script(page: MeetingPage, source: str) -> Any:
    """Run JavaScript in the page, as the other side of it."""
    return page._driver._remote.execute_script(source)


def wait_for(page: MeetingPage, condition: Callable[[PageState], bool], seconds: float = SOON_S) -> PageState:
    """Return the first state that fulfils the condition."""
    deadline = time.monotonic() + seconds
    while True:
        state = page.state()
        if condition(state) or time.monotonic() > deadline:
            assert condition(state), state
            return state
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("deployment", "overrides"),
    [("prejoin", {}), ("open", {}), ("prejoin", {"prejoinConfig.enabled": False})],
    ids=["prejoin page", "no prejoin page", "turned off in the URL"],
)
def test_joins_with_sound_and_picture(
    page: MeetingPage, site: Site, deployment: str, overrides: dict[str, Any]
) -> None:
    """Camera and microphone are on after joining, whatever the deployment's prejoin setting is."""
    phases: list[str] = []
    there = visit(site, deployment=deployment, config_overrides=overrides)
    joined = page.join(there, JOIN_S, on_state=lambda state: phases.append(state.phase))
    assert joined.phase == "joined"
    assert phases[-1] == "joined"
    state = wait_for(page, lambda state: not state.audio_muted and not state.video_muted and state.age_ms < 1000)
    assert state.bitrates.video_sent == 868
    assert script(page, "return seen.gumError") is None


@pytest.mark.parametrize("room", HOSTILE_ROOMS, ids=lambda room: room[:20])
def test_hostile_room_names_stay_names(page: MeetingPage, site: Site, room: str) -> None:
    """The page gets exactly the name that was asked for, and nothing of it runs or becomes a setting."""
    page.join(visit(site, room, display_name=room), JOIN_S)
    seen = script(page, "return seen")
    assert seen["room"] == room
    assert seen["storage"]["displayname"] == room
    assert seen["settings"]["displayName"] == room
    assert script(page, "return document.title") == "meeting"
    assert "config.z" not in seen["given"]


def test_settings_arrive_as_they_were_given(page: MeetingPage, site: Site) -> None:
    """Values survive Jitsi Meet's own reader of the fragment, curly quotes and ampersands included."""
    tricky = {"subject": "“Q&A” \u2018now\u2019 \\& =?#% 日本", "lobby.x": {"a": [1, None, True]}}
    page.join(visit(site, config_overrides=tricky), JOIN_S)
    given = script(page, "return seen.given")
    assert given["config.subject"] == tricky["subject"]
    assert given["config.lobby.x"] == tricky["lobby.x"]
    assert given["config.disableAEC"] is True
    assert "config.prejoinConfig.enabled" not in given


def test_pictures_are_not_faded_in(page: MeetingPage, site: Site) -> None:
    """Jitsi Meet's fade, which costs with every picture after it, too, does not take place."""
    page.join(visit(site), JOIN_S)
    assert script(page, _FADE_IN) == ["none", "1"]


def test_password_is_used_when_asked_for(page: MeetingPage, site: Site) -> None:
    """The right password, with quotes and code in it, opens the room."""
    assert page.join(visit(site, "locked", password=Secret(CODE)), JOIN_S).phase == "joined"


@pytest.mark.parametrize(("password", "kind"), [(None, "password-required"), (Secret("x"), "password-wrong")])
def test_password_missing_or_wrong(page: MeetingPage, site: Site, password: Secret | None, kind: str) -> None:
    """A locked room says whether a password was missing or wrong, and the page is at rest afterwards."""
    with pytest.raises(JoinFailed) as error:
        page.join(visit(site, "locked", password=password), JOIN_S)
    assert error.value.kind == kind
    assert page.state().phase == "blank"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("conference.max_users", "room-full"),
        ("conference.connectionError.notAllowed", "not-allowed"),
        ("conference.connectionError.accessDenied", "lobby-denied"),
        ("conference.videobridgeNotAvailable", "connection"),
        ("conference.destroyed", "ended"),
    ],
)
def test_refusals_have_their_kind(page: MeetingPage, site: Site, failure: str, kind: str) -> None:
    """What lib-jitsi-meet says becomes the kind of the error."""
    with pytest.raises(JoinFailed) as error:
        page.join(visit(site, f"fails {failure}"), JOIN_S)
    assert error.value.kind == kind


def test_secrets_reach_the_page_but_no_url(page: MeetingPage, site: Site) -> None:
    """Token and login are where Jitsi Meet looks for them; the server and the joined page's URL have none."""
    site.requests.clear()
    login = XmppLogin("sip.example", "gateway", Secret("xmpp-canary"))
    secrets: dict[str, Any] = {"password": Secret("room-canary"), "jwt": Secret("jwt-canary"), "xmpp_login": login}
    page.join(visit(site, email="a@b", statistics_id="s", **secrets), JOIN_S)
    seen = script(page, "return seen")
    assert seen["jwt"] == "jwt-canary"
    expected = {
        "xmpp_username_override": "gateway@sip.example",
        "xmpp_password_override": "xmpp-canary",
        "xmpp_conference_password_override": "room-canary",
        "email": "a@b",
        "callStatsUserName": "s",
    }
    assert expected.items() <= seen["storage"].items()
    assert not any("canary" in path for path in site.requests)
    assert "canary" not in script(page, "return location.href")


def test_nothing_of_a_guest_is_left_for_the_next(page: MeetingPage, site: Site) -> None:
    """A second visit with the same Chrome has no password, no token and no e-mail of the first."""
    page.join(visit(site, password=Secret("one"), jwt=Secret("two"), email="three@example"), JOIN_S)
    page.leave()
    page.join(visit(site, display_name="Next"), JOIN_S)
    seen = script(page, "return seen")
    assert seen["jwt"] is None
    assert set(seen["storage"]) == {"displayname", "features/base/settings"}


def test_sip_address_is_announced_after_joining(page: MeetingPage, site: Site) -> None:
    """Our presence carries the SIP address, for Prosody's modules."""
    page.join(visit(site, sip_address="sip:a@b.example"), JOIN_S)
    assert script(page, "return APP.conference._room.presence") == {"sip_address": "sip:a@b.example", "sent": True}


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("http://localhost:9", "ERR_UNSAFE_PORT"),
        ("https://localhost:{port}", "ERR_SSL_PROTOCOL_ERROR"),
        ("http://no-such-host.invalid", "ERR_NAME_NOT_RESOLVED"),
        ("http://localhost:{port}/broken", "HTTP 502"),
    ],
)
def test_server_down_or_broken(page: MeetingPage, site: Site, base: str, reason: str) -> None:
    """A page that does not load fails at once with the reason, and without the room's name in the message."""
    started = time.monotonic()
    with pytest.raises(PageLoadFailed) as error:
        page.join(Visit(base_url=base.format(port=site.port), room="privy", display_name="n"), JOIN_S)
    assert reason in error.value.reason
    assert "privy" not in str(error.value)
    assert time.monotonic() - started < SOON_S
    assert page.state().phase == "blank"


def test_certificate_that_nobody_vouches_for(page: MeetingPage, tmp_path: Path) -> None:
    """A server whose certificate is not good is not visited, and Chrome's reason is told."""
    write_certificate(tmp_path / "server.pem", "elsewhere.example")
    with serve(tmp_path / "server.pem") as site, pytest.raises(PageLoadFailed) as error:
        page.join(visit(site, password=Secret("canary")), JOIN_S)
    assert error.value.reason.startswith("ERR_CERT_")
    assert site.requests == []


def test_server_that_never_answers(page: MeetingPage, site: Site) -> None:
    """A server that accepts and stays silent is given up at the time-out."""
    with pytest.raises(PageLoadFailed):
        page.join(visit(site, deployment="hangs"), 1)
    assert page.state().phase == "blank"


def test_page_that_is_no_meeting(page: MeetingPage, site: Site) -> None:
    """A page without a conference in it is said to be none."""
    with pytest.raises(PageLoadFailed, match="no meeting page"):
        page.join(visit(site, deployment="nothing"), 1)


def test_redirect_to_a_login_page_gets_no_secret(page: MeetingPage, site: Site) -> None:
    """Sent on to another origin, the agent tells it nothing, and joining fails as what it is."""
    with pytest.raises(JoinFailed) as error:
        page.join(visit(site, deployment="away", password=Secret("canary")), JOIN_S)
    assert error.value.kind == "authentication-required"


def test_lobby_is_waited_in_and_left(page: MeetingPage, site: Site) -> None:
    """The lobby has a time-out of its own, and whoever is let in has joined."""

    def let_in(state: PageState) -> None:
        if state.phase == "lobby":
            script(page, "setTimeout(() => APP.conference._room.enter(), 300)")

    assert page.join(visit(site, "lobby"), JOIN_S, on_state=let_in).phase == "joined"
    page.leave()
    with pytest.raises(JoinFailed) as error:
        page.join(visit(site, "lobby"), JOIN_S, lobby_timeout=0.3)
    assert error.value.kind == "lobby-timeout"


def test_abort_breaks_joining_off(page: MeetingPage, site: Site) -> None:
    """A caller who hangs up ends the joining from another thread at once."""
    timer = threading.Timer(1, page.abort)
    timer.start()
    started = time.monotonic()
    with pytest.raises(JoinFailed) as error:
        page.join(visit(site, "silent"), 20)
    assert error.value.kind == "aborted"
    assert time.monotonic() - started < SOON_S
    page.show_blank()
    assert page.join(visit(site), JOIN_S).phase == "joined"


@pytest.mark.parametrize(("deed", "phase"), [("kick", "kicked"), ("end", "ended"), ("leave", "left")])
def test_the_end_of_a_meeting_is_seen(page: MeetingPage, site: Site, deed: str, phase: str) -> None:
    """Kicked, ended and left are told apart, and stay what they were first."""
    page.join(visit(site), JOIN_S)
    script(page, f"APP.conference._room.{deed}()")
    assert page.state().phase == phase


def test_reload_of_the_page_is_reconnecting(page: MeetingPage, site: Site) -> None:
    """A page that loads anew in the middle of a meeting joins again by itself."""
    page.join(visit(site), JOIN_S)
    script(page, "location.reload()")
    assert wait_for(page, lambda state: state.phase != "joined").phase == "reconnecting"
    assert wait_for(page, lambda state: state.phase == "joined").participants == 0


def test_muting_is_obeyed_and_not_undone(page: MeetingPage, site: Site) -> None:
    """The agent unmutes once for the start; who mutes us later stays right."""
    page.join(visit(site), JOIN_S)
    wait_for(page, lambda state: not state.audio_muted and not state.video_muted)
    page.set_audio_muted(True)
    page.set_video_muted(True)
    time.sleep(1.5)
    state = page.state()
    assert state.audio_muted
    assert state.video_muted


def test_what_was_muted_on_purpose_stays_so(page: MeetingPage, site: Site) -> None:
    """A page that loads anew in the middle of a meeting does not unmute; the next visit starts with all on."""
    in_with_devices(page, site)
    page.set_audio_muted(True)
    script(page, "location.reload()")
    wait_for(page, lambda state: state.phase != "joined")
    wait_for(page, lambda state: state.audio_muted and not state.video_muted)
    time.sleep(1.5)
    assert page.state().audio_muted
    page.leave()
    in_with_devices(page, site)


def in_with_devices(page: MeetingPage, site: Site) -> None:
    """Be in the meeting with microphone and camera on."""
    page.join(visit(site), JOIN_S)
    wait_for(page, lambda state: not state.audio_muted and not state.video_muted)


@pytest.mark.parametrize("media", ["audio", "video"])
def test_toggle_switches_off_and_on(page: MeetingPage, site: Site, media: Medium) -> None:
    """One toggle switches off, the next on; the other medium stays as it is."""
    in_with_devices(page, site)
    assert page.toggle(media) == "muted"
    state = wait_for(page, lambda state: state.audio_muted or state.video_muted)
    assert (state.audio_muted, state.video_muted) == (media == "audio", media == "video")
    assert page.toggle(media) == "unmuted"
    wait_for(page, lambda state: not state.audio_muted and not state.video_muted)


@pytest.mark.parametrize("media", ["audio", "video"])
def test_toggle_under_moderation_raises_the_hand(page: MeetingPage, site: Site, media: Medium) -> None:
    """Who has no leave to unmute raises and lowers the hand; with leave, unmuting lowers it, and so do moderators."""
    in_with_devices(page, site)
    script(page, f"APP.store.getState()['features/av-moderation'].{media}ModerationEnabled = true")
    assert page.toggle(media) == "muted"
    assert page.toggle(media) == "hand-raised"
    assert page.state().hand_raised
    assert page.toggle(media) == "hand-lowered"
    assert not page.state().hand_raised
    page.toggle(media)
    script(page, f"APP.store.getState()['features/av-moderation'].{media}UnmuteApproved = true")
    assert page.toggle(media) == "unmuted"
    state = wait_for(page, lambda state: not state.audio_muted and not state.video_muted)
    assert not state.hand_raised
    script(page, f"APP.store.getState()['features/av-moderation'].{media}UnmuteApproved = false")
    script(page, "APP.store.getState()['features/base/participants'].local.role = 'moderator'")
    assert [page.toggle(media), page.toggle(media)] == ["muted", "unmuted"]


def test_toggle_of_a_visitor_raises_the_hand(page: MeetingPage, site: Site) -> None:
    """A visitor is not heard anyway."""
    in_with_devices(page, site)
    script(page, "APP.store.getState()['features/visitors'].iAmVisitor = true")
    assert [page.toggle("audio"), page.toggle("video")] == ["hand-raised", "hand-lowered"]
    assert not page.state().audio_muted


def test_toggle_without_a_meeting_does_nothing(page: MeetingPage, site: Site) -> None:
    """On the blank page and after a kick there is nothing to be switched."""
    assert page.toggle("audio") is None
    in_with_devices(page, site)
    script(page, "APP.conference._room.kick()")
    assert page.toggle("audio") is None


def test_signs_show_what_is_off(page: MeetingPage, site: Site) -> None:
    """Each thing that is off, and a raised hand, has its sign for as long as that lasts; all on, there is none."""

    def signs() -> list[str]:
        found: list[str] = script(page, _SIGNS)
        return found

    def wait_for_signs(*wanted: str) -> None:
        deadline = time.monotonic() + SOON_S
        while (now := signs()) != list(wanted):
            assert time.monotonic() < deadline, now
            time.sleep(0.05)

    in_with_devices(page, site)
    assert signs() == []
    page.set_audio_muted(True)
    wait_for_signs("*6")
    page.set_video_muted(True)
    wait_for_signs("*6", "*7")
    script(page, "APP.store.dispatch({type: 'LOCAL_PARTICIPANT_RAISE_HAND', raisedHandTimestamp: 1})")
    wait_for_signs("*6", "*7", "")
    page.toggle("audio")
    page.toggle("video")
    wait_for_signs()


def test_leave_hangs_up_and_rests(page: MeetingPage, site: Site) -> None:
    """Leaving is confirmed by the meeting, and the page is blank afterwards."""
    page.join(visit(site), JOIN_S)
    assert page.leave()
    assert page.state().phase == "blank"


def test_still_is_a_png(page: MeetingPage) -> None:
    """A picture of the page for people."""
    assert page.still().startswith(b"\x89PNG")
