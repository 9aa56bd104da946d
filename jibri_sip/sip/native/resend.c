#include "resend.h"

#include <string.h>

#include "rtcp.h"

static struct resend_slot *slot_of(struct resend *resend, uint16_t sequence) {
    return &resend->slots[sequence % RESEND_SLOTS];
}

void resend_reset(struct resend *resend) {
    unsigned n;

    for (n = 0; n < RESEND_SLOTS; ++n)
        resend->slots[n].size = 0;
    resend->allowance = RESEND_BURST;
}

void resend_keep(struct resend *resend, const void *packet, size_t size) {
    uint16_t sequence = rtcp_get16((const uint8_t *)packet + 2);
    struct resend_slot *slot = slot_of(resend, sequence);

    slot->size = 0;
    if (size > RESEND_LARGEST)
        return;
    memcpy(slot->packet, packet, size);
    slot->sequence = sequence;
    slot->size = (uint16_t)size;
    slot->resent_us = 0;
    resend->allowance += (uint32_t)size / RESEND_SHARE;
    if (resend->allowance > RESEND_BURST)
        resend->allowance = RESEND_BURST;
}

const struct resend_slot *resend_want(struct resend *resend, uint16_t sequence, uint64_t now_us, uint64_t rtt_us) {
    struct resend_slot *slot = slot_of(resend, sequence);

    if (!slot->size || slot->sequence != sequence || slot->size > resend->allowance)
        return NULL;
    if (slot->resent_us && now_us - slot->resent_us < rtt_us)
        return NULL;
    slot->resent_us = now_us;
    resend->allowance -= slot->size;
    return slot;
}
