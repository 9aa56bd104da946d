/* The stamped source, the stamp reader and the void: a PJMEDIA video device factory. */
#include "peer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <pjlib.h>
#include <pjmedia-videodev/videodev_imp.h>
#include <pjmedia.h>

#include "stamp.h"

#define CLOCK_RATE 90000
#define FRAME_LOG 8192
#define PAN 256  /* how far the picture moves, in pixels */
#define BLOCK 32 /* side of the squares in which damage is looked for, in pixels */

enum device { SOURCE, READER, NOTHING, DEVICES };

static const char *const names[DEVICES] = {"stamped-source", "stamp-reader", "void"};

struct stream {
    pjmedia_vid_dev_stream base;
    pjmedia_vid_dev_param param;
    pj_pool_t *pool;
    enum device device;
    pj_timestamp timestamp;
    uint16_t counter;
};

struct factory {
    pjmedia_vid_dev_factory base;
    pj_pool_t *pool;
    pj_pool_factory *pool_factory;
};

static unsigned source_width, source_height, source_fps;
static uint8_t *texture; /* (width + PAN) x height / 2, luma */
static struct {
    uint8_t *pixels;
    unsigned width, height;
} expected; /* texture of the pictures that arrive, which may be of another size */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t still_taken = PTHREAD_COND_INITIALIZER;
static struct peer_frame frame_log[FRAME_LOG];
static unsigned frame_first, frame_count;
static int last_counter = -1;
static struct {
    uint8_t *buffer;
    unsigned size, width, height;
    int wanted; /* 1: waiting, 0: none or done, -1: too small */
} still;

/* Soft clouds with a little grain, as a camera sees a wall: value noise of three octaves. */
static uint8_t *make_texture(unsigned width, unsigned height) {
    uint8_t *pixels = malloc((size_t)width * height);
    uint32_t seed = 12345;
    unsigned octave, x, y;

    if (!pixels)
        return NULL;
    memset(pixels, 40, (size_t)width * height);
    for (octave = 0; octave < 3; ++octave) {
        unsigned cell = 128u >> octave, columns = width / cell + 2, rows = height / cell + 2;
        uint8_t *grid = malloc((size_t)columns * rows);

        if (!grid) {
            free(pixels);
            return NULL;
        }
        for (x = 0; x < columns * rows; ++x) {
            seed = seed * 1664525u + 1013904223u;
            grid[x] = (uint8_t)(seed >> 24);
        }
        for (y = 0; y < height; ++y) {
            for (x = 0; x < width; ++x) {
                const uint8_t *corner = grid + (y / cell) * columns + x / cell;
                unsigned fx = x % cell, fy = y % cell;
                unsigned top = corner[0] * (cell - fx) + corner[1] * fx;
                unsigned bottom = corner[columns] * (cell - fx) + corner[columns + 1] * fx;
                unsigned value = (top * (cell - fy) + bottom * fy) / (cell * cell);

                pixels[(size_t)y * width + x] = (uint8_t)(pixels[(size_t)y * width + x] + (value >> (octave + 1)));
            }
        }
        free(grid);
    }
    return pixels;
}

static unsigned offset_of(uint16_t counter) {
    unsigned phase = counter % (2 * PAN);

    return phase < PAN ? phase : 2 * PAN - 1 - phase;
}

static void draw(uint8_t *luma, unsigned width, unsigned height, uint16_t counter) {
    unsigned offset = offset_of(counter), half = height / 2, y;

    stamp_draw(luma, (int)width, (int)width, (int)height, counter, stamp_now_ms());
    for (y = half; y < height; ++y)
        memcpy(luma + (size_t)y * width, texture + (size_t)(y - half) * (width + PAN) + offset, width);
}

/* Mean difference of the luma from what was sent, in the square of the lower half where it is largest; 0 to 255.
 * What is sent scaled down cannot be compared; it shows as a large one. */
static uint8_t worst_square(const uint8_t *luma, unsigned width, unsigned height, uint16_t counter) {
    unsigned half = height / 2, offset = offset_of(counter), worst = 0, left, top, x, y;

    if (expected.width != width || expected.height != height) {
        free(expected.pixels);
        expected.pixels = make_texture(width + PAN, half);
        expected.width = width;
        expected.height = height;
    }
    if (!expected.pixels)
        return 255;
    for (top = 0; top + BLOCK <= half; top += BLOCK) {
        for (left = 0; left + BLOCK <= width; left += BLOCK) {
            unsigned sum = 0;

            for (y = top; y < top + BLOCK; ++y) {
                const uint8_t *is = luma + (size_t)(half + y) * width + left;
                const uint8_t *was = expected.pixels + (size_t)y * (width + PAN) + offset + left;

                for (x = 0; x < BLOCK; ++x)
                    sum += (unsigned)abs(is[x] - was[x]);
            }
            worst = PJ_MAX(worst, sum / (BLOCK * BLOCK));
        }
    }
    return (uint8_t)worst;
}

