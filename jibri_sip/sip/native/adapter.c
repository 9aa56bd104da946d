#include "adapter.h"

#include <stdlib.h>
#include <time.h>

#include "adapter_state.h"

#define RTP_HEADER 12

uint64_t adapter_now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void adapter_smooth_rtt(_Atomic uint32_t *value, uint64_t sample_us) {
    uint32_t old = *value;

    if (sample_us > 0 && sample_us < 10000000)
        *value = old ? (uint32_t)((old * 3ull + sample_us) / 4) : (uint32_t)sample_us;
}

uint32_t adapter_rtt_us(const struct adapter *adapter) {
    uint32_t reported = adapter->reported_rtt_us, answered = adapter->answered_rtt_us;

    /* A packet that was late, not lost, looks like a fast answer. */
    return reported > answered ? reported : answered;
}

/* To the peer ---------------------------------------------------------------------------------------------------- */

static pj_status_t send_rtp(pjmedia_transport *base, const void *packet, pj_size_t size) {
    struct adapter *adapter = (struct adapter *)base;
    pj_status_t status;

    ++adapter->sent;
    feedback_try_keyframe(adapter);
    if (size < RTP_HEADER)
        return pjmedia_transport_send_rtp(adapter->below, packet, size);
    /* What is sent again must not come between: transports are made for one sender. */
    pj_grp_lock_acquire(base->grp_lock);
    adapter->head.source = rtcp_get32((const uint8_t *)packet + 8);
    if (adapter->ordering)
        resend_keep(adapter->resend, packet, size);
    status = pjmedia_transport_send_rtp(adapter->below, packet, size);
    pj_grp_lock_release(base->grp_lock);
    return status;
}

static void note_sent_rtcp(struct adapter *adapter, const uint8_t *packet, size_t size) {
    struct rtcp_part part;

    rtcp_read_head(packet, size, &adapter->head);
    while (rtcp_next(&packet, &size, &part)) {
        struct sent_report *report = &adapter->reports[adapter->report_count % REPORTS_KEPT];

        if (part.type != RTCP_SR || part.size < 28)
            continue;
        report->ntp = rtcp_get32(part.data + 10);
        report->at_us = adapter_now_us();
        ++adapter->report_count;
    }
}

static pj_status_t send_rtcp2(pjmedia_transport *base, const pj_sockaddr_t *address, unsigned address_size,
                              const void *packet, pj_size_t size) {
    struct adapter *adapter = (struct adapter *)base;
    uint8_t rest[PJMEDIA_MAX_MTU];
    pj_status_t status;

    pj_grp_lock_acquire(base->grp_lock);
    note_sent_rtcp(adapter, packet, size);
    if (adapter->ordering && size <= sizeof(rest)) {
        /* The stream asks for the last gap only, and for what was given up here. */
        size = rtcp_without_nacks(packet, size, rest);
        packet = rest;
    }
    status = pjmedia_transport_send_rtcp2(adapter->below, address, address_size, packet, size);
    pj_grp_lock_release(base->grp_lock);
    return status;
}

static pj_status_t send_rtcp(pjmedia_transport *base, const void *packet, pj_size_t size) {
    return send_rtcp2(base, NULL, 0, packet, size);
}

/* From the peer -------------------------------------------------------------------------------------------------- */

static int is_rtcp(const uint8_t *packet) { return packet[1] >= 192 && packet[1] <= 223; /* RFC 5761 section 4 */ }

static void on_rtp(pjmedia_tp_cb_param *param) {
    struct adapter *adapter = param->user_data;

    if (param->size >= RTP_HEADER && is_rtcp(param->pkt)) {
        feedback_take(adapter, param->pkt, (size_t)param->size);
    } else if (param->size >= RTP_HEADER) {
        ++adapter->received;
        if (adapter->ordering) {
            ordering_put(adapter, param);
            return;
        }
    }
    ordering_hand_on(adapter, param);
}

static void on_rtcp(void *user, void *packet, pj_ssize_t size) {
    struct adapter *adapter = user;

    if (size > 0)
        feedback_take(adapter, packet, (size_t)size);
    if (adapter->above.rtcp)
        adapter->above.rtcp(adapter->above.user, packet, size);
}

/* Its life ------------------------------------------------------------------------------------------------------- */

static void detach(pjmedia_transport *base, void *user) {
    struct adapter *adapter = (struct adapter *)base;

    PJ_UNUSED_ARG(user);
    if (!adapter->above.user)
        return;
    pjmedia_transport_detach(adapter->below, adapter);
    ordering_end(adapter);
    pj_bzero(&adapter->above, sizeof(adapter->above));
}

static pj_status_t attach2(pjmedia_transport *base, pjmedia_transport_attach_param *param) {
    struct adapter *adapter = (struct adapter *)base;
    pj_status_t status;

    adapter->above.user = param->user_data;
    adapter->above.rtp = param->rtp_cb;
    adapter->above.rtp2 = param->rtp_cb2;
    adapter->above.rtcp = param->rtcp_cb;
    adapter->above.stream = param->stream;
    param->user_data = adapter;
    param->rtp_cb = NULL;
    param->rtp_cb2 = on_rtp;
    param->rtcp_cb = on_rtcp;
    if ((adapter->agreed & FEEDBACK_NACK) && ordering_begin(adapter) != PJ_SUCCESS)
        adapter->agreed &= ~(unsigned)FEEDBACK_NACK;
    status = pjmedia_transport_attach2(adapter->below, param);
    if (status != PJ_SUCCESS) {
        ordering_end(adapter);
        pj_bzero(&adapter->above, sizeof(adapter->above));
    }
    return status;
}

