#include "reorder.h"

#include <string.h>

#include "rtcp.h"

static struct reorder_slot *slot_of(struct reorder *reorder, uint16_t sequence) {
    return &reorder->slots[sequence % REORDER_SLOTS];
}

/* How far `sequence` is ahead of `of`; negative if behind. */
static int ahead(uint16_t sequence, uint16_t of) { return (int16_t)(uint16_t)(sequence - of); }

void reorder_reset(struct reorder *reorder) {
    reorder->started = 0;
    reorder->next = 0;
    reorder->newest = (uint16_t)-1;
}

int reorder_is_empty(const struct reorder *reorder) { return (uint16_t)(reorder->newest + 1) == reorder->next; }

static void miss(struct reorder *reorder, uint16_t sequence, uint64_t now_us) {
    struct reorder_slot *slot = slot_of(reorder, sequence);

    slot->size = 0;
    slot->tries = 0;
    slot->since_us = now_us;
    ++reorder->missed;
}

/* A packet that was missing, or in order, is here. */
static void arrive(struct reorder *reorder, const struct reorder_slot *slot, uint64_t now_us, uint64_t *round_trip_us) {
    if (!slot->tries)
        return;
    ++reorder->recovered;
    /* Asked for twice, nobody knows which of the two was answered. And a machine that stood still for a moment makes an
     * answer late: by that, nothing would be asked for any more, and no answer would tell of better. Round trips as
     * long are learned from reports, which keep coming. */
    if (slot->tries == 1 && now_us - slot->asked_us < REORDER_HOLD_MAX_US)
        *round_trip_us = now_us - slot->asked_us;
}

static void hold(struct reorder *reorder, uint16_t sequence, const uint8_t *packet, size_t size) {
    struct reorder_slot *slot = slot_of(reorder, sequence);

    memcpy(slot->packet, packet, size);
    slot->size = (uint16_t)size;
}

static enum reorder_verdict put_behind(struct reorder *reorder, uint16_t sequence, const uint8_t *packet, size_t size,
                                       uint64_t now_us, uint64_t *round_trip_us) {
    uint16_t lost;

    if (ahead(sequence, reorder->newest) <= 0) {
        struct reorder_slot *slot = slot_of(reorder, sequence);

        if (slot->size)
            return REORDER_DROP;
        arrive(reorder, slot, now_us, round_trip_us);
        hold(reorder, sequence, packet, size);
        return REORDER_HELD;
    }
    if (ahead(sequence, reorder->newest) > REORDER_GAP_MAX || ahead(sequence, reorder->next) >= REORDER_SLOTS)
        return REORDER_RESTART;
    for (lost = (uint16_t)(reorder->newest + 1); lost != sequence; ++lost)
        miss(reorder, lost, now_us);
    hold(reorder, sequence, packet, size);
    reorder->newest = sequence;
    return REORDER_HELD;
}

enum reorder_verdict reorder_put(struct reorder *reorder, const uint8_t *packet, size_t size, uint64_t now_us,
                                 uint64_t *round_trip_us) {
    uint16_t sequence = rtcp_get16(packet + 2);
    uint32_t source = rtcp_get32(packet + 8);
    int distance = ahead(sequence, reorder->next);

    *round_trip_us = 0;
    if (size > REORDER_LARGEST)
        return REORDER_PASS;
    if (reorder->started && (source != reorder->source || distance < -2 * REORDER_SLOTS))
        return REORDER_RESTART;
    if (!reorder->started) {
        reorder->started = 1;
        reorder->source = source;
        reorder->next = sequence;
        reorder->newest = (uint16_t)(sequence - 1);
        distance = 0;
    }
    if (distance < 0)
        return REORDER_PASS; /* Too late, or a second time: the stream above knows what to do. */
    if (distance > 0)
        return put_behind(reorder, sequence, packet, size, now_us, round_trip_us);
    if (reorder_is_empty(reorder))
        reorder->newest = sequence;
    else
        arrive(reorder, slot_of(reorder, sequence), now_us, round_trip_us);
    ++reorder->next;
    return REORDER_PASS;
}

static int is_overdue(const struct reorder_slot *slot, uint64_t now_us, const struct reorder_times *times) {
    return now_us - slot->since_us >= times->hold_us;
}

const struct reorder_slot *reorder_take(struct reorder *reorder, uint64_t now_us, const struct reorder_times *times) {
    while (!reorder_is_empty(reorder)) {
        const struct reorder_slot *slot = slot_of(reorder, reorder->next);

        if (!slot->size && !is_overdue(slot, now_us, times))
            return NULL;
        ++reorder->next;
        if (slot->size)
            return slot;
        ++reorder->given_up;
    }
    return NULL;
}

const struct reorder_slot *reorder_flush(struct reorder *reorder) {
    static const struct reorder_times at_once = {0, 0};
    const struct reorder_slot *slot = reorder_take(reorder, UINT64_MAX, &at_once);

    if (!slot)
        reorder->started = 0;
    return slot;
}

/* When a missing packet is to be asked for; UINT64_MAX for no more. */
static uint64_t ask_at(const struct reorder_slot *slot, uint64_t now_us, const struct reorder_times *times) {
    if (slot->size || slot->tries >= REORDER_TRIES || is_overdue(slot, now_us, times))
        return UINT64_MAX;
    return slot->tries ? slot->asked_us + times->again_us : slot->since_us;
}

unsigned reorder_ask(struct reorder *reorder, uint64_t now_us, const struct reorder_times *times, uint16_t *sequences,
                     unsigned max) {
    unsigned count = 0;
    uint16_t at;

    if (reorder_is_empty(reorder))
        return 0;
    for (at = reorder->next; ahead(at, reorder->newest) < 0 && count < max; ++at) {
        struct reorder_slot *slot = slot_of(reorder, at);

        if (ask_at(slot, now_us, times) > now_us)
            continue;
        slot->asked_us = now_us;
        ++slot->tries;
        sequences[count++] = at;
    }
    reorder->asked += count;
    return count;
}

uint64_t reorder_due(const struct reorder *reorder, uint64_t now_us, const struct reorder_times *times) {
    uint64_t due = UINT64_MAX;
    uint16_t at;

    if (reorder_is_empty(reorder))
        return UINT64_MAX;
    for (at = reorder->next; ahead(at, reorder->newest) < 0; ++at) {
        uint64_t ask_us = ask_at(&reorder->slots[at % REORDER_SLOTS], now_us, times);

        if (ask_us < due)
            due = ask_us;
    }
    return due;
}