static void log_frame(const uint8_t *luma, unsigned width, unsigned height) {
    struct peer_frame seen = {.seen_ms = (int64_t)stamp_now_ms(), .width = (uint16_t)width, .height = (uint16_t)height};
    uint64_t sent_ms = 0;

    seen.intact = stamp_read(luma, (int)width, (int)width, (int)height, &seen.counter, &sent_ms);
    if (seen.intact) {
        /* The renderer is given the last picture again when there is no new one. */
        if (seen.counter == last_counter)
            return;
        last_counter = seen.counter;
        seen.latency_ms = stamp_age_ms(sent_ms, (uint64_t)seen.seen_ms);
        seen.error = worst_square(luma, width, height, seen.counter);
    }
    frame_log[(frame_first + frame_count) % FRAME_LOG] = seen;
    if (frame_count < FRAME_LOG)
        ++frame_count;
    else
        frame_first = (frame_first + 1) % FRAME_LOG;
}

static void take_still(const pjmedia_frame *frame, unsigned width, unsigned height) {
    unsigned size = width * height * 3 / 2;

    if (still.wanted != 1)
        return;
    still.width = width;
    still.height = height;
    if (still.size >= size)
        memcpy(still.buffer, frame->buf, size);
    still.wanted = still.size >= size ? 0 : -1;
    pthread_cond_signal(&still_taken);
}

static pj_status_t get_param(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_param *param) {
    *param = ((struct stream *)base)->param;
    return PJ_SUCCESS;
}

static pj_status_t get_cap(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_cap cap, void *value) {
    if (cap != PJMEDIA_VID_DEV_CAP_FORMAT)
        return PJMEDIA_EVID_INVCAP;
    *(pjmedia_format *)value = ((struct stream *)base)->param.fmt;
    return PJ_SUCCESS;
}

static pj_status_t set_cap(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_cap cap, const void *value) {
    if (cap != PJMEDIA_VID_DEV_CAP_FORMAT)
        return PJMEDIA_EVID_INVCAP;
    ((struct stream *)base)->param.fmt = *(const pjmedia_format *)value;
    return PJ_SUCCESS;
}

static pj_status_t get_frame(pjmedia_vid_dev_stream *base, pjmedia_frame *frame) {
    struct stream *stream = (struct stream *)base;
    const pjmedia_video_format_detail *video = &stream->param.fmt.det.vid;
    size_t pixels = (size_t)video->size.w * video->size.h;

    if (frame->size < pixels * 3 / 2)
        return PJ_ETOOSMALL;
    draw(frame->buf, video->size.w, video->size.h, stream->counter++);
    memset((uint8_t *)frame->buf + pixels, 118, pixels / 4);
    memset((uint8_t *)frame->buf + pixels * 5 / 4, 140, pixels / 4);
    frame->type = PJMEDIA_FRAME_TYPE_VIDEO;
    frame->size = pixels * 3 / 2;
    frame->bit_info = 0;
    frame->timestamp = stream->timestamp;
    stream->timestamp.u64 += CLOCK_RATE / source_fps;
    return PJ_SUCCESS;
}

static pj_status_t put_frame(pjmedia_vid_dev_stream *base, const pjmedia_frame *frame) {
    struct stream *stream = (struct stream *)base;
    unsigned width = stream->param.fmt.det.vid.size.w, height = stream->param.fmt.det.vid.size.h;

    if (stream->device != READER || frame->type != PJMEDIA_FRAME_TYPE_VIDEO || !frame->buf ||
        frame->size < (size_t)width * height * 3 / 2)
        return PJ_SUCCESS;
    pthread_mutex_lock(&lock);
    log_frame(frame->buf, width, height);
    take_still(frame, width, height);
    pthread_mutex_unlock(&lock);
    return PJ_SUCCESS;
}

