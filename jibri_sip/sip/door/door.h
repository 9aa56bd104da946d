/* The door of the SIP endpoint: whoever wants in is judged before PJSIP does any work for it. */
#ifndef JIBRI_SIP_DOOR_H
#define JIBRI_SIP_DOOR_H

/* cffi: begin */
/* Opens the door, on the PJSIP thread, once PJSUA is initialised. From then on door_judge is asked about each
 * request that belongs to no dialog. `refusal_text` goes into the Warning header field (RFC 3261 section 20.43) of
 * each 488, `retry_after_s` into each 486 and 503 without one. Returns PJSIP's status, 0 for success. */
int door_open(const char *refusal_text, int retry_after_s);

/* Adds a header field to the answer that the present call of door_judge asks for. */
void door_add_header(const char *name, const char *value);

/* From now on peers behind a router that knows nothing of SIP are answered and called where their messages come from,
 * and connections are kept up by a CRLF each `keep_alive_s` seconds (RFC 5626 section 3.5.1; 0 for none). On the PJSIP
 * thread, once PJSUA is initialised. Returns PJSIP's status, 0 for success. */
int door_correct_addresses(int keep_alive_s);

/* Whether ICE has the sockets of a stream, and whether the peer does its part and packets are checked by it. */
enum { DOOR_NO_ICE, DOOR_ICE_IDLE, DOOR_ICE_ACTIVE };

/* The UDP sockets of a stream, -1 where there is none of its own: ICE has some for each candidate, and shows none. */
int door_media_sockets(int call, int media, int *rtp, int *rtcp);

/* Tells everybody another address of ours from now on: registrars by REGISTER, peers of calls that are up by re-INVITE.
 * `address` is that of listeners on all addresses; empty where they listen on one, and media on all. On the PJSIP
 * thread. Returns PJSIP's status, 0 for success. */
int door_move_to(const char *address);

/* From now on PJSIP asks door_resolve where a name's servers are: a number for the query, the host, the port (0 for
 * none) and the transport (of pjsip_transport_type_e, 0 for none given). Each query is to be answered, at once or
 * later, by door_add_server for each server, the best first, and door_resolved. On the PJSIP thread. */
int door_resolve_here(void);
int door_add_server(const char *address, int port, int transport);
void door_resolved(int query);

/* From now on a request that PJSIP moves from UDP to TCP for its size (RFC 3261 section 18.1.1) goes by UDP after all
 * when no connection comes about within `connect_ms`, or there is no answer at all within `answer_ms`, both from its
 * beginning; and at once for the next ten minutes. A request to one of several servers goes to the next when no
 * connection comes about within `next_ms` (RFC 3263 section 4.3). `transport` is PJSUA's number of the TCP listener. On
 * the PJSIP thread. Returns PJSIP's status, 0 for success. */
int door_limit_connections(int transport, int connect_ms, int answer_ms, int next_ms);

/* From now on door_stun is handed the answer to the last question of door_ask_stun. On the PJSIP thread. */
void door_hear_stun(void);

/* Sends a message of STUN (RFC 8489) from the socket where SIP listens by UDP and IPv4. On the PJSIP thread. Returns
 * PJSIP's status, 0 for success. */
int door_ask_stun(const char *address, int port, const char *message, int length);

/* Has Via and Contact name another address where SIP listens by UDP and IPv4. On the PJSIP thread. */
void door_name_udp(const char *host, int port);

/* From now on a request over TCP or TLS that is larger than PJSIP's buffer is answered 513 and passed over; where not
 * even its header fits, its connection ends. On the PJSIP thread, once PJSUA is initialised. Returns PJSIP's status. */
int door_refuse_oversize(void);

/* From now on no more than 32 connections of others are kept: of the host that has the most, the one that has been
 * silent for longest is closed, unless a transaction is under way on it. On the PJSIP thread, once PJSUA is
 * initialised. */
void door_limit_crowd(void);

/* From now on keys of SRTP that have a number (MKI, RFC 3711 section 3.1) are passed over in offers, as RFC 4568
 * section 6.1 asks of who does not know it: PJMEDIA. On the PJSIP thread. Returns PJSIP's status, 0 for success. */
int door_pass_over_numbered_keys(void);

/* From now on OPTIONS is answered with this description, and Accept names the bodies that we read. On the PJSIP thread,
 * once PJSUA is initialised. Returns PJSIP's status, 0 for success. */
int door_tell_capabilities(const char *sdp);

/* From now on a method or an option is not in Allow or Supported of our messages. On the PJSIP thread. */
void door_withdraw(const char *name);

/* From now on our messages have the short names of header fields (RFC 3261 section 7.3.3). On the PJSIP thread. */
void door_write_compact(void);
/* cffi: end */

/* Whether this request is not let in; it has its answer then, if it gets one. */
struct pjsip_rx_data;
int door_turns_away(struct pjsip_rx_data *rdata);

#endif
