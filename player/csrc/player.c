/* Instrument files, checked; players, made in the caller's memory; and playing. */
#include "zp_internal.h"
#include "zp_live.h"
#include "zp_math.h"

/* The fuzz test has gaps between the parts of a player, which the sanitizer watches. */
#ifdef ZP_FUZZ
#include <sanitizer/asan_interface.h>
#define GAP 64u
#define WATCH(end) __asan_poison_memory_region((end) - GAP, GAP)
#else
#define GAP 0u
#define WATCH(end) ((void)(end))
#endif

#define MOST_BYTES ((uint64_t)1 << 30) /* of a file, and of a player */

typedef struct {
    zp_context context;
    const zp_operation *operations;
    uint64_t state, constants, scratch; /* bytes per voice, bytes, floats */
} layout;

static uint64_t mixed(uint64_t x) { /* splitmix64's finaliser (Steele, Lea, Flood, OOPSLA 2014) */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* The sum of all words of eight bytes, each mixed with its place: a file that was damaged is told from a sound one. */
static uint64_t checksum(const unsigned char *p, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n / 8; i++) {
        uint64_t word;
        __builtin_memcpy(&word, p + 8 * i, sizeof word);
        sum += mixed(word + 0x9e3779b97f4a7c15ull * ((uint64_t)i + 1));
    }
    return sum;
}

static int part_fits(uint64_t offset, uint64_t bytes, uint64_t file_bytes) {
    return offset % 16 == 0 && offset <= file_bytes && bytes <= file_bytes - offset;
}

static int tensor_fits(const zp_tensor *t, uint64_t file_bytes) {
    static const uint8_t width[] = {4, 2, 1, 4};
    if (t->type > ZP_U32 || t->packed > 1 || t->rows == 0 || t->columns == 0) return 0;
    if (t->rows > (1u << 22) || t->columns > (1u << 22)) return 0;
    uint64_t rows = t->packed ? zp_up(t->rows, 8) : t->rows, bytes = rows * t->columns * width[t->type];
    if (t->type == ZP_I8) bytes += 4 * rows;
    if ((t->type == ZP_F16 || t->type == ZP_I8) && !t->packed) return 0;
    if (t->type == ZP_U32 && t->packed) return 0;
    return bytes == t->bytes && part_fits(t->offset, t->bytes, file_bytes);
}

static int numbers_are_finite(const zp_tensor *t, const unsigned char *file) {
    const unsigned char *data = file + t->offset;
    uint64_t rows = t->packed ? zp_up(t->rows, 8) : t->rows, count = rows * t->columns;
    if (t->type == ZP_F32 || t->type == ZP_I8) {
        const uint32_t *words = (const uint32_t *)data;
        if (t->type == ZP_I8) count = rows; /* the scales; integers are always finite */
        uint32_t bad = 0;
        for (uint64_t i = 0; i < count; i++) bad |= (words[i] & 0x7f800000u) == 0x7f800000u;
        return !bad;
    }
    if (t->type == ZP_F16) {
        const uint16_t *words = (const uint16_t *)data;
        uint32_t bad = 0;
        for (uint64_t i = 0; i < count; i++) bad |= (words[i] & 0x7c00u) == 0x7c00u;
        return !bad;
    }
    return 1;
}

