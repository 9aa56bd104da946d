/* The tone: a PJMEDIA audio device factory with one device, driven by a thread of its own. */
#include "peer.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

#include <pjlib.h>
#include <pjmedia-audiodev/audiodev_imp.h>
#include <pjmedia.h>

#define RATE 48000
#define FULL_SCALE 32768.0
#define BURST_MS 100
#define SYLLABLE_MS 160
#define SYLLABLES_MS 250
#define BLOCK_MS 50   /* a tone is measured in pieces */
#define QUIET_MS 300  /* silence before a burst counts as one */
#define BURST_AT 0.05 /* amplitude from which a burst is heard */
#define BURST_LOG 256
#define MAX_FRAME 9600 /* samples: 200 ms */
#define BLOCK (BLOCK_MS * (RATE / 1000))
#define RING (RATE * PEER_MEMORY_S)

struct stream {
    pjmedia_aud_stream base;
    pjmedia_aud_param param;
    pj_pool_t *pool;
    pjmedia_aud_rec_cb record;
    pjmedia_aud_play_cb play;
    void *user_data;
    pj_thread_t *thread;
    volatile int running;
};

struct factory {
    pjmedia_aud_dev_factory base;
    pj_pool_t *pool;
    pj_pool_factory *pool_factory;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    double hz, amplitude, phase;
    int rhythm;
} saying;
static pj_int16_t heard[RING];
static unsigned heard_at;
static struct {
    double hz, delays[BURST_LOG];
    unsigned count, quiet_ms;
} bursts;

static double now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

/* Amplitude of a tone in the `count` samples that end before index `end` of the ring (Goertzel's algorithm). */
static double level(double hz, unsigned end, unsigned count) {
    double coefficient = 2 * cos(2 * M_PI * hz / RATE), last = 0, before = 0, power;
    unsigned n;

    for (n = 0; n < count; ++n) {
        double next = heard[(end + RING - count + n) % RING] + coefficient * last - before;

        before = last;
        last = next;
    }
    power = last * last + before * before - coefficient * last * before;
    return count ? 2 * sqrt(power > 0 ? power : 0) / count / FULL_SCALE : 0;
}

static struct {
    double hz, least;
    unsigned blocks, gaps;
} steady;

static int is_silent(double ms_in_second) {
    if (saying.rhythm == PEER_BURSTS)
        return fmod(ms_in_second, 1000) >= BURST_MS;
    return saying.rhythm == PEER_SYLLABLES && fmod(ms_in_second, SYLLABLES_MS) >= SYLLABLE_MS;
}

static void make_sound(pj_int16_t *samples, unsigned count) {
    double ms_in_second = fmod(now_ms(), 1000);
    unsigned n;

    pthread_mutex_lock(&lock);
    for (n = 0; n < count; ++n) {
        int silent = is_silent(ms_in_second + n * 1000.0 / RATE);

        samples[n] = silent ? 0 : (pj_int16_t)lrint(saying.amplitude * (FULL_SCALE - 1) * sin(saying.phase));
        saying.phase = fmod(saying.phase + 2 * M_PI * saying.hz / RATE, 2 * M_PI);
    }
    pthread_mutex_unlock(&lock);
}

static void note_burst(unsigned count) {
    double ms = count * 1000.0 / RATE;

    if (bursts.hz <= 0)
        return;
    if (level(bursts.hz, heard_at, count) < BURST_AT) {
        bursts.quiet_ms += (unsigned)ms;
        return;
    }
    if (bursts.quiet_ms >= QUIET_MS && bursts.count < BURST_LOG)
        bursts.delays[bursts.count++] = fmod(now_ms(), 1000);
    bursts.quiet_ms = 0;
}

static void note_gap(unsigned count) {
    if (steady.hz <= 0)
        return;
    ++steady.blocks;
    if (level(steady.hz, heard_at, count) < steady.least)
        ++steady.gaps;
}

static void hear(const pj_int16_t *samples, unsigned count) {
    unsigned n;

    pthread_mutex_lock(&lock);
    for (n = 0; n < count; ++n) {
        heard[heard_at] = samples[n];
        heard_at = (heard_at + 1) % RING;
    }
    note_burst(count);
    note_gap(count);
    pthread_mutex_unlock(&lock);
}

