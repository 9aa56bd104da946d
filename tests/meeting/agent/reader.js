/**
 * What a participant sees and hears: reads the stamps of every remote picture and the tones of every remote sound.
 * Injected before the page's scripts, after stamp.js. Reads `PARTICIPANT` {listenHz, bursts}; gives `Reader.report(reset)`.
 *
 * Frames are taken from the tracks as they come out of the decoder, and only four pairs of lines of each are copied.
 */
'use strict';

globalThis.Reader = (() => {
    const { listenHz, bursts } = globalThis.PARTICIPANT;
    const SAMPLES = 4096;
    const KEPT_LATENCIES = 3000;
    const FREEZE_MS = 250;
    const HEARD = 0.02; // foreign tones leak less than 0.007
    const connections = [];
    const watched = new Map(); // track id -> what was seen or heard
    let context;

    // To ask for statistics of all connections, whoever made them.
    window.RTCPeerConnection = class extends window.RTCPeerConnection {
        constructor(...parameters) {
            super(...parameters);
            connections.push(this);
        }
    };

    const freshMoments = () => ({ moments: 0, loudMoments: {} });

    const freshCounts = () => ({ since: Stamp.now(), frames: 0, intact: 0, unreadable: 0, repeated: 0, lost: 0, freezes: 0,
        latencies: [] });

    function count(seen, stamp, now) {
        seen.frames++;
        if (!stamp) {
            seen.unreadable++;

            return;
        }
        const gap = seen.last === undefined ? 1 : (stamp.counter - seen.last) & 0xffff;

        if (gap === 0) {
            seen.repeated++;

            return;
        }
        seen.lost += gap < 1000 ? gap - 1 : 0;
        seen.freezes += seen.lastAt && now - seen.lastAt > FREEZE_MS ? 1 : 0;
        seen.last = stamp.counter;
        seen.lastAt = now;
        seen.firstAt ??= now;
        seen.intact++;
        seen.latencies.push(Stamp.age(stamp, now));
        if (seen.latencies.length > KEPT_LATENCIES) {
            seen.latencies.shift();
        }
    }

    async function readStamp(frame) {
        const { x, y, width, height } = frame.visibleRect;
        const lines = await Promise.all(Stamp.middleRows(height).map(async row => {
            const rect = { x, y: y + row, width, height: 2 };
            const buffer = new Uint8Array(frame.allocationSize({ rect }));

            await frame.copyTo(buffer, { rect });

            return buffer;
        }));

        return Stamp.readLines(lines, width);
    }

    async function watchVideo(track, seen) {
        const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 4 }).readable.getReader();

        Object.assign(seen, freshCounts());
        for (;;) {
            const { done, value: frame } = await reader.read();
            const now = Stamp.now();

            if (done) {
                return;
            }
            seen.width = frame.displayWidth;
            seen.height = frame.displayHeight;
            const stamp = await readStamp(frame);

            frame.close();
            count(seen, stamp, now);
        }
    }

    function watchAudio(track, heard) {
        context ??= new AudioContext({ sampleRate: 48000 });
        const analyser = new AnalyserNode(context, { fftSize: SAMPLES });

        context.createMediaStreamSource(new MediaStream([ track ])).connect(analyser);
        Object.assign(heard, { levels: {}, firstAt: {}, latencies: [], samples: new Float32Array(SAMPLES), analyser },
            freshMoments());
        bursts && watchBursts(track, heard);
    }

    /** Where in the samples a tone starts, or -1. */
    const onset = samples => samples.findIndex(sample => Math.abs(sample) > 0.05);

    /** Take the time of each tone burst that starts, after half a second of silence; it was sent on the second. */
    async function watchBursts(track, heard) {
        const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
        let loudAt = 0;

        for (;;) {
            const { done, value: sound } = await reader.read();
            const now = Stamp.now();

            if (done) {
                return;
            }
            const samples = new Float32Array(sound.numberOfFrames);

            sound.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
            const { sampleRate } = sound;

            sound.close();
            const start = onset(samples);

            if (start < 0) {
                continue;
            }
            if (now - loudAt > 500) {
                heard.latencies.push((now - (samples.length - start) * 1000 / sampleRate + 1000) % 1000);
            }
            loudAt = now;
        }
    }

    function listen(heard) {
        heard.analyser.getFloatTimeDomainData(heard.samples);
        heard.moments++;
        for (const hz of listenHz) {
            const level = Stamp.toneLevel(heard.samples, hz, context.sampleRate);

            heard.levels[hz] = level;
            heard.loudMoments[hz] = (heard.loudMoments[hz] ?? 0) + (level > HEARD ? 1 : 0);
            if (level > HEARD) {
                heard.firstAt[hz] ??= Stamp.now();
            }
        }
    }

    const members = () => globalThis.APP?.conference?._room ? APP.conference.listMembers() : [];

    function findTracks() {
        const present = new Set();

        for (const member of members()) {
            for (const remote of member.getTracks()) {
                const track = remote.getTrack();

                present.add(track.id);
                if (!watched.has(track.id)) {
                    const found = { kind: track.kind, member };

                    watched.set(track.id, found);
                    (track.kind === 'video' ? watchVideo : watchAudio)(track, found);
                }
            }
        }
        for (const id of watched.keys()) {
            present.has(id) || watched.delete(id);
        }
    }

    setInterval(() => {
        findTracks();
        for (const found of watched.values()) {
            found.kind === 'audio' && listen(found);
        }
    }, 100);

    const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;

    function describeVideo(seen, now) {
        const { frames, intact, unreadable, repeated, lost, freezes, width, height, firstAt } = seen;
        const sorted = [ ...seen.latencies ].sort((a, b) => a - b);
        const seconds = (now - Math.max(seen.since, firstAt ?? 0)) / 1000;

        return { frames, intact, unreadable, repeated, lost, freezes, width: width ?? 0, height: height ?? 0,
            fps: seconds > 0 ? intact / seconds : 0, latency_p50_ms: percentile(sorted, 0.5),
            latency_p95_ms: percentile(sorted, 0.95), first_ms: firstAt ?? null };
    }

    function describeBursts({ latencies }) {
        const sorted = [ ...latencies ].sort((a, b) => a - b);

        return { heard: sorted.length, latency_p50_ms: percentile(sorted, 0.5), latency_p95_ms: percentile(sorted, 0.95) };
    }

    /** In which share of the moments that were listened to each tone was heard. */
    function shares({ moments, loudMoments }) {
        return Object.fromEntries(Object.entries(loudMoments).map(([ hz, loud ]) => [ hz, loud / moments ]));
    }

    /** What of every participant was seen since the last reset and is heard now, and how many there are. */
    function report(reset) {
        const result = { video: {}, audio: {}, heard: {}, first_heard_ms: {}, bursts: {},
            members: members().length + 1 };

        for (const found of watched.values()) {
            const name = found.member.getDisplayName() || found.member.getId();

            if (found.kind === 'video') {
                result.video[name] = describeVideo(found, Stamp.now());
                reset && Object.assign(found, freshCounts());
            } else {
                result.audio[name] = found.levels;
                result.heard[name] = shares(found);
                result.first_heard_ms[name] = found.firstAt;
                result.bursts[name] = describeBursts(found);
                reset && Object.assign(found, { latencies: [] }, freshMoments());
            }
        }

        return result;
    }

    /** Statistics of all connections: the codec, size, rate and volume of each video stream that comes or goes. */
    async function streams() {
        const rows = [];

        for (const connection of connections.filter(({ connectionState }) => connectionState === 'connected')) {
            const stats = await connection.getStats();

            for (const row of stats.values()) {
                if (row.kind === 'video' && /^(in|out)bound-rtp$/.test(row.type)) {
                    rows.push({ direction: row.type === 'inbound-rtp' ? 'in' : 'out',
                        codec: stats.get(row.codecId)?.mimeType.replace('video/', '') ?? '', width: row.frameWidth ?? 0,
                        height: row.frameHeight ?? 0, fps: row.framesPerSecond ?? 0,
                        bytes: row.bytesReceived ?? row.bytesSent ?? 0, packets_lost: row.packetsLost ?? 0,
                        limited_by: row.qualityLimitationReason ?? 'none', at_ms: row.timestamp });
                }
            }
        }

        return rows;
    }

    return { report, streams };
})();

// Painting the remote picture all the time would cost more than decoding it: it is shown for screenshots only.
document.addEventListener('DOMContentLoaded', () => {
    const style = document.createElement('style');

    style.textContent = ':root:not([data-shown]) video { visibility: hidden !important; }';
    document.head.append(style);
});
