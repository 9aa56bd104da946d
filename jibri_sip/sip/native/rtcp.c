#include "rtcp.h"

#include <string.h>

enum {
    VERSION = 0x80,
    HEADER = 8,    /* common header and the sender's SSRC */
    FEEDBACK = 12, /* and the media source's */
    SENDER_INFO = 20,
    BLOCK = 24,
    CNAME = 1,
};

uint16_t rtcp_get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

uint32_t rtcp_get32(const uint8_t *at) { return (uint32_t)rtcp_get16(at) << 16 | rtcp_get16(at + 2); }

static uint8_t *put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value) { return put16(put16(at, value >> 16), value & 0xFFFF); }

int rtcp_next(const uint8_t **at, size_t *left, struct rtcp_part *part) {
    size_t size;

    if (*left < HEADER || ((*at)[0] & 0xC0) != VERSION)
        return 0;
    size = ((size_t)rtcp_get16(*at + 2) + 1) * 4;
    if (size < HEADER || size > *left)
        return 0;
    part->type = (*at)[1];
    part->count = (*at)[0] & 0x1F;
    part->data = *at;
    part->size = size;
    *at += size;
    *left -= size;
    return 1;
}

int rtcp_find_report(const struct rtcp_part *part, uint32_t source, struct rtcp_report *report) {
    const uint8_t *block = part->data + HEADER, *end = part->data + part->size;
    unsigned n;

    if (part->type == RTCP_SR)
        block += SENDER_INFO;
    else if (part->type != RTCP_RR)
        return 0;
    for (n = 0; n < part->count && block + BLOCK <= end; ++n, block += BLOCK) {
        if (rtcp_get32(block) != source)
            continue;
        report->fraction_lost = block[4];
        report->last_sr = rtcp_get32(block + 16);
        report->delay = rtcp_get32(block + 20);
        return 1;
    }
    return 0;
}

static int is_feedback(const struct rtcp_part *part, uint8_t type, uint8_t kind) {
    return part->type == type && part->count == kind && part->size > FEEDBACK;
}

unsigned rtcp_nacked(const struct rtcp_part *part, uint32_t source, uint16_t *sequences, unsigned max) {
    const uint8_t *at, *end = part->data + part->size;
    unsigned found = 0, bit;

    if (!is_feedback(part, RTCP_RTPFB, RTPFB_NACK) || rtcp_get32(part->data + HEADER) != source)
        return 0;
    for (at = part->data + FEEDBACK; at + 4 <= end && found < max; at += 4) {
        uint16_t first = rtcp_get16(at), more = rtcp_get16(at + 2);

        sequences[found++] = first;
        for (bit = 0; bit < 16 && found < max; ++bit)
            if (more >> bit & 1)
                sequences[found++] = (uint16_t)(first + 1 + bit);
    }
    return found;
}

/* The entry of a feedback packet that is for `source`, `size` bytes; NULL for none. */
static const uint8_t *entry_for(const struct rtcp_part *part, uint32_t source, size_t size) {
    const uint8_t *at, *end = part->data + part->size;

    for (at = part->data + FEEDBACK; at + size <= end; at += size)
        if (rtcp_get32(at) == source)
            return at;
    return NULL;
}

int rtcp_find_fir(const struct rtcp_part *part, uint32_t source, struct rtcp_fir *fir) {
    const uint8_t *entry = is_feedback(part, RTCP_PSFB, PSFB_FIR) ? entry_for(part, source, 8) : NULL;

    if (!entry)
        return 0;
    fir->sender = rtcp_get32(part->data + 4);
    fir->sequence = entry[4];
    return 1;
}

int rtcp_find_limit(const struct rtcp_part *part, uint32_t source, struct rtcp_limit *limit) {
    const uint8_t *entry = is_feedback(part, RTCP_RTPFB, RTPFB_TMMBR) ? entry_for(part, source, 8) : NULL;
    uint32_t value;

    if (!entry)
        return 0;
    /* Exponent 6 bits, mantissa 17, overhead 9 (RFC 5104 section 4.2.1.1). */
    value = rtcp_get32(entry + 4);
    limit->overhead = value & 0x1FF;
    limit->bps = value >> 9 & 0x1FFFF;
    /* Beyond that it is no limit, and would not fit. */
    limit->bps <<= value >> 26 > 40 ? 40 : value >> 26;
    return 1;
}