static int run(void *data) {
    struct stream *stream = data;
    unsigned count = stream->param.samples_per_frame;
    pj_int16_t samples[MAX_FRAME];
    struct timespec next;
    pj_timestamp timestamp = {{0}};

    clock_gettime(CLOCK_MONOTONIC, &next);
    while (stream->running) {
        pjmedia_frame frame = {.type = PJMEDIA_FRAME_TYPE_AUDIO, .buf = samples, .size = count * 2};

        frame.timestamp = timestamp;
        if (stream->play && stream->play(stream->user_data, &frame) == PJ_SUCCESS &&
            frame.type == PJMEDIA_FRAME_TYPE_AUDIO)
            hear(samples, count);
        if (stream->record) {
            make_sound(samples, count);
            frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
            frame.size = count * 2;
            frame.timestamp = timestamp;
            stream->record(stream->user_data, &frame);
        }
        timestamp.u64 += count;
        next.tv_nsec += (long)(count * 1000000000ull / RATE);
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            ++next.tv_sec;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return 0;
}

static pj_status_t get_param(pjmedia_aud_stream *base, pjmedia_aud_param *param) {
    *param = ((struct stream *)base)->param;
    return PJ_SUCCESS;
}

static pj_status_t get_cap(pjmedia_aud_stream *base, pjmedia_aud_dev_cap cap, void *value) {
    PJ_UNUSED_ARG(base);
    PJ_UNUSED_ARG(cap);
    PJ_UNUSED_ARG(value);
    return PJMEDIA_EAUD_INVCAP;
}

static pj_status_t set_cap(pjmedia_aud_stream *base, pjmedia_aud_dev_cap cap, const void *value) {
    PJ_UNUSED_ARG(base);
    PJ_UNUSED_ARG(cap);
    PJ_UNUSED_ARG(value);
    return PJMEDIA_EAUD_INVCAP;
}

static pj_status_t start(pjmedia_aud_stream *base) {
    struct stream *stream = (struct stream *)base;

    if (stream->running)
        return PJ_SUCCESS;
    stream->running = 1;
    return pj_thread_create(stream->pool, "peer-tone", &run, stream, 0, 0, &stream->thread);
}

static pj_status_t stop(pjmedia_aud_stream *base) {
    struct stream *stream = (struct stream *)base;

    stream->running = 0;
    if (stream->thread) {
        pj_thread_join(stream->thread);
        pj_thread_destroy(stream->thread);
        stream->thread = NULL;
    }
    return PJ_SUCCESS;
}

static pj_status_t destroy_stream(pjmedia_aud_stream *base) {
    stop(base);
    pj_pool_release(((struct stream *)base)->pool);
    return PJ_SUCCESS;
}

static pjmedia_aud_stream_op stream_ops = {get_param, get_cap, set_cap, start, stop, destroy_stream};

static pj_status_t factory_nothing(pjmedia_aud_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static pj_status_t factory_destroy(pjmedia_aud_dev_factory *base) {
    pj_pool_release(((struct factory *)base)->pool);
    return PJ_SUCCESS;
}

static unsigned factory_count(pjmedia_aud_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return 1;
}

static pj_status_t factory_info(pjmedia_aud_dev_factory *base, unsigned index, pjmedia_aud_dev_info *info) {
    PJ_UNUSED_ARG(base);
    if (index != 0)
        return PJMEDIA_EAUD_INVDEV;
    pj_bzero(info, sizeof(*info));
    pj_ansi_snprintf(info->name, sizeof(info->name), "tone");
    pj_ansi_snprintf(info->driver, sizeof(info->driver), "%s", PEER_DRIVER);
    info->input_count = info->output_count = 1;
    info->default_samples_per_sec = RATE;
    return PJ_SUCCESS;
}

static pj_status_t factory_default(pjmedia_aud_dev_factory *base, unsigned index, pjmedia_aud_param *param) {
    PJ_UNUSED_ARG(base);
    pj_bzero(param, sizeof(*param));
    param->dir = PJMEDIA_DIR_CAPTURE_PLAYBACK;
    param->rec_id = param->play_id = (int)index;
    param->clock_rate = RATE;
    param->channel_count = 1;
    param->samples_per_frame = RATE / 100;
    param->bits_per_sample = 16;
    return PJ_SUCCESS;
}

static pj_status_t create_stream(pjmedia_aud_dev_factory *base, const pjmedia_aud_param *param,
                                 pjmedia_aud_rec_cb record, pjmedia_aud_play_cb play, void *user_data,
                                 pjmedia_aud_stream **result) {
    struct factory *factory = (struct factory *)base;
    pj_pool_t *pool;
    struct stream *stream;

    if (param->clock_rate != RATE || param->channel_count != 1 || param->samples_per_frame > MAX_FRAME)
        return PJMEDIA_EAUD_INVOP;
    pool = pj_pool_create(factory->pool_factory, "peer-audio", 1024, 1024, NULL);
    stream = PJ_POOL_ZALLOC_T(pool, struct stream);
    stream->base.op = &stream_ops;
    stream->pool = pool;
    stream->param = *param;
    stream->record = param->dir & PJMEDIA_DIR_CAPTURE ? record : NULL;
    stream->play = param->dir & PJMEDIA_DIR_PLAYBACK ? play : NULL;
    stream->user_data = user_data;
    *result = &stream->base;
    return PJ_SUCCESS;
}

static pjmedia_aud_dev_factory_op factory_ops = {
    factory_nothing, factory_destroy, factory_count, factory_info, factory_default, create_stream, factory_nothing,
};

static pjmedia_aud_dev_factory *create_factory(pj_pool_factory *pool_factory) {
    pj_pool_t *pool = pj_pool_create(pool_factory, "peer-sound", 512, 512, NULL);
    struct factory *factory = PJ_POOL_ZALLOC_T(pool, struct factory);

    factory->base.op = &factory_ops;
    factory->pool = pool;
    factory->pool_factory = pool_factory;
    return &factory->base;
}

int peer_register_audio(void) { return pjmedia_aud_register_factory(&create_factory); }

void peer_say(double hz, double amplitude, int rhythm) {
    pthread_mutex_lock(&lock);
    saying.hz = hz;
    saying.amplitude = amplitude;
    saying.rhythm = rhythm;
    pthread_mutex_unlock(&lock);
}

double peer_heard(double hz, unsigned ms) {
    unsigned blocks = PJ_MAX(PJ_MIN(ms, PEER_MEMORY_S * 1000) / BLOCK_MS, 1), n;
    double sum = 0;

    /* The tone jumps in phase where a jitter buffer skipped: over all of it, it would cancel itself out. */
    pthread_mutex_lock(&lock);
    for (n = 0; n < blocks; ++n)
        sum += level(hz, (heard_at + RING - n * BLOCK) % RING, BLOCK);
    pthread_mutex_unlock(&lock);
    return sum / blocks;
}

double peer_loudest(double hz, unsigned ms, unsigned *ms_ago) {
    unsigned blocks = PJ_MIN(ms, PEER_MEMORY_S * 1000) / BLOCK_MS, n;
    double loudest = 0;

    *ms_ago = 0;
    pthread_mutex_lock(&lock);
    for (n = 0; n < blocks; ++n) {
        double now = level(hz, (heard_at + RING - n * BLOCK) % RING, BLOCK);

        if (now > loudest) {
            loudest = now;
            *ms_ago = n * BLOCK_MS;
        }
    }
    pthread_mutex_unlock(&lock);
    return loudest;
}

double peer_peak(unsigned ms) {
    unsigned count = PJ_MIN(ms, PEER_MEMORY_S * 1000) * (RATE / 1000), n;
    int peak = 0;

    pthread_mutex_lock(&lock);
    for (n = 0; n < count; ++n) {
        int sample = heard[(heard_at + RING - count + n) % RING];

        peak = PJ_MAX(peak, sample < 0 ? -sample : sample);
    }
    pthread_mutex_unlock(&lock);
    return peak / FULL_SCALE;
}

void peer_time_bursts(double hz) {
    pthread_mutex_lock(&lock);
    bursts.hz = hz;
    bursts.count = bursts.quiet_ms = 0;
    pthread_mutex_unlock(&lock);
}

void peer_count_gaps(double hz, double least) {
    pthread_mutex_lock(&lock);
    steady.hz = hz;
    steady.least = least;
    steady.blocks = steady.gaps = 0;
    pthread_mutex_unlock(&lock);
}

double peer_take_gaps(void) {
    double share;

    pthread_mutex_lock(&lock);
    share = steady.blocks ? (double)steady.gaps / steady.blocks : 1;
    steady.blocks = steady.gaps = 0;
    pthread_mutex_unlock(&lock);
    return share;
}

unsigned peer_take_bursts(double *delays_ms, unsigned max) {
    unsigned taken;

    pthread_mutex_lock(&lock);
    for (taken = 0; taken < max && taken < bursts.count; ++taken)
        delays_ms[taken] = bursts.delays[taken];
    bursts.count = 0;
    pthread_mutex_unlock(&lock);
    return taken;
}
