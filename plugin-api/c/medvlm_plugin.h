/*
 * The C door of the medvlm host: a model plugin in C, C++ or any language that can export a C table.
 *
 * A plugin is a dynamic library that defines `medvlm_plugin_v1`. Build it with `cc -shared -fPIC -o NAME.so NAME.c`,
 * put it beside its rows in `NAME.toml`, and try it with `medvlm check NAME.so`. A complete one is
 * `tests/integration/c_door/brightness.c`.
 *
 * Strings are NUL-terminated UTF-8, and headers are JSON. Names of ops and events, what their headers hold and which
 * arrays go with them is the same for every door: see `plugin-api/src/message.rs`. An image is an array of
 * MEDVLM_U8, [height, width, 3]; arrays are contiguous and row-major.
 *
 * A function that returns int32_t returns MEDVLM_OK or another medvlm_code, and then may write one sentence to
 * `message`: MEDVLM_MESSAGE_BYTES zeroed bytes, the last of which stays zero. What a function is given is borrowed for
 * that call. C++: no exception may leave a function; catch it, and return MEDVLM_EXCEPTION.
 */
#ifndef MEDVLM_PLUGIN_H
#define MEDVLM_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MEDVLM_ABI_VERSION = 1, MEDVLM_MESSAGE_BYTES = 1024 };

enum medvlm_dtype { MEDVLM_U8 = 0, MEDVLM_I64 = 1, MEDVLM_F32 = 2 };

/* CONFIG: the model cannot be opened as asked; INPUT: the request makes no sense; CANCELLED: `emit` asked to stop. */
enum medvlm_code {
    MEDVLM_OK = 0, MEDVLM_UNSUPPORTED = 1, MEDVLM_CONFIG = 2, MEDVLM_INPUT = 3,
    MEDVLM_OUT_OF_MEMORY = 4, MEDVLM_EXCEPTION = 5, MEDVLM_CANCELLED = 6, MEDVLM_OTHER = 100
};

/* An array: the first `rank` extents of `shape` count, at most 4, slowest first; `bytes` is their product times the
 * size of `dtype`. An array that a plugin returns may have any alignment. */
typedef struct { uint32_t dtype, rank; uint64_t shape[4]; const void *data; uint64_t bytes; } medvlm_blob;

/* The answer to a call, zeroed by the host and filled by the plugin. `header` is required, "{}" where the op has
 * nothing to say. `owner` is the plugin's own, for `free_reply`; the host never looks at it. */
typedef struct { const char *header; const medvlm_blob *arrays; uint64_t count; void *owner; } medvlm_reply;

/* The host's side of a running call. `emit(sink->host, op, header)` hands over an event, such as an answer of
 * `generate` as soon as it is finished, from any thread of the plugin until the call returns. A code other than
 * MEDVLM_OK asks to stop: return it from `call`. No answer comes back: this door cannot pull training samples. */
typedef struct { int32_t (*emit)(void *host, const char *op, const char *header); void *host; } medvlm_sink;

/* The table of functions; none may be null. The host checks `abi_version` and `struct_size` before it reads on. */
typedef struct {
    uint32_t struct_size; /* sizeof(medvlm_plugin): a newer header may append members */
    uint32_t abi_version; /* MEDVLM_ABI_VERSION */

    /* JSON that lives as long as the library:
     * {"name", "version", "architectures": [{"id", "summary", "capabilities"}]}. */
    const char *(*info_json)(void);

    /* Opens an architecture with {"weights", "device", "dtype", "options"}, and stores in `*model` what `call` and
     * `close` are to be given. */
    int32_t (*open)(const char *architecture, const char *config, void **model, char *message);

    /* Performs one op on a batch. One call at a time is made to a model, not always from the same thread. */
    int32_t (*call)(void *model, const char *op, const char *header, const medvlm_blob *blobs, uint64_t count,
                    const medvlm_sink *sink, medvlm_reply *reply, char *message);

    /* Called exactly once after each `call`, failed ones included, when the host has copied the reply. */
    void (*free_reply)(medvlm_reply *reply);

    /* Called once for each model that was opened. The library stays mapped. */
    void (*close)(void *model);
} medvlm_plugin;

/* What the library defines. */
extern const medvlm_plugin medvlm_plugin_v1 __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif

#endif
