/* The PJMEDIA video devices of the gateway, all passive (PJMEDIA's video bridge calls them at its clock):
 *
 *   meeting-screen  capture  gives what the screen object of the process holds; black without one. Asked at each
 *                            tick, it gives a picture soon after it was painted, so many a second as it was opened for
 *   sip-camera      render   feeds the camera object of the process; swallows pictures without one
 *   void            render   swallows pictures: PJSIP opens a hidden preview of what is sent, which must
 *                            not end up in the camera
 *
 * PJSIP makes and destroys streams with each call and re-INVITE; screen and camera outlive them and may be
 * replaced at any time.
 */
#include "video_devices.h"

#include "clock.h"
#include "devices.h"
#include "picture.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include <pjlib.h>
#include <pjmedia-videodev/videodev_imp.h>
#include <pjmedia.h>
#include <pjmedia_videodev.h>

#define CLOCK_RATE 90000 /* RFC 6184 8.2.1 */
#define BRIDGE_HZ 60     /* how often PJMEDIA's video bridge asks */
#define TICK_NS (NS_PER_S / BRIDGE_HZ)
#define EARLY_NS (TICK_NS * 6 / 5) /* a new picture need not wait for its time */
#define LATE_NS (TICK_NS * 3 / 2)  /* without a new one the last is sent again */

enum device { MEETING_SCREEN, SIP_CAMERA, VOID, DEVICE_COUNT };

static const struct {
    const char *name;
    pjmedia_dir direction;
} devices[DEVICE_COUNT] = {
    [MEETING_SCREEN] = {"meeting-screen", PJMEDIA_DIR_CAPTURE},
    [SIP_CAMERA] = {"sip-camera", PJMEDIA_DIR_RENDER},
    [VOID] = {"void", PJMEDIA_DIR_RENDER},
};

static pthread_mutex_t screen_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t camera_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct screen *current_screen;
static struct camera *current_camera;
static struct {
    int width, height, fps;
} canvas;

struct factory {
    pjmedia_vid_dev_factory base;
    pj_pool_t *pool;
    pj_pool_factory *pools;
};

struct stream {
    pjmedia_vid_dev_stream base;
    pj_pool_t *pool;
    enum device device;
    pjmedia_vid_dev_param param;
    uint64_t interval_ns; /* between two pictures of the screen */
    uint64_t due_ns;      /* when the next should be given */
    bool running;
};

void devices_set_screen(struct screen *screen) {
    pthread_mutex_lock(&screen_mutex);
    current_screen = screen;
    pthread_mutex_unlock(&screen_mutex);
}

void devices_set_camera(struct camera *camera) {
    pthread_mutex_lock(&camera_mutex);
    current_camera = camera;
    pthread_mutex_unlock(&camera_mutex);
}

/* ---- streams ---- */

static pj_status_t stream_get_param(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_param *param) {
    *param = ((struct stream *)base)->param;
    return PJ_SUCCESS;
}

static pj_status_t stream_get_cap(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_cap cap, void *value) {
    if (cap != PJMEDIA_VID_DEV_CAP_FORMAT)
        return PJMEDIA_EVID_INVCAP;
    *(pjmedia_format *)value = ((struct stream *)base)->param.fmt;
    return PJ_SUCCESS;
}

/* The peer's picture changed its size: the camera fits whatever comes. */
static pj_status_t stream_set_cap(pjmedia_vid_dev_stream *base, pjmedia_vid_dev_cap cap, const void *value) {
    struct stream *stream = (struct stream *)base;
    if (cap != PJMEDIA_VID_DEV_CAP_FORMAT || stream->device == MEETING_SCREEN)
        return PJMEDIA_EVID_INVCAP;
    stream->param.fmt = *(const pjmedia_format *)value;
    return PJ_SUCCESS;
}

static pj_status_t stream_start(pjmedia_vid_dev_stream *base) {
    ((struct stream *)base)->running = true;
    return PJ_SUCCESS;
}

