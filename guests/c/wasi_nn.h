// wasi-nn for C: the core ABI (wasi-nn.witx), import module "wasi_ephemeral_nn".
//
// Build with any compiler for wasm32-wasi; one way needs nothing but Python:
//
//   pip install ziglang
//   python -m ziglang cc -target wasm32-wasi -O2 -s -I guests/c function.c -o function.wasm
//
// Every function answers an nn_errno. What it means in a case is written to the function's log.
#ifndef WASI_NN_H
#define WASI_NN_H

#include <stdint.h>
#include <string.h>

typedef enum {
    NN_SUCCESS = 0,
    NN_INVALID_ARGUMENT = 1,
    NN_INVALID_ENCODING = 2,
    NN_MISSING_MEMORY = 3,
    NN_BUSY = 4,
    NN_RUNTIME_ERROR = 5,
    NN_UNSUPPORTED_OPERATION = 6,
    NN_TOO_LARGE = 7,
    NN_NOT_FOUND = 8,
    NN_END_OF_SEQUENCE = 100,  // these three are WasmEdge's, for language models
    NN_CONTEXT_FULL = 101,
    NN_PROMPT_TOO_LONG = 102,
} nn_errno;

typedef enum { NN_F16 = 0, NN_F32 = 1, NN_F64 = 2, NN_U8 = 3, NN_I32 = 4, NN_I64 = 5 } nn_type;

typedef enum {
    NN_OPENVINO = 0,
    NN_ONNX = 1,
    NN_TENSORFLOW = 2,
    NN_PYTORCH = 3,
    NN_TENSORFLOWLITE = 4,
    NN_AUTODETECT = 5,
} nn_encoding;

typedef enum { NN_CPU = 0, NN_GPU = 1, NN_TPU = 2 } nn_target;

typedef uint32_t nn_graph;
typedef uint32_t nn_context;

// A tensor's value: row-major, little-endian, without gaps.
typedef struct {
    const uint32_t *dims;
    uint32_t rank;
    uint8_t type;  // nn_type
    const void *data;
    uint32_t size;  // bytes of data
} nn_tensor;

// A part of a model's bytes: one for most encodings, two for OpenVINO (the XML, then the weights).
typedef struct {
    const void *data;
    uint32_t size;
} nn_builder;

#define NN_IMPORT(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(name)))

// Find a model that the function was granted. The usual way: it is loaded already.
NN_IMPORT("load_by_name") nn_errno nn_load_by_name(const char *name, uint32_t length, nn_graph *graph);

// Bring a model's own bytes, where the function's configuration says allow_load.
NN_IMPORT("load")
nn_errno nn_load(const nn_builder *parts, uint32_t count, nn_encoding encoding, nn_target target, nn_graph *graph);

NN_IMPORT("init_execution_context") nn_errno nn_init_execution_context(nn_graph graph, nn_context *context);

// Set an input by its position. The bytes are copied, so they may change afterwards.
NN_IMPORT("set_input") nn_errno nn_set_input(nn_context context, uint32_t index, const nn_tensor *tensor);

NN_IMPORT("compute") nn_errno nn_compute(nn_context context);

// Read an output's bytes. NN_TOO_LARGE when they are more than `size`; `written` then holds how many they are.
NN_IMPORT("get_output")
nn_errno nn_get_output(nn_context context, uint32_t index, void *buffer, uint32_t size, uint32_t *written);

// A language model, as WasmEdge's guests use it: input 0 is the prompt and input 1 its options, a JSON object, both of
// NN_U8. nn_compute writes the whole text. nn_compute_single writes one more token of it, until NN_END_OF_SEQUENCE;
// output 0 of nn_get_output_single is what it added. nn_fini_single ends a text early.
NN_IMPORT("compute_single") nn_errno nn_compute_single(nn_context context);
NN_IMPORT("get_output_single")
nn_errno nn_get_output_single(nn_context context, uint32_t index, void *buffer, uint32_t size, uint32_t *written);
NN_IMPORT("fini_single") nn_errno nn_fini_single(nn_context context);

// As nn_load_by_name, with options for every text.
NN_IMPORT("load_by_name_with_config")
nn_errno nn_load_by_name_with_config(const char *name, uint32_t length, const char *options, uint32_t options_length,
                                     nn_graph *graph);

// Give back a graph or a context before the function ends; all of them are given back when it does.
NN_IMPORT("unload") nn_errno nn_unload(nn_graph graph);
NN_IMPORT("finalize_execution_context") nn_errno nn_finalize_execution_context(nn_context context);

// Where an output goes: `written` is set to its bytes, or to the bytes it needs with NN_TOO_LARGE.
typedef struct {
    void *data;
    uint32_t size;  // bytes of room
    uint32_t written;
} nn_buffer;

// One inference from a model's name to its outputs, inputs and outputs by position.
static inline nn_errno nn_infer(const char *name, const nn_tensor *inputs, uint32_t input_count, nn_buffer *outputs,
                                uint32_t output_count) {
    nn_graph graph;
    nn_context context;
    nn_errno error = nn_load_by_name(name, strlen(name), &graph);
    if (!error) error = nn_init_execution_context(graph, &context);
    for (uint32_t at = 0; !error && at < input_count; at++) error = nn_set_input(context, at, &inputs[at]);
    if (!error) error = nn_compute(context);
    for (uint32_t at = 0; !error && at < output_count; at++)
        error = nn_get_output(context, at, outputs[at].data, outputs[at].size, &outputs[at].written);
    return error;
}

static inline const char *nn_error_text(nn_errno error) {
    switch (error) {
        case NN_SUCCESS: return "success";
        case NN_INVALID_ARGUMENT: return "invalid argument";
        case NN_INVALID_ENCODING: return "invalid encoding";
        case NN_MISSING_MEMORY: return "missing memory";
        case NN_BUSY: return "busy";
        case NN_RUNTIME_ERROR: return "runtime error";
        case NN_UNSUPPORTED_OPERATION: return "unsupported operation";
        case NN_TOO_LARGE: return "too large";
        case NN_NOT_FOUND: return "not found";
        case NN_END_OF_SEQUENCE: return "end of sequence";
        case NN_CONTEXT_FULL: return "context full";
        case NN_PROMPT_TOO_LONG: return "prompt too long";
    }
    return "unknown error";
}

#endif
