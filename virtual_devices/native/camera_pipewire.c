/* The camera over PipeWire, for machines where no kernel module can be loaded.
 *
 * A Video/Source node with the role Camera on the instance's own PipeWire daemon. There is no session
 * manager: the producer watches the registry and links itself to every Stream/Input/Video node (a browser's
 * capture) that has been there for a moment.
 * Pictures are pushed: camera_write ──offer──► loop thread ──trigger──► process ──► buffer.
 */
#define _GNU_SOURCE
#include "camera.h"
#include "clock.h"
#include "devices.h"
#include "picture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Their headers are not free of shadowed names. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <pipewire/pipewire.h>
#include <spa/param/buffers.h>
#include <spa/param/video/format-utils.h>
#pragma GCC diagnostic pop

#define ASK_NS (1 * NS_PER_S)
#define HUNG_NS (5 * NS_PER_S)
#define LINK_AFTER_NS (200 * NS_PER_MS)
#define MAX_OBJECTS 64 /* a browser brings one node, one port, one link; more than these are ignored */

struct port {
    uint32_t id, node;
    bool output;
};

struct link {
    uint32_t input; /* port */
    struct pw_proxy *proxy;
};

struct pipewire_camera {
    struct camera *camera;
    int width, height, fps;
    struct pw_thread_loop *thread;
    struct pw_context *context;
    struct pw_core *core;
    struct pw_registry *registry;
    struct pw_stream *stream;
    struct spa_hook core_hook, registry_hook, stream_hook;
    struct spa_source *link_timer;
    struct port ports[MAX_OBJECTS];
    uint32_t readers[MAX_OBJECTS]; /* nodes that take pictures */
    struct link links[MAX_OBJECTS];
    int port_count, reader_count, link_count;
    uint64_t sequence;
    atomic_bool streaming, lost, pending;
    atomic_uint_fast64_t asked_ns, answered_ns; /* signs of life of the daemon */
};

/* ---- links ---- */

static bool is_reader(const struct pipewire_camera *pw, uint32_t node) {
    for (int i = 0; i < pw->reader_count; i++)
        if (pw->readers[i] == node)
            return true;
    return false;
}

static bool is_linked(const struct pipewire_camera *pw, uint32_t input) {
    for (int i = 0; i < pw->link_count; i++)
        if (pw->links[i].input == input)
            return true;
    return false;
}

static void make_link(struct pipewire_camera *pw, const struct port *from, const struct port *to) {
    struct pw_properties *ends = pw_properties_new(NULL, NULL);
    pw_properties_setf(ends, PW_KEY_LINK_OUTPUT_NODE, "%u", from->node);
    pw_properties_setf(ends, PW_KEY_LINK_OUTPUT_PORT, "%u", from->id);
    pw_properties_setf(ends, PW_KEY_LINK_INPUT_NODE, "%u", to->node);
    pw_properties_setf(ends, PW_KEY_LINK_INPUT_PORT, "%u", to->id);
    struct pw_proxy *proxy =
        pw_core_create_object(pw->core, "link-factory", PW_TYPE_INTERFACE_Link, PW_VERSION_LINK, &ends->dict, 0);
    pw_properties_free(ends);
    if (proxy)
        pw->links[pw->link_count++] = (struct link){to->id, proxy};
}

static void link_readers(struct pipewire_camera *pw) {
    const uint32_t own = pw_stream_get_node_id(pw->stream);
    const struct port *output = NULL;
    for (int i = 0; i < pw->port_count; i++)
        if (pw->ports[i].output && pw->ports[i].node == own)
            output = &pw->ports[i];
    for (int i = 0; output && i < pw->port_count; i++) {
        const struct port *input = &pw->ports[i];
        if (!input->output && is_reader(pw, input->node) && !is_linked(pw, input->id) && pw->link_count < MAX_OBJECTS)
            make_link(pw, output, input);
    }
}

static void on_link_time(void *data, uint64_t expirations) {
    (void)expirations;
    link_readers(data);
}

/* Chromium's capture aborts its process, and every camera track of the page ends, when it is linked before the thread
 * that made its node is out of WebRTC's StartCapture: that leaves its lock first, and its race checker after. A session
 * manager takes its time, too. */