static int examine(const void *data, size_t file_bytes, layout *found) {
    if (!data) return ZOO_ERROR_ARGUMENT;
    if ((uintptr_t)data % 8) return ZOO_ERROR_ALIGNMENT;
    const unsigned char *file = data;
    const zp_header *h = data;
    if (file_bytes < sizeof h->magic) return ZOO_ERROR_TOO_SHORT;
    for (int i = 0; i < 8; i++)
        if (h->magic[i] != ZP_MAGIC[i]) return ZOO_ERROR_NOT_OURS;
    if (file_bytes < sizeof *h) return ZOO_ERROR_TOO_SHORT;
    if (h->version > ZOO_FORMAT_VERSION) return ZOO_ERROR_NEWER;
    if (h->version == 0 || h->header_bytes != sizeof *h) return ZOO_ERROR_LAYOUT;
    if (h->file_bytes > file_bytes) return ZOO_ERROR_TOO_SHORT;
    if (h->file_bytes != file_bytes || file_bytes % 16) return ZOO_ERROR_LAYOUT;
    if (file_bytes > MOST_BYTES) return ZOO_ERROR_TOO_LARGE;
    const size_t summed = offsetof(zp_header, checksum) + sizeof h->checksum;
    if (checksum(file + summed, file_bytes - summed) != h->checksum) return ZOO_ERROR_CHECKSUM;
    if (h->sample_rate < 1000 || h->sample_rate > 768000 || h->hop == 0 || h->hop > ZP_MAX_HOP) return ZOO_ERROR_LAYOUT;
    if (h->latency_frames > 1024 || h->inputs == 0 || h->inputs > ZOO_MAX_INPUTS) return ZOO_ERROR_LAYOUT;
    if (h->tensors > ZP_MAX_TENSORS || h->operations == 0 || h->operations > ZP_MAX_OPERATIONS) return ZOO_ERROR_LAYOUT;
    if (h->registers > ZP_MAX_REGISTERS || h->registers % 8 || h->output % 8) return ZOO_ERROR_LAYOUT;
    if ((uint64_t)h->output + h->hop > h->registers) return ZOO_ERROR_LAYOUT;
    if (!part_fits(h->text_offset, h->text_bytes, file_bytes)) return ZOO_ERROR_LAYOUT;
    if (!part_fits(h->tensors_offset, (uint64_t)h->tensors * sizeof(zp_tensor), file_bytes)) return ZOO_ERROR_LAYOUT;
    if (!part_fits(h->operations_offset, (uint64_t)h->operations * sizeof(zp_operation), file_bytes))
        return ZOO_ERROR_LAYOUT;
    const zp_tensor *tensors = (const zp_tensor *)(file + h->tensors_offset);
    uint64_t numbers = 0;
    for (uint32_t i = 0; i < h->tensors; i++) {
        if (!tensor_fits(tensors + i, file_bytes)) return ZOO_ERROR_LAYOUT;
        numbers += tensors[i].bytes;
        if (numbers > file_bytes) return ZOO_ERROR_LAYOUT; /* they overlap: reading them could take for ever */
    }
    for (uint32_t i = 0; i < h->tensors; i++)
        if (!numbers_are_finite(tensors + i, file)) return ZOO_ERROR_NOT_FINITE;
    *found = (layout){{h, tensors, file, 0}, (const zp_operation *)(file + h->operations_offset), 0, 0, 16};
    uint64_t work = 0;
    for (uint32_t i = 0; i < h->operations; i++) {
        zp_needs needs;
        int error = zp_check_operation(found->operations + i, &found->context, &needs);
        if (error) return error;
        found->state += zp_up(needs.state, 64) + GAP;
        found->constants += zp_up(needs.constants, 64) + GAP;
        if (zp_up(needs.scratch, 16) > found->scratch) found->scratch = zp_up(needs.scratch, 16);
        work += needs.work;
        if (found->state > MOST_BYTES || found->constants > MOST_BYTES || found->scratch > MOST_BYTES / 4 ||
            work > ZP_MAX_WORK)
            return ZOO_ERROR_TOO_LARGE;
    }
    return ZOO_OK;
}

int zoo_check(const void *file, size_t file_bytes, zoo_info *info) {
    layout found;
    int error = examine(file, file_bytes, &found);
    if (!error && info) {
        const zp_header *h = found.context.header;
        uint64_t weights = 0;
        for (uint32_t i = 0; i < h->tensors; i++)
            if (found.context.tensors[i].type != ZP_U32)
                weights += (uint64_t)found.context.tensors[i].rows * found.context.tensors[i].columns;
        *info = (zoo_info){h->sample_rate,    h->hop, h->hop * h->latency_frames,
                           h->inputs,         (uint32_t)weights, (const char *)file + h->text_offset,
                           (size_t)h->text_bytes};
    }
    return error;
}

