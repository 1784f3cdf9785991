/* Plays a file of zoo's exporter "onnx" by onnxruntime's C interface: two seconds of a glide, as raw float32 samples.
 *
 *     cc -O2 onnxruntime.c -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o play
 *     ./play violin.onnx audio.f32
 *
 * All tensors of the file are float32. Each has one buffer here, and each state two, which change places after a step:
 * nothing is allocated while it plays. Models whose metadata have `initial_states` other than {} need those put in.
 */
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 128 /* tensors on a side */

static const OrtApi *ort;

static void check(OrtStatus *status) {
    if (status != NULL) {
        fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
        exit(1);
    }
}

typedef struct {
    char *name;
    size_t size; /* values */
    float *data;
    OrtValue *value;
} Tensor;

static OrtMemoryInfo *memory;
static OrtAllocator *allocator;

/* Input or output number i of a session, with a buffer of zeros. */
static Tensor tensor(const OrtSession *session, size_t i, int is_output) {
    Tensor made;
    OrtTypeInfo *type;
    const OrtTensorTypeAndShapeInfo *about;
    int64_t shape[8];
    size_t rank;
    check((is_output ? ort->SessionGetOutputName : ort->SessionGetInputName)(session, i, allocator, &made.name));
    check((is_output ? ort->SessionGetOutputTypeInfo : ort->SessionGetInputTypeInfo)(session, i, &type));
    check(ort->CastTypeInfoToTensorInfo(type, &about));
    check(ort->GetDimensionsCount(about, &rank));
    check(ort->GetDimensions(about, shape, rank));
    check(ort->GetTensorShapeElementCount(about, &made.size));
    made.data = calloc(made.size, sizeof(float));
    check(ort->CreateTensorWithDataAsOrtValue(memory, made.data, made.size * sizeof(float), shape, rank,
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &made.value));
    return made;
}

static Tensor *find(Tensor *tensors, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0) {
            return &tensors[i];
        }
    }
    fprintf(stderr, "the file has no %s\n", name);
    exit(1);
}

int main(int argc, char **argv) {
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    size_t inputs, outputs;
    Tensor in[MOST], out[MOST];
    size_t state_in[MOST], state_out[MOST], states = 0;
    uint32_t random = 1;
    FILE *file;
    if (argc != 3) {
        fprintf(stderr, "usage: play MODEL.onnx AUDIO.f32\n");
        return 1;
    }
    if ((file = fopen(argv[2], "wb")) == NULL) {
        perror(argv[2]);
        return 1;
    }
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) {
        fprintf(stderr, "this onnxruntime is older than the headers that the program was compiled with\n");
        return 1;
    }
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "play", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->SetIntraOpNumThreads(options, 1)); /* a step is too little work to share */
    check(ort->CreateSession(env, argv[1], options, &session));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
    check(ort->SessionGetInputCount(session, &inputs));
    check(ort->SessionGetOutputCount(session, &outputs));
    if (inputs > MOST || outputs > MOST) {
        return 1;
    }
    for (size_t i = 0; i < inputs; i++) {
        in[i] = tensor(session, i, 0);
    }
    for (size_t i = 0; i < outputs; i++) {
        out[i] = tensor(session, i, 1);
    }
    for (size_t i = 0; i < inputs; i++) { /* state_NAME is next_state_NAME of the step before */
        if (strncmp(in[i].name, "state_", 6) == 0) {
            char next[256];
            snprintf(next, sizeof next, "next_%s", in[i].name);
            state_in[states] = i;
            state_out[states++] = (size_t)(find(out, outputs, next) - out);
        }
    }
    Tensor *f0_hz = find(in, inputs, "f0_hz"), *loudness_db = find(in, inputs, "loudness_db");
    Tensor *noise = find(in, inputs, "noise"), *audio = find(out, outputs, "audio");
    const size_t frames = f0_hz->size;
    const char *input_names[MOST], *output_names[MOST];
    for (size_t i = 0; i < inputs; i++) {
        input_names[i] = in[i].name;
    }
    for (size_t i = 0; i < outputs; i++) {
        output_names[i] = out[i].name;
    }
    for (size_t at = 0; at < 500; at += frames) {
        const OrtValue *given[MOST];
        OrtValue *made[MOST];
        for (size_t i = 0; i < frames; i++) {
            f0_hz->data[i] = 330.0f + 0.22f * (float)(at + i);
            loudness_db->data[i] = -35.0f;
        }
        for (size_t i = 0; i < noise->size; i++) { /* uniform in [-1, 1) */
            random = random * 1664525u + 1013904223u;
            noise->data[i] = (float)((int32_t)random / 2147483648.0);
        }
        for (size_t i = 0; i < inputs; i++) {
            given[i] = in[i].value;
        }
        for (size_t i = 0; i < outputs; i++) {
            made[i] = out[i].value;
        }
        check(ort->Run(session, NULL, input_names, given, inputs, output_names, outputs, made));
        fwrite(audio->data, sizeof(float), audio->size, file);
        for (size_t i = 0; i < states; i++) { /* what came out goes in next; names stay where they are */
            Tensor *before = &in[state_in[i]], *after = &out[state_out[i]];
            OrtValue *value = before->value;
            float *data = before->data;
            before->value = after->value, before->data = after->data;
            after->value = value, after->data = data;
        }
    }
    return fclose(file);
}