size_t rtcp_without_nacks(const uint8_t *from, size_t size, uint8_t *to) {
    struct rtcp_part part;
    uint8_t *end = to;

    while (rtcp_next(&from, &size, &part)) {
        if (part.type == RTCP_RTPFB && part.count == RTPFB_NACK)
            continue;
        memmove(end, part.data, part.size);
        end += part.size;
    }
    memmove(end, from, size);
    return (size_t)(end + size - to);
}

void rtcp_read_head(const uint8_t *compound, size_t size, struct rtcp_head *head) {
    struct rtcp_part part;

    while (rtcp_next(&compound, &size, &part)) {
        if (part.type == RTCP_SR || part.type == RTCP_RR)
            head->source = rtcp_get32(part.data + 4);
        /* The first item of ours is the CNAME. */
        if (part.type == RTCP_SDES && part.size > HEADER + 2 && part.data[HEADER] == CNAME) {
            size_t length = part.data[HEADER + 1];

            if (length <= sizeof(head->cname) && HEADER + 2 + length <= part.size) {
                head->cname_size = (uint8_t)length;
                memcpy(head->cname, part.data + HEADER + 2, length);
            }
        }
    }
}

static uint8_t *begin(uint8_t *at, unsigned count, unsigned type, size_t size) {
    *at++ = (uint8_t)(VERSION | count);
    *at++ = (uint8_t)type;
    return put16(at, (unsigned)(size / 4 - 1));
}

static size_t head_size(const struct rtcp_head *head) {
    /* The items end with one to four zeros, up to the next word. */
    return HEADER + (head->cname_size ? HEADER + (2u + head->cname_size) / 4 * 4 + 4 : 0);
}

static uint8_t *write_head(uint8_t *at, const struct rtcp_head *head) {
    size_t size = head_size(head) - HEADER;

    at = put32(begin(at, 0, RTCP_RR, HEADER), head->source);
    if (!size)
        return at;
    memset(at, 0, size);
    put32(begin(at, 1, RTCP_SDES, size), head->source);
    at[HEADER] = CNAME;
    at[HEADER + 1] = head->cname_size;
    memcpy(at + HEADER + 2, head->cname, head->cname_size);
    return at + size;
}

size_t rtcp_write_nack(uint8_t *to, size_t room, const struct rtcp_head *head, uint32_t media,
                       const uint16_t *sequences, unsigned count) {
    uint8_t entries[RTCP_NACKS_MAX * 4], *end = entries, *at;
    unsigned n;
    size_t size;

    if (!count || count > RTCP_NACKS_MAX)
        return 0;
    for (n = 0; n < count;) {
        uint16_t first = sequences[n++], more = 0;

        for (; n < count && (uint16_t)(sequences[n] - first - 1) < 16; ++n)
            more |= (uint16_t)(1u << (uint16_t)(sequences[n] - first - 1));
        end = put16(put16(end, first), more);
    }
    size = FEEDBACK + (size_t)(end - entries);
    if (head_size(head) + size > room)
        return 0;
    at = begin(write_head(to, head), RTPFB_NACK, RTCP_RTPFB, size);
    at = put32(put32(at, head->source), media);
    memcpy(at, entries, (size_t)(end - entries));
    return head_size(head) + size;
}

size_t rtcp_write_tmmbn(uint8_t *to, size_t room, const struct rtcp_head *head, uint32_t owner,
                        const struct rtcp_limit *limit) {
    uint64_t mantissa = limit->bps;
    uint32_t exponent = 0;
    uint8_t *at;

    if (head_size(head) + FEEDBACK + 8 > room)
        return 0;
    for (; mantissa > 0x1FFFF; mantissa >>= 1)
        ++exponent;
    at = begin(write_head(to, head), RTPFB_TMMBN, RTCP_RTPFB, FEEDBACK + 8);
    /* No media source (RFC 5104 section 4.2.2.2). */
    at = put32(put32(put32(at, head->source), 0), owner);
    put32(at, exponent << 26 | (uint32_t)mantissa << 9 | limit->overhead);
    return head_size(head) + FEEDBACK + 8;
}