static pj_status_t nothing_to_do(pjmedia_vid_dev_stream *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static pj_status_t destroy_stream(pjmedia_vid_dev_stream *base) {
    pj_pool_release(((struct stream *)base)->pool);
    return PJ_SUCCESS;
}

static pjmedia_vid_dev_stream_op stream_ops = {
    get_param, get_cap, set_cap, nothing_to_do, get_frame, put_frame, nothing_to_do, destroy_stream,
};

static pj_status_t factory_nothing(pjmedia_vid_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static pj_status_t factory_destroy(pjmedia_vid_dev_factory *base) {
    pj_pool_release(((struct factory *)base)->pool);
    return PJ_SUCCESS;
}

static unsigned factory_count(pjmedia_vid_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return DEVICES;
}

static pj_status_t factory_info(pjmedia_vid_dev_factory *base, unsigned index, pjmedia_vid_dev_info *info) {
    PJ_UNUSED_ARG(base);
    if (index >= DEVICES)
        return PJMEDIA_EVID_INVDEV;
    pj_bzero(info, sizeof(*info));
    pj_ansi_snprintf(info->name, sizeof(info->name), "%s", names[index]);
    pj_ansi_snprintf(info->driver, sizeof(info->driver), "%s", PEER_DRIVER);
    info->dir = index == SOURCE ? PJMEDIA_DIR_CAPTURE : PJMEDIA_DIR_RENDER;
    info->has_callback = PJ_FALSE;
    info->caps = PJMEDIA_VID_DEV_CAP_FORMAT;
    info->fmt_cnt = 1;
    pjmedia_format_init_video(&info->fmt[0], PJMEDIA_FORMAT_I420, source_width, source_height, source_fps, 1);
    return PJ_SUCCESS;
}

static pj_status_t factory_default(pj_pool_t *pool, pjmedia_vid_dev_factory *base, unsigned index,
                                   pjmedia_vid_dev_param *param) {
    pjmedia_vid_dev_info info;
    pj_status_t status = factory_info(base, index, &info);

    PJ_UNUSED_ARG(pool);
    if (status != PJ_SUCCESS)
        return status;
    pj_bzero(param, sizeof(*param));
    param->dir = info.dir;
    param->cap_id = index == SOURCE ? (int)index : PJMEDIA_VID_INVALID_DEV;
    param->rend_id = index == SOURCE ? PJMEDIA_VID_INVALID_DEV : (int)index;
    param->flags = PJMEDIA_VID_DEV_CAP_FORMAT;
    param->clock_rate = CLOCK_RATE;
    param->fmt = info.fmt[0];
    return PJ_SUCCESS;
}

static pj_status_t create_stream(pjmedia_vid_dev_factory *base, pjmedia_vid_dev_param *param,
                                 const pjmedia_vid_dev_cb *callbacks, void *user_data,
                                 pjmedia_vid_dev_stream **result) {
    struct factory *factory = (struct factory *)base;
    pj_pool_t *pool = pj_pool_create(factory->pool_factory, "peer-video", 512, 512, NULL);
    struct stream *stream = PJ_POOL_ZALLOC_T(pool, struct stream);

    PJ_UNUSED_ARG(callbacks);
    PJ_UNUSED_ARG(user_data);
    stream->base.op = &stream_ops;
    stream->pool = pool;
    stream->param = *param;
    stream->device = (enum device)(param->dir == PJMEDIA_DIR_CAPTURE ? param->cap_id : param->rend_id);
    *result = &stream->base;
    return PJ_SUCCESS;
}

static pjmedia_vid_dev_factory_op factory_ops = {
    factory_nothing, factory_destroy, factory_count, factory_info, factory_default, create_stream, factory_nothing,
};

static pjmedia_vid_dev_factory *create_factory(pj_pool_factory *pool_factory) {
    pj_pool_t *pool = pj_pool_create(pool_factory, "peer-devices", 512, 512, NULL);
    struct factory *factory = PJ_POOL_ZALLOC_T(pool, struct factory);

    factory->base.op = &factory_ops;
    factory->pool = pool;
    factory->pool_factory = pool_factory;
    return &factory->base;
}

int peer_register_video(unsigned width, unsigned height, unsigned fps) {
    free(texture);
    texture = make_texture(width + PAN, height / 2);
    if (!texture)
        return PJ_ENOMEM;
    source_width = width;
    source_height = height;
    source_fps = fps;
    last_counter = -1;
    return pjmedia_vid_register_factory(&create_factory, NULL);
}

int peer_register(unsigned width, unsigned height, unsigned fps) {
    int status = peer_register_video(width, height, fps);

    return status == PJ_SUCCESS ? peer_register_audio() : status;
}

unsigned peer_take_frames(struct peer_frame *frames, unsigned max) {
    unsigned taken = 0;

    pthread_mutex_lock(&lock);
    for (; taken < max && frame_count > 0; ++taken, --frame_count) {
        frames[taken] = frame_log[frame_first];
        frame_first = (frame_first + 1) % FRAME_LOG;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

int peer_still(uint8_t *buffer, unsigned size, unsigned timeout_ms, unsigned *width, unsigned *height) {
    struct timespec until;
    int result, waited = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        ++until.tv_sec;
    }
    pthread_mutex_lock(&lock);
    still.buffer = buffer;
    still.size = size;
    still.wanted = 1;
    while (still.wanted == 1 && waited == 0)
        waited = pthread_cond_timedwait(&still_taken, &lock, &until);
    result = still.wanted == 0 ? 0 : -1;
    still.wanted = 0;
    *width = still.width;
    *height = still.height;
    pthread_mutex_unlock(&lock);
    return result;
}