static void link_soon(struct pipewire_camera *pw) {
    struct timespec after = {.tv_nsec = LINK_AFTER_NS};
    pw_loop_update_timer(pw_thread_loop_get_loop(pw->thread), pw->link_timer, &after, NULL, false);
}

static uint32_t to_id(const char *text) { return text ? (uint32_t)strtoul(text, NULL, 10) : SPA_ID_INVALID; }

static void on_global(void *data, uint32_t id, uint32_t permissions, const char *type, uint32_t version,
                      const struct spa_dict *properties) {
    (void)permissions;
    (void)version;
    struct pipewire_camera *pw = data;
    if (!properties)
        return;
    if (!strcmp(type, PW_TYPE_INTERFACE_Port) && pw->port_count < MAX_OBJECTS) {
        const char *direction = spa_dict_lookup(properties, PW_KEY_PORT_DIRECTION);
        pw->ports[pw->port_count++] = (struct port){id, to_id(spa_dict_lookup(properties, PW_KEY_NODE_ID)),
                                                    direction && !strcmp(direction, "out")};
    } else if (!strcmp(type, PW_TYPE_INTERFACE_Node) && pw->reader_count < MAX_OBJECTS) {
        const char *class = spa_dict_lookup(properties, PW_KEY_MEDIA_CLASS);
        if (class && !strcmp(class, "Stream/Input/Video"))
            pw->readers[pw->reader_count++] = id;
    }
    link_soon(pw);
}

static void on_global_remove(void *data, uint32_t id) {
    struct pipewire_camera *pw = data;
    for (int i = pw->port_count - 1; i >= 0; i--)
        if (pw->ports[i].id == id)
            pw->ports[i] = pw->ports[--pw->port_count];
    for (int i = pw->reader_count - 1; i >= 0; i--)
        if (pw->readers[i] == id)
            pw->readers[i] = pw->readers[--pw->reader_count];
    for (int i = pw->link_count - 1; i >= 0; i--)
        if (pw->links[i].input == id) {
            pw_proxy_destroy(pw->links[i].proxy);
            pw->links[i] = pw->links[--pw->link_count];
        }
}

static const struct pw_registry_events registry_events = {PW_VERSION_REGISTRY_EVENTS, .global = on_global,
                                                          .global_remove = on_global_remove};

/* ---- pictures ---- */

struct target {
    struct pipewire_camera *pw;
    struct pw_buffer *buffer;
};

static bool fill_buffer(void *data, const uint8_t *i420, size_t size) {
    const struct target *target = data;
    struct spa_data *plane = &target->buffer->buffer->datas[0];
    if (!plane->data || plane->maxsize < size)
        return false;
    memcpy(plane->data, i420, size);
    plane->chunk->offset = 0;
    plane->chunk->size = (uint32_t)size;
    plane->chunk->stride = target->pw->width;
    struct spa_meta_header *header = spa_buffer_find_meta_data(target->buffer->buffer, SPA_META_Header, sizeof *header);
    if (header)
        *header = (struct spa_meta_header){.pts = (int64_t)clock_now_ns(), .seq = target->pw->sequence++};
    return true;
}

static void on_process(void *data) {
    struct pipewire_camera *pw = data;
    struct pw_buffer *buffer = pw_stream_dequeue_buffer(pw->stream);
    if (!buffer)
        return; /* the reader holds them all: the picture stays on offer, the next one replaces it */
    struct target target = {pw, buffer};
    camera_take(pw->camera, fill_buffer, &target);
    pw_stream_queue_buffer(pw->stream, buffer);
}

/* In the loop thread: triggered from any other, the picture would go out with the next trigger. */
static int trigger(struct spa_loop *loop, bool async, uint32_t sequence, const void *payload, size_t size, void *data) {
    (void)loop;
    (void)async;
    (void)sequence;
    (void)payload;
    (void)size;
    struct pipewire_camera *pw = data;
    pw->pending = false;
    if (pw->streaming)
        pw_stream_trigger_process(pw->stream);
    return 0;
}

static void offer(void *data) {
    struct pipewire_camera *pw = data;
    if (pw->streaming && !pw->lost && !atomic_exchange(&pw->pending, true))
        pw_loop_invoke(pw_thread_loop_get_loop(pw->thread), trigger, 0, NULL, 0, false, pw);
}

static bool is_watched(void *data) { return ((struct pipewire_camera *)data)->streaming; }

