/* What the PJMEDIA device (sound_device.c) asks of the Pulse connection (sound.c). */
#ifndef JIBRI_SIP_SOUND_H
#define JIBRI_SIP_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOUND_RATE 48000
#define SOUND_MAX_SAMPLES (SOUND_RATE / 50) /* of a frame: 20 ms */

struct sound;

/* Names the calling thread, and has it run before others where the process may (RLIMIT_NICE): sound needs little of a
 * processor that has too much to do, but needs it in time, and pictures can wait. */
void sound_first(const char *thread);

/* The oldest captured samples; false, and silence, when there are not that many. Never waits. */
bool sound_capture(struct sound *sound, int16_t *samples, size_t count);
/* Gives samples to be played. Never waits. */
void sound_play(struct sound *sound, const int16_t *samples, size_t count);

#endif
