#include "door.h"

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

/* cffi makes this one: it calls Python. */
extern void door_stun(const char *message, int length);

/* Of a STUN message's header (RFC 8489 section 5): all of it, and where its transaction's number is. */
enum { HEADER = 20, NUMBER = 8, NUMBER_SIZE = 12, LARGEST = 548 };

static char last_number[NUMBER_SIZE];

static pjsip_transport *listener(void) {
    unsigned i;

    for (i = 0; i < PJ_ARRAY_SIZE(pjsua_var.tpdata); ++i) {
        if (pjsua_var.tpdata[i].data.ptr && pjsua_var.tpdata[i].type == PJSIP_TRANSPORT_UDP)
            return pjsua_var.tpdata[i].data.tp;
    }
    return NULL;
}

/* Whoever does not know the number of the question, 96 random bits, answers in vain, and costs next to nothing. */
static void on_dropped(pjsip_tp_dropped_data *dropped) {
    const char *message = dropped->data;

    if (dropped->tp == listener() && dropped->len >= HEADER && dropped->len <= LARGEST &&
        !pj_memcmp(message + NUMBER, last_number, NUMBER_SIZE))
        door_stun(message, (int)dropped->len);
}

void door_hear_stun(void) {
    pj_create_random_string(last_number, NUMBER_SIZE);
    pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(pjsua_get_pjsip_endpt()), on_dropped);
}

int door_ask_stun(const char *address, int port, const char *message, int length) {
    pjsip_transport *transport = listener();
    pj_ssize_t size = length;
    pj_sockaddr server;
    pj_str_t host;
    pj_status_t status;

    pj_cstr(&host, address);
    if (!transport || length < HEADER)
        return PJ_EINVAL;
    status = pj_sockaddr_init(pj_AF_INET(), &server, &host, (pj_uint16_t)port);
    if (status != PJ_SUCCESS)
        return status;
    pj_memcpy(last_number, message + NUMBER, NUMBER_SIZE);
    return pj_sock_sendto(pjsip_udp_transport_get_socket(transport), message, &size, 0, &server,
                          (int)pj_sockaddr_get_len(&server));
}

void door_name_udp(const char *host, int port) {
    pjsip_transport *transport = listener();

    if (!transport)
        return;
    pj_strdup2(transport->pool, &transport->local_name.host, host);
    transport->local_name.port = port;
}
