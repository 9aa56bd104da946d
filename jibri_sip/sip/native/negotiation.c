#include "negotiation.h"

static const struct {
    unsigned flag;
    const char *value;
} kinds[] = {
    {FEEDBACK_NACK, "nack"},
    {FEEDBACK_FIR, "ccm fir"},
    {FEEDBACK_TMMBR, "ccm tmmbr"},
};

/* What follows the payload type, without what may follow the kind: "97 ccm tmmbr smaxpr=120" is "ccm tmmbr". */
static unsigned kind_of(const pj_str_t *value) {
    const char *at = value->ptr, *end = value->ptr + value->slen;
    unsigned n;

    while (at < end && *at != ' ')
        ++at;
    while (at < end && *at == ' ')
        ++at;
    while (end > at && end[-1] == ' ')
        --end;
    for (n = 0; n < PJ_ARRAY_SIZE(kinds); ++n) {
        pj_ssize_t length = (pj_ssize_t)pj_ansi_strlen(kinds[n].value);
        pj_str_t rest = {(char *)at, end - at};

        if (rest.slen < length || pj_ansi_strnicmp(at, kinds[n].value, (pj_size_t)length) != 0)
            continue;
        /* "nack pli" is another kind than "nack". */
        if (rest.slen == length || (kinds[n].flag == FEEDBACK_TMMBR && at[length] == ' '))
            return kinds[n].flag;
    }
    return 0;
}

unsigned negotiation_read(const pjmedia_sdp_media *media) {
    unsigned n, found = 0;

    for (n = 0; n < media->attr_count; ++n)
        if (pj_strcmp2(&media->attr[n]->name, "rtcp-fb") == 0)
            found |= kind_of(&media->attr[n]->value);
    return found;
}

void negotiation_write(pj_pool_t *pool, pjmedia_sdp_media *media, const pjmedia_sdp_media *remote) {
    unsigned wanted = remote ? negotiation_read(remote) : FEEDBACK_ALL, n;
    char text[32];

    if (media->desc.port == 0)
        return;
    wanted &= ~negotiation_read(media);
    for (n = 0; n < PJ_ARRAY_SIZE(kinds); ++n) {
        pj_str_t value;

        if (!(wanted & kinds[n].flag))
            continue;
        pj_ansi_snprintf(text, sizeof(text), "* %s", kinds[n].value);
        pj_cstr(&value, text);
        pjmedia_sdp_media_add_attr(media, pjmedia_sdp_attr_create(pool, "rtcp-fb", &value));
    }
}
