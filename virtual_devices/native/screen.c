/* The screen source: a rectangle of an X root window as I420, by MIT-SHM, skipped by XDamage.
 *
 *   X root ──ShmGetImage──► BGRX in shared memory ──libyuv──► the caller's I420 buffer
 *
 * xcb and not Xlib, since a lost server must never end the process. A server that does not answer
 * is not waited for longer than ANSWER_NS: the last picture is handed on and the answer is picked up
 * at the next read. The shared memory is a memfd: nothing stays behind, however we end.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "devices.h"
#include "picture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libyuv.h>
#include <xcb/damage.h>
#include <xcb/shm.h>
#include <xcb/xcb.h>
#include <xcb/xcbext.h>

#define ANSWER_NS (50 * NS_PER_MS) /* a grab takes 2 to 3 ms; the clock of the call must not stop for longer */

struct screen {
    pthread_mutex_t mutex;
    xcb_connection_t *x11;
    xcb_window_t root;
    uint8_t damage_event; /* number of XDamageNotify on this connection */
    xcb_damage_damage_t damage;
    xcb_shm_seg_t segment;
    uint8_t *bgrx; /* shared with X, width x height x 4 */
    int x, y, width, height;
    bool damaged;         /* painted since the last grab was asked for */
    bool asked;           /* a grab is under way */
    unsigned int request; /* its sequence number */
    bool outdated;        /* its picture is of no use */
    bool grabbed;         /* bgrx holds a picture */
    bool live, seen;      /* wanted: the screen; handed on: at least one picture */
    uint8_t *card;
    uint8_t *picture;   /* I420 of what was last handed on, while `picture_valid` */
    bool picture_valid; /* false: must be made from bgrx first */
    bool picture_is_card;
    bool changed; /* from the screen to a card, to another one, or back */
    struct screen_stats stats;
};

static void set_error(char *error, size_t size, const char *what) { snprintf(error, size, "%s", what); }

static bool has_extension(xcb_connection_t *x11, xcb_extension_t *extension, uint8_t *first_event) {
    const xcb_query_extension_reply_t *reply = xcb_get_extension_data(x11, extension);
    if (!reply || !reply->present)
        return false;
    *first_event = reply->first_event;
    return true;
}

/* Gives X a piece of memory to write pictures to. */
static bool share_memory(struct screen *screen) {
    const size_t size = (size_t)screen->width * (size_t)screen->height * 4;
    const int fd = memfd_create("jibri-sip screen", MFD_CLOEXEC);
    if (fd < 0)
        return false;
    if (ftruncate(fd, (off_t)size) < 0) {
        close(fd);
        return false;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        close(fd);
        return false;
    }
    screen->bgrx = memory;
    screen->segment = xcb_generate_id(screen->x11);
    /* xcb closes fd once it is sent */
    xcb_generic_error_t *refused =
        xcb_request_check(screen->x11, xcb_shm_attach_fd_checked(screen->x11, screen->segment, fd, false));
    const bool attached = !refused;
    free(refused);
    return attached;
}

static bool watch_damage(struct screen *screen) {
    xcb_damage_query_version_reply_t *version = xcb_damage_query_version_reply(
        screen->x11, xcb_damage_query_version(screen->x11, XCB_DAMAGE_MAJOR_VERSION, XCB_DAMAGE_MINOR_VERSION), NULL);
    if (!version)
        return false;
    free(version);
    screen->damage = xcb_generate_id(screen->x11);
    xcb_generic_error_t *refused =
        xcb_request_check(screen->x11, xcb_damage_create_checked(screen->x11, screen->damage, screen->root,
                                                                 XCB_DAMAGE_REPORT_LEVEL_NON_EMPTY));
    const bool created = !refused;
    free(refused);
    return created;
}

