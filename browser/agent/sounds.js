/*
 * What of others should sound does. Chrome gives up, for good, on a sound output that is not open after ten seconds:
 * the page's <audio> element, which has a MediaStream of somebody's, then stays without data. It gets its stream anew.
 */
(() => {
    'use strict';

    if (window !== window.top || window.jibriSipSounds) {
        return;
    }

    const LISTEN_EVERY_MS = 1000;
    const SILENT_MS = 5000;
    const ANEW_AFTER_MS = 10000;
    const ANEW_AFTER_AT_MOST_MS = 60000;

    const heard = new WeakMap();
    let listenedAt = -Infinity;
    let playedAnew = 0;

    function isToSound(audio) {
        const tracks = audio.srcObject instanceof MediaStream ? audio.srcObject.getAudioTracks() : [];
        const pausedByPage = audio.paused && audio.readyState > 0;

        return !pausedByPage && tracks.some(track => track.readyState === 'live' && !track.muted);
    }

    function playAnewIfSilent(audio, now) {
        const before = heard.get(audio);

        if (!before || before.position !== audio.currentTime) {
            heard.set(audio, { position: audio.currentTime, anewAt: now + SILENT_MS, pause: ANEW_AFTER_MS });
        } else if (now >= before.anewAt) {
            const stream = audio.srcObject;

            audio.srcObject = null;
            audio.srcObject = stream;
            audio.play().catch(() => null);
            playedAnew += 1;
            // An output that is still not to be had keeps the page waiting for these ten seconds.
            heard.set(audio, {
                position: audio.currentTime,
                anewAt: performance.now() + before.pause,
                pause: Math.min(2 * before.pause, ANEW_AFTER_AT_MOST_MS)
            });
        }
    }

    /** To be called again and again; looks once a second. */
    function listen() {
        const now = performance.now();

        if (now - listenedAt < LISTEN_EVERY_MS) {
            return;
        }
        listenedAt = now;
        for (const audio of document.querySelectorAll('audio')) {
            if (isToSound(audio)) {
                playAnewIfSilent(audio, now);
            } else {
                heard.delete(audio);
            }
        }
    }

    const sounds = Object.freeze({ listen, playedAnew: () => playedAnew });

    Object.defineProperty(window, 'jibriSipSounds', { value: sounds });
})();
