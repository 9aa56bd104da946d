#include "adapter_state.h"

#define ASKED_MAX 512 /* packets that one compound may ask for */

/* PJMEDIA refuses while the last keyframe is too young: asked again with each packet, until it agrees. */
void feedback_try_keyframe(struct adapter *adapter) {
    if (adapter->keyframe_wanted && adapter->above.stream &&
        pjmedia_vid_stream_send_keyframe(adapter->above.stream) == PJ_SUCCESS)
        adapter->keyframe_wanted = 0;
}

static void send_again(struct adapter *adapter, const uint16_t *sequences, unsigned count) {
    uint32_t known = adapter_rtt_us(adapter);
    uint64_t now = adapter_now_us();
    unsigned n;

    adapter->asked += count;
    for (n = 0; n < count && adapter->ordering; ++n) {
        const struct resend_slot *slot =
            resend_want(adapter->resend, sequences[n], now, known ? known : UNKNOWN_RTT_US / 2);

        if (slot && pjmedia_transport_send_rtp(adapter->below, slot->packet, slot->size) == PJ_SUCCESS)
            ++adapter->resent;
    }
}

static void take_report(struct adapter *adapter, const struct rtcp_report *report) {
    unsigned n;

    ++adapter->reception_reports;
    adapter->loss_256 = report->fraction_lost;
    for (n = 0; n < REPORTS_KEPT && report->last_sr; ++n) {
        const struct sent_report *sent = &adapter->reports[n];
        uint64_t delay_us = (uint64_t)report->delay * 15625 / 1024; /* 1/65536 s */

        if (sent->at_us && sent->ntp == report->last_sr && adapter_now_us() > sent->at_us + delay_us)
            adapter_smooth_rtt(&adapter->reported_rtt_us, adapter_now_us() - sent->at_us - delay_us);
    }
}

static void take_fir(struct adapter *adapter, const struct rtcp_fir *fir) {
    /* Repeated until a keyframe comes (RFC 5104 section 4.3.1.2): the same number is the same request. */
    if (adapter->fir_seen && adapter->fir.sender == fir->sender && adapter->fir.sequence == fir->sequence)
        return;
    adapter->fir = *fir;
    adapter->fir_seen = 1;
    ++adapter->firs;
    adapter->keyframe_wanted = 1;
    feedback_try_keyframe(adapter);
}

static void take_limit(struct adapter *adapter, uint32_t owner, const struct rtcp_limit *limit) {
    uint8_t answer[RTCP_WRITE_MAX];
    size_t size = rtcp_write_tmmbn(answer, sizeof(answer), &adapter->head, owner, limit);

    adapter->limit_bps = (int64_t)limit->bps;
    adapter->limit_overhead = limit->overhead;
    pjmedia_transport_send_rtcp(adapter->below, answer, size);
}

void feedback_take(struct adapter *adapter, const uint8_t *packet, size_t size) {
    uint16_t sequences[ASKED_MAX];
    struct rtcp_part part;
    uint32_t source;
    unsigned asked = 0;

    pj_grp_lock_acquire(adapter->base.grp_lock);
    source = adapter->head.source;
    while (rtcp_next(&packet, &size, &part)) {
        struct rtcp_report report;
        struct rtcp_fir fir;
        struct rtcp_limit limit;

        if (rtcp_find_report(&part, source, &report))
            take_report(adapter, &report);
        else if (rtcp_find_fir(&part, source, &fir))
            take_fir(adapter, &fir);
        else if (rtcp_find_limit(&part, source, &limit))
            take_limit(adapter, rtcp_get32(part.data + 4), &limit);
        else if (part.type == RTCP_PSFB && part.count == PSFB_PLI)
            ++adapter->plis; /* The stream above answers it. */
        else
            asked += rtcp_nacked(&part, source, sequences + asked, ASKED_MAX - asked);
    }
    if (asked)
        send_again(adapter, sequences, asked);
    pj_grp_lock_release(adapter->base.grp_lock);
}
