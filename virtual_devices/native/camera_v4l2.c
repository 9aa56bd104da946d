/* The camera over v4l2loopback: an output device that readers see as a camera.
 *
 * Order of calls (0.12 needs STREAMON before write(); 0.14 and later refuse it with EINVAL and start by
 * themselves; a driver whose format is held by a reader answers S_FMT with the old format and no error):
 *
 *   open, QUERYCAP, S_FMT (compared), S_PARM, STREAMON (EINVAL is fine), write() for each picture
 *
 * One file descriptor for the camera's whole life: a producer that comes back leaves readers frozen.
 */
#define _GNU_SOURCE
#include "camera.h"
#include "devices.h"
#include "picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/videodev2.h>

struct v4l2_camera {
    struct camera *camera;
    int fd;
    atomic_bool lost;
};

static int request(int fd, unsigned long number, void *argument) {
    int result;
    do
        result = ioctl(fd, number, argument);
    while (result < 0 && errno == EINTR);
    return result;
}

static bool write_picture(void *data, const uint8_t *i420, size_t size) {
    struct v4l2_camera *v4l2 = data;
    if (v4l2->lost) /* by the picture before, which another thread wrote meanwhile */
        return false;
    const ssize_t written = write(v4l2->fd, i420, size);
    if (written < 0 ? errno != EAGAIN && errno != EINTR : (size_t)written != size)
        v4l2->lost = true;
    return written == (ssize_t)size;
}

static void offer(void *data) {
    struct v4l2_camera *v4l2 = data;
    if (!v4l2->lost)
        camera_take(v4l2->camera, write_picture, v4l2);
}

/* The driver does not tell; every picture is written. */
static bool is_watched(void *data) { return !((struct v4l2_camera *)data)->lost; }

static bool is_lost(void *data) { return ((struct v4l2_camera *)data)->lost; }

static void release(void *data) {
    struct v4l2_camera *v4l2 = data;
    if (v4l2->fd >= 0)
        close(v4l2->fd);
    free(v4l2);
}

static const struct camera_backend backend = {offer, is_watched, is_lost, release};

static int set_format(int fd, int width, int height, char *error, size_t error_size) {
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_OUTPUT};
    struct v4l2_pix_format *pix = &format.fmt.pix;
    pix->width = (uint32_t)width;
    pix->height = (uint32_t)height;
    pix->pixelformat = V4L2_PIX_FMT_YUV420;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = (uint32_t)width;
    pix->sizeimage = (uint32_t)picture_size(width, height);
    pix->colorspace = V4L2_COLORSPACE_SMPTE170M;
    if (request(fd, VIDIOC_S_FMT, &format) < 0) {
        snprintf(error, error_size, "the device refuses %dx%d I420: %s", width, height, strerror(errno));
        return -1;
    }
    if (pix->width != (uint32_t)width || pix->height != (uint32_t)height || pix->pixelformat != V4L2_PIX_FMT_YUV420 ||
        pix->sizeimage < picture_size(width, height)) { // The driver's buffers are whole pages.
        snprintf(error, error_size, "the device stays at %ux%u (another program has it open)", pix->width, pix->height);
        return -1;
    }
    return 0;
}

static int prepare(int fd, int width, int height, int fps, char *error, size_t error_size) {
    struct v4l2_capability capability = {0};
    if (request(fd, VIDIOC_QUERYCAP, &capability) < 0) {
        snprintf(error, error_size, "not a video device: %s", strerror(errno));
        return -1;
    }
    if (set_format(fd, width, height, error, error_size) < 0)
        return -1;
    struct v4l2_streamparm parameters = {.type = V4L2_BUF_TYPE_VIDEO_OUTPUT};
    parameters.parm.output.timeperframe.numerator = 1;
    parameters.parm.output.timeperframe.denominator = (uint32_t)fps;
    if (request(fd, VIDIOC_S_PARM, &parameters) < 0) {
        snprintf(error, error_size, "the device refuses %d pictures a second: %s", fps, strerror(errno));
        return -1;
    }
    int type = V4L2_BUF_TYPE_VIDEO_OUTPUT;
    if (request(fd, VIDIOC_STREAMON, &type) < 0 && errno != EINVAL) {
        snprintf(error, error_size, "the device does not start: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static struct v4l2_camera *open_device(struct camera *camera, const char *device, int width, int height, int fps,
                                       char *error, size_t error_size) {
    struct v4l2_camera *v4l2 = calloc(1, sizeof *v4l2);
    if (!v4l2) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    v4l2->camera = camera;
    v4l2->fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (v4l2->fd < 0)
        snprintf(error, error_size, "cannot open %s: %s", device, strerror(errno));
    if (v4l2->fd < 0 || prepare(v4l2->fd, width, height, fps, error, error_size) < 0) {
        release(v4l2);
        return NULL;
    }
    return v4l2;
}

struct camera *camera_open_v4l2(const char *device, int width, int height, int fps, const uint8_t *no_signal,
                                char *error, size_t error_size) {
    struct camera *camera = camera_create(width, height, no_signal, error, error_size);
    if (!camera)
        return NULL;
    struct v4l2_camera *v4l2 = open_device(camera, device, width, height, fps, error, error_size);
    if (!v4l2 || camera_begin(camera, &backend, v4l2, error, error_size) < 0) {
        camera_close(camera);
        return NULL;
    }
    return camera;
}
