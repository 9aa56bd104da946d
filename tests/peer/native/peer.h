/*
 * Test devices for PJMEDIA: what a SIP peer shows and says, and how it judges what it sees and hears.
 *
 * Driver "peer". Video: "stamped-source" (capture) draws stamp.h's stamp over a moving picture, "stamp-reader" (render)
 * reads it, "void" (render) takes anything. Audio: "tone" plays a sine into the call and keeps what was heard last.
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>

#define PEER_DRIVER "peer"
#define PEER_MEMORY_S 30 /* for so long it is known what was heard */

/* One picture that the reader saw for the first time. */
struct peer_frame {
    int64_t seen_ms;    /* CLOCK_REALTIME */
    int64_t latency_ms; /* since it was stamped; meaningless unless intact */
    uint16_t counter;
    uint16_t width, height;
    uint8_t intact; /* the stamp could be read */
    uint8_t error;  /* mean difference of the luma in the worst square below the stamp; meaningless unless intact */
};

/* Register both factories; after pj_init, once for each pjsua_init. Pictures of width x height, both even. */
int peer_register(unsigned width, unsigned height, unsigned fps);

/* Take up to `max` pictures seen since the last call, oldest first. */
unsigned peer_take_frames(struct peer_frame *frames, unsigned max);

/*
 * Copy the next picture that arrives within `timeout_ms`, I420, into `buffer`.
 * Returns 0, or -1 if none came or it needs more than `size` bytes.
 */
int peer_still(uint8_t *buffer, unsigned size, unsigned timeout_ms, unsigned *width, unsigned *height);

/* When a tone sounds: always, in the first 100 ms of each second, or in 160 of each 250 ms. */
enum { PEER_STEADY, PEER_BURSTS, PEER_SYLLABLES };

/* What to say: a sine of `hz` at `amplitude` of full scale. */
void peer_say(double hz, double amplitude, int rhythm);

/* Amplitude of `hz` in the last `ms` (at most PEER_MEMORY_S) that were heard, 0 to 1. */
double peer_heard(double hz, unsigned ms);

/* Amplitude of `hz` in the 50 ms of that time in which it was loudest, 0 to 1, and how long ago these ended. */
double peer_loudest(double hz, unsigned ms, unsigned *ms_ago);

/* Loudest sample of that time, 0 to 1. */
double peer_peak(unsigned ms);

/* Watch a steady tone of `hz`: a piece of 10 ms in which it is below `least` is a gap. */
void peer_count_gaps(double hz, double least);

/* Share of pieces that were gaps since the last call, 0 to 1; 1 if nothing was heard. */
double peer_take_gaps(void);

/* Listen for bursts of `hz` and time them. */
void peer_time_bursts(double hz);

/* Take up to `max` delays of bursts, in ms after the full second, heard since the last call. */
unsigned peer_take_bursts(double *delays_ms, unsigned max);

/* SSRCs of a call's picture, in both directions; 0, or -1 if there is none. On the PJSIP thread. */
int peer_sources(int call, uint32_t *ours, uint32_t *theirs);

/* Send RTCP the way that the call's picture goes, whatever that is; 0 for success. On the PJSIP thread. */
int peer_send_rtcp(int call, const uint8_t *compound, unsigned size);

/* Used by peer_register. */
int peer_register_audio(void);
int peer_register_video(unsigned width, unsigned height, unsigned fps);

#endif
