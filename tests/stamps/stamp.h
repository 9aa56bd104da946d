/*
 * Frame stamps in C: the format of stamp.py, on a luma plane.
 *
 * The upper half of the picture holds 16 columns by 4 rows of blocks, row by row, most significant
 * bit first, white is 1: a 16-bit frame counter, 40 bits of epoch milliseconds (CLOCK_REALTIME
 * modulo 2^40), and the sum of those seven bytes modulo 256.
 */
#ifndef STAMP_H
#define STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define STAMP_COLUMNS 16
#define STAMP_ROWS 4
#define STAMP_WHITE 235
#define STAMP_BLACK 16
#define STAMP_TIME_MASK ((UINT64_C(1) << 40) - 1)

/* Milliseconds of CLOCK_REALTIME, not reduced. */
static inline uint64_t stamp_now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline uint8_t stamp_checksum(uint64_t bits) {
    unsigned sum = 0;
    int shift;

    for (shift = 56; shift >= 8; shift -= 8)
        sum += (unsigned)(bits >> shift) & 0xff;
    return (uint8_t)sum;
}

/* Draw a stamp into a luma plane of `height` rows of `stride` bytes. */
static inline void stamp_draw(uint8_t *luma, int stride, int width, int height, uint16_t counter, uint64_t now_ms) {
    uint64_t bits = (uint64_t)counter << 48 | (now_ms & STAMP_TIME_MASK) << 8;
    int half = height / 2;
    int row, column, y;

    bits |= stamp_checksum(bits);
    for (row = 0; row < STAMP_ROWS; ++row) {
        int top = row * half / STAMP_ROWS;
        int bottom = (row + 1) * half / STAMP_ROWS;
        uint8_t *first = luma + (size_t)top * (size_t)stride;

        for (column = 0; column < STAMP_COLUMNS; ++column) {
            int left = column * width / STAMP_COLUMNS;
            int right = (column + 1) * width / STAMP_COLUMNS;
            bool bit = bits >> (63 - row * STAMP_COLUMNS - column) & 1;

            memset(first + left, bit ? STAMP_WHITE : STAMP_BLACK, (size_t)(right - left));
        }
        for (y = top + 1; y < bottom; ++y)
            memcpy(luma + (size_t)y * (size_t)stride, first, (size_t)width);
    }
}

/*
 * Read the stamp of the active picture, whose top left pixel is at `luma`.
 * Returns false if there is none or a damaged one; the outputs are set only on success.
 */
static inline bool stamp_read(const uint8_t *luma, int stride, int width, int height, uint16_t *counter,
                              uint64_t *sent_ms) {
    const int threshold = 4 * ((STAMP_WHITE + STAMP_BLACK) / 2);
    uint64_t bits = 0;
    int row, column;

    for (row = 0; row < STAMP_ROWS; ++row) {
        int y = (2 * row + 1) * height / (4 * STAMP_ROWS);

        for (column = 0; column < STAMP_COLUMNS; ++column) {
            int x = (2 * column + 1) * width / (2 * STAMP_COLUMNS);
            const uint8_t *above = luma + (ptrdiff_t)(y - 1) * stride + x;
            const uint8_t *below = luma + (ptrdiff_t)(y + 1) * stride + x;

            bits = bits << 1 | (above[-1] + above[1] + below[-1] + below[1] > threshold);
        }
    }
    /* An all-black picture has a valid checksum: no stamp is ever of time 0. */
    if (stamp_checksum(bits) != (bits & 0xff) || (bits >> 8 & STAMP_TIME_MASK) == 0)
        return false;
    *counter = (uint16_t)(bits >> 48);
    *sent_ms = bits >> 8 & STAMP_TIME_MASK;
    return true;
}

/* Milliseconds from sending to `now_ms`; negative when the reader's clock is behind. */
static inline int64_t stamp_age_ms(uint64_t sent_ms, uint64_t now_ms) {
    uint64_t age = (now_ms - sent_ms) & STAMP_TIME_MASK;

    return age > STAMP_TIME_MASK / 2 ? (int64_t)age - (int64_t)STAMP_TIME_MASK - 1 : (int64_t)age;
}

#endif
