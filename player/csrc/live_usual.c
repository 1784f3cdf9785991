/* What is usual for an instrument, played live: read from the text in its file, which is JSON. */
#include "zp_live.h"
#include "zp_math.h"

#define FMIN_HZ 80.0f        /* where a file has no range */
#define LEAST_HZ 20.0f
#define FMAX_HZ 2000.0f
#define SEMITONE 1.05946309f /* fmin lies that much under the lowest note */

typedef struct {
    const char *at, *end;
} text;

/* What a cursor stands at, blanks passed over; 0 at the end. */
static char next_of(text *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t' || *t->at == '\r')) t->at++;
    return t->at < t->end ? *t->at : 0;
}

static int take(text *t, char wanted) {
    if (next_of(t) != wanted) return 0;
    t->at++;
    return 1;
}

/* Pass over a string; gives what is between its quotation marks, escapes as they stand. */
ZP_SELDOM static int string(text *t, text *inside) {
    if (!take(t, '"')) return 0;
    inside->at = t->at;
    for (; t->at < t->end && *t->at != '"'; t->at++)
        if (*t->at == '\\') t->at++;
    if (t->at >= t->end) return 0;
    inside->end = t->at++;
    return 1;
}

/* Pass over any value. */
ZP_SELDOM static int value(text *t) {
    text inside;
    uint32_t depth = 0;
    do {
        const char next = next_of(t);
        if (next == '"') {
            if (!string(t, &inside)) return 0;
        } else if (next == '{' || next == '[') {
            depth++, t->at++;
        } else if (next == '}' || next == ']') {
            if (!depth--) return 0;
            t->at++;
        } else if (next == ',' || next == ':') {
            if (!depth) return 0;
            t->at++;
        } else {
            const char *begin = t->at;
            while (t->at < t->end && *t->at > ' ' && *t->at != ',' && *t->at != '}' && *t->at != ']') t->at++;
            if (t->at == begin) return 0;
        }
    } while (depth);
    return 1;
}

/* The next member of an object whose cursor stands behind { or a value before. */
ZP_SELDOM static int member(text *t, text *key, text *found) {
    take(t, ',');
    if (!string(t, key) || !take(t, ':')) return 0;
    *found = *t;
    return value(t);
}

static int is(text t, const char *word) {
    while (t.at < t.end && *word && *t.at == *word) t.at++, word++;
    return t.at == t.end && !*word;
}

/* The value of a member; where there is none, the cursor is at its end. The last one counts, as everywhere. */
ZP_SELDOM static text find(text object, const char *name) {
    text key, found, result = {object.end, object.end};
    if (!take(&object, '{')) return result;
    while (member(&object, &key, &found))
        if (is(key, name)) result = found;
    return result;
}

ZP_SELDOM static int number(text *t, double *found) {
    double sum = 0, sign = 1, scale = 1;
    int digits = 0, exponent = 0, negative = 0;
    if (take(t, '-')) sign = -1;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++, digits++) sum = 10 * sum + (*t->at - '0');
    if (t->at < t->end && *t->at == '.')
        for (t->at++; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++, digits++)
            scale /= 10, sum += scale * (*t->at - '0');
    if (!digits) return 0;
    if (t->at < t->end && (*t->at == 'e' || *t->at == 'E')) {
        t->at++;
        negative = t->at < t->end && *t->at == '-';
        if (t->at < t->end && (*t->at == '-' || *t->at == '+')) t->at++;
        for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
            if (exponent < 999) exponent = 10 * exponent + (*t->at - '0');
    }
    for (; exponent; exponent--) sum = negative ? sum / 10 : sum * 10;
    *found = sign * sum;
    return sum < 1e30; /* not infinite, as a float either */
}

