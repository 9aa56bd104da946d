#include "door.h"

#include <pjsua-lib/pjsua.h>

int door_media_sockets(int call, int media, int *rtp, int *rtcp) {
    pjmedia_transport_info info;
    pj_status_t status;

    *rtp = *rtcp = -1;
    pjmedia_transport_info_init(&info);
    status = pjsua_call_get_med_transport_info(call, (unsigned)media, &info);
    if (status != PJ_SUCCESS)
        return status;
    /* ICE has sockets of its own for each candidate, and shows none of them. */
    if (info.sock_info.rtp_sock != PJ_INVALID_SOCKET)
        *rtp = (int)info.sock_info.rtp_sock;
    if (info.sock_info.rtcp_sock != PJ_INVALID_SOCKET)
        *rtcp = (int)info.sock_info.rtcp_sock;
    return PJ_SUCCESS;
}