static pj_status_t get_info(pjmedia_transport *base, pjmedia_transport_info *info) {
    return pjmedia_transport_get_info(((struct adapter *)base)->below, info);
}

static pj_status_t media_create(pjmedia_transport *base, pj_pool_t *pool, unsigned options,
                                const pjmedia_sdp_session *remote, unsigned index) {
    return pjmedia_transport_media_create(((struct adapter *)base)->below, pool, options, remote, index);
}

static pj_status_t encode_sdp(pjmedia_transport *base, pj_pool_t *pool, pjmedia_sdp_session *local,
                              const pjmedia_sdp_session *remote, unsigned index) {
    pj_status_t status = pjmedia_transport_encode_sdp(((struct adapter *)base)->below, pool, local, remote, index);

    if (status == PJ_SUCCESS && (!remote || index < remote->media_count))
        negotiation_write(pool, local->media[index], remote ? remote->media[index] : NULL);
    return status;
}

static pj_status_t media_start(pjmedia_transport *base, pj_pool_t *pool, const pjmedia_sdp_session *local,
                               const pjmedia_sdp_session *remote, unsigned index) {
    struct adapter *adapter = (struct adapter *)base;

    adapter->agreed = negotiation_read(local->media[index]) & negotiation_read(remote->media[index]);
    return pjmedia_transport_media_start(adapter->below, pool, local, remote, index);
}

static pj_status_t media_stop(pjmedia_transport *base) {
    return pjmedia_transport_media_stop(((struct adapter *)base)->below);
}

static pj_status_t simulate_lost(pjmedia_transport *base, pjmedia_dir direction, unsigned percent) {
    return pjmedia_transport_simulate_lost(((struct adapter *)base)->below, direction, percent);
}

static void release(void *user) {
    struct adapter *adapter = user;

    free(adapter->resend);
    free(adapter->reorder);
    pthread_cond_destroy(&adapter->wake);
    pthread_mutex_destroy(&adapter->lock);
    pj_pool_release(adapter->pool);
}

static pj_status_t destroy(pjmedia_transport *base) {
    struct adapter *adapter = (struct adapter *)base;

    detach(base, NULL);
    if (adapter->close_below)
        pjmedia_transport_close(adapter->below);
    /* With the last reference `release` follows: a callback may still be on its way. */
    pj_grp_lock_dec_ref(base->grp_lock);
    return PJ_SUCCESS;
}

static pjmedia_transport_op operations = {
    .get_info = get_info,
    .detach = detach,
    .send_rtp = send_rtp,
    .send_rtcp = send_rtcp,
    .send_rtcp2 = send_rtcp2,
    .media_create = media_create,
    .encode_sdp = encode_sdp,
    .media_start = media_start,
    .media_stop = media_stop,
    .simulate_lost = simulate_lost,
    .destroy = destroy,
    .attach2 = attach2,
};

pj_status_t adapter_create(pjmedia_endpt *endpoint, pjmedia_transport *below, pj_bool_t close_below,
                           pjmedia_transport **transport) {
    pthread_condattr_t steady;
    pj_pool_t *pool;
    struct adapter *adapter;

    if (!below->grp_lock)
        return PJ_EINVALIDOP;
    pool = pjmedia_endpt_create_pool(endpoint, "adapter%p", 1024, 512);
    if (!pool)
        return PJ_ENOMEM;
    adapter = PJ_POOL_ZALLOC_T(pool, struct adapter);
    pj_ansi_strxcpy(adapter->base.name, pool->obj_name, sizeof(adapter->base.name));
    adapter->base.type = PJMEDIA_TRANSPORT_TYPE_USER;
    adapter->base.op = &operations;
    adapter->base.grp_lock = below->grp_lock;
    adapter->below = below;
    adapter->close_below = close_below;
    adapter->endpoint = endpoint;
    adapter->pool = pool;
    adapter->limit_bps = -1;
    pthread_mutex_init(&adapter->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&adapter->wake, &steady);
    pthread_condattr_destroy(&steady);
    pj_grp_lock_add_ref(below->grp_lock);
    pj_grp_lock_add_handler(below->grp_lock, pool, adapter, release);
    *transport = &adapter->base;
    return PJ_SUCCESS;
}

int adapter_read(pjmedia_transport *transport, struct wire_feedback *feedback) {
    struct adapter *adapter = (struct adapter *)transport;

    if (transport->op != &operations)
        return -1;
    pj_bzero(feedback, sizeof(*feedback));
    feedback->nack = (adapter->agreed & FEEDBACK_NACK) != 0;
    feedback->fir = (adapter->agreed & FEEDBACK_FIR) != 0;
    feedback->tmmbr = (adapter->agreed & FEEDBACK_TMMBR) != 0;
    feedback->rtt_us = adapter_rtt_us(adapter);
    feedback->sent = adapter->sent;
    feedback->received = adapter->received;
    pthread_mutex_lock(&adapter->lock);
    if (adapter->reorder) {
        feedback->missed = adapter->reorder->missed;
        feedback->nacked = adapter->reorder->asked;
        feedback->recovered = adapter->reorder->recovered;
        feedback->given_up = adapter->reorder->given_up;
    }
    pthread_mutex_unlock(&adapter->lock);
    pj_grp_lock_acquire(transport->grp_lock);
    feedback->tmmbr_bps = adapter->limit_bps;
    feedback->tmmbr_overhead = adapter->limit_overhead;
    feedback->reports = adapter->reception_reports;
    feedback->loss_256 = adapter->loss_256;
    feedback->firs = adapter->firs;
    feedback->plis = adapter->plis;
    feedback->asked = adapter->asked;
    feedback->resent = adapter->resent;
    pj_grp_lock_release(transport->grp_lock);
    return 0;
}