static int ask(struct spa_loop *loop, bool async, uint32_t sequence, const void *payload, size_t size, void *data) {
    (void)loop;
    (void)async;
    (void)sequence;
    (void)payload;
    (void)size;
    pw_core_sync(((struct pipewire_camera *)data)->core, PW_ID_CORE, 0);
    return 0;
}

static void on_core_done(void *data, uint32_t id, int sequence) {
    (void)id;
    (void)sequence;
    ((struct pipewire_camera *)data)->answered_ns = clock_now_ns();
}

/* Asked a few times a second: a daemon that lives but answers no more is as good as lost. */
static bool is_lost(void *data) {
    struct pipewire_camera *pw = data;
    const uint64_t answered = pw->answered_ns, now = clock_now_ns(); /* in this order: it is of another thread */
    if (!pw->lost && now - pw->asked_ns > ASK_NS) {
        pw->asked_ns = now;
        pw_loop_invoke(pw_thread_loop_get_loop(pw->thread), ask, 0, NULL, 0, false, pw);
    }
    return pw->lost || now - answered > HUNG_NS;
}

/* ---- the stream ---- */

static void on_state_changed(void *data, enum pw_stream_state old, enum pw_stream_state state, const char *error) {
    (void)error;
    struct pipewire_camera *pw = data;
    pw->streaming = state == PW_STREAM_STATE_STREAMING;
    if (state == PW_STREAM_STATE_ERROR || (state == PW_STREAM_STATE_UNCONNECTED && old != state))
        pw->lost = true;
    if (state == PW_STREAM_STATE_PAUSED)
        link_soon(pw);
    if (pw->streaming)
        offer(pw); /* a new reader gets a picture at once */
}

static void on_param_changed(void *data, uint32_t id, const struct spa_pod *param) {
    struct pipewire_camera *pw = data;
    if (!param || id != SPA_PARAM_Format)
        return;
    uint8_t memory[1024];
    struct spa_pod_builder builder = SPA_POD_BUILDER_INIT(memory, sizeof memory);
    const struct spa_pod *params[] = {
        spa_pod_builder_add_object(&builder, SPA_TYPE_OBJECT_ParamBuffers, SPA_PARAM_Buffers, SPA_PARAM_BUFFERS_buffers,
                                   SPA_POD_CHOICE_RANGE_Int(4, 2, 8), SPA_PARAM_BUFFERS_blocks, SPA_POD_Int(1),
                                   SPA_PARAM_BUFFERS_size, SPA_POD_Int((int)picture_size(pw->width, pw->height)),
                                   SPA_PARAM_BUFFERS_stride, SPA_POD_Int(pw->width), SPA_PARAM_BUFFERS_dataType,
                                   SPA_POD_CHOICE_FLAGS_Int((1 << SPA_DATA_MemPtr) | (1 << SPA_DATA_MemFd))),
        spa_pod_builder_add_object(&builder, SPA_TYPE_OBJECT_ParamMeta, SPA_PARAM_Meta, SPA_PARAM_META_type,
                                   SPA_POD_Id(SPA_META_Header), SPA_PARAM_META_size,
                                   SPA_POD_Int(sizeof(struct spa_meta_header))),
    };
    pw_stream_update_params(pw->stream, params, 2);
}

static const struct pw_stream_events stream_events = {PW_VERSION_STREAM_EVENTS, .process = on_process,
                                                      .state_changed = on_state_changed,
                                                      .param_changed = on_param_changed};

static void on_core_error(void *data, uint32_t id, int sequence, int result, const char *message) {
    (void)sequence;
    (void)result;
    (void)message;
    struct pipewire_camera *pw = data;
    if (id == PW_ID_CORE) /* any other: a link or port that went away meanwhile */
        pw->lost = true;
}

static const struct pw_core_events core_events = {PW_VERSION_CORE_EVENTS, .done = on_core_done, .error = on_core_error};

