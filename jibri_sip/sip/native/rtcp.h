/* RTCP feedback on the wire: RFC 3550 section 6, RFC 4585 section 6, RFC 5104 section 4. Knows nothing of PJSIP. */
#ifndef JIBRI_SIP_RTCP_H
#define JIBRI_SIP_RTCP_H

#include <stddef.h>
#include <stdint.h>

enum {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_RTPFB = 205,
    RTCP_PSFB = 206,
};

/* Kinds of feedback, the `count` of its packet. */
enum { RTPFB_NACK = 1, RTPFB_TMMBR = 3, RTPFB_TMMBN = 4 };
enum { PSFB_PLI = 1, PSFB_FIR = 4 };

/* One packet of a compound. */
struct rtcp_part {
    uint8_t type;        /* RTCP_SR and so on */
    uint8_t count;       /* of report blocks, or the kind of feedback */
    const uint8_t *data; /* the whole packet, header included */
    size_t size;         /* of it, at least 8 bytes */
};

/* A report block about what we send. */
struct rtcp_report {
    uint8_t fraction_lost; /* of 256, since the report before */
    uint32_t last_sr;      /* middle 32 bits of the NTP time of our last sender report; 0 for none */
    uint32_t delay;        /* since its arrival, in 1/65536 s */
};

/* A limit asked for by TMMBR. */
struct rtcp_limit {
    uint64_t bps;      /* total, with `overhead` bytes a packet in it */
    uint32_t overhead; /* bytes of IP, UDP and RTP headers a packet */
};

/* A full intra request. */
struct rtcp_fir {
    uint32_t sender;
    uint8_t sequence;
};

uint16_t rtcp_get16(const uint8_t *at);
uint32_t rtcp_get32(const uint8_t *at);

/* Takes the next packet off a compound; 0 when there is none, or the rest is malformed. */
int rtcp_next(const uint8_t **at, size_t *left, struct rtcp_part *part);

/* The block about `source` in a sender or receiver report; 0 for none. */
int rtcp_find_report(const struct rtcp_part *part, uint32_t source, struct rtcp_report *report);

/* The sequence numbers that a generic NACK for packets of `source` names; returns how many, at most `max`. */
unsigned rtcp_nacked(const struct rtcp_part *part, uint32_t source, uint16_t *sequences, unsigned max);

/* A FIR for `source`, 0 for none. */
int rtcp_find_fir(const struct rtcp_part *part, uint32_t source, struct rtcp_fir *fir);

/* A TMMBR for `source`, 0 for none. */
int rtcp_find_limit(const struct rtcp_part *part, uint32_t source, struct rtcp_limit *limit);

/* Copies a compound without its generic NACKs; returns the size of what is left. `to` may be `from`. */
size_t rtcp_without_nacks(const uint8_t *from, size_t size, uint8_t *to);

/* What each write needs: an empty receiver report and CNAME, with which every compound begins (RFC 3550 6.1). */
struct rtcp_head {
    uint32_t source;
    uint8_t cname_size;
    char cname[64];
};

/* Notes the source and the CNAME that a compound of ours says. */
void rtcp_read_head(const uint8_t *compound, size_t size, struct rtcp_head *head);

/* Writes a compound with a generic NACK for these sequence numbers, ascending, at most RTCP_NACKS_MAX of them.
 * Returns its size, 0 if it does not fit. */
#define RTCP_NACKS_MAX 128
#define RTCP_WRITE_MAX 640
size_t rtcp_write_nack(uint8_t *to, size_t room, const struct rtcp_head *head, uint32_t media,
                       const uint16_t *sequences, unsigned count);

/* Writes a compound with a TMMBN that names `owner` as the one whose limit holds. */
size_t rtcp_write_tmmbn(uint8_t *to, size_t room, const struct rtcp_head *head, uint32_t owner,
                        const struct rtcp_limit *limit);

#endif
