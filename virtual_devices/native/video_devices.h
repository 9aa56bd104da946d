/* For devices.c only: the video half of devices_register. */
#ifndef JIBRI_SIP_VIDEO_DEVICES_H
#define JIBRI_SIP_VIDEO_DEVICES_H

/* Returns a pj_status_t. */
int video_devices_register(int width, int height, int fps);

#endif
