/* I420 pictures: sizes, black, and how any picture is fitted to the canvas. */
#ifndef JIBRI_SIP_PICTURE_H
#define JIBRI_SIP_PICTURE_H

#include <stddef.h>
#include <stdint.h>

struct rectangle {
    int x, y, width, height;
};

/* Bytes of a picture of even width and height. */
size_t picture_size(int width, int height);

void picture_black(uint8_t *i420, int width, int height);

/* The largest rectangle of the picture's shape that fits the canvas, centred, all even. */
struct rectangle picture_fit(int width, int height, int canvas_width, int canvas_height);

/* Scales a picture into the canvas; what it leaves free becomes black. */
void picture_letterbox(const uint8_t *i420, int width, int height, uint8_t *canvas, int canvas_width,
                       int canvas_height);

#endif
