/* The PJMEDIA audio device of the gateway: records the meeting, plays to it, and is the clock of PJSIP's
 * conference bridge.
 *
 *   every frame:  sound object ──► rec_cb (bridge, encoder, RTP)
 *                 sound object ◄── play_cb (bridge, jitter buffer, decoder)
 *
 * The clock is a thread of the stream and never stops while the stream runs, with Pulse or without: PJSIP
 * does its clearing up in these calls, so a call must be able to end when the sound is gone.
 */
#define _GNU_SOURCE
#include "sound_device.h"

#include "clock.h"
#include "devices.h"
#include "sound.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <pjlib.h>
#include <pjmedia-audiodev/audiodev_imp.h>
#include <pjmedia.h>
#include <pjmedia_audiodev.h>

#define DEVICE_NAME "meeting-sound"
#define LATE_NS (100 * NS_PER_MS) /* after a longer standstill the lost ticks are not made up for */

static pthread_mutex_t sound_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sound *current_sound;

struct factory {
    pjmedia_aud_dev_factory base;
    pj_pool_t *pool;
    pj_pool_factory *pools;
};

struct stream {
    pjmedia_aud_stream base;
    pj_pool_t *pool;
    pjmedia_aud_param param;
    pjmedia_aud_rec_cb on_record;
    pjmedia_aud_play_cb on_play;
    void *user_data;
    pthread_t clock;
    atomic_bool running;
    bool started;
    pj_timestamp timestamp; /* [samples] */
    unsigned samples;       /* of a frame; the bridge chooses, 10 or 20 ms */
    int16_t frame[SOUND_MAX_SAMPLES];
};

void devices_set_sound(struct sound *sound) {
    pthread_mutex_lock(&sound_mutex);
    current_sound = sound;
    pthread_mutex_unlock(&sound_mutex);
}

/* ---- the clock ---- */

static size_t frame_size(const struct stream *stream) { return stream->samples * sizeof *stream->frame; }

static void record(struct stream *stream) {
    pthread_mutex_lock(&sound_mutex);
    if (current_sound)
        sound_capture(current_sound, stream->frame, stream->samples);
    else
        memset(stream->frame, 0, frame_size(stream));
    pthread_mutex_unlock(&sound_mutex);
    pjmedia_frame frame = {.type = PJMEDIA_FRAME_TYPE_AUDIO, .buf = stream->frame, .size = frame_size(stream)};
    frame.timestamp = stream->timestamp;
    stream->on_record(stream->user_data, &frame);
}

static void play(struct stream *stream) {
    pjmedia_frame frame = {.type = PJMEDIA_FRAME_TYPE_AUDIO, .buf = stream->frame, .size = frame_size(stream)};
    frame.timestamp = stream->timestamp;
    if (stream->on_play(stream->user_data, &frame) != PJ_SUCCESS || frame.type != PJMEDIA_FRAME_TYPE_AUDIO)
        memset(stream->frame, 0, frame_size(stream));
    pthread_mutex_lock(&sound_mutex);
    if (current_sound)
        sound_play(current_sound, stream->frame, stream->samples);
    pthread_mutex_unlock(&sound_mutex);
}

