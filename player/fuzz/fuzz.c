/* Alters instrument files at random, and plays those that pass the checks, with odd inputs, under the sanitizers:
 *
 *     gcc -g -O1 -std=gnu99 -fno-strict-aliasing -fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero \
 *         -fno-sanitize-recover=all -DZP_FUZZ -DZP_MAX_WORK=4194304 -I csrc csrc/[a-z]*.c fuzz/fuzz.c -o fuzzer
 *     ./fuzzer COUNT SEED FILE.zoo...
 *
 * A sanitizer's finding ends it. It prints how many files were refused with which error, and how many were played. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zp_internal.h"

static uint64_t random_state;

static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint32_t draw(uint32_t below) { return (uint32_t)(mixed(random_state += 0x9e3779b97f4a7c15ull) >> 16) % below; }

static uint64_t checksum(const unsigned char *p, size_t n) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i < n / 8; i++) {
        memcpy(&word, p + 8 * i, 8);
        sum += mixed(word + 0x9e3779b97f4a7c15ull * ((uint64_t)i + 1));
    }
    return sum;
}

static uint32_t extreme(uint32_t now) {
    static const uint32_t values[] = {0,      1,          2,          7,          8,          9,          16,
                                      63,     64,         255,        1024,       4095,       4096,       65535,
                                      65536,  65537,      1u << 20,   1u << 22,   1u << 30,   1u << 31,   0x7fffffffu,
                                      ~0u,    0xfffffff8u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f7fffffu, 0x00000001u};
    switch (draw(6)) {
        case 0: return now + 1;
        case 1: return now - 1;
        case 2: return now + 8 * (draw(17) - 8);
        case 3: return now << draw(5);
        case 4: return draw(300);
        default: return values[draw(sizeof values / sizeof *values)];
    }
}

static void alter(unsigned char *file, size_t *size) {
    zp_header *h = (zp_header *)file;
    zp_tensor *tensors = (zp_tensor *)(file + h->tensors_offset);
    zp_operation *operations = (zp_operation *)(file + h->operations_offset);
    const uint32_t count = h->operations, many = h->tensors;
    zp_operation *one = operations + draw(count), *other = operations + draw(count);
    zp_tensor *tensor = tensors + draw(many);
    uint32_t *numbers = (uint32_t *)(file + tensor->offset);
    switch (draw(16)) {
        case 0: file[draw((uint32_t)*size)] ^= (unsigned char)(1u << draw(8)); break;
        case 1: file[draw((uint32_t)*size)] = (unsigned char)draw(256); break;
        case 2: { /* a word of the header */
            uint32_t *word = (uint32_t *)file + draw(sizeof(zp_header) / 4);
            *word = extreme(*word);
            break;
        }
        case 3: { /* sizes of the frame, together with the player's idea of them */
            uint32_t *word = &h->sample_rate + draw(8);
            *word = extreme(*word);
            break;
        }
        case 4: { /* a word of a tensor's entry */
            uint32_t *word = (uint32_t *)tensor + draw(sizeof(zp_tensor) / 4);
            *word = extreme(*word);
            break;
        }
        case 5: numbers[draw((uint32_t)(tensor->bytes / 4) + 1) % (tensor->bytes / 4 ? tensor->bytes / 4 : 1)] = extreme(draw(~0u)); break;
        case 6: { /* all of a tensor's numbers: huge, tiny or alternating */
            static const float values[] = {3e38f, -3e38f, 1e20f, -1e20f, 1e-40f, 0.0f, -0.0f, 1e6f};
            if (tensor->type == ZP_F32)
                for (uint64_t i = 0; i < tensor->bytes / 4; i++) ((float *)numbers)[i] = values[draw(8)];
            break;
        }
        case 7: *one = *other; break;
        case 8: {
            zp_operation kept = *one;
            *one = *other, *other = kept;
            break;
        }
        case 9: one->code = draw(ZP_OPERATION_END + 2); break;
        case 10: one->a[draw(ZP_ARGUMENTS)] = other->a[draw(ZP_ARGUMENTS)]; break;
        case 11: {
            const uint32_t bytes = 1 + draw(16), room = (uint32_t)*size - bytes;
            memmove(file + draw(room), file + draw(room), bytes);
            break;
        }
        case 12: { /* a whole section elsewhere */
            uint64_t *offset = draw(2) ? &h->tensors_offset : &h->operations_offset;
            *offset += 16 * ((uint64_t)draw(9) - 4);
            break;
        }
        default: { /* most often a number of an operation */
            uint32_t *word = one->a + draw(10);
            *word = extreme(*word);
        }
    }
}

static float odd_input(void) {
    static const float values[] = {0.0f,   -0.0f,  1.0f,   -1.0f,  440.0f, 7999.9f, 8000.0f, 24000.0f, 1e9f,
                                   3e38f,  -3e38f, 1e-40f, -20.0f, -80.0f, 60.0f,   100.0f,  -200.0f};
    switch (draw(5)) {
        case 0: return NAN;
        case 1: return draw(2) ? INFINITY : -INFINITY;
        default: return values[draw(sizeof values / sizeof *values)];
    }
}