const char *zoo_error_text(int code) {
    switch (code) {
        case ZOO_OK: return "no error";
        case ZOO_ERROR_TOO_SHORT: return "the file is cut short: copy or export it again";
        case ZOO_ERROR_NOT_OURS: return "this is no instrument file of zoo (zoo export MODEL --to player makes one)";
        case ZOO_ERROR_NEWER: return "the file is of a newer format: update ddsp-zoo-player";
        case ZOO_ERROR_CHECKSUM: return "the file is damaged: copy or export it again";
        case ZOO_ERROR_LAYOUT: return "the file contradicts itself: export it again";
        case ZOO_ERROR_OPERATION: return "the file has an operation that this player does not know or cannot do";
        case ZOO_ERROR_NOT_FINITE: return "the file holds weights that are no numbers: export another checkpoint";
        case ZOO_ERROR_TOO_LARGE: return "the instrument is larger than this player is made for";
        case ZOO_ERROR_ARGUMENT: return "a call has a wrong argument: a null pointer, no voices or too little memory";
        case ZOO_ERROR_ALIGNMENT: return "a file must begin at a multiple of 8 bytes in memory, a player at one of 64";
        default: return "an unknown error";
    }
}

/* Where the parts of a player lie behind it. */
typedef struct {
    uint64_t places, generators, registers, noise, last, phases, scratch, constants, states, bytes;
} map;

static map map_of(const layout *found, uint32_t voices) {
    const zp_header *h = found->context.header;
    map m;
    m.places = zp_up(sizeof(zoo_player), 64) + GAP;
    m.generators = m.places + zp_up(sizeof(struct zp_place) * (uint64_t)h->operations, 64) + GAP;
    m.registers = m.generators + zp_up(sizeof(uint64_t) * (uint64_t)voices, 64) + GAP;
    m.noise = m.registers + zp_up(sizeof(float) * (uint64_t)h->registers, 64) + GAP;
    m.last = m.noise + zp_up(sizeof(float) * h->hop, 64) + GAP;
    m.phases = m.last + zp_up(sizeof(float) * (uint64_t)voices * (h->inputs + 1), 64) + GAP;
    m.scratch = m.phases + zp_up(sizeof(double) * (uint64_t)found->context.phases * h->hop, 64) + GAP;
    m.constants = m.scratch + zp_up(sizeof(float) * found->scratch, 64) + GAP;
    m.states = m.constants + found->constants;
    m.bytes = zp_up(m.states + voices * found->state, 64);
    return m;
}

static int measure(const void *file, size_t file_bytes, uint32_t voices, layout *found, map *m) {
    int error = examine(file, file_bytes, found);
    if (error) return error;
    if (voices == 0) return ZOO_ERROR_ARGUMENT;
    if (voices > 65536 || (found->state && voices > MOST_BYTES / found->state)) return ZOO_ERROR_TOO_LARGE;
    *m = map_of(found, voices);
    return m->bytes > MOST_BYTES ? ZOO_ERROR_TOO_LARGE : ZOO_OK;
}

size_t zoo_player_bytes(const void *file, size_t file_bytes, uint32_t voices) {
    layout found;
    map m;
    return measure(file, file_bytes, voices, &found, &m) ? 0 : (size_t)m.bytes;
}

