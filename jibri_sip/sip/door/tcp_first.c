#include "door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#define THIS_FILE "tcp_first"

/* How long a peer that could not be reached by TCP is not tried again. */
enum { DEAF_S = 600, MAX_DEAF = 32 };

/* All of this is on the one PJSIP thread. */
static int connect_timeout_ms;
static struct {
    pj_sockaddr address;
    pj_time_val until;
} deaf[MAX_DEAF];
static unsigned next_deaf;

/* A connection that a request waits for which could go by UDP, too. Lives in its transport's pool. */
struct attempt {
    pj_timer_entry timer;
    pjsip_transport *transport;
    pj_bool_t made;
};

static pj_bool_t is_deaf(const pj_sockaddr *address) {
    pj_time_val now;
    unsigned i;

    pj_gettickcount(&now);
    for (i = 0; i < MAX_DEAF; ++i) {
        if (PJ_TIME_VAL_GT(deaf[i].until, now) && !pj_sockaddr_cmp(&deaf[i].address, address))
            return PJ_TRUE;
    }
    return PJ_FALSE;
}

static void remember_deaf(const pj_sockaddr *address) {
    char text[PJ_INET6_ADDRSTRLEN + 10];

    pj_sockaddr_cp(&deaf[next_deaf].address, address);
    pj_gettickcount(&deaf[next_deaf].until);
    deaf[next_deaf].until.sec += DEAF_S;
    next_deaf = (next_deaf + 1) % MAX_DEAF;
    PJ_LOG(3, (THIS_FILE, "%s takes no TCP connection; large requests go by UDP for %d s",
               pj_sockaddr_print(address, text, sizeof(text), 3), DEAF_S));
}

static void stop_timer(struct attempt *attempt) {
    if (attempt->timer.id) {
        attempt->timer.id = 0;
        pjsip_endpt_cancel_timer(attempt->transport->endpt, &attempt->timer);
    }
}

static pj_bool_t is_connecting(pjsip_transport *transport) {
    struct tcp_info info;
    socklen_t size = sizeof(info);

    return getsockopt((int)pjsip_tcp_transport_get_socket(transport), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state == TCP_SYN_SENT;
}

/* PJSIP would wait for as long as the transaction lives. The end of the connecting socket is an error to it, and it
 * goes on with the next address of the request: the same by UDP. */
static void on_late(pj_timer_heap_t *heap, pj_timer_entry *entry) {
    struct attempt *attempt = entry->user_data;

    PJ_UNUSED_ARG(heap);
    attempt->timer.id = 0;
    if (is_connecting(attempt->transport))
        shutdown((int)pjsip_tcp_transport_get_socket(attempt->transport), SHUT_RDWR);
}

static void on_state(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    struct attempt *attempt = info->user_data;

    stop_timer(attempt);
    if (state == PJSIP_TP_STATE_CONNECTED) {
        attempt->made = PJ_TRUE;
    } else if (state == PJSIP_TP_STATE_DISCONNECTED && !attempt->made) {
        attempt->made = PJ_TRUE;
        remember_deaf(&transport->key.rem_addr);
    }
}

static void limit(pjsip_transport *transport) {
    struct attempt *attempt = PJ_POOL_ZALLOC_T(transport->pool, struct attempt);
    pj_time_val delay = {0, connect_timeout_ms};
    pjsip_tp_state_listener_key *key;

    if (!is_connecting(transport))
        return;
    attempt->transport = transport;
    if (pjsip_transport_add_state_listener(transport, on_state, attempt, &key) != PJ_SUCCESS)
        return;
    pj_timer_entry_init(&attempt->timer, 0, attempt, on_late);
    pj_time_val_normalize(&delay);
    if (pjsip_endpt_schedule_timer(transport->endpt, &attempt->timer, &delay) == PJ_SUCCESS)
        attempt->timer.id = 1;
}

/* Whether the request is one that PJSIP itself has moved to TCP for its size. */
static pj_bool_t has_way_back(const pjsip_tx_data *tdata, const pj_sockaddr *address) {
    unsigned i;

    for (i = 0; tdata && i < tdata->dest_info.addr.count; ++i) {
        if ((tdata->dest_info.addr.entry[i].type & ~PJSIP_TRANSPORT_IPV6) == PJSIP_TRANSPORT_UDP &&
            !pj_sockaddr_cmp(&tdata->dest_info.addr.entry[i].addr, address))
            return PJ_TRUE;
    }
    return PJ_FALSE;
}

static pj_status_t connect_to(pjsip_tpfactory *factory, pjsip_tpmgr *manager, pjsip_endpoint *endpoint,
                              const pj_sockaddr *address, int length, pjsip_tx_data *tdata,
                              pjsip_transport **transport) {
    pj_bool_t way_back = has_way_back(tdata, address);
    pj_status_t status;

    if (way_back && is_deaf(address))
        return PJ_STATUS_FROM_OS(ECONNREFUSED);
    status = factory->create_transport(factory, manager, endpoint, address, length, transport);
    if (way_back && status == PJ_SUCCESS)
        limit(*transport);
    else if (way_back)
        remember_deaf(address);
    return status;
}

int door_try_tcp_first(int transport, int timeout_ms) {
    if (transport < 0 || transport >= (int)PJ_ARRAY_SIZE(pjsua_var.tpdata) || !pjsua_var.tpdata[transport].data.factory)
        return PJ_EINVAL;
    connect_timeout_ms = timeout_ms;
    pj_bzero(deaf, sizeof(deaf));
    pjsua_var.tpdata[transport].data.factory->create_transport2 = connect_to;
    return PJ_SUCCESS;
}
