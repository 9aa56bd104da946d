#include "door.h"

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>

static void withdraw(int type, const char *name) {
    /* PJSIP adds to these lists and never takes anything away; each message gets a copy of them. */
    pjsip_generic_array_hdr *list =
        (pjsip_generic_array_hdr *)pjsip_endpt_get_capability(pjsua_get_pjsip_endpt(), type, NULL);
    unsigned i;

    for (i = 0; list && i < list->count;) {
        if (pj_stricmp2(&list->values[i], name))
            ++i;
        else
            pj_array_erase(list->values, sizeof(list->values[0]), list->count--, i);
    }
}

void door_withdraw(const char *name) {
    withdraw(PJSIP_H_ALLOW, name);
    withdraw(PJSIP_H_SUPPORTED, name);
}

void door_write_compact(void) { pjsip_cfg()->endpt.use_compact_form = PJ_TRUE; }
