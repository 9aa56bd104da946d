#include "door.h"

#include <pjsua-lib/pjsua.h>

static int ice_checks(const pjmedia_transport_info *info) {
    pjmedia_ice_transport_info ice;
    unsigned i;

    for (i = 0; i < info->specific_info_cnt; ++i) {
        const pjmedia_transport_specific_info *special = &info->spc_info[i];

        if (special->type != PJMEDIA_TRANSPORT_TYPE_ICE)
            continue;
        pj_memcpy(&ice, special->buffer, sizeof(ice));
        return ice.active ? DOOR_ICE_ACTIVE : DOOR_ICE_IDLE;
    }
    return DOOR_NO_ICE;
}

int door_media_sockets(int call, int media, int *rtp, int *rtcp) {
    pjmedia_transport_info info;

    *rtp = *rtcp = -1;
    pjmedia_transport_info_init(&info);
    if (pjsua_call_get_med_transport_info(call, (unsigned)media, &info) != PJ_SUCCESS)
        return DOOR_NO_ICE;
    if (info.sock_info.rtp_sock != PJ_INVALID_SOCKET)
        *rtp = (int)info.sock_info.rtp_sock;
    if (info.sock_info.rtcp_sock != PJ_INVALID_SOCKET)
        *rtcp = (int)info.sock_info.rtcp_sock;
    return ice_checks(&info);
}
