/* Registers everything of ours with PJMEDIA. */
#include "devices.h"

#include <stdio.h>

#include <pjlib.h>

#include "sound_device.h"
#include "video_devices.h"

int devices_register(int width, int height, int fps, char *error, size_t error_size) {
    pj_status_t status = video_devices_register(width, height, fps);
    if (status == PJ_SUCCESS)
        status = sound_device_register();
    if (status != PJ_SUCCESS)
        pj_strerror(status, error, error_size);
    return status == PJ_SUCCESS ? 0 : -1;
}
