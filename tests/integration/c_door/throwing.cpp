// A plugin in C++ that throws for pictures whose first byte is 5; with -DUNCAUGHT the exception leaves the plugin.
#include "medvlm_plugin.h"
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Rows {
    medvlm_blob blob;
    std::vector<float> logits;
};

const char *info_json() {
    return R"({"name": "throwing", "version": "1.0.0",
               "architectures": [{"id": "brightness", "summary": "throws", "capabilities": ["zero-shot"]}]})";
}

int32_t open_model(const char *, const char *, void **model, char *) {
    *model = new std::string("state");
    return MEDVLM_OK;
}

void answer(const std::string &op, const medvlm_blob *images, uint64_t count, medvlm_reply &reply) {
    reply.header = op == "describe" ? R"({"capabilities": ["zero-shot"]})" : "{}";
    if (op == "describe") return;
    auto rows = new Rows{};
    reply.owner = rows;
    for (uint64_t i = 0; i < count; i++) {
        auto first = *static_cast<const uint8_t *>(images[i].data);
        if (first == 5) throw std::runtime_error("picture " + std::to_string(first) + " was thrown");
        rows->logits.insert(rows->logits.end(), {float(first), 0.0f});
    }
    rows->blob = {MEDVLM_F32, 2, {count, 2, 0, 0}, rows->logits.data(), count * 2 * sizeof(float)};
    reply.arrays = &rows->blob;
    reply.count = 1;
}

int32_t call(void *, const char *op, const char *, const medvlm_blob *images, uint64_t count, const medvlm_sink *,
             medvlm_reply *reply, char *message) {
#ifdef UNCAUGHT
    (void)message;
    answer(op, images, count, *reply);
    return MEDVLM_OK;
#else
    try {
        answer(op, images, count, *reply);
        return MEDVLM_OK;
    } catch (const std::exception &error) {
        std::snprintf(message, MEDVLM_MESSAGE_BYTES, "%s", error.what());
        return MEDVLM_EXCEPTION;
    }
#endif
}

void free_reply(medvlm_reply *reply) { delete static_cast<Rows *>(reply->owner); }

void close_model(void *model) { delete static_cast<std::string *>(model); }

} // namespace

const medvlm_plugin medvlm_plugin_v1 = {
    sizeof(medvlm_plugin), MEDVLM_ABI_VERSION, info_json, open_model, call, free_reply, close_model,
};
