#include "peer.h"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

static const pjsua_call_media *find_picture(int call) {
    unsigned n;

    for (n = 0; call >= 0 && n < pjsua_var.calls[call].med_cnt; ++n) {
        const pjsua_call_media *media = &pjsua_var.calls[call].media[n];

        if (media->type == PJMEDIA_TYPE_VIDEO && media->tp && media->strm.v.stream)
            return media;
    }
    return NULL;
}

int peer_sources(int call, uint32_t *ours, uint32_t *theirs) {
    const pjsua_call_media *media = find_picture(call);
    pjmedia_stream_rtp_sess_info info;

    if (!media || pjmedia_vid_stream_get_rtp_session_info(media->strm.v.stream, &info) != PJ_SUCCESS)
        return -1;
    *ours = pj_ntohl(info.tx_rtp->out_hdr.ssrc);
    *theirs = info.rx_rtp->peer_ssrc;
    return 0;
}

int peer_send_rtcp(int call, const uint8_t *compound, unsigned size) {
    const pjsua_call_media *media = find_picture(call);

    return media ? pjmedia_transport_send_rtcp(media->tp, compound, size) : -1;
}
