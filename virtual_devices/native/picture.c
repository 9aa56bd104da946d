#include "picture.h"

#include <string.h>

#include <libyuv.h>

#define BLACK_Y 16 /* BT.601, limited range */
#define GREY_UV 128

size_t picture_size(int width, int height) { return (size_t)width * (size_t)height * 3 / 2; }

void picture_black(uint8_t *i420, int width, int height) {
    const size_t pixels = (size_t)width * (size_t)height;
    memset(i420, BLACK_Y, pixels);
    memset(i420 + pixels, GREY_UV, pixels / 2);
}

struct rectangle picture_fit(int width, int height, int canvas_width, int canvas_height) {
    struct rectangle fit = {0, 0, canvas_width, canvas_height};
    if ((int64_t)width * canvas_height > (int64_t)height * canvas_width)
        fit.height = (int)((int64_t)canvas_width * height / width) & ~1;
    else
        fit.width = (int)((int64_t)canvas_height * width / height) & ~1;
    if (fit.width < 2)
        fit.width = 2;
    if (fit.height < 2)
        fit.height = 2;
    fit.x = ((canvas_width - fit.width) / 2) & ~1;
    fit.y = ((canvas_height - fit.height) / 2) & ~1;
    return fit;
}

static void black_out(uint8_t *canvas, int canvas_width, int canvas_height, struct rectangle area) {
    if (area.width <= 0 || area.height <= 0)
        return;
    uint8_t *u = canvas + (size_t)canvas_width * (size_t)canvas_height;
    uint8_t *v = u + (size_t)canvas_width * (size_t)canvas_height / 4;
    I420Rect(canvas, canvas_width, u, canvas_width / 2, v, canvas_width / 2, area.x, area.y, area.width, area.height,
             BLACK_Y, GREY_UV, GREY_UV);
}

static void black_borders(uint8_t *canvas, int canvas_width, int canvas_height, struct rectangle fit) {
    const int right = fit.x + fit.width;
    const int bottom = fit.y + fit.height;
    const struct rectangle borders[] = {
        {0, 0, canvas_width, fit.y},
        {0, bottom, canvas_width, canvas_height - bottom},
        {0, fit.y, fit.x, fit.height},
        {right, fit.y, canvas_width - right, fit.height},
    };
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++)
        black_out(canvas, canvas_width, canvas_height, borders[i]);
}

void picture_letterbox(const uint8_t *i420, int width, int height, uint8_t *canvas, int canvas_width,
                       int canvas_height) {
    if (width == canvas_width && height == canvas_height) {
        memcpy(canvas, i420, picture_size(width, height));
        return;
    }
    const struct rectangle fit = picture_fit(width, height, canvas_width, canvas_height);
    const size_t pixels = (size_t)width * (size_t)height;
    const size_t canvas_pixels = (size_t)canvas_width * (size_t)canvas_height;
    const size_t luma = (size_t)fit.y * (size_t)canvas_width + (size_t)fit.x;
    const size_t chroma = (size_t)(fit.y / 2) * (size_t)(canvas_width / 2) + (size_t)(fit.x / 2);
    black_borders(canvas, canvas_width, canvas_height, fit);
    I420Scale(i420, width, i420 + pixels, width / 2, i420 + pixels * 5 / 4, width / 2, width, height, canvas + luma,
              canvas_width, canvas + canvas_pixels + chroma, canvas_width / 2, canvas + canvas_pixels * 5 / 4 + chroma,
              canvas_width / 2, fit.width, fit.height, kFilterBilinear);
}
