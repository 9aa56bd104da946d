/* Which feedback is offered and agreed on, as a=rtcp-fb attributes (RFC 4585 section 4.2), on RTP/AVP as on AVPF. */
#ifndef JIBRI_SIP_NEGOTIATION_H
#define JIBRI_SIP_NEGOTIATION_H

#include <pjmedia.h>

enum { FEEDBACK_NACK = 1, FEEDBACK_FIR = 2, FEEDBACK_TMMBR = 4, FEEDBACK_ALL = 7 };

/* What a media line says, of what we know. */
unsigned negotiation_read(const pjmedia_sdp_media *media);

/* Adds to a media line of ours: all in an offer (`remote` NULL), in an answer what the offer has. */
void negotiation_write(pj_pool_t *pool, pjmedia_sdp_media *media, const pjmedia_sdp_media *remote);

#endif
