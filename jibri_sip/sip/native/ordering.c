#include <stdlib.h>
#include <time.h>

#include "adapter_state.h"

#define AGAIN_MIN_US 20000   /* between two requests for a packet */
#define AGAIN_SLACK_US 10000 /* of the peer, before a request counts as lost */
#define DEAF_AFTER 8 /* packets that never came again: nobody waits for a peer that agrees to NACK and ignores it */

/* With `lock`. */
static struct reorder_times times_of(const struct adapter *adapter) {
    uint64_t known = adapter_rtt_us(adapter), rtt = known ? known : UNKNOWN_RTT_US;
    struct reorder_times times = {rtt + rtt / 4 + AGAIN_SLACK_US, 0};

    if (times.again_us < AGAIN_MIN_US)
        times.again_us = AGAIN_MIN_US;
    if (rtt < REORDER_HOLD_MAX_US && (adapter->reorder->recovered || adapter->reorder->given_up < DEAF_AFTER))
        times.hold_us = REORDER_TRIES * times.again_us;
    if (times.hold_us > REORDER_HOLD_MAX_US)
        times.hold_us = REORDER_HOLD_MAX_US;
    return times;
}

void ordering_hand_on(struct adapter *adapter, pjmedia_tp_cb_param *param) {
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

            slot = reorder_take(adapter->reorder, adapter_now_us(), &times);
        }
        pthread_mutex_unlock(&adapter->lock);
        if (!slot)
            return;
        param.pkt = (void *)slot->packet;
        param.size = slot->size;
        ordering_hand_on(adapter, &param);
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
    count = reorder_ask(adapter->reorder, adapter_now_us(), &times, sequences, RTCP_NACKS_MAX);
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
    verdict = reorder_put(adapter->reorder, param->pkt, (size_t)param->size, adapter_now_us(), &round_trip);
    adapter_smooth_rtt(&adapter->answered_rtt_us, round_trip);
    pthread_mutex_unlock(&adapter->lock);
    return verdict;
}

void ordering_put(struct adapter *adapter, pjmedia_tp_cb_param *param) {
    enum reorder_verdict verdict = judge(adapter, param);

    if (verdict == REORDER_RESTART) {
        hand_on_held(adapter, 1);
        verdict = judge(adapter, param);
    }
    if (verdict == REORDER_PASS)
        ordering_hand_on(adapter, param);
    if (reorder_is_empty(adapter->reorder))
        return;
    hand_on_held(adapter, 0);
    ask(adapter);
    pthread_cond_signal(&adapter->wake);
}

/* Asks again for what does not come. */
static int work(void *user) {
    struct adapter *adapter = user;

    pthread_mutex_lock(&adapter->lock);
    while (!adapter->stopping) {
        struct reorder_times times = times_of(adapter);
        uint64_t due = reorder_due(adapter->reorder, adapter_now_us(), &times);
        struct timespec until = {.tv_sec = (time_t)(due / 1000000), .tv_nsec = (long)(due % 1000000) * 1000};

        if (due == UINT64_MAX) {
            pthread_cond_wait(&adapter->wake, &adapter->lock);
        } else if (due > adapter_now_us()) {
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

void ordering_end(struct adapter *adapter) {
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

pj_status_t ordering_begin(struct adapter *adapter) {
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
        ordering_end(adapter);
    return status;
}
