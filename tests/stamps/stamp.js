/**
 * Frame stamps and tones in JavaScript: the format of stamp.py. A classic script that sets `Stamp`,
 * so that it can be injected before a page's own scripts.
 *
 * The upper half of a picture holds 16 columns by 4 rows of blocks, row by row, most significant bit first, white is 1:
 * a 16-bit frame counter, 40 bits of epoch milliseconds, the sum of those seven bytes modulo 256.
 */
'use strict';

globalThis.Stamp = (() => {
    const COLUMNS = 16;
    const ROWS = 4;
    const WHITE = 235;
    const BLACK = 16;
    const THRESHOLD = (WHITE + BLACK) / 2;
    const TIME_MODULUS = 2 ** 40;

    const checksum = bytes => bytes.slice(0, 7).reduce((sum, byte) => sum + byte, 0) % 256;

    /** Epoch milliseconds, with the fraction that Date.now() lacks. */
    const now = () => performance.timeOrigin + performance.now();

    /** The 8 bytes of a stamp. */
    function encode(counter, sentMs) {
        const time = Math.floor(sentMs) % TIME_MODULUS;
        const bytes = [ counter >> 8 & 255, counter & 255 ];

        for (let power = 4; power >= 0; power--) {
            bytes.push(Math.floor(time / 256 ** power) % 256);
        }
        bytes.push(checksum(bytes));

        return bytes;
    }

    /** {counter, sentMs} of 8 bytes, or null if the checksum is wrong (or all is black, which no stamp is). */
    function decode(bytes) {
        const sentMs = bytes.slice(2, 7).reduce((time, byte) => time * 256 + byte, 0);

        return checksum(bytes) === bytes[7] && sentMs ? { counter: bytes[0] * 256 + bytes[1], sentMs } : null;
    }

    /** Draw a stamp into the upper half of a luma plane of width x height bytes. */
    function draw(luma, width, height, counter, sentMs) {
        const bytes = encode(counter, sentMs);
        const half = Math.floor(height / 2);

        for (let row = 0; row < ROWS; row++) {
            const top = Math.floor(row * half / ROWS);
            const bottom = Math.floor((row + 1) * half / ROWS);
            const start = top * width;

            for (let column = 0; column < COLUMNS; column++) {
                const bit = bytes[row * 2 + (column >> 3)] >> (7 - column % 8) & 1;

                luma.fill(bit ? WHITE : BLACK, start + Math.floor(column * width / COLUMNS),
                    start + Math.floor((column + 1) * width / COLUMNS));
            }
            for (let y = top + 1; y < bottom; y++) {
                luma.copyWithin(y * width, start, start + width);
            }
        }
    }

    /** The luma rows in the middle of the four rows of blocks, in a picture of this height; even, as 4:2:0 wants. */
    const middleRows = height => Array.from({ length: ROWS }, (_, row) => {
        const y = Math.floor((2 * row + 1) * height / (4 * ROWS));

        return y - y % 2;
    });

    /** Read a stamp from one line of luma per row of blocks, each `width` bytes. */
    function readLines(lines, width) {
        const bytes = Array(8).fill(0);

        lines.forEach((line, row) => {
            for (let column = 0; column < COLUMNS; column++) {
                const x = Math.floor((2 * column + 1) * width / (2 * COLUMNS));
                const sum = line[x - 2] + line[x - 1] + line[x] + line[x + 1];

                bytes[row * 2 + (column >> 3)] |= (sum > 4 * THRESHOLD) << (7 - column % 8);
            }
        });

        return decode(bytes);
    }

    /** Milliseconds since a stamp was sent; negative when this clock is behind the sender's. */
    function age(stamp, nowMs) {
        const half = TIME_MODULUS / 2;
        const shifted = (nowMs - stamp.sentMs + half) % TIME_MODULUS;

        return shifted - half;
    }

    /** Amplitude (0 to 1) of the tone `hz` in float samples at `rate` per second: Goertzel's algorithm. */
    function toneLevel(samples, hz, rate) {
        const coefficient = 2 * Math.cos(2 * Math.PI * hz / rate);
        let last = 0;
        let before = 0;

        for (const sample of samples) {
            [ last, before ] = [ sample + coefficient * last - before, last ];
        }
        const power = last * last + before * before - coefficient * last * before;

        return 2 * Math.sqrt(Math.max(0, power)) / samples.length;
    }

    return { encode, decode, draw, middleRows, readLines, age, now, toneLevel };
})();
