"""What moderators can do to the others' microphones and cameras."""

from pathlib import Path

import pytest

from tests.meeting import EmbeddedMeeting, MeetingOptions, Participant, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")

ON = Standing(audio_muted=False, video_muted=False, hand_raised=False)
SILENT = Standing(audio_muted=True, video_muted=False, hand_raised=False)
DARK = Standing(audio_muted=False, video_muted=True, hand_raised=False)
_MODERATED = "return APP.store.getState()['features/av-moderation'].audioModerationEnabled"
_APPROVED = "return APP.store.getState()['features/av-moderation'].audioUnmuteApproved"
_RAISE = "APP.store.dispatch({type: 'LOCAL_PARTICIPANT_RAISE_HAND', raisedHandTimestamp: Date.now()})"


async def owners(meeting: EmbeddedMeeting, room: str) -> list[str]:
    """Who is moderator, as the presences say."""
    return [occupant.name for occupant in await meeting.occupants(room) if occupant.is_owner]


async def test_one_moderator_who_is_replaced(meeting: EmbeddedMeeting) -> None:
    """The first one is the moderator, and when they leave the next one is."""
    async with (
        Participant(meeting, "heirs", "alice") as alice,
        Participant(meeting, "heirs", "bob", tone_hz=550) as bob,
    ):
        assert await owners(meeting, "heirs") == ["alice"]
        await alice.close()
        await bob.wait_for(lambda now: now.members == 1, "alice gone")
        assert await owners(meeting, "heirs") == ["bob"]


async def test_mute_by_moderator_only(meeting: EmbeddedMeeting) -> None:
    """The moderator's mute is obeyed, and can be undone by the one concerned; anybody else's is not."""
    async with (
        Participant(meeting, "muted", "alice") as alice,
        Participant(meeting, "muted", "bob", tone_hz=550) as bob,
    ):
        await alice.wait_for_standing("bob", ON)
        await bob.wait_for_standing("alice", ON)
        await alice.mute("bob", "audio")
        await alice.wait_for_standing("bob", SILENT)
        await bob.set_audio_muted(False)
        await alice.wait_for_standing("bob", ON)
        await alice.mute("bob", "video")
        await alice.wait_for_standing("bob", DARK)
        await bob.mute("alice", "audio")
        await alice.mute("bob", "audio")  # by when this is done, that was refused
        await alice.wait_for_standing("bob", Standing(audio_muted=True, video_muted=True, hand_raised=False))
        assert await bob.standing("alice") == ON


async def test_moderated_microphone_needs_leave(meeting: EmbeddedMeeting) -> None:
    """Under moderation all but the moderator are muted, and can unmute when they were let; a raised hand is seen."""
    async with (
        Participant(meeting, "moderated", "alice") as alice,
        Participant(meeting, "moderated", "bob", tone_hz=550) as bob,
    ):
        await alice.wait_for_standing("bob", ON)
        await bob.wait_for_standing("alice", ON)
        await alice.moderate("audio", enabled=True)
        await alice.wait_for_standing("bob", SILENT)
        assert await bob.standing("alice") == ON
        await bob.set_audio_muted(False)
        await bob.evaluate(_RAISE)
        await alice.wait_for_standing("bob", Standing(audio_muted=True, video_muted=False, hand_raised=True))
        await alice.approve("bob", "audio")
        await bob.wait_until(_APPROVED, bool, "leave to unmute")
        await bob.set_audio_muted(False)
        await alice.wait_for_standing("bob", Standing(audio_muted=False, video_muted=False, hand_raised=True))


async def test_trusted_jibri_is_left_alone(library: Path, tmp_path: Path) -> None:
    """A Jibri from a trusted domain never becomes moderator, and is not muted by force."""
    options = MeetingOptions(trusted_domains=("meet.test",))
    overrides = {"config.iAmRecorder": True}
    async with (
        EmbeddedMeeting(tmp_path, library, options) as meeting,
        Participant(meeting, "trusted", "jibri", tone_hz=550, overrides=overrides) as jibri,
    ):
        assert await owners(meeting, "trusted") == []
        async with Participant(meeting, "trusted", "alice") as alice:
            assert await owners(meeting, "trusted") == ["alice"]
            await alice.wait_for_standing("jibri", ON)
            await alice.mute("jibri", "audio")
            await alice.moderate("audio", enabled=True)
            await jibri.wait_until(_MODERATED, bool, "moderation")
            # The library ends what it knows of, and alice's may hear of it later.
            await alice.wait_until(_MODERATED, bool, "moderation")
            await alice.moderate("audio", enabled=False)
            await jibri.wait_until(_MODERATED, lambda moderated: not moderated, "end of moderation")
            assert not await jibri.evaluate("return APP.conference.isLocalAudioMuted()")
