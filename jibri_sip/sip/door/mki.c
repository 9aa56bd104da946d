#include "door.h"

#include <string.h>

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>

static pj_bool_t begins(const char *at, const char *end, const char *word) {
    pj_size_t length = pj_ansi_strlen(word);

    return (pj_size_t)(end - at) > length && !pj_ansi_strnicmp(at, word, length);
}

/* Whether the keys of this crypto attribute have a number each, which would be in every packet (RFC 4568 section 6.1):
 * `inline:KEY|1:4`, or with a lifetime `inline:KEY|2^31|1:4`. */
static pj_bool_t has_mki(const char *at, const char *end) {
    pj_bool_t barred = PJ_FALSE;

    while (at < end && !begins(at, end, "inline:"))
        ++at;
    for (at += at < end ? 7 : 0; at < end && *at != ' '; ++at) {
        if (barred && *at == ':')
            return PJ_TRUE;
        barred = barred || *at == '|';
    }
    return PJ_FALSE;
}

/* PJMEDIA would read as far as the key, take it, and be able to decrypt nothing. */
static void pass_over(char *at, char *end) {
    static const char other[] = "a=x-with-mki";

    while (at < end) {
        char *line = at, *stop = memchr(at, '\n', (pj_size_t)(end - at));

        stop = stop ? stop : end;
        at = stop < end ? stop + 1 : end;
        if (!begins(line, stop, "a=crypto:") || !has_mki(line, stop))
            continue;
        /* As long as it was, and without the key. */
        pj_memcpy(line, other, sizeof(other) - 1);
        for (line += sizeof(other) - 1; line < stop && *line != '\r'; ++line)
            *line = '-';
    }
}

static pj_bool_t on_rx_request(pjsip_rx_data *rdata) {
    const pjsip_msg_body *body = rdata->msg_info.msg->body;

    if (body && body->data && !pj_stricmp2(&body->content_type.subtype, "sdp"))
        pass_over(body->data, (char *)body->data + body->len);
    return PJ_FALSE;
}

static pjsip_module numbered_keys = {
    .name = {(char *)"mod-numbered-keys", 17},
    .id = -1,
    /* Before anybody reads the description. */
    .priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 3,
    .on_rx_request = on_rx_request,
};

int door_pass_over_numbered_keys(void) {
    numbered_keys.id = -1;
    return pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &numbered_keys);
}
