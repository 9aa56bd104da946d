#include "door.h"

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#define THIS_FILE "crowd"

/* Connections that others may have to us. PJSIP has room for 64 sockets of SIP (PJSIP_MAX_TRANSPORTS), and would keep
 * who says nothing for ever; the rest is for listeners, handshakes, connections of ours, and those that are closing. */
enum { MOST = 32 };

/* A connection that somebody made to us. On the one PJSIP thread; lives in its transport's pool. */
struct guest {
    PJ_DECL_LIST_MEMBER(struct guest);
    pjsip_transport *transport;
    pj_timestamp came;
};

/* In the order that they came in. */
static struct guest guests;

/* pjsua2's own. */
static pjsip_tp_state_callback before;

static pj_bool_t is_here(const struct guest *guest) {
    return !guest->transport->is_shutdown && !guest->transport->is_destroying;
}

static pj_bool_t is_of_same_host(const struct guest *one, const struct guest *other) {
    pj_sockaddr a = one->transport->key.rem_addr, b = other->transport->key.rem_addr;

    pj_sockaddr_set_port(&a, 0);
    pj_sockaddr_set_port(&b, 0);
    return pj_sockaddr_cmp(&a, &b) == 0;
}

static pj_uint64_t last_heard(const struct guest *guest) {
    return PJ_MAX(guest->came.u64, guest->transport->last_recv_ts.u64);
}

static unsigned count_of_host(const struct guest *one) {
    const struct guest *guest;
    unsigned count = 0;

    for (guest = guests.next; guest != &guests; guest = guest->next)
        count += is_here(guest) && is_of_same_host(guest, one);
    return count;
}

/* Who has to go: of the host with the most connections, the one that has been silent for longest. One with a
 * transaction under way stays. */
static struct guest *choose(void) {
    struct guest *guest, *chosen = NULL;
    unsigned most = 0;

    for (guest = guests.next; guest != &guests; guest = guest->next) {
        unsigned count;

        if (!is_here(guest) || pj_atomic_get(guest->transport->ref_cnt) > 0)
            continue;
        count = count_of_host(guest);
        if (count < most || (count == most && last_heard(guest) >= last_heard(chosen)))
            continue;
        most = count;
        chosen = guest;
    }
    return chosen;
}

static void on_end(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    PJ_UNUSED_ARG(transport);
    if (state == PJSIP_TP_STATE_DESTROY)
        pj_list_erase((struct guest *)info->user_data);
}

static void come_in(pjsip_transport *transport) {
    struct guest *guest = PJ_POOL_ZALLOC_T(transport->pool, struct guest);
    pjsip_tp_state_listener_key *key;
    unsigned here = 0;

    guest->transport = transport;
    pj_get_timestamp(&guest->came);
    if (pjsip_transport_add_state_listener(transport, on_end, guest, &key) != PJ_SUCCESS)
        return;
    pj_list_push_back(&guests, guest);
    for (guest = guests.next; guest != &guests; guest = guest->next)
        here += is_here(guest);
    if (here <= MOST || !(guest = choose()))
        return;
    PJ_LOG(3, (THIS_FILE, "Connection of %.*s closed: there are too many", (int)guest->transport->remote_name.host.slen,
               guest->transport->remote_name.host.ptr));
    pjsip_transport_shutdown2(guest->transport, PJ_TRUE);
}

static void on_state(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    if (before)
        before(transport, state, info);
    if (state == PJSIP_TP_STATE_CONNECTED && transport->dir == PJSIP_TP_DIR_INCOMING)
        come_in(transport);
}

void door_limit_crowd(void) {
    pj_list_init(&guests);
    before = pjsua_var.ua_cfg.cb.on_transport_state;
    pjsua_var.ua_cfg.cb.on_transport_state = on_state;
}
