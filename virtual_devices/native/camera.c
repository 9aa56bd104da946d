/* The canvas layer of the virtual camera, the same for every backend.
 *
 *   peer's picture of any size ──letterbox──► canvas ──offer──► backend ──camera_take──► reader
 *                                               ▲
 *        pacing thread: repeats the last one after REPEAT_NS, "no signal" after NO_SIGNAL_NS, cards
 *
 * The canvas has one size for its whole life: browsers do not follow a camera that changes. There is one
 * picture and no queue; a picture that the backend has not taken yet is replaced by the newer one.
 */
#define _GNU_SOURCE
#include "camera.h"
#include "clock.h"
#include "devices.h"
#include "picture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_NS (150 * NS_PER_MS) /* longer than the gaps of a peer that sends 8 pictures a second */
#define NO_SIGNAL_NS (2 * NS_PER_S)
#define STILL_NS (200 * NS_PER_MS) /* cards and "no signal": 5 a second keep a browser's encoder going */

enum shown { CARD, WAITING, LIVE }; /* WAITING: live is wanted, the card stays until the peer's first picture */
enum kind { KIND_CARD, KIND_NO_SIGNAL, KIND_REPEATED, KIND_NEW };

struct camera {
    int width, height;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t pacer;
    bool pacing, closing;
    enum shown shown;
    enum kind kind; /* what is offered now */
    bool offered;   /* and not taken yet */
    uint64_t offered_ns;
    uint8_t *canvas; /* the peer's last picture, fitted */
    uint8_t *card;
    uint8_t *no_signal;
    const struct camera_backend *backend;
    void *data;
    struct camera_stats stats;
};

