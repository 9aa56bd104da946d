/*
 * Our microphone and camera in the meeting. Chrome opens them in processes of their own; when one of these dies, their
 * tracks have ended, and the page goes on with them, silent and dark. It is given new ones.
 *
 * What it uses of the page: JitsiMeetJS.createLocalTracks, config.resolution and config.constraints, by which the page
 * opens them, and APP.conference.useAudioStream and useVideoStream, by which it changes devices.
 */
(() => {
    'use strict';

    if (window !== window.top || window.jibriSipDevices) {
        return;
    }

    const USE = { audio: 'useAudioStream', video: 'useVideoStream' };
    const AGAIN_MS = 2000;

    const triedAt = { audio: -Infinity, video: -Infinity };
    let openedAnew = 0;

    /** Whether it ended by itself: a camera that was muted has no stream; of a microphone only muting is known. */
    function isGone(track) {
        const isOff = track.isAudioTrack() ? track.isMuted() : !track.getOriginalStream();

        return !isOff && track.getTrack().readyState === 'ended';
    }

    async function openAnew(media, conference) {
        const { resolution, constraints } = window.config || {};
        const [ track ] = await window.JitsiMeetJS.createLocalTracks({ devices: [ media ], resolution, constraints });

        await conference[USE[media]](track);
        openedAnew += 1;
    }

    /** To be called again and again, of a conference that was joined, and its `room` (lib-jitsi-meet's). */
    function mend(conference, room) {
        const now = performance.now();

        for (const media of Object.keys(USE)) {
            if (now - triedAt[media] > AGAIN_MS && room.getLocalTracks(media).some(isGone)) {
                triedAt[media] = Infinity;
                openAnew(media, conference)
                    .catch(() => null)
                    .finally(() => { triedAt[media] = performance.now(); });
            }
        }
    }

    const devices = Object.freeze({ mend, openedAnew: () => openedAnew });

    Object.defineProperty(window, 'jibriSipDevices', { value: devices });
})();