static pj_status_t stream_stop(pjmedia_vid_dev_stream *base) {
    ((struct stream *)base)->running = false;
    return PJ_SUCCESS;
}

static pj_status_t stream_destroy(pjmedia_vid_dev_stream *base) {
    pj_pool_release(((struct stream *)base)->pool);
    return PJ_SUCCESS;
}

/* Whether a picture is given now: a new one at about its time, the last one again when none came. */
static bool due(struct stream *stream) {
    const uint64_t now = clock_now_ns();
    const bool fresh = current_screen && screen_fresh(current_screen);
    if (fresh ? now + EARLY_NS < stream->due_ns : now < stream->due_ns + LATE_NS)
        return false;
    stream->due_ns += stream->interval_ns;
    if (stream->due_ns < now) /* what came late is not made up for */
        stream->due_ns = now;
    return true;
}

static pj_status_t stream_get_frame(pjmedia_vid_dev_stream *base, pjmedia_frame *frame) {
    struct stream *stream = (struct stream *)base;
    const size_t size = picture_size(canvas.width, canvas.height);
    if (stream->device != MEETING_SCREEN)
        return PJ_EINVALIDOP;
    if (frame->size < size)
        return PJ_ETOOSMALL;
    pthread_mutex_lock(&screen_mutex);
    const bool given = due(stream);
    if (given && current_screen)
        screen_read(current_screen, frame->buf);
    else if (given)
        picture_black(frame->buf, canvas.width, canvas.height);
    pthread_mutex_unlock(&screen_mutex);
    frame->type = given ? PJMEDIA_FRAME_TYPE_VIDEO : PJMEDIA_FRAME_TYPE_NONE;
    frame->size = given ? size : 0;
    frame->bit_info = 0;
    return PJ_SUCCESS;
}

static pj_status_t stream_put_frame(pjmedia_vid_dev_stream *base, const pjmedia_frame *frame) {
    const struct stream *stream = (struct stream *)base;
    const pjmedia_rect_size size = stream->param.fmt.det.vid.size;
    /* The bridge also calls without a picture, to keep time; the camera has a clock of its own. */
    if (stream->device != SIP_CAMERA || frame->type != PJMEDIA_FRAME_TYPE_VIDEO || !frame->buf ||
        frame->size < picture_size((int)size.w, (int)size.h))
        return PJ_SUCCESS;
    pthread_mutex_lock(&camera_mutex);
    if (current_camera)
        camera_write(current_camera, frame->buf, (int)size.w, (int)size.h);
    pthread_mutex_unlock(&camera_mutex);
    return PJ_SUCCESS;
}

static pjmedia_vid_dev_stream_op stream_operations = {
    stream_get_param, stream_get_cap,   stream_set_cap, stream_start,
    stream_get_frame, stream_put_frame, stream_stop,    stream_destroy,
};

/* ---- the factory ---- */