struct camera *camera_create(int width, int height, const uint8_t *no_signal, char *error, size_t error_size) {
    struct camera *camera = calloc(1, sizeof *camera);
    const size_t size = picture_size(width, height);
    uint8_t *pictures = malloc(3 * size);
    if (!camera || !pictures) {
        snprintf(error, error_size, "out of memory");
        free(camera);
        free(pictures);
        return NULL;
    }
    camera->width = width;
    camera->height = height;
    camera->canvas = pictures;
    camera->card = pictures + size;
    camera->no_signal = pictures + 2 * size;
    picture_black(camera->canvas, width, height);
    picture_black(camera->card, width, height);
    memcpy(camera->no_signal, no_signal, size);
    pthread_mutex_init(&camera->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&camera->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return camera;
}

static size_t canvas_size(const struct camera *camera) { return picture_size(camera->width, camera->height); }

static const uint8_t *current(const struct camera *camera) {
    if (camera->kind == KIND_CARD)
        return camera->card;
    return camera->kind == KIND_NO_SIGNAL ? camera->no_signal : camera->canvas;
}

/* With the mutex held: makes a picture the one to be shown. The caller then tells the backend. */
static void set_offer(struct camera *camera, enum kind kind) {
    if (camera->offered && camera->kind == KIND_NEW)
        camera->stats.dropped++;
    camera->kind = kind;
    camera->offered = camera->backend->is_watched(camera->data);
    camera->offered_ns = clock_now_ns();
}

void camera_take(struct camera *camera, camera_taker *take, void *data) {
    pthread_mutex_lock(&camera->mutex);
    if (take(data, current(camera), canvas_size(camera))) {
        camera->offered = false;
        camera->stats.sent++;
        camera->stats.cards += camera->kind == KIND_CARD;
        camera->stats.no_signal += camera->kind == KIND_NO_SIGNAL;
        camera->stats.repeated += camera->kind == KIND_REPEATED;
        if (camera->kind == KIND_NEW)
            camera->kind = KIND_REPEATED; /* should the backend ask again by itself */
    }
    pthread_mutex_unlock(&camera->mutex);
}

/* When the pacing thread has to act, if nothing else happens before. */
static uint64_t next_ns(const struct camera *camera) {
    const bool live = camera->shown == LIVE && camera->kind >= KIND_REPEATED;
    return camera->offered_ns + (live ? REPEAT_NS : STILL_NS);
}

static enum kind next_kind(const struct camera *camera) {
    if (camera->shown != LIVE)
        return KIND_CARD;
    const bool silent = clock_now_ns() - camera->stats.last_received_ns >= NO_SIGNAL_NS;
    return silent ? KIND_NO_SIGNAL : KIND_REPEATED;
}

static void *pace(void *data) {
    struct camera *camera = data;
    pthread_mutex_lock(&camera->mutex);
    while (!camera->closing) {
        const uint64_t due = next_ns(camera);
        if (clock_now_ns() < due) {
            const struct timespec until = clock_timespec(due);
            pthread_cond_timedwait(&camera->changed, &camera->mutex, &until);
            continue;
        }
        set_offer(camera, next_kind(camera));
        pthread_mutex_unlock(&camera->mutex);
        camera->backend->offer(camera->data);
        pthread_mutex_lock(&camera->mutex);
    }
    pthread_mutex_unlock(&camera->mutex);
    return NULL;
}

int camera_begin(struct camera *camera, const struct camera_backend *backend, void *data, char *error,
                 size_t error_size) {
    camera->backend = backend;
    camera->data = data;
    const int failed = pthread_create(&camera->pacer, NULL, pace, camera);
    if (failed) {
        snprintf(error, error_size, "cannot start a thread: %s", strerror(failed));
        return -1;
    }
    camera->pacing = true;
    return 0;
}

void camera_close(struct camera *camera) {
    if (!camera)
        return;
    pthread_mutex_lock(&camera->mutex);
    camera->closing = true;
    pthread_cond_signal(&camera->changed);
    pthread_mutex_unlock(&camera->mutex);
    if (camera->pacing)
        pthread_join(camera->pacer, NULL);
    if (camera->backend)
        camera->backend->close(camera->data);
    pthread_cond_destroy(&camera->changed);
    pthread_mutex_destroy(&camera->mutex);
    free(camera->canvas);
    free(camera);
}

void camera_show(struct camera *camera, const uint8_t *card) {
    pthread_mutex_lock(&camera->mutex);
    const bool changed = card != NULL;
    if (card) {
        memcpy(camera->card, card, canvas_size(camera));
        camera->shown = CARD;
        set_offer(camera, KIND_CARD);
    } else if (camera->shown == CARD) {
        camera->shown = WAITING;
    }
    pthread_mutex_unlock(&camera->mutex);
    if (changed)
        camera->backend->offer(camera->data);
}

int camera_write(struct camera *camera, const uint8_t *i420, int width, int height) {
    if (width < 2 || height < 2 || width % 2 || height % 2)
        return -1;
    pthread_mutex_lock(&camera->mutex);
    camera->stats.received++;
    camera->stats.last_received_ns = clock_now_ns();
    camera->stats.peer_width = width;
    camera->stats.peer_height = height;
    const bool show = camera->shown != CARD;
    if (show) {
        picture_letterbox(i420, width, height, camera->canvas, camera->width, camera->height);
        camera->shown = LIVE;
        set_offer(camera, KIND_NEW);
    }
    pthread_mutex_unlock(&camera->mutex);
    if (show)
        camera->backend->offer(camera->data);
    return 0;
}

void camera_still(struct camera *camera, uint8_t *i420) {
    pthread_mutex_lock(&camera->mutex);
    memcpy(i420, current(camera), canvas_size(camera));
    pthread_mutex_unlock(&camera->mutex);
}

void camera_get_stats(struct camera *camera, struct camera_stats *stats) {
    pthread_mutex_lock(&camera->mutex);
    *stats = camera->stats;
    pthread_mutex_unlock(&camera->mutex);
    stats->watched = camera->backend->is_watched(camera->data);
    stats->lost = camera->backend->is_lost(camera->data);
}
