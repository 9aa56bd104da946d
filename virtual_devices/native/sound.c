/* The connection to the instance's PulseAudio: one stream to record the meeting, one to play to it.
 *
 * Nothing here is clocked by Pulse: the device's own clock takes and gives a frame at a time, and goes
 * on with silence when the daemon is gone. Pulse's null sinks run by the same CLOCK_MONOTONIC, so
 * that nothing drifts; what jitter makes too old is thrown away, oldest first.
 */
#define _GNU_SOURCE
#include "sound.h"

#include "clock.h"
#include "devices.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <pulse/pulseaudio.h>

#define BYTES_PER_MS (SOUND_RATE / 1000 * 2)
#define RING_BYTES (60 * BYTES_PER_MS)        /* captured sound older than this is thrown away */
#define STEP_BYTES (10 * BYTES_PER_MS)        /* in pieces of this */
#define PLAY_TARGET_BYTES (40 * BYTES_PER_MS) /* one frame being played, one waiting */
#define LEAST_SLACK_BYTES (3 * BYTES_PER_MS)  /* kept for jitter at least; what lies beyond it is delay */
#define MOST_SLACK_BYTES (40 * BYTES_PER_MS)  /* at most */
#define SLACK_STEP_BYTES (5 * BYTES_PER_MS)   /* more after a gap, less after a while without one */
#define NO_GAP_NS (10 * NS_PER_S)             /* which is this */
#define SETTLE_NS (2 * NS_PER_S)              /* what was not needed for so long is not needed */
#define IDLE_NS (200 * NS_PER_MS)             /* nobody takes sound any more */
#define SOUND_NICE (-10)                      /* as Chrome has it for its threads of sound */

struct sound {
    pa_threaded_mainloop *loop; /* its lock guards all below */
    pa_context *context;
    pa_stream *recorder, *player;
    char source[128], sink[128];
    uint32_t fragment; /* what Pulse is asked to deliver at a time [bytes] */
    uint8_t ring[RING_BYTES];
    size_t ring_start, ring_size; /* [bytes] */
    size_t least;                 /* that was left after taking a frame since `settled_ns` [bytes] */
    size_t slack;                 /* what is kept now [bytes] */
    uint64_t settled_ns, taken_ns, gap_ns;
    struct sound_stats stats;
};

void sound_first(const char *thread) {
    pthread_setname_np(pthread_self(), thread);
    setpriority(PRIO_PROCESS, 0, SOUND_NICE); /* of this thread alone */
}

/* ---- captured sound ---- */

static void ring_drop(struct sound *sound, size_t size) {
    sound->ring_start = (sound->ring_start + size) % RING_BYTES;
    sound->ring_size -= size;
}

/* Makes room for `size` bytes by throwing away the oldest, in steps. */
static void ring_make_room(struct sound *sound, size_t size) {
    const bool idle = clock_now_ns() - sound->taken_ns > IDLE_NS;
    while (sound->ring_size + size > RING_BYTES) {
        ring_drop(sound, sound->ring_size < STEP_BYTES ? sound->ring_size : STEP_BYTES);
        sound->stats.overrun += !idle;
    }
}

static void ring_write(struct sound *sound, const uint8_t *data, size_t size) {
    if (size > RING_BYTES) {
        data += size - RING_BYTES;
        size = RING_BYTES;
    }
    ring_make_room(sound, size);
    const size_t end = (sound->ring_start + sound->ring_size) % RING_BYTES;
    const size_t first = size < RING_BYTES - end ? size : RING_BYTES - end;
    memcpy(sound->ring + end, data, first);
    memcpy(sound->ring, data + first, size - first);
    sound->ring_size += size;
}

static void ring_read(struct sound *sound, uint8_t *data, size_t size) {
    const size_t first = size < RING_BYTES - sound->ring_start ? size : RING_BYTES - sound->ring_start;
    memcpy(data, sound->ring + sound->ring_start, first);
    memcpy(data + first, sound->ring, size - first);
    ring_drop(sound, size);
}

/* Finds how much jitter there is: a gap tells of more, a while without one of less. */
static void gap(struct sound *sound) {
    if (sound->slack < MOST_SLACK_BYTES)
        sound->slack += SLACK_STEP_BYTES;
    sound->gap_ns = clock_now_ns();
}

