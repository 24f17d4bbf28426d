/* The plugin of brightness.c with one thing wrong, chosen by -DVARIANT. It refuses to work once a reply was not freed
 * exactly once, and says on standard error when a model is closed. */
#include "medvlm_plugin.h"
#define medvlm_plugin_v1 good_plugin
#include "brightness.c"
#undef medvlm_plugin_v1

enum {
    GOOD, WRONG_VERSION, TOO_SMALL, NULL_CALL, NULL_INFO, BINARY_INFO, EMPTY_INFO, OPEN_FAILS, CALL_FAILS,
    FAILS_SILENTLY, CANCELS_UNASKED, HUGE_SHAPE, WRONG_RANK, NULL_ARRAYS, BINARY_HEADER, TALKS, TALKS_OUT_OF_TURN
};

static int unfreed;

static const char *variant_info(void) {
    if (VARIANT == NULL_INFO) return NULL;
    if (VARIANT == BINARY_INFO) return "{\"name\": \"\xff\"}";
    if (VARIANT == EMPTY_INFO) return "{}";
    if (VARIANT >= TALKS) return "{\"architectures\": [{\"id\": \"brightness\", \"capabilities\": [\"generate\"]}]}";
    return info_json();
}

static int32_t variant_open(const char *architecture, const char *config, void **model, char *message) {
    if (VARIANT != OPEN_FAILS) return open_model(architecture, config, model, message);
    snprintf(message, MEDVLM_MESSAGE_BYTES, "no lamp for %s with %s", architecture, config);
    return MEDVLM_CONFIG;
}

/* Answers every request of `generate` as it comes. */
static int32_t talk(const char *header, const medvlm_sink *sink) {
    const char *key = "\"index\":";
    for (const char *at = strstr(header, key); at; at = strstr(at + 1, key)) {
        int index = atoi(at + strlen(key)) + (VARIANT == TALKS_OUT_OF_TURN ? 99 : 0);
        char answer[100];
        snprintf(answer, sizeof answer, "{\"index\": %d, \"text\": \"yes\", \"finish\": \"stop\"}", index);
        int32_t code = sink->emit(sink->host, "finished", answer);
        if (code != MEDVLM_OK) return code;
    }
    return MEDVLM_OK;
}

static int32_t variant_call(void *model, const char *op, const char *header, const medvlm_blob *images, uint64_t count,
                            const medvlm_sink *sink, medvlm_reply *reply, char *message) {
    if (unfreed++ != 0) {
        snprintf(message, MEDVLM_MESSAGE_BYTES, "%d replies were not freed exactly once", unfreed - 1);
        return MEDVLM_OTHER;
    }
    if (VARIANT >= TALKS) {
        reply->header = strcmp(op, "describe") == 0 ? "{\"capabilities\": [\"generate\"]}" : "{}";
        return talk(header, sink);
    }
    int32_t code = call(model, op, header, images, count, sink, reply, message);
    int poisonous = 0;
    for (uint64_t i = 0; i < count; i++) poisonous |= *(const uint8_t *)images[i].data == 5;
    if (!poisonous) return code;
    medvlm_blob *rows = reply->owner;
    switch (VARIANT) {
    case CALL_FAILS: snprintf(message, MEDVLM_MESSAGE_BYTES, "this picture is poisonous"); return MEDVLM_INPUT;
    case FAILS_SILENTLY: return 77;
    case CANCELS_UNASKED: return MEDVLM_CANCELLED;
    case HUGE_SHAPE: rows->shape[0] = rows->shape[1] = UINT64_C(1) << 40; break;
    case WRONG_RANK: rows->rank = 4000000000u; break;
    case NULL_ARRAYS: reply->arrays = NULL; break;
    case BINARY_HEADER: reply->header = "\xff"; break;
    default: break;
    }
    return code;
}

static void variant_free(medvlm_reply *reply) {
    unfreed--;
    free_reply(reply);
}

static void variant_close(void *model) {
    close_model(model);
    fputs("a model is closed\n", stderr);
}

const medvlm_plugin medvlm_plugin_v1 = {
    VARIANT == TOO_SMALL ? sizeof(medvlm_plugin) - sizeof(void *) : sizeof(medvlm_plugin),
    VARIANT == WRONG_VERSION ? 2 : MEDVLM_ABI_VERSION,
    variant_info, variant_open, VARIANT == NULL_CALL ? NULL : variant_call, variant_free, variant_close,
};