zoo_player *zoo_player_init(void *memory, size_t bytes, const void *file, size_t file_bytes, uint32_t voices,
                            uint64_t seed, int *error) {
    layout found;
    map m;
    int problem = measure(file, file_bytes, voices, &found, &m);
    if (!problem && (!memory || bytes < m.bytes)) problem = ZOO_ERROR_ARGUMENT;
    if (!problem && (uintptr_t)memory % 64) problem = ZOO_ERROR_ALIGNMENT;
    if (error) *error = problem;
    if (problem) return 0;
    unsigned char *base = memory;
    for (size_t i = 0; i < m.states; i++) base[i] = 0;
    zoo_player *player = memory;
    struct zp_place *places = (struct zp_place *)(base + m.places);
    *player = (zoo_player){.file = file,
                           .header = found.context.header,
                           .tensors = found.context.tensors,
                           .operations = found.operations,
                           .kernels = zp_choose_kernels(),
                           .voices = voices,
                           .levels = {1, 1, 1, 1},
                           .seed = seed,
                           .state_bytes = (size_t)found.state,
                           .places = places,
                           .generators = (uint64_t *)(base + m.generators),
                           .noise = (float *)(base + m.noise),
                           .last = (float *)(base + m.last),
                           .registers = (float *)(base + m.registers),
                           .phases = (double *)(base + m.phases),
                           .scratch = (float *)(base + m.scratch),
                           .constants = base + m.constants,
                           .states = base + m.states};
    uint64_t state = 0, constants = 0;
    found.context.phases = 0;
    for (uint32_t i = 0; i < player->header->operations; i++) {
        const zp_operation *operation = found.operations + i;
        zp_needs needs;
        zp_check_operation(operation, &found.context, &needs);
        places[i] = (struct zp_place){(size_t)state, (size_t)constants};
        zp_prepare_operation(&found.context, operation, player->constants + constants, player->scratch);
        state += zp_up(needs.state, 64) + GAP;
        constants += zp_up(needs.constants, 64) + GAP;
    }
    const uint64_t ends[] = {m.places, m.generators, m.registers, m.noise, m.last, m.phases, m.scratch, m.constants};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) WATCH(base + ends[i]);
    for (uint32_t i = 0; i < player->header->operations; i++) {
        const int last = i + 1 == player->header->operations;
        WATCH(player->constants + (last ? constants : places[i + 1].constants));
        for (uint32_t voice = 0; voice < voices; voice++)
            WATCH(player->states + voice * player->state_bytes + (last ? state : places[i + 1].state));
    }
    zoo_player_reset(player);
    return player;
}

void zoo_player_reset(zoo_player *player) {
    if (!player) return;
    player->frame = 0;
    const uint32_t operations = player->header->operations;
    for (uint32_t voice = 0; voice < player->voices; voice++) {
        unsigned char *state = player->states + voice * player->state_bytes;
        for (uint32_t i = 0; i < operations; i++) {
            const size_t end = i + 1 < operations ? player->places[i + 1].state : player->state_bytes;
            for (size_t at = player->places[i].state; at < end - GAP; at++) state[at] = 0;
        }
        player->generators[voice] = mixed(player->seed + 0x9e3779b97f4a7c15ull * (voice + 1));
    }
}

uint32_t zoo_player_voices(const zoo_player *player) { return player ? player->voices : 0; }

static void draw(uint64_t *state, float *noise, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        *state += 0x9e3779b97f4a7c15ull;
        noise[i] = (float)((int32_t)(mixed(*state) >> 40) - (1 << 23)) * (1.0f / (1 << 23));
    }
}

void zp_player_levels(zoo_player *player, float dry, float dry_end, float wet, float wet_end) {
    const float levels[4] = {dry, dry_end, wet, wet_end};
    for (int i = 0; i < 4; i++) player->levels[i] = levels[i];
}

static void ramp(float *x, float begin, float end, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) x[i] *= begin + (end - begin) * (float)(i + 1) / (float)n;
}

static void mix(float *wet, const float *dry, float begin, float end, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) wet[i] = dry[i] + (wet[i] - dry[i]) * (begin + (end - begin) * (float)(i + 1) / (float)n);
}

