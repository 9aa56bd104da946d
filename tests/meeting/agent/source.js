/**
 * What a participant sends: getUserMedia is replaced, so that it gives stamped frames and a tone of its own.
 * Injected before the page's scripts, after stamp.js. Reads `PARTICIPANT` {toneHz, amplitude, bursts, width, height, fps}.
 *
 * Frames are made as luma and chroma directly (no canvas, no conversion), which costs a fraction of drawing them.
 */
'use strict';

(() => {
    const { toneHz, amplitude, bursts, width, height, fps } = globalThis.PARTICIPANT;
    const half = height / 2;
    const STEP = 2; // pixels that the lower half moves by from frame to frame
    let video;
    let audio;

    /** A picture twice as wide as the frame, with soft shapes and some grain, like a camera's. */
    function scenery() {
        const picture = new Uint8Array(2 * width * half);

        for (let y = 0; y < half; y++) {
            for (let x = 0; x < 2 * width; x++) {
                const shape = Math.sin(x * 2 * Math.PI / width) + Math.sin(y / 23) + Math.sin((x + 2 * y) / 61);

                picture[y * 2 * width + x] = 120 + 25 * shape + 6 * Math.random();
            }
        }

        return picture;
    }

    function drawChroma(frame) {
        const lower = half * width / 4;

        for (const [ plane, tint ] of [ [ 0, toneHz % 41 ], [ 1, toneHz % 67 ] ]) {
            const start = width * height + plane * (width * height / 4);

            frame.fill(128, start, start + lower);
            frame.fill(108 + tint, start + lower, start + 2 * lower);
        }
    }

    function startVideo() {
        const generator = new MediaStreamTrackGenerator({ kind: 'video' });
        const writer = generator.writable.getWriter();
        const picture = scenery();
        const frame = new Uint8Array(width * height * 3 / 2);
        let counter = 0;

        drawChroma(frame);
        const send = () => {
            const shift = counter * STEP % width;

            for (let y = 0; y < half; y++) {
                const start = y * 2 * width + shift;

                frame.set(picture.subarray(start, start + width), (half + y) * width);
            }
            Stamp.draw(frame, width, height, counter & 0xffff, Stamp.now());
            counter++;
            writer.write(new VideoFrame(frame, {
                format: 'I420', codedWidth: width, codedHeight: height, timestamp: Math.round(performance.now() * 1000)
            }));
        };

        // A worker's timer is never slowed down, a page's may be.
        const code = `setInterval(() => postMessage(0), ${1000 / fps})`;
        const timer = new Worker(URL.createObjectURL(new Blob([ code ])));

        timer.onmessage = send;

        return generator;
    }

    /** Sound the tone only for the first 100 ms of each second; right within the 10 ms that audio is rendered in. */
    function gate(context, gain) {
        let scheduled = 0;

        gain.value = 0;
        setInterval(() => {
            const second = Math.floor(Stamp.now() / 1000) + 1;

            if (second > scheduled) {
                const start = context.currentTime + (second * 1000 - Stamp.now()) / 1000;

                gain.setValueAtTime(amplitude, start);
                gain.setValueAtTime(0, start + 0.1);
                scheduled = second;
            }
        }, 100);
    }

    function startAudio() {
        const context = new AudioContext({ sampleRate: 48000 });
        const oscillator = new OscillatorNode(context, { frequency: toneHz });
        const gain = new GainNode(context, { gain: amplitude });
        const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });

        bursts && gate(context, gain.gain);
        oscillator.connect(gain).connect(destination);
        oscillator.start();

        return destination.stream.getAudioTracks()[0];
    }

    navigator.mediaDevices.getUserMedia = async constraints => {
        const stream = new MediaStream();

        if (constraints.video) {
            video ??= startVideo();
            stream.addTrack(video.clone());
        }
        if (constraints.audio) {
            audio ??= startAudio();
            stream.addTrack(audio.clone());
        }

        return stream;
    };
})();
