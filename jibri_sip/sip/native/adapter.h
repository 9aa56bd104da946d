/*
 * A media transport around that of a video stream, above SRTP:
 *
 *   pjmedia_vid_stream    encoder ──► RTP          RTP ──► decoder         RTCP
 *   adapter               keep what was sent       put into order          read feedback, answer it
 *   SRTP                  encrypt                  decrypt
 *   UDP
 *
 * Locks: `lock` guards what was received, the transport's group lock what is sent. Nothing is called and no other lock
 * taken while `lock` is held; the group lock may be held by whoever calls, as PJMEDIA when it sends RTCP and TURN when
 * it hands on what came.
 */
#ifndef JIBRI_SIP_ADAPTER_H
#define JIBRI_SIP_ADAPTER_H

#include <pjmedia.h>

#include "wire.h"

/* Makes an adapter that owns `below` if `close_below`. */
pj_status_t adapter_create(pjmedia_endpt *endpoint, pjmedia_transport *below, pj_bool_t close_below,
                           pjmedia_transport **transport);

/* Reads an adapter's feedback; -1 if the transport is no adapter. */
int adapter_read(pjmedia_transport *transport, struct wire_feedback *feedback);

#endif
