#include "adapter.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "negotiation.h"
#include "reorder.h"
#include "resend.h"
#include "rtcp.h"

#define RTP_HEADER 12
#define UNKNOWN_RTT_US 100000
#define HOLD_MAX_US 300000   /* nobody waits longer for a picture; with a longer round trip nothing is held */
#define AGAIN_MIN_US 20000   /* between two requests for a packet */
#define AGAIN_SLACK_US 10000 /* of the peer, before a request counts as lost */
#define REPORTS_KEPT 4
#define ASKED_MAX 512 /* packets that one compound may ask for */
#define DEAF_AFTER 8  /* packets that never came again: nobody waits for a peer that agrees to NACK and ignores it */

/* When a sender report of ours left. */
struct sent_report {
    uint32_t ntp; /* the middle of its time */
    uint64_t at_us;
};

/* The stream above. */
struct above {
    void *user;
    void (*rtp)(void *, void *, pj_ssize_t);
    void (*rtp2)(pjmedia_tp_cb_param *);
    void (*rtcp)(void *, void *, pj_ssize_t);
    pjmedia_vid_stream *stream;
};

struct adapter {
    pjmedia_transport base;
    pjmedia_transport *below;
    pj_bool_t close_below;
    pjmedia_endpt *endpoint;
    pj_pool_t *pool;
    unsigned agreed; /* FEEDBACK_... */
    struct above above;
    /* Round trips, each by its own measure. */
    _Atomic uint32_t reported_rtt_us, answered_rtt_us;
    _Atomic int keyframe_wanted;
    _Atomic int ordering; /* NACK was agreed on, and the stream runs */
    _Atomic uint64_t sent, received;

    /* With the group lock. */
    struct resend *resend; /* NULL unless NACK was ever agreed on */
    struct rtcp_head head;
    struct sent_report reports[REPORTS_KEPT];
    unsigned report_count;
    struct rtcp_fir fir; /* the last that was answered */
    int fir_seen;
    int64_t limit_bps;
    uint32_t limit_overhead;
    unsigned reception_reports, loss_256, firs, plis;
    uint64_t asked, resent;

    /* With `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct reorder *reorder; /* NULL unless NACK was ever agreed on */
    pj_pool_t *worker_pool;
    pj_thread_t *worker;
    int stopping;
};

static uint64_t now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void smooth(_Atomic uint32_t *value, uint64_t sample_us) {
    uint32_t old = *value;

    if (sample_us > 0 && sample_us < 10000000)
        *value = old ? (uint32_t)((old * 3ull + sample_us) / 4) : (uint32_t)sample_us;
}

static uint32_t known_rtt_us(const struct adapter *adapter) {
    uint32_t reported = adapter->reported_rtt_us, answered = adapter->answered_rtt_us;

    /* A packet that was late, not lost, looks like a fast answer. */
    return reported > answered ? reported : answered;
}

/* With `lock`. */
static struct reorder_times times_of(const struct adapter *adapter) {
    uint64_t known = known_rtt_us(adapter), rtt = known ? known : UNKNOWN_RTT_US;
    struct reorder_times times = {rtt + rtt / 4 + AGAIN_SLACK_US, 0};

    if (times.again_us < AGAIN_MIN_US)
        times.again_us = AGAIN_MIN_US;
    if (rtt < HOLD_MAX_US && (adapter->reorder->recovered || adapter->reorder->given_up < DEAF_AFTER))
        times.hold_us = REORDER_TRIES * times.again_us < HOLD_MAX_US ? REORDER_TRIES * times.again_us : HOLD_MAX_US;
    return times;
}

/* To the peer ---------------------------------------------------------------------------------------------------- */

/* PJMEDIA refuses while the last keyframe is too young: asked again with each packet, until it agrees. */
static void try_keyframe(struct adapter *adapter) {
    if (adapter->keyframe_wanted && adapter->above.stream &&
        pjmedia_vid_stream_send_keyframe(adapter->above.stream) == PJ_SUCCESS)
        adapter->keyframe_wanted = 0;
}