static bool connect_display(struct screen *screen, const char *display, const char *cookie, int cookie_size,
                            char *error, size_t error_size) {
    static char name[] = "MIT-MAGIC-COOKIE-1";
    char data[64];
    if (cookie_size < 0 || cookie_size > (int)sizeof data) {
        set_error(error, error_size, "the X cookie is too long");
        return false;
    }
    memcpy(data, cookie, (size_t)cookie_size);
    xcb_auth_info_t auth = {.namelen = sizeof name - 1, .name = name, .datalen = cookie_size, .data = data};
    screen->x11 = xcb_connect_to_display_with_auth_info(display, &auth, NULL);
    if (xcb_connection_has_error(screen->x11)) {
        snprintf(error, error_size, "cannot connect to X display %s", display);
        return false;
    }
    const xcb_screen_t *first = xcb_setup_roots_iterator(xcb_get_setup(screen->x11)).data;
    screen->root = first->root;
    if (screen->x + screen->width > first->width_in_pixels || screen->y + screen->height > first->height_in_pixels ||
        first->root_depth != 24) {
        snprintf(error, error_size, "X display %s is %dx%d with %d bits, too small for %dx%d+%d+%d with 24", display,
                 first->width_in_pixels, first->height_in_pixels, first->root_depth, screen->width, screen->height,
                 screen->x, screen->y);
        return false;
    }
    uint8_t unused;
    if (!has_extension(screen->x11, &xcb_shm_id, &unused) || !share_memory(screen)) {
        set_error(error, error_size, "the X server offers no shared memory (MIT-SHM 1.2)");
        return false;
    }
    if (!has_extension(screen->x11, &xcb_damage_id, &screen->damage_event) || !watch_damage(screen)) {
        set_error(error, error_size, "the X server does not report what was painted (DAMAGE)");
        return false;
    }
    return true;
}

struct screen *screen_open(const char *display, const char *cookie, int cookie_size, int x, int y, int width,
                           int height, char *error, size_t error_size) {
    struct screen *screen = calloc(1, sizeof *screen);
    const size_t size = picture_size(width, height);
    if (!screen || !(screen->card = malloc(size)) || !(screen->picture = malloc(size))) {
        set_error(error, error_size, "out of memory");
        if (screen)
            free(screen->card);
        free(screen);
        return NULL;
    }
    pthread_mutex_init(&screen->mutex, NULL);
    screen->x = x;
    screen->y = y;
    screen->width = width;
    screen->height = height;
    screen->damaged = true;
    picture_black(screen->card, width, height);
    if (!connect_display(screen, display, cookie, cookie_size, error, error_size)) {
        screen_close(screen);
        return NULL;
    }
    return screen;
}

void screen_close(struct screen *screen) {
    if (!screen)
        return;
    if (screen->x11)
        xcb_disconnect(screen->x11);
    if (screen->bgrx)
        munmap(screen->bgrx, (size_t)screen->width * (size_t)screen->height * 4);
    pthread_mutex_destroy(&screen->mutex);
    free(screen->card);
    free(screen->picture);
    free(screen);
}

void screen_show(struct screen *screen, const uint8_t *card) {
    pthread_mutex_lock(&screen->mutex);
    if (card) {
        memcpy(screen->card, card, picture_size(screen->width, screen->height));
    } else if (!screen->live) {
        /* what was on the screen before the card must not flash up */
        screen->grabbed = false;
        screen->damaged = true;
        screen->outdated = screen->asked;
    }
    screen->live = card == NULL;
    screen->changed = true;
    pthread_mutex_unlock(&screen->mutex);
}

/* Takes in what X reported. Only a non-blocking read of the socket. */
static void note_damage(struct screen *screen) {
    xcb_generic_event_t *event;
    while ((event = xcb_poll_for_event(screen->x11))) {
        if ((event->response_type & 0x7f) == screen->damage_event + XCB_DAMAGE_NOTIFY)
            screen->damaged = true;
        free(event);
    }
    if (xcb_connection_has_error(screen->x11))
        screen->stats.lost = 1;
}

/* Asks for a picture. What is painted after the subtraction is reported anew, so nothing is missed. */
static void ask(struct screen *screen) {
    xcb_damage_subtract(screen->x11, screen->damage, XCB_NONE, XCB_NONE);
    screen->request =
        xcb_shm_get_image(screen->x11, screen->root, (int16_t)screen->x, (int16_t)screen->y, (uint16_t)screen->width,
                          (uint16_t)screen->height, ~0u, XCB_IMAGE_FORMAT_Z_PIXMAP, screen->segment, 0)
            .sequence;
    xcb_flush(screen->x11);
    screen->damaged = false;
    screen->asked = true;
}

