#include "door.h"

#include <pjsip.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>

/* What a call's messages may bring: a description, a request for a whole picture (RFC 5168), keys. */
static const char *const bodies[] = {
    "application/sdp",
    "application/media_control+xml",
    "application/dtmf-relay",
    "application/dtmf",
};

static char description[2048];

static void add_capability(pj_pool_t *pool, pjsip_hdr *list, int type) {
    const pjsip_hdr *hdr = pjsip_endpt_get_capability(pjsua_get_pjsip_endpt(), type, NULL);

    if (hdr)
        pj_list_push_back(list, pjsip_hdr_clone(pool, hdr));
}

static pj_bool_t is_of_no_dialog(const pjsip_rx_data *rdata) {
    const pj_str_t *tag = &rdata->msg_info.to->tag;

    return tag->slen > 0 &&
           pjsip_ua_find_dialog(&rdata->msg_info.cid->id, tag, &rdata->msg_info.from->tag, PJ_FALSE) == NULL;
}

/* PJSUA answers OPTIONS without a description, and in a dialog with 500. */
static pj_bool_t on_rx_request(pjsip_rx_data *rdata) {
    pj_str_t type = {(char *)"application", 11}, subtype = {(char *)"sdp", 3}, text;
    pj_pool_t *pool = rdata->tp_info.pool;
    pjsip_hdr headers;

    if (rdata->msg_info.msg->line.req.method.id != PJSIP_OPTIONS_METHOD)
        return PJ_FALSE;
    pj_list_init(&headers);
    if (is_of_no_dialog(rdata)) {
        pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST, NULL, NULL,
                                      NULL);
        return PJ_TRUE;
    }
    add_capability(pool, &headers, PJSIP_H_ALLOW);
    add_capability(pool, &headers, PJSIP_H_ACCEPT);
    add_capability(pool, &headers, PJSIP_H_SUPPORTED);
    pj_cstr(&text, description);
    pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, PJSIP_SC_OK, NULL, &headers,
                                  pjsip_msg_body_create(pool, &type, &subtype, &text));
    return PJ_TRUE;
}

static pjsip_module capabilities = {
    .name = {(char *)"mod-capabilities", 16},
    .id = -1,
    /* After the door, before anybody looks for a dialog. */
    .priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 1,
    .on_rx_request = on_rx_request,
};

int door_tell_capabilities(const char *sdp) {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pjsip_accept_hdr *accept = (pjsip_accept_hdr *)pjsip_endpt_get_capability(endpoint, PJSIP_H_ACCEPT, NULL);
    unsigned i;

    pj_ansi_strxcpy(description, sdp, sizeof(description));
    if (accept) {
        accept->count = PJ_ARRAY_SIZE(bodies);
        for (i = 0; i < accept->count; i++)
            accept->values[i] = pj_str((char *)bodies[i]);
    }
    capabilities.id = -1;
    return pjsip_endpt_register_module(endpoint, &capabilities);
}
