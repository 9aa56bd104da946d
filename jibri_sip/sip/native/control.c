#include "control.h"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

/* RFC 7587 section 6.1. */
#define OPUS_LEAST_BPS 6000
#define OPUS_MOST_BPS 510000

static const pjsua_call_media *find_media(int call, pjmedia_type type) {
    unsigned n;

    if (call < 0 || call >= (int)pjsua_var.ua_cfg.max_calls)
        return NULL;
    for (n = 0; n < pjsua_var.calls[call].med_cnt; ++n) {
        const pjsua_call_media *media = &pjsua_var.calls[call].media[n];

        if (media->type == type && (media->dir & PJMEDIA_DIR_ENCODING))
            return media;
    }
    return NULL;
}

static pjmedia_vid_stream *find_picture(int call) {
    const pjsua_call_media *media = find_media(call, PJMEDIA_TYPE_VIDEO);

    return media ? media->strm.v.stream : NULL;
}

/* b= of the session level: AS and CT in kbit/s, TIAS in bit/s (RFC 8866 section 5.8, RFC 3890). */
static unsigned session_bps(int call) {
    const pjmedia_sdp_session *remote;
    const pjsip_inv_session *invite = pjsua_var.calls[call].inv;
    unsigned n;

    if (!invite || !invite->neg || pjmedia_sdp_neg_get_active_remote(invite->neg, &remote) != PJ_SUCCESS)
        return 0;
    for (n = 0; n < remote->bandw_count; ++n) {
        const pjmedia_sdp_bandw *limit = remote->bandw[n];

        if (pj_stricmp2(&limit->modifier, "TIAS") == 0)
            return limit->value;
        if (pj_stricmp2(&limit->modifier, "AS") == 0 || pj_stricmp2(&limit->modifier, "CT") == 0)
            return PJ_MIN(limit->value, 1000000u) * 1000;
    }
    return 0;
}

static int takes_pli(const pjmedia_rtcp_fb_info *feedback) {
    unsigned n;

    for (n = 0; n < feedback->cap_count; ++n)
        if (feedback->caps[n].type == PJMEDIA_RTCP_FB_NACK && pj_stricmp2(&feedback->caps[n].param, "pli") == 0)
            return 1;
    return 0;
}

int control_read_picture(int call, struct control_picture *picture) {
    pjmedia_vid_stream_info info;
    pjmedia_vid_stream *stream;
    int result = -1;

    PJSUA_LOCK();
    stream = find_picture(call);
    if (stream && pjmedia_vid_stream_get_info(stream, &info) == PJ_SUCCESS) {
        picture->stream = (uintptr_t)stream;
        picture->bps = info.codec_param->enc_fmt.det.vid.avg_bps;
        picture->max_bps = info.codec_param->enc_fmt.det.vid.max_bps;
        picture->session_bps = session_bps(call);
        picture->has_pli = takes_pli(&info.rem_rtcp_fb);
        result = 0;
    }
    PJSUA_UNLOCK();
    return result;
}

int control_set_bitrate(int call, unsigned bps, unsigned max_bps) {
    pjmedia_vid_stream_info info;
    pjmedia_vid_stream *stream;
    pj_status_t status = PJ_ENOTFOUND;

    PJSUA_LOCK();
    stream = find_picture(call);
    if (stream && (status = pjmedia_vid_stream_get_info(stream, &info)) == PJ_SUCCESS) {
        pjmedia_vid_codec_param param = *info.codec_param;

        param.enc_fmt.det.vid.avg_bps = bps;
        param.enc_fmt.det.vid.max_bps = max_bps;
        status = pjmedia_vid_stream_modify_codec_param(stream, &param);
    }
    PJSUA_UNLOCK();
    return status;
}

static const pj_str_t *find_parameter(const pjmedia_codec_fmtp *fmtp, const char *name) {
    unsigned n;

    for (n = 0; n < fmtp->cnt; ++n)
        if (pj_stricmp2(&fmtp->param[n].name, name) == 0)
            return &fmtp->param[n].val;
    return NULL;
}

static int set_loss(pjmedia_stream *stream, unsigned percent) {
    pjmedia_stream_info info;
    pjmedia_codec_param param;
    const pj_str_t *wanted, *most;

    if (pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS || pj_stricmp2(&info.fmt.encoding_name, "opus") != 0)
        return -1;
    wanted = find_parameter(&info.param->setting.enc_fmtp, "useinbandfec");
    if (!wanted || pj_strtoul(wanted) == 0)
        return -1;
    param = *info.param;
    /* What is set here replaces all that the encoder was opened with. */
    most = find_parameter(&param.setting.enc_fmtp, "maxaveragebitrate");
    param.info.avg_bps = most ? PJ_MAX(PJ_MIN(pj_strtoul(most), OPUS_MOST_BPS), OPUS_LEAST_BPS) : 0;
    param.setting.plc = 1;
    param.setting.packet_loss = percent;
    return pjmedia_stream_modify_codec_param(stream, &param) == PJ_SUCCESS ? 0 : -1;
}

int control_set_audio_loss(int call, unsigned percent) {
    const pjsua_call_media *media;
    int result = -1;

    PJSUA_LOCK();
    media = find_media(call, PJMEDIA_TYPE_AUDIO);
    if (media && media->strm.a.stream)
        result = set_loss(media->strm.a.stream, percent);
    PJSUA_UNLOCK();
    return result;
}
