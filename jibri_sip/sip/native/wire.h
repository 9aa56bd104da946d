/* The RTP feedback of a call's picture: generic NACK both ways (RFC 4585), FIR and TMMBR from the peer (RFC 5104). */
#ifndef JIBRI_SIP_WIRE_H
#define JIBRI_SIP_WIRE_H

#include <stdint.h>

/* cffi: begin */
/* What went on since the call has a picture. Counters count packets unless they say otherwise. */
struct wire_feedback {
    /* Agreed on in SDP. */
    int nack, fir, tmmbr;

    /* What the peer says of what we send. */
    int64_t tmmbr_bps;       /* its limit, headers included; -1 for none */
    unsigned tmmbr_overhead; /* bytes of IP, UDP and RTP headers that it counts for each packet */
    unsigned reports;        /* reception reports (RFC 3550 section 6.4) */
    unsigned loss_256;       /* loss in the last of them, in 1/256, after retransmission */
    unsigned rtt_us;         /* round trip; 0 while unknown */
    unsigned firs, plis;     /* requests for a keyframe */

    /* To the peer. */
    uint64_t sent;
    uint64_t asked; /* for again, by its NACKs */
    uint64_t resent;

    /* From the peer. */
    uint64_t received;
    uint64_t missed;    /* found missing; may be late only */
    uint64_t nacked;    /* asked for again, each time counted */
    uint64_t recovered; /* came after they were asked for */
    uint64_t given_up;  /* did not, in time */
};

/* Put an adapter around the transport of each video stream from now on; on the PJSIP thread, after pjsua_init. */
void wire_install(void);

/* Read the feedback of a call's first video stream; returns 0, or -1 if there is none. */
int wire_feedback(int call, struct wire_feedback *feedback);
/* cffi: end */

#endif