static void *run_clock(void *data) {
    struct stream *stream = data;
    pj_thread_desc descriptor;
    pj_thread_t *thread;
    sound_first(DEVICE_NAME);
    pj_bzero(descriptor, sizeof descriptor);
    pj_thread_register(DEVICE_NAME, descriptor, &thread);
    const uint64_t interval_ns = stream->samples * NS_PER_S / SOUND_RATE;
    uint64_t due = clock_now_ns();
    while (stream->running) {
        if (stream->on_record)
            record(stream);
        if (stream->on_play)
            play(stream);
        stream->timestamp.u64 += stream->samples;
        due += interval_ns;
        if (clock_now_ns() > due + LATE_NS)
            due = clock_now_ns();
        const struct timespec until = clock_timespec(due);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    return NULL;
}

/* ---- streams ---- */

static pj_status_t stream_get_param(pjmedia_aud_stream *base, pjmedia_aud_param *param) {
    *param = ((struct stream *)base)->param;
    return PJ_SUCCESS;
}

static pj_status_t stream_get_cap(pjmedia_aud_stream *base, pjmedia_aud_dev_cap cap, void *value) {
    PJ_UNUSED_ARG(base);
    PJ_UNUSED_ARG(cap);
    PJ_UNUSED_ARG(value);
    return PJMEDIA_EAUD_INVCAP;
}

static pj_status_t stream_set_cap(pjmedia_aud_stream *base, pjmedia_aud_dev_cap cap, const void *value) {
    PJ_UNUSED_ARG(base);
    PJ_UNUSED_ARG(cap);
    PJ_UNUSED_ARG(value);
    return PJMEDIA_EAUD_INVCAP;
}

static pj_status_t stream_start(pjmedia_aud_stream *base) {
    struct stream *stream = (struct stream *)base;
    if (stream->started)
        return PJ_SUCCESS;
    stream->running = true;
    const int failed = pthread_create(&stream->clock, NULL, run_clock, stream);
    if (failed)
        return PJ_STATUS_FROM_OS(failed);
    stream->started = true;
    return PJ_SUCCESS;
}

static pj_status_t stream_stop(pjmedia_aud_stream *base) {
    struct stream *stream = (struct stream *)base;
    if (!stream->started)
        return PJ_SUCCESS;
    stream->running = false;
    pthread_join(stream->clock, NULL);
    stream->started = false;
    return PJ_SUCCESS;
}

static pj_status_t stream_destroy(pjmedia_aud_stream *base) {
    stream_stop(base);
    pj_pool_release(((struct stream *)base)->pool);
    return PJ_SUCCESS;
}

static pjmedia_aud_stream_op stream_operations = {
    stream_get_param, stream_get_cap, stream_set_cap, stream_start, stream_stop, stream_destroy,
};

/* ---- the factory ---- */

static pj_status_t factory_init(pjmedia_aud_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static pj_status_t factory_destroy(pjmedia_aud_dev_factory *base) {
    pj_pool_release(((struct factory *)base)->pool);
    return PJ_SUCCESS;
}

static pj_status_t factory_refresh(pjmedia_aud_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static unsigned factory_get_dev_count(pjmedia_aud_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return 1;
}

static pj_status_t factory_get_dev_info(pjmedia_aud_dev_factory *base, unsigned index, pjmedia_aud_dev_info *info) {
    PJ_UNUSED_ARG(base);
    if (index != 0)
        return PJMEDIA_EAUD_INVDEV;
    pj_bzero(info, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s", DEVICE_NAME);
    snprintf(info->driver, sizeof info->driver, "%s", DRIVER_NAME);
    info->input_count = 1;
    info->output_count = 1;
    info->default_samples_per_sec = SOUND_RATE;
    return PJ_SUCCESS;
}

static pj_status_t factory_default_param(pjmedia_aud_dev_factory *base, unsigned index, pjmedia_aud_param *param) {
    PJ_UNUSED_ARG(base);
    if (index != 0)
        return PJMEDIA_EAUD_INVDEV;
    pj_bzero(param, sizeof *param);
    param->dir = PJMEDIA_DIR_CAPTURE_PLAYBACK;
    param->rec_id = 0;
    param->play_id = 0;
    param->clock_rate = SOUND_RATE;
    param->channel_count = 1;
    param->samples_per_frame = SOUND_MAX_SAMPLES;
    param->bits_per_sample = 16;
    return PJ_SUCCESS;
}

static pj_status_t factory_create_stream(pjmedia_aud_dev_factory *base, const pjmedia_aud_param *param,
                                         pjmedia_aud_rec_cb on_record, pjmedia_aud_play_cb on_play, void *user_data,
                                         pjmedia_aud_stream **stream_out) {
    /* One rate, the one that Pulse, Opus and the bridge share: nothing is ever resampled. */
    if (param->clock_rate != SOUND_RATE || param->channel_count != 1 || param->bits_per_sample != 16 ||
        param->samples_per_frame == 0 || param->samples_per_frame > SOUND_MAX_SAMPLES)
        return PJMEDIA_EAUD_BADFORMAT;
    pj_pool_t *pool = pj_pool_create(((struct factory *)base)->pools, DEVICE_NAME, 4000, 1000, NULL);
    if (!pool)
        return PJ_ENOMEM;
    struct stream *stream = PJ_POOL_ZALLOC_T(pool, struct stream);
    stream->base.op = &stream_operations;
    stream->pool = pool;
    stream->param = *param;
    stream->samples = param->samples_per_frame;
    stream->on_record = param->dir & PJMEDIA_DIR_CAPTURE ? on_record : NULL;
    stream->on_play = param->dir & PJMEDIA_DIR_PLAYBACK ? on_play : NULL;
    stream->user_data = user_data;
    *stream_out = &stream->base;
    return PJ_SUCCESS;
}

static pjmedia_aud_dev_factory_op factory_operations = {
    factory_init,          factory_destroy,       factory_get_dev_count, factory_get_dev_info,
    factory_default_param, factory_create_stream, factory_refresh,
};

static pjmedia_aud_dev_factory *create_factory(pj_pool_factory *pools) {
    pj_pool_t *pool = pj_pool_create(pools, DRIVER_NAME " sound", 512, 512, NULL);
    if (!pool)
        return NULL;
    struct factory *factory = PJ_POOL_ZALLOC_T(pool, struct factory);
    factory->base.op = &factory_operations;
    factory->pool = pool;
    factory->pools = pools;
    return &factory->base;
}

int sound_device_register(void) { return pjmedia_aud_register_factory(create_factory); }
