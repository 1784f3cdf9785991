/* What the library's own files share: the layout of an instrument file, and of a player in memory. */
#ifndef ZP_INTERNAL_H
#define ZP_INTERNAL_H

#include "zoo_player.h"

/* ---- the file: little-endian, every part at a multiple of 16 bytes ----
 *
 * zp_header | text (JSON) | zp_tensor[tensors] | zp_operation[operations] | tensors' data
 *
 * Operations run in their order, once per frame. They read and write registers: stretches of one array of float32,
 * which begin at multiples of 8 and may be written up to the next multiple of 8. */

#define ZP_MAGIC "zoo.inst"
#define ZP_MAX_TENSORS 4096
#define ZP_MAX_OPERATIONS 4096
#define ZP_MAX_REGISTERS (1u << 20)
#define ZP_MAX_SIZE 65536u /* channels, harmonics, bands, taps of a kernel: what a number in an operation may be */
#define ZP_MAX_HOP 8192u
#define ZP_MAX_PHASES 32u
#ifndef ZP_MAX_WORK
#define ZP_MAX_WORK (1ull << 28) /* multiply-adds per frame and voice, roughly: a hostile file must not hang a caller */
#endif
#define ZP_ARGUMENTS 15
#define ZP_NONE 0xffffffffu

typedef struct {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t file_bytes;
    uint64_t checksum; /* of everything after this field */
    uint32_t sample_rate, hop, latency_frames, inputs;
    uint32_t registers, output; /* how many; where the frame's audio is */
    uint32_t tensors, operations;
    uint64_t text_offset, text_bytes;
    uint64_t tensors_offset, operations_offset;
} zp_header;

enum { ZP_F32 = 0, ZP_F16 = 1, ZP_I8 = 2, ZP_U32 = 3 };

/* A matrix lies in blocks of eight rows, each block column by column, so that eight outputs are worked out at once; its
 * rows are padded with zeros to a multiple of 8. int8 has a float32 scale per row before the numbers. A vector or a
 * table (packed = 0) lies as it is. */
typedef struct {
    uint32_t type, rows, columns, packed;
    uint64_t offset, bytes;
} zp_tensor;

typedef struct {
    uint32_t code;
    uint32_t a[ZP_ARGUMENTS];
} zp_operation;

enum {
    ZP_INPUT = 1,
    ZP_LINEAR,
    ZP_LAYER_NORM,
    ZP_COPY,
    ZP_ADD,
    ZP_MULTIPLY,
    ZP_SKIP,
    ZP_GLU,
    ZP_ACTIVATE,
    ZP_SOFTMAX,
    ZP_GRU,
    ZP_CONVOLUTION,
    ZP_SSM_LOW_RANK,
    ZP_SSM_DIAGONAL,
    ZP_DELAY,
    ZP_PITCH,
    ZP_DISTRIBUTION,
    ZP_HARMONICS,
    ZP_FM,
    ZP_WAVETABLE,
    ZP_NOISE,
    ZP_NOISE_CROPPED,
    ZP_SILENCE,
    ZP_REVERB,
    ZP_HOLD,
    ZP_OPERATION_END
};

enum { ZP_IDENTITY, ZP_RELU, ZP_LEAKY_RELU, ZP_GELU, ZP_SIGMOID, ZP_TANH, ZP_SCALE, ZP_ACTIVATIONS };
enum { ZP_RAW, ZP_F0_HZ, ZP_F0_MIDI, ZP_LOUDNESS, ZP_TRANSFORMS };

/* ---- a player in memory ---- */

