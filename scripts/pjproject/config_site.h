/* What this gateway changes of PJSIP's compile-time defaults, and why.
 * These values alter the layout of PJSIP's structures: everything that is
 * compiled against PJSIP must see this very file (pkg-config gives the path).
 */

/* Reminders of PJSIP's own authors are not our warnings. */
#define PJ_TODO(x)

/* Debug traces are chosen at run time; level 5 shows whole SIP messages. */
#define PJ_LOG_MAX_LEVEL 5

/* Rooms and proxies are reached over IPv6 too. */
#define PJ_HAS_IPV6 1

/* One socket for each listener, each TCP peer, each RTP and RTCP port: 64 runs out. */
#define PJ_IOQUEUE_MAX_HANDLES 1024

/* A larger message is truncated without a word over UDP and never answered over
 * TCP (default 4000). It is the size of the transmit buffer too. */
#define PJSIP_MAX_PKT_LEN 65535

/* Each TCP or TLS peer takes one (default 32). */
#define PJSIP_MAX_TRANSPORTS 64

/* One call is carried, the others are those being refused just then (default 4). */
#define PJSUA_MAX_CALLS 32

/* pjsua2 shows an SDP above this size as "" and a rewritten one fails with 500
 * (default 1024; our offer with ICE is larger). */
#define PJSUA2_MAX_SDP_BUF_LEN 16384

/* Picture is what the gateway is for; its devices are our own. */
#define PJMEDIA_HAS_VIDEO 1
#define PJMEDIA_VIDEO_DEV_HAS_SDL 0
#define PJMEDIA_VIDEO_DEV_HAS_V4L2 0
#define PJMEDIA_VIDEO_DEV_HAS_CBAR_SRC 0

/* A 720p keyframe of a busy screen passes 64 KiB. */
#define PJMEDIA_MAX_VIDEO_ENC_FRAME_SIZE (1 << 19)

/* A keyframe leaves as one burst: the kernel must hold it while we are not scheduled. */
#define PJMEDIA_TRANSPORT_SO_RCVBUF_SIZE (1024 * 1024)
#define PJMEDIA_TRANSPORT_SO_SNDBUF_SIZE (1024 * 1024)

/* The decoder waits this long for late packets before it shows a frame. The
 * default of 100 ms is most of a call's latency; 20 ms covers one frame's burst. */
#define PJMEDIA_VID_STREAM_DECODE_MIN_DELAY_MSEC 20

/* Sound and picture that are further apart are brought together: what viewers accept of sound before its picture (ITU-R
 * BT.1359-1). The default of 45 ms is what some of them notice, and less than two pictures of a slow sender. */
#define PJMEDIA_AVSYNC_MAX_TOLERABLE_LAG_MSEC 90

/* Bitrate follows loss as the peer reports it: every second, not every five. */
#define PJMEDIA_RTCP_INTERVAL 1000

/* A peer that lost a keyframe asks again: answer twice a second, not once. */
#define PJMEDIA_VID_STREAM_MIN_KEYFRAME_INTERVAL_MSEC 500

/* The same the other way, by INFO (RFC 5168): only where RTCP cannot ask, or asks in vain (default 3000). */
#define PJSUA_VID_REQ_KEYFRAME_INTERVAL 1000

/* Frames that the mixer holds back between the sound device and a call, at most. The default fits sound cards that
 * deliver in bursts (8 frames of 10 ms); our device takes and gives one frame in turn. */
#define PJMEDIA_SOUND_BUFFER_COUNT 2

/* Encrypted media in both ways of exchanging keys (RFC 4568, RFC 5764). */
#define PJMEDIA_SRTP_HAS_SDES 1
#define PJMEDIA_SRTP_HAS_DTLS 1

/* A STUN or TURN server that is down costs each call and the start a second, not eight: questions at 0, 100, 300 and
 * 700 ms, and 300 ms for the last answer (RFC 5389 section 7.2.1 would have 39.5 s). */
#define PJ_STUN_MAX_TRANSMIT_COUNT 4
#define PJ_STUN_TIMEOUT_VALUE 300
