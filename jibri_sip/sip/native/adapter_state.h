/* What the parts of an adapter share: feedback.c is about what is sent, ordering.c about what is received. */
#ifndef JIBRI_SIP_ADAPTER_STATE_H
#define JIBRI_SIP_ADAPTER_STATE_H

#include <pthread.h>

#include <pjmedia.h>

#include "negotiation.h"
#include "reorder.h"
#include "resend.h"
#include "rtcp.h"

#define UNKNOWN_RTT_US 100000
#define REPORTS_KEPT 4

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

uint64_t adapter_now_us(void);

/* Takes another sample of a round trip into its mean; 0 for none. */
void adapter_smooth_rtt(_Atomic uint32_t *value, uint64_t sample_us);

/* The round trip; 0 while unknown. */
uint32_t adapter_rtt_us(const struct adapter *adapter);

/* What the peer's RTCP asks for. Takes the group lock. */
void feedback_take(struct adapter *adapter, const uint8_t *packet, size_t size);

/* Sends a keyframe if one is due. */
void feedback_try_keyframe(struct adapter *adapter);

/* Hands a packet on to the stream as it is. */
void ordering_hand_on(struct adapter *adapter, pjmedia_tp_cb_param *param);

/* Hands an RTP packet on when its turn is there. On the one thread that receives; it alone hands packets on, so that
 * the stream has them in order. */
void ordering_put(struct adapter *adapter, pjmedia_tp_cb_param *param);

/* Keeps what is sent, and puts what comes into order, from now on until `ordering_end`. Both while nothing is attached
 * below. */
pj_status_t ordering_begin(struct adapter *adapter);
void ordering_end(struct adapter *adapter);

#endif
