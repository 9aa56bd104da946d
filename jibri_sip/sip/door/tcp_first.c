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

/* A server that got a request says something within this, the way not counted. */
enum { ANSWER_MS = 200 };

/* All of this is on the one PJSIP thread. */
static int connect_timeout_ms, answer_timeout_ms, next_server_ms;
static struct {
    pj_sockaddr address;
    pj_time_val until;
} deaf[MAX_DEAF];
static unsigned next_deaf;

/* A connection that was made for a request which could go another way, too: by UDP, or to the next server. Lives in its
 * transport's pool. */
struct attempt {
    pj_timer_entry timer;
    pjsip_transport *transport;
    pj_time_val begun;
    pj_bool_t made;
    pj_bool_t way_back;
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
    PJ_LOG(3, (THIS_FILE, "%s does not answer by TCP; large requests go by UDP for %d s",
               pj_sockaddr_print(address, text, sizeof(text), 3), DEAF_S));
}

static void stop_timer(struct attempt *attempt) {
    if (attempt->timer.id) {
        attempt->timer.id = 0;
        pjsip_endpt_cancel_timer(attempt->transport->endpt, &attempt->timer);
    }
}

static pj_bool_t read_info(pjsip_transport *transport, struct tcp_info *info) {
    socklen_t size = sizeof(*info);

    return getsockopt((int)pjsip_tcp_transport_get_socket(transport), IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

static pj_bool_t is_connecting(pjsip_transport *transport) {
    struct tcp_info info;

    return read_info(transport, &info) && info.tcpi_state == TCP_SYN_SENT;
}

/* PJSIP would wait for as long as the transaction lives. The end of the socket is an error to it, and it goes on with
 * the next address of the request: the same by UDP. */
static void on_late(pj_timer_heap_t *heap, pj_timer_entry *entry) {
    struct attempt *attempt = entry->user_data;
    pjsip_transport *transport = attempt->transport;

    PJ_UNUSED_ARG(heap);
    attempt->timer.id = 0;
    if (!attempt->made && !is_connecting(transport))
        return;
    if (attempt->made && transport->last_recv_len)
        return;
    if (attempt->made && attempt->way_back)
        remember_deaf(&transport->key.rem_addr);
    shutdown((int)pjsip_tcp_transport_get_socket(transport), SHUT_RDWR);
}

static void start_timer(struct attempt *attempt, unsigned delay_ms) {
    pj_time_val delay = {0, (long)delay_ms};

    pj_timer_entry_init(&attempt->timer, 0, attempt, on_late);
    pj_time_val_normalize(&delay);
    if (pjsip_endpt_schedule_timer(attempt->transport->endpt, &attempt->timer, &delay) == PJ_SUCCESS)
        attempt->timer.id = 1;
}

/* Whoever took the connection and says nothing may be a proxy of the network's, or a server that stands still. A server
 * says Trying within 200 ms (RFC 3261 section 17.2.1); two round trips are for what is between. */
static void expect_answer(struct attempt *attempt) {
    unsigned least = ANSWER_MS, left, waited;
    pj_time_val now;
    struct tcp_info info;

    pj_gettickcount(&now);
    PJ_TIME_VAL_SUB(now, attempt->begun);
    waited = (unsigned)PJ_TIME_VAL_MSEC(now);
    left = waited < (unsigned)answer_timeout_ms ? (unsigned)answer_timeout_ms - waited : 0;
    if (read_info(attempt->transport, &info))
        least += 2 * info.tcpi_rtt / 1000;
    start_timer(attempt, PJ_MAX(left, least));
}

static void on_state(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    struct attempt *attempt = info->user_data;

    stop_timer(attempt);
    if (state == PJSIP_TP_STATE_CONNECTED) {
        attempt->made = PJ_TRUE;
        if (attempt->way_back)
            expect_answer(attempt);
    } else if (state == PJSIP_TP_STATE_DISCONNECTED && !attempt->made) {
        attempt->made = PJ_TRUE;
        if (attempt->way_back)
            remember_deaf(&transport->key.rem_addr);
    }
}

static void limit(pjsip_transport *transport, pj_bool_t way_back) {
    struct attempt *attempt = PJ_POOL_ZALLOC_T(transport->pool, struct attempt);
    pjsip_tp_state_listener_key *key;

    attempt->transport = transport;
    attempt->way_back = way_back;
    pj_gettickcount(&attempt->begun);
    if (pjsip_transport_add_state_listener(transport, on_state, attempt, &key) != PJ_SUCCESS)
        return;
    if (is_connecting(transport)) {
        start_timer(attempt, (unsigned)(way_back ? connect_timeout_ms : next_server_ms));
        return;
    }
    attempt->made = PJ_TRUE;
    if (way_back)
        expect_answer(attempt);
}

/* Has Via say by TCP what it would say by UDP (RFC 3261 section 18.1.1: where we listen), so that a server which gets
 * both takes the second for the first once more, and not for another that loops (sections 17.2.3 and 8.2.2.2). */
static void say_where_we_listen(pjsip_tx_data *tdata, const pj_sockaddr *address) {
    unsigned i;

    for (i = 0; i < PJ_ARRAY_SIZE(pjsua_var.tpdata) && !tdata->via_addr.host.slen; ++i) {
        const pjsua_transport_data *listener = &pjsua_var.tpdata[i];
        int is_six = address->addr.sa_family == pj_AF_INET6();

        if (listener->data.ptr && listener->type == (is_six ? PJSIP_TRANSPORT_UDP6 : PJSIP_TRANSPORT_UDP))
            tdata->via_addr = listener->data.tp->local_name;
    }
    tdata->via_tp = NULL;
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

static pj_bool_t has_next_server(const pjsip_tx_data *tdata) {
    return tdata && tdata->dest_info.cur_addr + 1 < tdata->dest_info.addr.count;
}

static pj_status_t connect_to(pjsip_tpfactory *factory, pjsip_tpmgr *manager, pjsip_endpoint *endpoint,
                              const pj_sockaddr *address, int length, pjsip_tx_data *tdata,
                              pjsip_transport **transport) {
    pj_bool_t way_back = has_way_back(tdata, address);
    pj_status_t status;

    if (way_back && is_deaf(address))
        return PJ_STATUS_FROM_OS(ECONNREFUSED);
    status = factory->create_transport(factory, manager, endpoint, address, length, transport);
    if (status == PJ_SUCCESS && (way_back || has_next_server(tdata)))
        limit(*transport, way_back);
    if (way_back && status == PJ_SUCCESS)
        say_where_we_listen(tdata, address);
    else if (way_back)
        remember_deaf(address);
    return status;
}

int door_limit_connections(int transport, int connect_ms, int answer_ms, int next_ms) {
    if (transport < 0 || transport >= (int)PJ_ARRAY_SIZE(pjsua_var.tpdata) || !pjsua_var.tpdata[transport].data.factory)
        return PJ_EINVAL;
    connect_timeout_ms = connect_ms;
    answer_timeout_ms = answer_ms;
    next_server_ms = next_ms;
    pj_bzero(deaf, sizeof(deaf));
    pjsua_var.tpdata[transport].data.factory->create_transport2 = connect_to;
    return PJ_SUCCESS;
}