static bool start_stream(struct pipewire_camera *pw, const char *label) {
    pw->stream = pw_stream_new(pw->core, label,
                               pw_properties_new(PW_KEY_MEDIA_CLASS, "Video/Source", PW_KEY_MEDIA_ROLE, "Camera",
                                                 PW_KEY_NODE_NAME, "sip-camera", PW_KEY_NODE_DESCRIPTION, label, NULL));
    if (!pw->stream)
        return false;
    pw_stream_add_listener(pw->stream, &pw->stream_hook, &stream_events, pw);
    uint8_t memory[512];
    struct spa_pod_builder builder = SPA_POD_BUILDER_INIT(memory, sizeof memory);
    const struct spa_pod *format = spa_pod_builder_add_object(
        &builder, SPA_TYPE_OBJECT_Format, SPA_PARAM_EnumFormat, SPA_FORMAT_mediaType, SPA_POD_Id(SPA_MEDIA_TYPE_video),
        SPA_FORMAT_mediaSubtype, SPA_POD_Id(SPA_MEDIA_SUBTYPE_raw), SPA_FORMAT_VIDEO_format,
        SPA_POD_Id(SPA_VIDEO_FORMAT_I420), SPA_FORMAT_VIDEO_size,
        SPA_POD_Rectangle(&SPA_RECTANGLE((uint32_t)pw->width, (uint32_t)pw->height)), SPA_FORMAT_VIDEO_framerate,
        SPA_POD_Fraction(&SPA_FRACTION((uint32_t)pw->fps, 1)));
    return pw_stream_connect(pw->stream, PW_DIRECTION_OUTPUT, PW_ID_ANY,
                             PW_STREAM_FLAG_DRIVER | PW_STREAM_FLAG_MAP_BUFFERS, &format, 1) >= 0;
}

static bool start(struct pipewire_camera *pw, const char *socket, const char *label) {
    pw->thread = pw_thread_loop_new("sip-camera", NULL);
    if (!pw->thread)
        return false;
    pw->context = pw_context_new(pw_thread_loop_get_loop(pw->thread), NULL, 0);
    if (!pw->context)
        return false;
    pw->core = pw_context_connect(pw->context, pw_properties_new(PW_KEY_REMOTE_NAME, socket, NULL), 0);
    if (!pw->core)
        return false;
    pw_core_add_listener(pw->core, &pw->core_hook, &core_events, pw);
    pw->link_timer = pw_loop_add_timer(pw_thread_loop_get_loop(pw->thread), on_link_time, pw);
    if (!pw->link_timer)
        return false;
    if (!start_stream(pw, label))
        return false;
    pw->registry = pw_core_get_registry(pw->core, PW_VERSION_REGISTRY, 0);
    pw_registry_add_listener(pw->registry, &pw->registry_hook, &registry_events, pw);
    return pw_thread_loop_start(pw->thread) >= 0;
}

static void release(void *data) {
    struct pipewire_camera *pw = data;
    if (pw->thread)
        pw_thread_loop_stop(pw->thread);
    for (int i = 0; i < pw->link_count; i++)
        pw_proxy_destroy(pw->links[i].proxy);
    if (pw->registry)
        pw_proxy_destroy((struct pw_proxy *)pw->registry);
    if (pw->stream)
        pw_stream_destroy(pw->stream);
    if (pw->core)
        pw_core_disconnect(pw->core);
    if (pw->link_timer)
        pw_loop_destroy_source(pw_thread_loop_get_loop(pw->thread), pw->link_timer);
    if (pw->context)
        pw_context_destroy(pw->context);
    if (pw->thread)
        pw_thread_loop_destroy(pw->thread);
    free(pw);
}

static const struct camera_backend backend = {offer, is_watched, is_lost, release};

struct camera *camera_open_pipewire(const char *socket, const char *label, int width, int height, int fps,
                                    const uint8_t *no_signal, char *error, size_t error_size) {
    pw_init(NULL, NULL);
    struct camera *camera = camera_create(width, height, no_signal, error, error_size);
    if (!camera)
        return NULL;
    struct pipewire_camera *pw = calloc(1, sizeof *pw);
    if (!pw) {
        snprintf(error, error_size, "out of memory");
        camera_close(camera);
        return NULL;
    }
    pw->camera = camera;
    pw->answered_ns = clock_now_ns();
    pw->width = width;
    pw->height = height;
    pw->fps = fps;
    if (!start(pw, socket, label)) {
        snprintf(error, error_size, "cannot become a camera of the PipeWire daemon at %s", socket);
        release(pw);
        camera_close(camera);
        return NULL;
    }
    if (camera_begin(camera, &backend, pw, error, error_size) < 0) {
        camera_close(camera);
        return NULL;
    }
    return camera;
}
