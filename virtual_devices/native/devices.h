/* What Python sees of the native devices. build.py hands the part between the two marks to cffi.
 *
 * Pictures are I420 (planar Y, U, V; rows without padding), sound is signed 16 bit at 48 kHz, mono.
 * Times are CLOCK_MONOTONIC in nanoseconds, 0 when it never happened. Every object may be used
 * from any thread until its close. A function that can fail returns NULL or a negative number and
 * writes what happened to `error`.
 */
#ifndef JIBRI_SIP_DEVICES_H
#define JIBRI_SIP_DEVICES_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* ---- screen: the meeting's picture, a source, to_sip ---- */

struct screen;

struct screen_stats {
    uint64_t frames;       /* pictures handed on, of any kind */
    uint64_t grabbed;      /* of these: fetched from X */
    uint64_t unchanged;    /* of these: the last one again, nothing had been painted */
    uint64_t cards;        /* of these: our own picture */
    uint64_t errors;       /* grabs that X refused or did not answer in time */
    uint64_t last_grab_ns; /* when X last answered */
    int32_t lost;          /* the connection to X is gone; the object can only be closed */
};

/* The rectangle (x, y, width, height) of the root window of `display`. `cookie` is its
 * MIT-MAGIC-COOKIE-1 (16 bytes). Starts as a black card. */
struct screen *screen_open(const char *display, const char *cookie, int cookie_size, int x, int y, int width,
                           int height, char *error, size_t error_size);
void screen_close(struct screen *screen);
/* A card of width x height instead of the screen, or NULL for the screen itself. */
void screen_show(struct screen *screen, const uint8_t *card);
/* Whether screen_read would give another picture than the last time. */
int screen_fresh(struct screen *screen);
/* What the peer would be sent now. Returns 1 for a picture of X, 0 for a card. */
int screen_read(struct screen *screen, uint8_t *i420);
/* The picture that was last handed on; 0 when there was none yet. */
int screen_still(struct screen *screen, uint8_t *i420);
void screen_get_stats(struct screen *screen, struct screen_stats *stats);

/* ---- camera: the peer's picture, a sink, to_meet ---- */

struct camera;

struct camera_stats {
    uint64_t received;  /* pictures from the peer */
    uint64_t sent;      /* pictures of any kind taken by the reader's side */
    uint64_t repeated;  /* of these: the peer's last one again */
    uint64_t no_signal; /* of these: the "no signal" picture */
    uint64_t cards;     /* of these: our own picture */
    uint64_t dropped;   /* replaced by a newer one before they could be sent */
    uint64_t last_received_ns;
    int32_t peer_width, peer_height; /* as decoded, before it was fitted to the canvas */
    int32_t watched;                 /* somebody has the camera open, as far as the backend knows */
    int32_t lost;                    /* the backend is gone; the object can only be closed */
};

/* `no_signal` is a width x height picture, shown when the peer's pictures stop. */
struct camera *camera_open_pipewire(const char *socket, const char *label, int width, int height, int fps,
                                    const uint8_t *no_signal, char *error, size_t error_size);
struct camera *camera_open_v4l2(const char *device, int width, int height, int fps, const uint8_t *no_signal,
                                char *error, size_t error_size);
void camera_close(struct camera *camera);
/* A card of the canvas' size instead of the peer, or NULL: the peer, from his next picture on. */
void camera_show(struct camera *camera, const uint8_t *card);
/* A picture of the peer's, of any even size. */
int camera_write(struct camera *camera, const uint8_t *i420, int width, int height);
/* What the meeting sees now, width x height of the canvas. */
void camera_still(struct camera *camera, uint8_t *i420);
void camera_get_stats(struct camera *camera, struct camera_stats *stats);

/* ---- sound: both ways over PulseAudio ---- */

struct sound;

struct sound_stats {
    uint64_t captured;   /* frames taken from the meeting */
    uint64_t silent;     /* ticks at which Pulse had nothing to give */
    uint64_t overrun;    /* pieces of 10 ms thrown away because they were old */
    uint64_t played;     /* frames given to the browser's microphone */
    uint64_t discarded;  /* frames that Pulse had no room for */
    uint64_t underflows; /* times that Pulse ran dry */
    uint64_t last_capture_ns;
    uint32_t capture_latency_us, playback_latency_us; /* as Pulse last reported them */
    int32_t connected;                                /* both streams run */
    int32_t lost;                                     /* the daemon is gone; the object can only be closed */
};

/* Records `source`, in fragments of so many milliseconds (20 at most), and plays to `sink` of the Pulse server at
 * `server` ("unix:/path"). */
struct sound *sound_open(const char *server, const char *source, const char *sink, uint32_t fragment_ms, char *error,
                         size_t error_size);
void sound_close(struct sound *sound);
void sound_get_stats(struct sound *sound, struct sound_stats *stats);

/* ---- the PJMEDIA devices of this process ---- */

/* Registers the devices with PJMEDIA; after libInit, from a thread that PJLIB knows. */
int devices_register(int width, int height, int fps, char *error, size_t error_size);
/* What stands behind the devices now; NULL for none. The old object is no longer in use on return. */
void devices_set_screen(struct screen *screen);
void devices_set_camera(struct camera *camera);
void devices_set_sound(struct sound *sound);

/* cffi: end */

#define DRIVER_NAME "jibri-sip"

#endif