/* Play a file that passed; 0 where its audio is finite. */
static int play(const unsigned char *file, size_t size) {
    const zp_header *h = (const zp_header *)file;
    uint32_t voices = draw(8) ? 1 : 1 + draw(3);
    size_t bytes = zoo_player_bytes(file, size, voices);
    if (!bytes || bytes > ((size_t)1 << 26)) return 0;
    void *memory = 0;
    if (posix_memalign(&memory, 64, bytes)) return 0;
    int error = 0, bad = 0;
    zoo_player *player = zoo_player_init(memory, bytes, file, size, voices, draw(100), &error);
    if (!player) {
        fprintf(stderr, "init: %s\n", zoo_error_text(error));
        return 1;
    }
    for (int block = 0; block < 3; block++) {
        size_t frames = draw(4), values = voices * frames;
        float *curves[ZOO_MAX_INPUTS];
        for (uint32_t i = 0; i < h->inputs; i++) {
            curves[i] = malloc(sizeof(float) * (values ? values : 1));
            for (size_t t = 0; t < values; t++) curves[i][t] = draw(2) ? odd_input() : (i ? -20.0f : 300.0f);
        }
        float *audio = malloc(sizeof(float) * (values * h->hop + 1));
        zoo_player_process(player, (const float *const *)curves, 0, frames, audio);
        for (size_t i = 0; i < values * h->hop; i++) bad |= !isfinite(audio[i]);
        for (uint32_t i = 0; i < h->inputs; i++) free(curves[i]);
        free(audio);
        if (draw(4) == 0) zoo_player_reset(player);
        if (draw(4) == 0) {
            zoo_info info;
            if (zoo_check(file, size, &info)) return 1;
            const size_t samples = (size_t)voices * info.latency;
            float *rest = malloc(sizeof(float) * (samples ? samples : 1));
            zoo_player_finish(player, rest);
            for (size_t i = 0; i < samples; i++) bad |= !isfinite(rest[i]);
            free(rest);
        }
    }
    free(memory);
    return bad;
}

int main(int count, char **words) {
    if (count < 4) return fprintf(stderr, "usage: fuzzer COUNT SEED FILE.zoo...\n"), 2;
    const long runs = atol(words[1]);
    random_state = strtoull(words[2], 0, 10);
    const int files = count - 3;
    unsigned char **originals = malloc(sizeof *originals * (size_t)files);
    size_t *sizes = malloc(sizeof *sizes * (size_t)files);
    for (int i = 0; i < files; i++) {
        FILE *opened = fopen(words[3 + i], "rb");
        if (!opened) return perror(words[3 + i]), 2;
        fseek(opened, 0, SEEK_END);
        sizes[i] = (size_t)ftell(opened);
        rewind(opened);
        originals[i] = malloc(sizes[i]);
        if (fread(originals[i], 1, sizes[i], opened) != sizes[i]) return 2;
        fclose(opened);
    }
    long results[16] = {0};
    for (long run = 0; run < runs; run++) {
        const uint32_t which = draw((uint32_t)files);
        size_t size = sizes[which];
        void *work = 0;
        if (posix_memalign(&work, 16, size)) return 2;
        memcpy(work, originals[which], size);
        for (uint32_t times = 1 + (draw(3) ? 0 : draw(4)); times; times--) {
            alter(work, &size);
            /* so that the next one finds its way */
            const zp_header *h = work, *o = (const zp_header *)originals[which];
            if (h->tensors_offset != o->tensors_offset || h->operations_offset != o->operations_offset ||
                h->tensors != o->tensors || h->operations != o->operations ||
                memcmp((char *)work + h->tensors_offset, originals[which] + h->tensors_offset,
                       h->tensors * sizeof(zp_tensor)))
                break;
        }
        if (draw(20) == 0) size = draw((uint32_t)size); /* cut short, mostly with its length made right again */
        unsigned char *file = 0;
        if (posix_memalign((void **)&file, 16, size ? size : 1)) return 2;
        memcpy(file, work, size);
        free(work);
        zp_header *h = (zp_header *)file;
        if (size >= sizeof *h && draw(10)) {
            if (size != sizes[which] && draw(4)) h->file_bytes = size;
            h->checksum = checksum(file + 32, size - 32);
        }
        int error = zoo_check(file, size, 0);
        results[error & 15]++;
        zoo_live_setup setup;
        if (!error && !zoo_live_usual(file, size, 48000, &setup)) zoo_live_bytes(file, size, &setup);
        if (!error && play(file, size)) {
            fprintf(stderr, "run %ld of %s: audio that is not finite\n", run, words[3 + which]);
            return 1;
        }
        free(file);
    }
    for (int i = 0; i < 16; i++)
        if (results[i]) printf("%ld %s\n", results[i], i ? zoo_error_text(i) : "played");
    fflush(stdout);
    for (int i = 0; i < files; i++) free(originals[i]);
    free(originals);
    free(sizes);
    return 0;
}
