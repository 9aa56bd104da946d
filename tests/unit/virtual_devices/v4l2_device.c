/* A v4l2loopback device for tests, preloaded under the calls that the camera makes.
 *
 * "/dev/video-test" exists; every call on it is a line in the file $V4L2_LOG. What the driver does:
 *   V4L2_FORMAT=640x480     keeps this format whatever is asked, as a device in use does
 *   V4L2_STREAMON=ERRNO     STREAMON fails with this number
 *   V4L2_WRITE=ERRNO        write() fails with this number
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/videodev2.h>

#define PAGE 4096U

static int device = -1;

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    FILE *log = fopen(getenv("V4L2_LOG"), "a");
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log, format, arguments);
    va_end(arguments);
    fputc('\n', log);
    fclose(log);
}

static int wanted_error(const char *variable) {
    const char *text = getenv(variable);
    return text ? atoi(text) : 0;
}

static int fail(int number) {
    errno = number;
    return number ? -1 : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    if (strcmp(path, "/dev/video-test") != 0)
        return real(path, flags, mode);
    device = real("/dev/null", O_RDWR | O_CLOEXEC);
    note("open %s", flags & O_NONBLOCK ? "nonblocking" : "blocking");
    return device;
}

static int set_format(struct v4l2_format *format) {
    struct v4l2_pix_format *pix = &format->fmt.pix;
    note("S_FMT %ux%u %.4s %u", pix->width, pix->height, (const char *)&pix->pixelformat, pix->sizeimage);
    const char *fixed = getenv("V4L2_FORMAT");
    if (fixed && sscanf(fixed, "%ux%u", &pix->width, &pix->height) == 2)
        pix->sizeimage = pix->width * pix->height * 3 / 2;
    pix->sizeimage = (pix->sizeimage + PAGE - 1) / PAGE * PAGE; // as 0.12 and 0.15 do
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (fd != device || device < 0) {
        int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, argument);
    }
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP:
        note("QUERYCAP");
        return 0;
    case VIDIOC_S_FMT:
        return set_format(argument);
    case VIDIOC_S_PARM: {
        const struct v4l2_fract *interval = &((struct v4l2_streamparm *)argument)->parm.output.timeperframe;
        note("S_PARM %u/%u", interval->numerator, interval->denominator);
        return 0;
    }
    case VIDIOC_STREAMON:
        note("STREAMON");
        return fail(wanted_error("V4L2_STREAMON"));
    default:
        note("unexpected ioctl");
        return fail(ENOTTY);
    }
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (fd != device || device < 0)
        return real(fd, data, size);
    const int number = wanted_error("V4L2_WRITE");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    note("write %zu %u %lld", size, *(const unsigned char *)data, now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    return number ? fail(number) : (ssize_t)size;
}

int close(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
    if (fd == device && device >= 0) {
        device = -1;
        note("close");
    }
    return real(fd);
}
