/* A complete model plugin in C: scores the first of two classes by mean brightness. */
#include "medvlm_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *info_json(void) {
    return "{\"name\": \"brightness\", \"version\": \"1.0.0\", \"architectures\": [{\"id\": \"brightness\","
           " \"summary\": \"scores the first class by mean brightness\", \"capabilities\": [\"zero-shot\"]}]}";
}

static int32_t open_model(const char *architecture, const char *config, void **model, char *message) {
    (void)architecture, (void)config, (void)message;
    *model = NULL; /* A model with weights would keep them here. */
    return MEDVLM_OK;
}

static int32_t call(void *model, const char *op, const char *header, const medvlm_blob *images, uint64_t count,
                    const medvlm_sink *sink, medvlm_reply *reply, char *message) {
    (void)model, (void)header, (void)sink;
    reply->header = "{}";
    if (strcmp(op, "describe") == 0) {
        reply->header = "{\"capabilities\": [\"zero-shot\"]}";
        return MEDVLM_OK;
    }
    if (strcmp(op, "zero-shot") != 0) {
        snprintf(message, MEDVLM_MESSAGE_BYTES, "brightness knows no `%s`", op);
        return MEDVLM_UNSUPPORTED;
    }
    uint64_t bytes = count * 2 * sizeof(float);
    medvlm_blob *rows = calloc(1, sizeof *rows + bytes);
    if (!rows) return MEDVLM_OUT_OF_MEMORY;
    float *logits = (float *)(rows + 1);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sum = 0;
        for (uint64_t byte = 0; byte < images[i].bytes; byte++) sum += ((const uint8_t *)images[i].data)[byte];
        logits[2 * i] = (float)sum / (float)images[i].bytes;
    }
    *rows = (medvlm_blob){MEDVLM_F32, 2, {count, 2}, logits, bytes};
    reply->arrays = reply->owner = rows;
    reply->count = 1;
    return MEDVLM_OK;
}

static void free_reply(medvlm_reply *reply) { free(reply->owner); }

static void close_model(void *model) { (void)model; }

const medvlm_plugin medvlm_plugin_v1 = {
    sizeof(medvlm_plugin), MEDVLM_ABI_VERSION, info_json, open_model, call, free_reply, close_model,
};
