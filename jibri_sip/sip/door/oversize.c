#define _GNU_SOURCE

#include "door.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>

#define THIS_FILE "oversize"

/* The rest of a larger message is not waited for: its connection ends. */
enum { MOST_SKIPPED = 16 * 1024 * 1024 };

/* A connection whose present message is read only to get past it. On the one PJSIP thread; lives in its transport's
 * pool. */
struct skip {
    PJ_DECL_LIST_MEMBER(struct skip);
    pjsip_transport *transport;
    pj_size_t left;
};

static struct skip skips;

static struct skip *find_skip(const pjsip_transport *transport) {
    struct skip *skip;

    for (skip = skips.next; skip != &skips; skip = skip->next) {
        if (skip->transport == transport)
            return skip;
    }
    return NULL;
}

static void on_state(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    struct skip *skip = info->user_data;

    PJ_UNUSED_ARG(transport);
    if (state == PJSIP_TP_STATE_DESTROY)
        pj_list_erase(skip);
}

static struct skip *skip_of(pjsip_transport *transport) {
    struct skip *skip = find_skip(transport);
    pjsip_tp_state_listener_key *key;

    if (skip)
        return skip;
    skip = PJ_POOL_ZALLOC_T(transport->pool, struct skip);
    skip->transport = transport;
    if (pjsip_transport_add_state_listener(transport, on_state, skip, &key) != PJ_SUCCESS)
        return NULL;
    pj_list_push_back(&skips, skip);
    return skip;
}

/* Where the next message begins cannot be known any more: the connection ends, as if the peer had ended it. */
static void give_up(pjsip_transport *transport) {
    struct skip *skip = skip_of(transport);

    if (skip)
        skip->left = (pj_size_t)-1;
    PJ_LOG(3, (THIS_FILE, "Connection of %.*s closed: what came is larger than any message that is read",
               (int)transport->remote_name.host.slen, transport->remote_name.host.ptr));
    pjsip_transport_shutdown2(transport, PJ_TRUE);
}

/* Length of the header, its empty line included; 0 if that has not come yet. */
static pj_size_t header_length(const char *data, pj_size_t length) {
    const char *end = memmem(data, length, "\n\r\n", 3);

    return end ? (pj_size_t)(end - data) + 3 : 0;
}

/* Value of Content-Length, or its short form (RFC 3261 section 20.14); 0 for none. */
static unsigned long body_length(const char *data, pj_size_t header) {
    const char *line, *end = data + header;

    for (line = memchr(data, '\n', header); line && ++line < end; line = memchr(line, '\n', (size_t)(end - line))) {
        pj_size_t name = 0;

        if (end - line > 14 && !strncasecmp(line, "Content-Length", 14))
            name = 14;
        else if (tolower((unsigned char)*line) == 'l')
            name = 1;
        line += name;
        while (name && (*line == ' ' || *line == '\t'))
            ++line;
        if (name && *line == ':') {
            for (++line; *line == ' ' || *line == '\t'; ++line)
                ;
            /* A negative one is PJSIP's to refuse. */
            return isdigit((unsigned char)*line) ? strtoul(line, NULL, 10) : 0;
        }
    }
    return 0;
}

static void refuse(pjsip_transport *transport, const char *data, pj_size_t header) {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pj_pool_t *pool = pjsip_endpt_create_pool(endpoint, THIS_FILE, sizeof(pjsip_rx_data) + 4000, 4000);
    pjsip_rx_data *rdata = PJ_POOL_ZALLOC_T(pool, pjsip_rx_data);

    rdata->tp_info.pool = pool;
    rdata->tp_info.transport = transport;
    pj_memcpy(rdata->pkt_info.packet, data, header);
    rdata->pkt_info.len = (pj_ssize_t)header;
    pj_sockaddr_cp(&rdata->pkt_info.src_addr, &transport->key.rem_addr);
    rdata->pkt_info.src_addr_len = transport->addr_len;
    pj_sockaddr_print(&transport->key.rem_addr, rdata->pkt_info.src_name, sizeof(rdata->pkt_info.src_name), 0);
    rdata->pkt_info.src_port = pj_sockaddr_get_port(&transport->key.rem_addr);
    pj_list_init(&rdata->msg_info.parse_err);
    rdata->msg_info.msg_buf = rdata->pkt_info.packet;
    rdata->msg_info.len = (int)header;
    rdata->msg_info.msg = pjsip_parse_rdata(rdata->pkt_info.packet, header, rdata);
    if (rdata->msg_info.msg && rdata->msg_info.msg->type == PJSIP_REQUEST_MSG && rdata->msg_info.cid &&
        rdata->msg_info.from && rdata->msg_info.to && rdata->msg_info.via && rdata->msg_info.cseq &&
        !door_turns_away(rdata) && rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD) {
        pj_strdup2(pool, &rdata->msg_info.via->recvd_param, rdata->pkt_info.src_name);
        pjsip_endpt_respond_stateless(endpoint, rdata, PJSIP_SC_MESSAGE_TOO_LARGE, NULL, NULL, NULL);
    }
    pjsip_endpt_release_pool(endpoint, pool);
}

static pj_status_t on_data(pjsip_tp_rx_data *received) {
    pjsip_transport *transport = received->tp;
    struct skip *skip = find_skip(transport);
    pj_size_t header, passed;
    unsigned long body;

    if (skip && skip->left > 0) {
        passed = PJ_MIN(skip->left, received->len);
        if (skip->left != (pj_size_t)-1)
            skip->left -= passed;
        received->len -= passed;
        return PJ_SUCCESS;
    }
    header = header_length(received->data, received->len);
    if (header == 0) {
        if (received->len >= PJSIP_MAX_PKT_LEN) {
            give_up(transport);
            received->len = 0;
        }
        return PJ_SUCCESS;
    }
    body = body_length(received->data, header);
    if (body <= PJSIP_MAX_PKT_LEN - header)
        return PJ_SUCCESS;
    refuse(transport, received->data, header);
    skip = body < MOST_SKIPPED ? skip_of(transport) : NULL;
    passed = PJ_MIN(header + body, received->len);
    if (skip)
        skip->left = header + body - passed;
    else
        give_up(transport);
    received->len = skip ? received->len - passed : 0;
    return PJ_SUCCESS;
}

int door_refuse_oversize(void) {
    pj_list_init(&skips);
    return pjsip_tpmgr_set_recv_data_cb(pjsip_endpt_get_tpmgr(pjsua_get_pjsip_endpt()), on_data);
}
