/* What a call's running encoders are told, without a re-INVITE: the picture's bitrate, the loss that sound has to bear.
 */
#ifndef JIBRI_SIP_CONTROL_H
#define JIBRI_SIP_CONTROL_H

#include <stdint.h>

/* cffi: begin */
/* A call's first video stream that sends, as it was agreed on. */
struct control_picture {
    uint64_t stream;      /* names it: another number, another stream */
    unsigned bps;         /* that its encoder began with */
    unsigned max_bps;     /* that the peer takes, by level, fmtp and bandwidth of the media line */
    unsigned session_bps; /* that the peer takes for all of the call, headers included; 0 for no limit */
    int has_pli;          /* the peer can ask for a keyframe by RTCP */
};

/* Reads it; returns 0, or -1 if there is none. On the PJSIP thread, as all of this. */
int control_read_picture(int call, struct control_picture *picture);

/* Sets the bitrate from the next frame on. `max_bps` is that of a busy second and stays the same over a stream's life.
 * Returns PJSIP's status, 0 for success. */
int control_set_bitrate(int call, unsigned bps, unsigned max_bps);

/* Has the first audio stream expect this loss, 0 to 100 %: Opus repeats that much of itself in the packet after, where
 * the peer wants it so (RFC 7587 section 6.1). Returns 0, or -1 if the stream is none of Opus, or the peer does not. */
int control_set_audio_loss(int call, unsigned percent);
/* cffi: end */

#endif