/* A quantile of an input: between those that the file has, on the line that joins them. */
ZP_SELDOM static int quantile(text about, const char *input, double wanted, float *result) {
    text ends = find(find(about, "range"), input), known = find(find(about, "quantiles"), input), key, found;
    double left = 0, right = 1, low, high, at, level;
    if (!take(&ends, '[') || !number(&ends, &low) || !take(&ends, ',') || !number(&ends, &high) || !take(&ends, ']'))
        return 0;
    take(&known, '{');
    while (member(&known, &key, &found)) {
        if (!number(&key, &at) || key.at != key.end || at <= 0 || at >= 1) continue; /* the ends, which the range has */
        if (!number(&found, &level)) return 0;
        if (at <= wanted && at >= left) left = at, low = level;
        if (at >= wanted && at <= right) right = at, high = level;
    }
    if (wanted >= 1) left = right, low = high;
    *result = (float)(right > left ? low + (high - low) * (wanted - left) / (right - left) : low);
    return zp_finite(*result);
}

static int is_there(text t) { return t.at < t.end; }

ZP_SELDOM static int range_of(text about, zoo_live_setup *s) {
    const text range = find(about, "range");
    if (!is_there(find(range, "f0_hz")) || !is_there(find(range, "loudness_db"))) return 1;
    s->fit = 1;
    return quantile(about, "f0_hz", 0.01, &s->lowest_hz) && quantile(about, "f0_hz", 0.99, &s->highest_hz) &&
           quantile(about, "loudness_db", 0.01, &s->softest_db) && quantile(about, "loudness_db", 0.1, &s->soft_db) &&
           quantile(about, "loudness_db", 0.5, &s->middle_db) && quantile(about, "loudness_db", 0.9, &s->loud_db) &&
           quantile(about, "loudness_db", 1, &s->loudest_db);
}

/* The loudness that a model's features were measured with; where they name none, it is the thesis's. */
ZP_SELDOM static int loudness_of(text about, uint32_t *kind) {
    text features = find(about, "features"), name = find(features, "loudness"), word;
    *kind = ZOO_LOUDNESS_A_WEIGHTED;
    if (!take(&features, '{') || next_of(&features) == '}') return 1;
    if (!is_there(name)) *kind = ZOO_LOUDNESS_MEAN_DB;
    if (!is_there(name)) return 1;
    if (!string(&name, &word)) return 0;
    if (is(word, "mean_db")) *kind = ZOO_LOUDNESS_MEAN_DB;
    return is(word, "mean_db") || is(word, "a_weighted") || is(word, "live");
}

ZP_SELDOM static int follows_sound(text about) {
    text inputs = find(about, "inputs"), first, second;
    if (!is_there(inputs)) return 1;
    return take(&inputs, '[') && string(&inputs, &first) && take(&inputs, ',') && string(&inputs, &second) &&
           take(&inputs, ']') && is(first, "f0_hz") && is(second, "loudness_db");
}

ZP_SELDOM int zoo_live_usual(const void *file, size_t file_bytes, uint32_t sample_rate, zoo_live_setup *setup) {
    zoo_info info;
    if (!setup) return ZOO_ERROR_ARGUMENT;
    const int error = zoo_check(file, file_bytes, &info);
    if (error) return error;
    const text about = {info.text, info.text + info.text_bytes};
    *setup = (zoo_live_setup){.sample_rate = sample_rate, .loudness_scale = 1, .fmin_hz = FMIN_HZ, .fmax_hz = FMAX_HZ};
    if (info.inputs != 2 || !follows_sound(about)) return ZOO_ERROR_ARGUMENT;
    const int hears = loudness_of(about, &setup->loudness), knows = range_of(about, setup);
    setup->fit = setup->fit && knows;
    const float rate = (float)info.sample_rate, least = rate / ZP_MOST_LAGS > LEAST_HZ ? rate / ZP_MOST_LAGS : LEAST_HZ;
    if (setup->fmax_hz > rate / 4) setup->fmax_hz = rate / 4;
    if (setup->fit) setup->fmin_hz = setup->lowest_hz / SEMITONE;
    if (setup->fmin_hz > setup->fmax_hz / 2) setup->fmin_hz = setup->fmax_hz / 2;
    if (!(setup->fmin_hz > least)) setup->fmin_hz = least;
    return knows ? (hears ? ZOO_OK : ZOO_ERROR_ARGUMENT) : ZOO_ERROR_LAYOUT;
}