static pj_status_t send_rtp(pjmedia_transport *base, const void *packet, pj_size_t size) {
    struct adapter *adapter = (struct adapter *)base;
    pj_status_t status;

    ++adapter->sent;
    try_keyframe(adapter);
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
        report->at_us = now_us();
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

static void send_again(struct adapter *adapter, const uint16_t *sequences, unsigned count) {
    uint32_t known = known_rtt_us(adapter);
    uint64_t now = now_us();
    unsigned n;

    adapter->asked += count;
    for (n = 0; n < count && adapter->ordering; ++n) {
        const struct resend_slot *slot =
            resend_want(adapter->resend, sequences[n], now, known ? known : UNKNOWN_RTT_US / 2);

        if (slot && pjmedia_transport_send_rtp(adapter->below, slot->packet, slot->size) == PJ_SUCCESS)
            ++adapter->resent;
    }
}

/* Feedback from the peer ----------------------------------------------------------------------------------------- */

static void take_report(struct adapter *adapter, const struct rtcp_report *report) {
    unsigned n;

    ++adapter->reception_reports;
    adapter->loss_256 = report->fraction_lost;
    for (n = 0; n < REPORTS_KEPT && report->last_sr; ++n) {
        const struct sent_report *sent = &adapter->reports[n];
        uint64_t delay_us = (uint64_t)report->delay * 15625 / 1024; /* 1/65536 s */

        if (sent->at_us && sent->ntp == report->last_sr && now_us() > sent->at_us + delay_us)
            smooth(&adapter->reported_rtt_us, now_us() - sent->at_us - delay_us);
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
    try_keyframe(adapter);
}

static void take_limit(struct adapter *adapter, uint32_t owner, const struct rtcp_limit *limit) {
    uint8_t answer[RTCP_WRITE_MAX];
    size_t size = rtcp_write_tmmbn(answer, sizeof(answer), &adapter->head, owner, limit);

    adapter->limit_bps = (int64_t)limit->bps;
    adapter->limit_overhead = limit->overhead;
    pjmedia_transport_send_rtcp(adapter->below, answer, size);
}

static void take_rtcp(struct adapter *adapter, const uint8_t *packet, size_t size) {
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

/* From the peer -------------------------------------------------------------------------------------------------- */

static void hand_on(struct adapter *adapter, pjmedia_tp_cb_param *param) {
    struct above above = adapter->above;

    if (above.rtp2) {
        param->user_data = above.user;
        above.rtp2(param);
    } else if (above.rtp) {
        above.rtp(above.user, param->pkt, param->size);
    }
}

/* Hands on what need not wait any longer, or everything. */
static void hand_on_held(struct adapter *adapter, int everything) {
    for (;;) {
        const struct reorder_slot *slot;
        pjmedia_tp_cb_param param = {0};

        pthread_mutex_lock(&adapter->lock);
        if (everything) {
            slot = reorder_flush(adapter->reorder);
        } else {
            struct reorder_times times = times_of(adapter);

            slot = reorder_take(adapter->reorder, now_us(), &times);
        }
        pthread_mutex_unlock(&adapter->lock);
        if (!slot)
            return;
        param.pkt = (void *)slot->packet;
        param.size = slot->size;
        hand_on(adapter, &param);
    }
}

/* Asks for what is missing, if it is time to. */
static void ask(struct adapter *adapter) {
    uint16_t sequences[RTCP_NACKS_MAX];
    uint8_t packet[RTCP_WRITE_MAX];
    struct reorder_times times;
    uint32_t source;
    unsigned count;
    size_t size;

    pthread_mutex_lock(&adapter->lock);
    times = times_of(adapter);
    count = reorder_ask(adapter->reorder, now_us(), &times, sequences, RTCP_NACKS_MAX);
    source = adapter->reorder->source;
    pthread_mutex_unlock(&adapter->lock);
    if (!count)
        return;
    pj_grp_lock_acquire(adapter->base.grp_lock);
    size = rtcp_write_nack(packet, sizeof(packet), &adapter->head, source, sequences, count);
    if (size)
        pjmedia_transport_send_rtcp(adapter->below, packet, size);
    pj_grp_lock_release(adapter->base.grp_lock);
}

static enum reorder_verdict judge(struct adapter *adapter, const pjmedia_tp_cb_param *param) {
    enum reorder_verdict verdict;
    uint64_t round_trip;

    pthread_mutex_lock(&adapter->lock);
    verdict = reorder_put(adapter->reorder, param->pkt, (size_t)param->size, now_us(), &round_trip);
    smooth(&adapter->answered_rtt_us, round_trip);
    pthread_mutex_unlock(&adapter->lock);
    return verdict;
}

/* On the one thread that receives; it alone hands packets on, so that the stream has them in order. */
static void put_into_order(struct adapter *adapter, pjmedia_tp_cb_param *param) {
    enum reorder_verdict verdict = judge(adapter, param);

    if (verdict == REORDER_RESTART) {
        hand_on_held(adapter, 1);
        verdict = judge(adapter, param);
    }
    if (verdict == REORDER_PASS)
        hand_on(adapter, param);
    if (reorder_is_empty(adapter->reorder))
        return;
    hand_on_held(adapter, 0);
    ask(adapter);
    pthread_cond_signal(&adapter->wake);
}

static int is_rtcp(const uint8_t *packet) { return packet[1] >= 192 && packet[1] <= 223; /* RFC 5761 section 4 */ }

static void on_rtp(pjmedia_tp_cb_param *param) {
    struct adapter *adapter = param->user_data;

    if (param->size >= RTP_HEADER && is_rtcp(param->pkt)) {
        take_rtcp(adapter, param->pkt, (size_t)param->size);
    } else if (param->size >= RTP_HEADER) {
        ++adapter->received;
        if (adapter->ordering) {
            put_into_order(adapter, param);
            return;
        }
    }
    hand_on(adapter, param);
}

static void on_rtcp(void *user, void *packet, pj_ssize_t size) {
    struct adapter *adapter = user;

    if (size > 0)
        take_rtcp(adapter, packet, (size_t)size);
    if (adapter->above.rtcp)
        adapter->above.rtcp(adapter->above.user, packet, size);
}

/* Asks again for what does not come. */
static int work(void *user) {
    struct adapter *adapter = user;

    pthread_mutex_lock(&adapter->lock);
    while (!adapter->stopping) {
        struct reorder_times times = times_of(adapter);
        uint64_t due = reorder_due(adapter->reorder, now_us(), &times);
        struct timespec until = {.tv_sec = (time_t)(due / 1000000), .tv_nsec = (long)(due % 1000000) * 1000};

        if (due == UINT64_MAX) {
            pthread_cond_wait(&adapter->wake, &adapter->lock);
        } else if (due > now_us()) {
            pthread_cond_timedwait(&adapter->wake, &adapter->lock, &until);
        } else {
            pthread_mutex_unlock(&adapter->lock);
            ask(adapter);
            pthread_mutex_lock(&adapter->lock);
        }
    }
    pthread_mutex_unlock(&adapter->lock);
    return 0;
}

/* Its life ------------------------------------------------------------------------------------------------------- */

static void end_work(struct adapter *adapter) {
    if (adapter->worker) {
        pthread_mutex_lock(&adapter->lock);
        adapter->stopping = 1;
        pthread_cond_signal(&adapter->wake);
        pthread_mutex_unlock(&adapter->lock);
        pj_thread_join(adapter->worker);
        pj_thread_destroy(adapter->worker);
        adapter->worker = NULL;
    }
    if (adapter->worker_pool)
        pj_pool_release(adapter->worker_pool);
    adapter->worker_pool = NULL;
    adapter->ordering = 0;
}

static pj_status_t begin_work(struct adapter *adapter) {
    pj_status_t status = PJ_ENOMEM;

    /* Kept until the adapter goes: a callback may still be on its way when the stream is detached. */
    if (!adapter->resend)
        adapter->resend = calloc(1, sizeof(*adapter->resend));
    if (!adapter->reorder)
        adapter->reorder = calloc(1, sizeof(*adapter->reorder));
    adapter->worker_pool = pjmedia_endpt_create_pool(adapter->endpoint, "adapter-worker", 512, 512);
    adapter->stopping = 0;
    if (adapter->resend && adapter->reorder && adapter->worker_pool) {
        resend_reset(adapter->resend);
        reorder_reset(adapter->reorder);
        status = pj_thread_create(adapter->worker_pool, "adapter", work, adapter, 0, 0, &adapter->worker);
    }
    if (status == PJ_SUCCESS)
        adapter->ordering = 1;
    else
        end_work(adapter);
    return status;
}

static void detach(pjmedia_transport *base, void *user) {
    struct adapter *adapter = (struct adapter *)base;

    PJ_UNUSED_ARG(user);
    if (!adapter->above.user)
        return;
    pjmedia_transport_detach(adapter->below, adapter);
    end_work(adapter);
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
    if ((adapter->agreed & FEEDBACK_NACK) && begin_work(adapter) != PJ_SUCCESS)
        adapter->agreed &= ~(unsigned)FEEDBACK_NACK;
    status = pjmedia_transport_attach2(adapter->below, param);
    if (status != PJ_SUCCESS) {
        end_work(adapter);
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
    feedback->rtt_us = known_rtt_us(adapter);
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
