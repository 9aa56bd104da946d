#include "wire.h"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include "adapter.h"

/* pjsua2's own, which makes its call objects. */
static pjmedia_transport *(*before)(pjsua_call_id, unsigned, pjmedia_transport *, unsigned);

static pjmedia_transport *on_create_media_transport(pjsua_call_id call, unsigned media, pjmedia_transport *below,
                                                    unsigned flags) {
    pjmedia_transport *adapter;

    if (before)
        below = before(call, media, below, flags);
    if (!below || pjsua_var.calls[call].media_prov[media].type != PJMEDIA_TYPE_VIDEO)
        return below;
    if (adapter_create(pjsua_get_pjmedia_endpt(), below, (flags & PJSUA_MED_TP_CLOSE_MEMBER) != 0, &adapter) !=
        PJ_SUCCESS)
        return below;
    return adapter;
}

void wire_install(void) {
    before = pjsua_var.ua_cfg.cb.on_create_media_transport;
    pjsua_var.ua_cfg.cb.on_create_media_transport = on_create_media_transport;
}

int wire_feedback(int call, struct wire_feedback *feedback) {
    unsigned n;
    int result = -1;

    if (call < 0 || call >= (int)pjsua_var.ua_cfg.max_calls)
        return -1;
    PJSUA_LOCK();
    for (n = 0; n < pjsua_var.calls[call].med_cnt && result != 0; ++n) {
        const pjsua_call_media *media = &pjsua_var.calls[call].media[n];

        if (media->type == PJMEDIA_TYPE_VIDEO && media->tp)
            result = adapter_read(media->tp, feedback);
    }
    PJSUA_UNLOCK();
    return result;
}
