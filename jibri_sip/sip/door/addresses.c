#include "door.h"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

int door_move_to(const char *address) {
    pjsua_ip_change_param param;
    unsigned i;

    for (i = 0; i < PJ_ARRAY_SIZE(pjsua_var.tpdata); ++i) {
        pjsua_transport_data *listener = &pjsua_var.tpdata[i];

        if (!listener->data.ptr || !*address ||
            !(listener->type & PJSIP_TRANSPORT_IPV6) != !pj_ansi_strchr(address, ':'))
            continue;
        /* The sockets are bound to all addresses, and stay: a restart, as PJSUA does it, would lose what is in them,
         * and their DSCP marks. */
        if (pjsip_transport_get_flag_from_type(listener->type) & PJSIP_TRANSPORT_RELIABLE)
            pj_strdup2(pjsua_var.pool, &listener->data.factory->addr_name.host, address);
        else
            pj_strdup2(listener->data.tp->pool, &listener->data.tp->local_name.host, address);
    }
    pjsua_ip_change_param_default(&param);
    param.restart_listener = PJ_FALSE;
    return pjsua_handle_ip_change(&param);
}
