#include "door.h"

#include <pjlib.h>
#include <pjsip.h>
#include <pjsua-lib/pjsua.h>

/* cffi makes this one: it calls Python. */
extern void door_resolve(int query, const char *host, int port, int transport);

enum { MOST_QUERIES = 64, TRANSPORTS = ~PJSIP_TRANSPORT_IPV6 };

/* What waits for Python's answer; there is one PJSIP thread. */
static struct query {
    pjsip_resolver_callback *done;
    void *token;
} queries[MOST_QUERIES];

static pjsip_server_addresses found;

int door_add_server(const char *address, int port, int transport) {
    pjsip_server_address_record *record;
    pj_str_t text;
    int family;

    if (found.count == PJ_ARRAY_SIZE(found.entry))
        return PJ_ETOOMANY;
    record = &found.entry[found.count];
    pj_bzero(record, sizeof(*record));
    pj_cstr(&text, address);
    family = pj_strchr(&text, ':') ? pj_AF_INET6() : pj_AF_INET();
    if (pj_sockaddr_init(family, &record->addr, NULL, (pj_uint16_t)port) != PJ_SUCCESS ||
        pj_inet_pton(family, &text, pj_sockaddr_get_addr(&record->addr)) != PJ_SUCCESS)
        return PJ_EINVAL;
    record->addr_len = (int)pj_sockaddr_get_len(&record->addr);
    record->type = (transport & TRANSPORTS) | (family == pj_AF_INET6() ? PJSIP_TRANSPORT_IPV6 : 0);
    record->priority = found.count++;
    return PJ_SUCCESS;
}

void door_resolved(int number) {
    struct query query = queries[number];
    /* What is sent now may have to be resolved, too. */
    pjsip_server_addresses servers = found;

    found.count = 0;
    pj_bzero(&queries[number], sizeof(queries[number]));
    if (query.done)
        query.done(servers.count ? PJ_SUCCESS : PJ_ERESOLVE, query.token, servers.count ? &servers : NULL);
}

static void resolve(pjsip_resolver_t *resolver, pj_pool_t *pool, const pjsip_host_info *target, void *token,
                    pjsip_resolver_callback *done) {
    char host[PJ_MAX_HOSTNAME];
    int number;

    PJ_UNUSED_ARG(resolver);
    PJ_UNUSED_ARG(pool);
    for (number = 0; number < MOST_QUERIES && queries[number].done; ++number)
        ;
    if (number == MOST_QUERIES || target->addr.host.slen >= (pj_ssize_t)sizeof(host)) {
        done(PJ_ERESOLVE, token, NULL);
        return;
    }
    pj_memcpy(host, target->addr.host.ptr, target->addr.host.slen);
    host[target->addr.host.slen] = '\0';
    queries[number].done = done;
    queries[number].token = token;
    door_resolve(number, host, target->addr.port, target->type & TRANSPORTS);
}

static pjsip_ext_resolver ours = {.resolve = resolve};

int door_resolve_here(void) {
    pj_bzero(queries, sizeof(queries));
    return pjsip_endpt_set_ext_resolver(pjsua_get_pjsip_endpt(), &ours);
}
