#include "door.h"

#include <pjsip.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>

/* Whether a router may have translated it: RFC 1918, RFC 6598, link-local, and RFC 4193. */
static pj_bool_t is_private(const pj_str_t *host) {
    pj_in_addr v4;
    pj_in6_addr v6;
    pj_uint32_t a;

    if (pj_inet_pton(pj_AF_INET(), host, &v4) == PJ_SUCCESS) {
        a = pj_ntohl(v4.s_addr);
        return (a >> 24) == 10 || (a >> 20) == 0xac1 || (a >> 16) == 0xc0a8 || (a >> 16) == 0xa9fe ||
               (a >> 22) == 0x191;
    }
    if (pj_inet_pton(pj_AF_INET6(), host, &v6) == PJ_SUCCESS) {
        const unsigned char *b = (const unsigned char *)&v6;
        return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    }
    return PJ_FALSE;
}

static pj_bool_t is_translated(const pjsip_rx_data *rdata, const pj_str_t *host) {
    pj_str_t source;

    pj_cstr(&source, rdata->pkt_info.src_name);
    return pj_strcmp(&source, host) != 0 && is_private(host);
}

/* Where the peer can be reached is where its message came from, if no proxy is between us and asks to stay there. */
static void correct_contact(pjsip_rx_data *rdata) {
    pjsip_msg *msg = rdata->msg_info.msg;
    pjsip_contact_hdr *contact = pjsip_msg_find_hdr(msg, PJSIP_H_CONTACT, NULL);
    pjsip_sip_uri *uri;

    if (!contact || contact->star || !contact->uri || pjsip_msg_find_hdr(msg, PJSIP_H_RECORD_ROUTE, NULL))
        return;
    if (!PJSIP_URI_SCHEME_IS_SIP(contact->uri) && !PJSIP_URI_SCHEME_IS_SIPS(contact->uri))
        return;
    uri = pjsip_uri_get_uri(contact->uri);
    if (!is_translated(rdata, &uri->host))
        return;
    pj_strdup2(rdata->tp_info.pool, &uri->host, rdata->pkt_info.src_name);
    uri->port = rdata->pkt_info.src_port;
}

static pj_bool_t on_rx_request(pjsip_rx_data *rdata) {
    pjsip_via_hdr *via = rdata->msg_info.via;

    if (!is_translated(rdata, &via->sent_by.host))
        return PJ_FALSE;
    /* As if it had asked for it (RFC 3581): behind a router the port of Via is nobody's. */
    if (via->rport_param < 0)
        via->rport_param = rdata->pkt_info.src_port;
    if (!pjsip_msg_find_hdr(rdata->msg_info.msg, PJSIP_H_VIA, via->next))
        correct_contact(rdata);
    return PJ_FALSE;
}

static pj_bool_t on_rx_response(pjsip_rx_data *rdata) {
    pj_str_t source;

    pj_cstr(&source, rdata->pkt_info.src_name);
    /* A proxy of our own network may answer for a peer of our own network: that one can be reached as it says. */
    if (rdata->msg_info.cseq->method.id == PJSIP_INVITE_METHOD && !is_private(&source))
        correct_contact(rdata);
    return PJ_FALSE;
}

static pjsip_module nat = {
    .name = {(char *)"mod-nat", 7},
    .id = -1,
    /* Before a transaction or a dialog keeps what the message says. */
    .priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 3,
    .on_rx_request = on_rx_request,
    .on_rx_response = on_rx_response,
};

int door_correct_addresses(int keep_alive_s) {
    pjsip_cfg_t *config = pjsip_cfg();

    config->tcp.keep_alive_interval = keep_alive_s;
    config->tls.keep_alive_interval = keep_alive_s;
    nat.id = -1;
    return pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &nat);
}
