/* What the canvas layer (camera.c) asks of a camera's backend. */
#ifndef JIBRI_SIP_CAMERA_H
#define JIBRI_SIP_CAMERA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct camera;

struct camera_backend {
    /* The camera has a new picture: pass it on with camera_take, at once or from a thread of the
     * backend's own. Called with no lock held. */
    void (*offer)(void *backend);
    bool (*is_watched)(void *backend);
    bool (*is_lost)(void *backend);
    void (*close)(void *backend);
};

/* Gives the picture that is to be shown now to `take`, which returns whether it went out; to be called once for
 * each one offered. The picture is only lent: `take` must not keep it, nor wait, nor call the camera. */
typedef bool camera_taker(void *data, const uint8_t *i420, size_t size);
void camera_take(struct camera *camera, camera_taker *take, void *data);

/* For the backends' open functions: the common part, before and after the backend exists. */
struct camera *camera_create(int width, int height, const uint8_t *no_signal, char *error, size_t error_size);
int camera_begin(struct camera *camera, const struct camera_backend *backend, void *data, char *error,
                 size_t error_size);

#endif