/* Waits for the answer until the deadline; true when a new picture is in shared memory. */
static bool answered(struct screen *screen, uint64_t deadline_ns) {
    void *reply = NULL;
    xcb_generic_error_t *refused = NULL;
    while (!xcb_poll_for_reply(screen->x11, screen->request, &reply, &refused)) {
        const uint64_t now = clock_now_ns();
        if (now >= deadline_ns)
            return false;
        struct pollfd socket = {.fd = xcb_get_file_descriptor(screen->x11), .events = POLLIN};
        poll(&socket, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
    }
    screen->asked = false;
    const bool granted = reply != NULL;
    free(reply);
    free(refused);
    return granted;
}

static bool grab(struct screen *screen) {
    note_damage(screen);
    if (screen->stats.lost || (!screen->damaged && !screen->asked))
        return false;
    const uint64_t deadline_ns = clock_now_ns() + ANSWER_NS;
    if (screen->outdated && answered(screen, deadline_ns))
        screen->outdated = false;
    if (!screen->asked)
        ask(screen);
    if (screen->outdated || !answered(screen, deadline_ns)) {
        screen->damaged = true;
        screen->stats.errors++;
        return false;
    }
    screen->stats.last_grab_ns = clock_now_ns();
    screen->grabbed = true;
    return true;
}

static void convert(const struct screen *screen, uint8_t *i420) {
    const size_t pixels = (size_t)screen->width * (size_t)screen->height;
    ARGBToI420(screen->bgrx, screen->width * 4, i420, screen->width, i420 + pixels, screen->width / 2,
               i420 + pixels * 5 / 4, screen->width / 2, screen->width, screen->height);
}

/* A moving screen is converted straight into the caller's buffer; a still one is kept and copied. */
static void read_live(struct screen *screen, uint8_t *i420, bool fresh) {
    if (fresh) {
        convert(screen, i420);
        screen->picture_valid = false;
        screen->stats.grabbed++;
    } else {
        if (!screen->picture_valid)
            convert(screen, screen->picture);
        screen->picture_valid = true;
        memcpy(i420, screen->picture, picture_size(screen->width, screen->height));
        screen->stats.unchanged++;
    }
    screen->picture_is_card = false;
}

static void read_card(struct screen *screen, uint8_t *i420) {
    memcpy(i420, screen->card, picture_size(screen->width, screen->height));
    screen->picture_is_card = true;
    screen->picture_valid = false;
    screen->stats.cards++;
}

int screen_fresh(struct screen *screen) {
    pthread_mutex_lock(&screen->mutex);
    if (screen->live && !screen->stats.lost)
        note_damage(screen);
    const bool fresh = screen->changed || (screen->live && (screen->damaged || screen->asked));
    pthread_mutex_unlock(&screen->mutex);
    return fresh;
}

int screen_read(struct screen *screen, uint8_t *i420) {
    pthread_mutex_lock(&screen->mutex);
    const bool fresh = screen->live && grab(screen);
    const bool live = screen->live && screen->grabbed;
    if (live)
        read_live(screen, i420, fresh);
    else
        read_card(screen, i420);
    screen->seen = true;
    screen->changed = false;
    screen->stats.frames++;
    pthread_mutex_unlock(&screen->mutex);
    return live;
}

int screen_still(struct screen *screen, uint8_t *i420) {
    pthread_mutex_lock(&screen->mutex);
    const bool seen = screen->seen;
    if (seen && screen->picture_is_card)
        memcpy(i420, screen->card, picture_size(screen->width, screen->height));
    else if (seen)
        convert(screen, i420);
    pthread_mutex_unlock(&screen->mutex);
    return seen;
}

void screen_get_stats(struct screen *screen, struct screen_stats *stats) {
    pthread_mutex_lock(&screen->mutex);
    if (!screen->live && !screen->stats.lost)
        note_damage(screen); /* a card reads nothing from X: notice its loss here, and keep its queue short */
    *stats = screen->stats;
    pthread_mutex_unlock(&screen->mutex);
}