/* kernels.c: the loops that take the time, in versions for several processors. */
typedef struct {
    /* y[rows] = W x + bias (NULL: 0); y has room for a multiple of 8. */
    void (*matrix_vector)(const zp_tensor *matrix, const unsigned char *file, const float *x, const float *bias,
                          float *y);
    void (*low_rank)(const float *constants, float *state, const float *u, float *y, uint32_t channels,
                     uint32_t modes);
    void (*diagonal)(const float *constants, float *state, const float *u, float *y, uint32_t channels,
                     uint32_t modes);
    /* y = times * f(x + add) */
    void (*activate)(float *y, const float *x, uint32_t n, uint32_t kind, float add, float times);
    /* y = (x - mean) / sqrt(variance + epsilon) weight + bias; y may be x */
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, uint32_t n, float epsilon);
    /* audio[hop] = sum over k of sines[k-1] sin(2 pi k turns) + cosines[k-1] cos(2 pi k turns); cosines may be NULL */
    void (*harmonics)(float *audio, const double *turns, const float *sines, const float *cosines, uint32_t n,
                      uint32_t hop);
    /* total[0 .. hop + 2 reach) += noise[hop] convolved with response[2 reach + 1] */
    void (*filter)(float *total, const float *noise, const float *response, uint32_t reach, uint32_t hop);
    /* re + i im += a b, n a multiple of 8 */
    void (*multiply_spectra)(float *re, float *im, const float *a_re, const float *a_im, const float *b_re,
                             const float *b_im, uint32_t n);
    /* y[hop] = level[hop] sin(2 pi (turns multiple + modulation[hop])) */
    void (*operator_sine)(float *y, const float *level, const double *turns, float multiple, const float *modulation,
                          uint32_t hop);
} zp_kernels;


struct zoo_player {
    const unsigned char *file;
    const zp_header *header;
    const zp_tensor *tensors;
    const zp_operation *operations;
    const zp_kernels *kernels;
    uint32_t voices;
    uint64_t seed;
    uint64_t frame;     /* how many have been played */
    size_t state_bytes; /* per voice */
    const struct zp_place { size_t state, constants; } *places; /* of each operation */
    uint64_t *generators; /* of noise, one per voice */
    float *noise;         /* [hop] */
    float *last;          /* [voices][inputs + 1]: of the frame before, and the level that it ended with */
    float levels[4];      /* of the sound before the reverb, and of the reverb: at a frame's begin and end, usually 1 */
    float *registers;   /* for one frame of one voice at a time */
    double *phases;     /* [as many as there are][hop], in turns */
    float *scratch;
    unsigned char *constants; /* what the weights alone give, for all voices */
    unsigned char *states;    /* [voices][state_bytes] */
};

/* What an operation is given when it runs. */
typedef struct {
    const zoo_player *player;
    const zp_operation *operation;
    float *registers;
    double *phases;
    float *scratch;
    const unsigned char *constants; /* the operation's own */
    unsigned char *state;           /* the operation's own, of this voice */
    const float *inputs;            /* this frame's */
    const float *noise;             /* this frame's, [hop] */
    uint64_t frame;                 /* how many came before it */
    int ending;                     /* it only waits for what is still to come */
    uint32_t hop, sample_rate;
} zp_frame;

/* What an operation needs, found out while its numbers are checked. */
typedef struct {
    uint64_t state, constants, scratch; /* bytes, bytes, floats */
    uint64_t work;                      /* multiply-adds per frame, roughly */
} zp_needs;

typedef struct {
    const zp_header *header;
    const zp_tensor *tensors;
    const unsigned char *file;
    uint32_t phases; /* that an operation before has worked out */
} zp_context;

/* In 64 bits everywhere: what a file asks for may exceed the 32 bits of a small machine's size_t. */
static inline uint64_t zp_up(uint64_t size, uint64_t to) { return (size + to - 1) / to * to; }

/* Check an operation; 0 or an error. */
int zp_check_operation(const zp_operation *operation, zp_context *context, zp_needs *needs);
/* Work out its constants, once. */
void zp_prepare_operation(const zp_context *context, const zp_operation *operation, unsigned char *constants,
                          float *scratch);
void zp_run_operation(const zp_frame *frame);

const zp_kernels *zp_choose_kernels(void);

/* fft.c: in place, size a power of two; twiddles[size / 2] pairs from zp_twiddles. */
void zp_twiddles(float *twiddles, uint32_t size);
void zp_fft(float *re, float *im, const float *twiddles, uint32_t size, int inverse);

#endif