static pj_status_t factory_init(pjmedia_vid_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static pj_status_t factory_destroy(pjmedia_vid_dev_factory *base) {
    pj_pool_release(((struct factory *)base)->pool);
    return PJ_SUCCESS;
}

static pj_status_t factory_refresh(pjmedia_vid_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return PJ_SUCCESS;
}

static unsigned factory_get_dev_count(pjmedia_vid_dev_factory *base) {
    PJ_UNUSED_ARG(base);
    return DEVICE_COUNT;
}

static pj_status_t factory_get_dev_info(pjmedia_vid_dev_factory *base, unsigned index, pjmedia_vid_dev_info *info) {
    PJ_UNUSED_ARG(base);
    if (index >= DEVICE_COUNT)
        return PJMEDIA_EVID_INVDEV;
    pj_bzero(info, sizeof *info);
    info->id = (pjmedia_vid_dev_index)index;
    snprintf(info->name, sizeof info->name, "%s", devices[index].name);
    snprintf(info->driver, sizeof info->driver, "%s", DRIVER_NAME);
    info->dir = devices[index].direction;
    info->has_callback = PJ_FALSE;
    info->caps = PJMEDIA_VID_DEV_CAP_FORMAT;
    info->fmt_cnt = 1;
    pjmedia_format_init_video(&info->fmt[0], PJMEDIA_FORMAT_I420, (unsigned)canvas.width, (unsigned)canvas.height,
                              (unsigned)canvas.fps, 1);
    return PJ_SUCCESS;
}

static pj_status_t factory_default_param(pj_pool_t *pool, pjmedia_vid_dev_factory *base, unsigned index,
                                         pjmedia_vid_dev_param *param) {
    PJ_UNUSED_ARG(pool);
    pjmedia_vid_dev_info info;
    const pj_status_t status = factory_get_dev_info(base, index, &info);
    if (status != PJ_SUCCESS)
        return status;
    pj_bzero(param, sizeof *param);
    param->dir = info.dir;
    param->cap_id = info.dir == PJMEDIA_DIR_CAPTURE ? (pjmedia_vid_dev_index)index : PJMEDIA_VID_INVALID_DEV;
    param->rend_id = info.dir == PJMEDIA_DIR_RENDER ? (pjmedia_vid_dev_index)index : PJMEDIA_VID_INVALID_DEV;
    param->flags = PJMEDIA_VID_DEV_CAP_FORMAT;
    param->clock_rate = CLOCK_RATE;
    param->fmt = info.fmt[0];
    return PJ_SUCCESS;
}

static pj_status_t factory_create_stream(pjmedia_vid_dev_factory *base, pjmedia_vid_dev_param *param,
                                         const pjmedia_vid_dev_cb *callbacks, void *user_data,
                                         pjmedia_vid_dev_stream **stream_out) {
    PJ_UNUSED_ARG(callbacks);
    PJ_UNUSED_ARG(user_data);
    const bool capture = param->dir == PJMEDIA_DIR_CAPTURE;
    const pjmedia_vid_dev_index index = capture ? param->cap_id : param->rend_id;
    if (index < 0 || index >= DEVICE_COUNT || devices[index].direction != param->dir)
        return PJMEDIA_EVID_INVDEV;
    pj_pool_t *pool = pj_pool_create(((struct factory *)base)->pools, devices[index].name, 512, 512, NULL);
    if (!pool)
        return PJ_ENOMEM;
    struct stream *stream = PJ_POOL_ZALLOC_T(pool, struct stream);
    stream->base.op = &stream_operations;
    stream->pool = pool;
    stream->device = (enum device)index;
    stream->param = *param;
    stream->interval_ns = NS_PER_S * (unsigned)param->fmt.det.vid.fps.denum / (unsigned)param->fmt.det.vid.fps.num;
    /* Both ask for every tick: the screen to give a picture when there is one, the camera to take any that comes. */
    param->fmt.det.vid.fps = (pjmedia_ratio){BRIDGE_HZ, 1};
    stream->param.fmt.det.vid.fps = param->fmt.det.vid.fps;
    *stream_out = &stream->base;
    return PJ_SUCCESS;
}

static pjmedia_vid_dev_factory_op factory_operations = {
    factory_init,          factory_destroy,       factory_get_dev_count, factory_get_dev_info,
    factory_default_param, factory_create_stream, factory_refresh,
};

static pjmedia_vid_dev_factory *create_factory(pj_pool_factory *pools) {
    pj_pool_t *pool = pj_pool_create(pools, DRIVER_NAME " video", 512, 512, NULL);
    if (!pool)
        return NULL;
    struct factory *factory = PJ_POOL_ZALLOC_T(pool, struct factory);
    factory->base.op = &factory_operations;
    factory->pool = pool;
    factory->pools = pools;
    return &factory->base;
}

int video_devices_register(int width, int height, int fps) {
    canvas.width = width;
    canvas.height = height;
    canvas.fps = fps;
    return pjmedia_vid_register_factory(create_factory, NULL);
}
