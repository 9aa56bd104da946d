/*
 * Received packets put into order: what comes in order passes at once; what comes behind a gap waits until the missing
 * packets have been sent again, or their time is up. Sequence numbers may wrap (RFC 3550 section 5.1).
 *
 *   next ... newest   is the window: packets that are missing or held. It is empty as long as all is well, and
 *                     begins with a missing one otherwise.
 */
#ifndef JIBRI_SIP_REORDER_H
#define JIBRI_SIP_REORDER_H

#include <stddef.h>
#include <stdint.h>

#define REORDER_SLOTS 512 /* a power of two */
#define REORDER_LARGEST 1500
#define REORDER_GAP_MAX 128        /* packets; after a wider gap only a new picture helps */
#define REORDER_TRIES 4            /* how often a packet is asked for at most */
#define REORDER_HOLD_MAX_US 300000 /* nobody waits longer for a picture; with a longer round trip nothing is held */

/* How patient to be. */
struct reorder_times {
    uint64_t again_us; /* ask again after this */
    uint64_t hold_us;  /* give up after this */
};

enum reorder_verdict {
    REORDER_PASS,    /* hand it on, then what reorder_take gives */
    REORDER_HELD,    /* it was copied and waits */
    REORDER_DROP,    /* it is here already */
    REORDER_RESTART, /* hand on all that reorder_flush gives, and put it again */
};

struct reorder_slot {
    _Alignas(4) uint8_t packet[REORDER_LARGEST];
    uint16_t size; /* 0: missing */
    uint8_t tries;
    uint64_t since_us; /* missing for so long */
    uint64_t asked_us;
};

struct reorder {
    struct reorder_slot slots[REORDER_SLOTS];
    int started;
    uint32_t source;
    uint16_t next;   /* to hand on */
    uint16_t newest; /* next - 1 when the window is empty */
    /* Counters; reorder_reset leaves them. */
    uint32_t missed, asked, recovered, given_up;
};

/* Begins anew, with nothing held; what was all zeros is a valid struct reorder after it. */
void reorder_reset(struct reorder *reorder);

/* Whether nothing is held or missing. */
int reorder_is_empty(const struct reorder *reorder);

/* Judges a packet (at least 12 bytes) that came. `round_trip_us` is set to the time since it was asked for, if it was
 * asked for once, and less than REORDER_HOLD_MAX_US ago; else to 0. */
enum reorder_verdict reorder_put(struct reorder *reorder, const uint8_t *packet, size_t size, uint64_t now_us,
                                 uint64_t *round_trip_us);

/* The next packet to hand on, valid until the next reorder_put; NULL if there is none yet. */
const struct reorder_slot *reorder_take(struct reorder *reorder, uint64_t now_us, const struct reorder_times *times);

/* The same without waiting for anything; NULL once the window is empty. */
const struct reorder_slot *reorder_flush(struct reorder *reorder);

/* What to ask for now, ascending; returns how many, at most `max`. */
unsigned reorder_ask(struct reorder *reorder, uint64_t now_us, const struct reorder_times *times, uint16_t *sequences,
                     unsigned max);

/* When to call reorder_ask next; UINT64_MAX for not before the next packet. */
uint64_t reorder_due(const struct reorder *reorder, uint64_t now_us, const struct reorder_times *times);

#endif
