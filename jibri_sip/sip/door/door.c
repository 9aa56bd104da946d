#include "door.h"

#include <pjsip.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>

#define AGENT (char *)"jibri-sip"

/* What door_judge returns where it is not a status code. */
enum { VERDICT_PASS = 0, VERDICT_DROP = -1 };

/* cffi makes this one: it calls Python. */
extern int door_judge(const char *address, const char *message, int length);

static char refusal[128];
static int retry_after;

/* Of the judgement that goes on; there is one PJSIP thread. */
static pj_pool_t *answer_pool;
static pjsip_hdr answer_headers;

void door_add_header(const char *name, const char *value) {
    pj_str_t n, v;

    if (!answer_pool)
        return;
    pj_strdup2_with_null(answer_pool, &n, name);
    pj_strdup2_with_null(answer_pool, &v, value);
    pj_list_push_back(&answer_headers, pjsip_generic_string_hdr_create(answer_pool, &n, &v));
}

static pj_bool_t is_of_a_dialog(const pjsip_rx_data *rdata) {
    const pj_str_t *tag = &rdata->msg_info.to->tag;

    return tag->slen > 0 &&
           pjsip_ua_find_dialog(&rdata->msg_info.cid->id, tag, &rdata->msg_info.from->tag, PJ_FALSE) != NULL;
}

int door_turns_away(pjsip_rx_data *rdata) {
    int verdict;

    if (is_of_a_dialog(rdata))
        return PJ_FALSE;
    answer_pool = rdata->tp_info.pool;
    pj_list_init(&answer_headers);
    verdict = door_judge(rdata->pkt_info.src_name, rdata->msg_info.msg_buf, rdata->msg_info.len);
    /* An ACK is never answered. */
    if (verdict > 0 && rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD)
        pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, verdict, NULL, &answer_headers, NULL);
    answer_pool = NULL;
    return verdict != VERDICT_PASS;
}

static pj_bool_t on_rx_request(pjsip_rx_data *rdata) { return door_turns_away(rdata); }

static void add_once(pjsip_tx_data *tdata, const char *name, const char *value) {
    pj_str_t n, v;

    pj_cstr(&n, name);
    if (pjsip_msg_find_hdr_by_name(tdata->msg, &n, NULL))
        return;
    pj_strdup2_with_null(tdata->pool, &v, value);
    pjsip_msg_add_hdr(tdata->msg, (pjsip_hdr *)pjsip_generic_string_hdr_create(tdata->pool, &n, &v));
    pjsip_tx_data_invalidate_msg(tdata);
}

static pj_status_t on_tx_response(pjsip_tx_data *tdata) {
    char text[160];

    switch (tdata->msg->line.status.code) {
    case PJSIP_SC_NOT_ACCEPTABLE_HERE:
        pj_ansi_snprintf(text, sizeof(text), "399 %s \"%s\"", AGENT, refusal);
        add_once(tdata, "Warning", text);
        break;
    case PJSIP_SC_BUSY_HERE:
    case PJSIP_SC_SERVICE_UNAVAILABLE:
        pj_ansi_snprintf(text, sizeof(text), "%d", retry_after);
        add_once(tdata, "Retry-After", text);
        break;
    default:
        break;
    }
    return PJ_SUCCESS;
}

static pjsip_module door = {
    .name = {(char *)"mod-door", 8},
    .id = -1,
    /* After the transport layer's checks of the message, before a transaction is made of it. */
    .priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 2,
    .on_rx_request = on_rx_request,
    .on_tx_response = on_tx_response,
};

int door_open(const char *refusal_text, int retry_after_s) {
    pj_ansi_strxcpy(refusal, refusal_text, sizeof(refusal));
    retry_after = retry_after_s;
    /* PJSIP signs its warnings with the name of this machine, which is nobody's business. */
    *(pj_str_t *)pjsip_endpt_name(pjsua_get_pjsip_endpt()) = pj_str(AGENT);
    /* Its place is the last endpoint's, which took all its modules with it. */
    door.id = -1;
    return pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &door);
}