static void play_frame(const zoo_player *player, uint32_t voice, uint64_t number, const float *inputs,
                       const float *noise, int ending, float *audio) {
    const zp_header *h = player->header;
    unsigned char *state = player->states + (size_t)voice * player->state_bytes;
    zp_frame frame = {.player = player,
                      .registers = player->registers,
                      .phases = player->phases,
                      .scratch = player->scratch,
                      .inputs = inputs,
                      .noise = noise,
                      .frame = number,
                      .ending = ending,
                      .hop = h->hop,
                      .sample_rate = h->sample_rate};
    const float *levels = player->levels;
    const int levelled = levels[0] != 1 || levels[1] != 1 || levels[2] != 1 || levels[3] != 1;
    int reverbed = 0;
    for (uint32_t i = 0; i < h->operations; i++) {
        frame.operation = player->operations + i;
        frame.state = state + player->places[i].state;
        frame.constants = player->constants + player->places[i].constants;
        const int reverb = levelled && frame.operation->code == ZP_REVERB;
        const uint32_t *places = frame.operation->a; /* of a reverb: where its output is, and its input */
        if (reverb && !reverbed++) ramp(player->registers + places[1], levels[0], levels[1], h->hop);
        zp_run_operation(&frame);
        if (reverb) mix(player->registers + places[0], player->registers + places[1], levels[2], levels[3], h->hop);
    }
    if (levelled && !reverbed) ramp(player->registers + h->output, levels[0], levels[1], h->hop);
    const float *made = player->registers + h->output;
    for (uint32_t i = 0; i < h->hop; i++) audio[i] = zp_finite(made[i]) ? made[i] : 0.0f;
}

int zoo_player_process(zoo_player *player, const float *const *inputs, const float *noise, size_t frames,
                       float *audio) {
    return zoo_player_process_levels(player, inputs, noise, NULL, frames, audio);
}

int zoo_player_process_levels(zoo_player *player, const float *const *inputs, const float *noise, const float *levels,
                              size_t frames, float *audio) {
    if (!player || (frames && (!inputs || !audio))) return ZOO_ERROR_ARGUMENT;
    const zp_header *h = player->header;
    for (uint32_t i = 0; frames && i < h->inputs; i++)
        if (!inputs[i]) return ZOO_ERROR_ARGUMENT;
    for (uint32_t voice = 0; voice < player->voices; voice++) {
        for (size_t t = 0; t < frames; t++) {
            const size_t at = voice * frames + t;
            float *values = player->last + (size_t)voice * (h->inputs + 1);
            for (uint32_t i = 0; i < h->inputs; i++) values[i] = inputs[i][at];
            if (levels) zp_player_levels(player, levels[at + voice], levels[at + voice + 1], 1, 1);
            values[h->inputs] = player->levels[1];
            if (!noise) draw(player->generators + voice, player->noise, h->hop);
            play_frame(player, voice, player->frame + t, values, noise ? noise + at * h->hop : player->noise, 0,
                       audio + at * h->hop);
        }
    }
    if (levels) zp_player_levels(player, 1, 1, 1, 1);
    player->frame += frames;
    return ZOO_OK;
}

int zoo_player_finish(zoo_player *player, float *audio) {
    if (!player) return ZOO_ERROR_ARGUMENT;
    const zp_header *h = player->header;
    const size_t frames = h->latency_frames;
    if (frames && !audio) return ZOO_ERROR_ARGUMENT;
    for (uint32_t i = 0; i < h->hop; i++) player->noise[i] = 0;
    for (uint32_t voice = 0; voice < player->voices; voice++) {
        const float *values = player->last + (size_t)voice * (h->inputs + 1), level = values[h->inputs];
        zp_player_levels(player, level, level, 1, 1);
        for (size_t t = 0; t < frames; t++) {
            float *made = audio + (voice * frames + t) * h->hop;
            if (player->frame)
                play_frame(player, voice, player->frame + t, values, player->noise, 1, made);
            else
                for (uint32_t i = 0; i < h->hop; i++) made[i] = 0;
        }
    }
    zp_player_levels(player, 1, 1, 1, 1);
    zoo_player_reset(player);
    return ZOO_OK;
}
