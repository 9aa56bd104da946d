/* For devices.c only: the sound half of devices_register. */
#ifndef JIBRI_SIP_SOUND_DEVICE_H
#define JIBRI_SIP_SOUND_DEVICE_H

/* Returns a pj_status_t. */
int sound_device_register(void);

#endif
