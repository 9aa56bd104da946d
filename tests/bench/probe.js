/**
 * The bench's eyes and brush in the gateway's own Chrome: covers the page with a stamped moving picture, 30 a second, and
 * reads the stamps off the camera track that the page opens. Runs before the page's scripts, after stamp.js.
 */
'use strict';

(() => {
    const WIDTH = 1280;
    const HEIGHT = 720;
    const PERIOD_MS = 1000 / 30;
    const seen = [];

    async function readStamp(frame) {
        const { x, y, width, height } = frame.visibleRect;
        const lines = [];

        for (const row of Stamp.middleRows(height)) {
            const rect = { x, y: y + row, width, height: 2 };
            const buffer = new Uint8Array(frame.allocationSize({ rect }));

            await frame.copyTo(buffer, { rect });
            lines.push(buffer);
        }

        return Stamp.readLines(lines, width);
    }

    async function follow(track) {
        const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 2 }).readable.getReader();

        for (;;) {
            const { value: frame, done } = await reader.read();
            const at = Stamp.now();

            if (done) {
                return;
            }
            const stamp = await readStamp(frame);

            frame.close();
            seen.push([ stamp ? stamp.counter : null, at ]);
        }
    }

    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);

    navigator.mediaDevices.getUserMedia = async constraints => {
        const stream = await open(constraints);

        stream.getVideoTracks().forEach(track => follow(track.clone()));

        return stream;
    };

    setInterval(() => {
        seen.length && fetch('/bench/seen', { method: 'POST', body: JSON.stringify(seen.splice(0)) });
    }, 500);

    function drawStamp(pen, counter) {
        Stamp.encode(counter, Stamp.now()).forEach((byte, index) => {
            for (let bit = 0; bit < 8; bit++) {
                pen.fillStyle = byte >> (7 - bit) & 1 ? '#fff' : '#000';
                pen.fillRect((index % 2 * 8 + bit) * WIDTH / 16, (index >> 1) * HEIGHT / 8, WIDTH / 16, HEIGHT / 8);
            }
        });
    }

    /** A picture twice as wide as the screen, soft with some grain, whose parts are shown in turn. */
    function scenery() {
        const picture = new OffscreenCanvas(2 * WIDTH, HEIGHT / 2);
        const pen = picture.getContext('2d');
        const data = pen.createImageData(2 * WIDTH, HEIGHT / 2);

        for (let at = 0; at < data.data.length; at += 4) {
            const x = at / 4 % (2 * WIDTH);
            const y = at / 8 / WIDTH;
            const level = 120 + 40 * Math.sin(x / 90) + 30 * Math.sin(y / 23) + 6 * Math.random();

            data.data.set([ level, level * 0.9, level * 0.8, 255 ], at);
        }
        pen.putImageData(data, 0, 0);

        return picture;
    }

    document.addEventListener('DOMContentLoaded', () => {
        const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
        const pen = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
        const picture = scenery();
        let counter = 0;
        let due = 0;

        canvas.style = 'position: fixed; inset: 0; z-index: 2147483647';
        document.body.append(canvas);
        const paint = now => {
            requestAnimationFrame(paint);
            if (now < due) {
                return;
            }
            // Half a screen period of grace, so that each second one is taken.
            due = Math.max(due + PERIOD_MS, now + PERIOD_MS - 8);
            pen.drawImage(picture, counter * 2 % WIDTH, 0, WIDTH, HEIGHT / 2, 0, HEIGHT / 2, WIDTH, HEIGHT / 2);
            drawStamp(pen, counter++ & 0xffff);
        };

        requestAnimationFrame(paint);
    });
})();