static void no_gap(struct sound *sound, uint64_t now) {
    if (now - sound->gap_ns < NO_GAP_NS || sound->slack < LEAST_SLACK_BYTES + SLACK_STEP_BYTES)
        return;
    sound->slack -= SLACK_STEP_BYTES;
    sound->gap_ns = now;
}

/* Before a frame of `size` bytes is taken: keeps no more in the ring than jitter asks for; what lies there is delay. */
static void settle(struct sound *sound, size_t size) {
    const uint64_t now = clock_now_ns();
    const bool idle = now - sound->taken_ns > IDLE_NS;
    sound->taken_ns = now;
    if (!idle && now - sound->settled_ns < SETTLE_NS)
        return;
    if (idle) {
        sound->slack = LEAST_SLACK_BYTES;
        sound->least = sound->ring_size > size ? sound->ring_size - size : 0;
    }
    no_gap(sound, now);
    /* Each time is a small break in the sound: only for what is worth it. */
    if (sound->least >= sound->slack + SLACK_STEP_BYTES && sound->least <= sound->ring_size) {
        ring_drop(sound, sound->least - sound->slack);
        sound->stats.overrun += !idle;
    }
    sound->settled_ns = now;
    sound->least = RING_BYTES;
}

static void on_captured(pa_stream *stream, size_t size, void *data) {
    (void)size;
    struct sound *sound = data;
    const void *fragment;
    size_t length;
    while (pa_stream_peek(stream, &fragment, &length) == 0 && length > 0) {
        if (fragment) /* NULL: a hole */
            ring_write(sound, fragment, length);
        pa_stream_drop(stream);
        sound->stats.last_capture_ns = clock_now_ns();
    }
}

bool sound_capture(struct sound *sound, int16_t *samples, size_t count) {
    const size_t size = count * sizeof *samples;
    pa_threaded_mainloop_lock(sound->loop);
    settle(sound, size);
    const bool enough = sound->ring_size >= size;
    if (enough) {
        ring_read(sound, (uint8_t *)samples, size);
        sound->stats.captured++;
        if (sound->ring_size < sound->least)
            sound->least = sound->ring_size;
    } else {
        sound->stats.silent++;
        gap(sound);
    }
    pa_threaded_mainloop_unlock(sound->loop);
    if (!enough)
        memset(samples, 0, size);
    return enough;
}

/* ---- played sound ---- */

void sound_play(struct sound *sound, const int16_t *samples, size_t count) {
    const size_t size = count * sizeof *samples;
    pa_threaded_mainloop_lock(sound->loop);
    if (sound->stats.connected && pa_stream_writable_size(sound->player) >= size &&
        pa_stream_write(sound->player, samples, size, NULL, 0, PA_SEEK_RELATIVE) == 0)
        sound->stats.played++;
    else
        sound->stats.discarded++;
    pa_threaded_mainloop_unlock(sound->loop);
}

static void on_underflow(pa_stream *stream, void *data) {
    (void)stream;
    ((struct sound *)data)->stats.underflows++;
}

/* ---- the connection ---- */

static void on_stream_state(pa_stream *stream, void *data) {
    struct sound *sound = data;
    const pa_stream_state_t state = pa_stream_get_state(stream);
    if (state == PA_STREAM_FAILED)
        sound->stats.lost = 1;
    sound->stats.connected = !sound->stats.lost && sound->recorder && sound->player &&
                             pa_stream_get_state(sound->recorder) == PA_STREAM_READY &&
                             pa_stream_get_state(sound->player) == PA_STREAM_READY;
    pa_threaded_mainloop_signal(sound->loop, 0);
}

static bool connect_streams(struct sound *sound) {
    const pa_sample_spec format = {.format = PA_SAMPLE_S16LE, .rate = SOUND_RATE, .channels = 1};
    const uint32_t unset = (uint32_t)-1;
    const pa_buffer_attr record = {unset, unset, unset, unset, sound->fragment};
    /* With prebuf 0 Pulse would go on reading while nobody calls, and take what comes later for old. */
    const pa_buffer_attr play = {unset, PLAY_TARGET_BYTES, STEP_BYTES, unset, unset};
    const pa_stream_flags_t flags =
        PA_STREAM_ADJUST_LATENCY | PA_STREAM_INTERPOLATE_TIMING | PA_STREAM_AUTO_TIMING_UPDATE;
    sound->recorder = pa_stream_new(sound->context, "to SIP", &format, NULL);
    sound->player = pa_stream_new(sound->context, "from SIP", &format, NULL);
    if (!sound->recorder || !sound->player)
        return false;
    pa_stream_set_state_callback(sound->recorder, on_stream_state, sound);
    pa_stream_set_state_callback(sound->player, on_stream_state, sound);
    pa_stream_set_read_callback(sound->recorder, on_captured, sound);
    pa_stream_set_underflow_callback(sound->player, on_underflow, sound);
    return pa_stream_connect_record(sound->recorder, sound->source, &record, flags | PA_STREAM_DONT_MOVE) == 0 &&
           pa_stream_connect_playback(sound->player, sound->sink, &play, flags | PA_STREAM_DONT_MOVE, NULL, NULL) == 0;
}

