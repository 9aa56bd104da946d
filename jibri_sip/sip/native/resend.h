/* The packets that were sent last, to be sent again when the peer asks for them (RFC 4585 section 6.2.1). */
#ifndef JIBRI_SIP_RESEND_H
#define JIBRI_SIP_RESEND_H

#include <stddef.h>
#include <stdint.h>

#define RESEND_SLOTS 512 /* a power of two; two seconds of a fast stream */
#define RESEND_LARGEST 1500
#define RESEND_SHARE 2     /* one byte may be sent again for so many that were sent */
#define RESEND_BURST 98304 /* bytes that may be sent again at once: 300 ms of 2.5 Mbit/s */

struct resend_slot {
    uint64_t resent_us; /* 0 for never */
    uint16_t sequence;
    uint16_t size; /* 0 for none */
    uint8_t packet[RESEND_LARGEST];
};

struct resend {
    struct resend_slot slots[RESEND_SLOTS];
    uint32_t allowance; /* bytes */
};

/* Begins with nothing kept, and the allowance of a full burst. */
void resend_reset(struct resend *resend);

/* Keeps an RTP packet that was sent. */
void resend_keep(struct resend *resend, const void *packet, size_t size);

/* The packet to send again now, and no sooner than `rtt_us` later once more.
 * NULL if it is not kept, was just sent again, or would cost more than its share. */
const struct resend_slot *resend_want(struct resend *resend, uint16_t sequence, uint64_t now_us, uint64_t rtt_us);

#endif