static void on_context_state(pa_context *context, void *data) {
    struct sound *sound = data;
    const pa_context_state_t state = pa_context_get_state(context);
    if (state == PA_CONTEXT_READY)
        sound_first("sound-server");
    if (state == PA_CONTEXT_FAILED || state == PA_CONTEXT_TERMINATED ||
        (state == PA_CONTEXT_READY && !connect_streams(sound))) {
        sound->stats.lost = 1;
        sound->stats.connected = 0;
    }
    pa_threaded_mainloop_signal(sound->loop, 0);
}

static bool connect_server(struct sound *sound, const char *server) {
    sound->context = pa_context_new(pa_threaded_mainloop_get_api(sound->loop), "jibri-sip");
    if (!sound->context)
        return false;
    pa_context_set_state_callback(sound->context, on_context_state, sound);
    if (pa_context_connect(sound->context, server, PA_CONTEXT_NOAUTOSPAWN, NULL) < 0 ||
        pa_threaded_mainloop_start(sound->loop) < 0)
        return false;
    pa_threaded_mainloop_lock(sound->loop);
    while (!sound->stats.connected && !sound->stats.lost)
        pa_threaded_mainloop_wait(sound->loop);
    const bool connected = sound->stats.connected;
    pa_threaded_mainloop_unlock(sound->loop);
    return connected;
}

struct sound *sound_open(const char *server, const char *source, const char *sink, uint32_t fragment_ms, char *error,
                         size_t error_size) {
    struct sound *sound = calloc(1, sizeof *sound);
    if (!sound || !(sound->loop = pa_threaded_mainloop_new())) {
        snprintf(error, error_size, "out of memory");
        free(sound);
        return NULL;
    }
    snprintf(sound->source, sizeof sound->source, "%s", source);
    snprintf(sound->sink, sizeof sound->sink, "%s", sink);
    sound->fragment = fragment_ms * BYTES_PER_MS;
    if (!connect_server(sound, server)) {
        snprintf(error, error_size, "cannot record %s and play to %s of PulseAudio at %s: %s", source, sink, server,
                 sound->context ? pa_strerror(pa_context_errno(sound->context)) : "out of memory");
        sound_close(sound);
        return NULL;
    }
    return sound;
}

static void drop_stream(pa_stream *stream) {
    if (!stream)
        return;
    pa_stream_set_state_callback(stream, NULL, NULL);
    pa_stream_set_read_callback(stream, NULL, NULL);
    pa_stream_set_underflow_callback(stream, NULL, NULL);
    pa_stream_disconnect(stream);
    pa_stream_unref(stream);
}

void sound_close(struct sound *sound) {
    if (!sound)
        return;
    pa_threaded_mainloop_lock(sound->loop);
    drop_stream(sound->recorder);
    drop_stream(sound->player);
    if (sound->context) {
        pa_context_set_state_callback(sound->context, NULL, NULL);
        pa_context_disconnect(sound->context);
        pa_context_unref(sound->context);
    }
    pa_threaded_mainloop_unlock(sound->loop);
    pa_threaded_mainloop_stop(sound->loop);
    pa_threaded_mainloop_free(sound->loop);
    free(sound);
}

static uint32_t latency_us(pa_stream *stream) {
    pa_usec_t latency = 0;
    int negative = 0;
    if (!stream || pa_stream_get_latency(stream, &latency, &negative) < 0 || negative)
        return 0;
    return (uint32_t)latency;
}

void sound_get_stats(struct sound *sound, struct sound_stats *stats) {
    pa_threaded_mainloop_lock(sound->loop);
    *stats = sound->stats;
    if (stats->connected) {
        stats->capture_latency_us = latency_us(sound->recorder);
        stats->playback_latency_us = latency_us(sound->player);
    }
    pa_threaded_mainloop_unlock(sound->loop);
}
