/* One option's value: set from text, and formatted as text that sets it to the same value again. */
#include "config.h"

#include "launch/options/options.h"

#include "launch/options/duration.h"
#include "launch/options/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dt_option_find_word(const dt_option *option, const char *text)
{
    for (int i = 0; i < DT_OPTION_WORDS && option->words[i].name; i++)
        if (strcmp(text, option->words[i].name) == 0)
            return i;
    return -1;
}

/* Writes ", or auto, or none", with `joint` between the words; "" if there are none. */
static const char *words_text(const dt_option *o, const char *joint, char *out, size_t out_bytes)
{
    out[0] = '\0';
    for (int i = 0; i < DT_OPTION_WORDS && o->words[i].name; i++)
        snprintf(out + strlen(out), out_bytes - strlen(out), "%s%s", joint, o->words[i].name);
    return out;
}

/* Writes "1 to 65536, or auto" or "more than 0, up to 1". */
static const char *range_text(const dt_option *o, char *out, size_t out_bytes)
{
    char words[64];
    (void)words_text(o, ", or ", words, sizeof words);
    if (o->above_min)
        snprintf(out, out_bytes, "more than %.15g, up to %.15g%s", o->min, o->max, words);
    else
        snprintf(out, out_bytes, "%.15g to %.15g%s", o->min, o->max, words);
    return out;
}

static bool in_range(const dt_option *o, double value)
{
    return value >= o->min && value <= o->max && !(o->above_min && value <= o->min);
}

static dt_status out_of_range(const dt_option *o, const char *text, const char *where, dt_error *err)
{
    char range[128];
    return dt_fail(err, DT_ERR_USAGE, "%s: %s is out of range: %s", where, text,
                   range_text(o, range, sizeof range));
}

static bool whole_text_was_read(const char *text, const char *end)
{
    return end != text && *end == '\0' && !isspace((unsigned char)text[0]);
}

/* With the word that was probably meant. */
static dt_status not_a_number(const dt_option *o, const char *what, const char *text, const char *where,
                              dt_error *err)
{
    char words[64];
    const char *names[DT_OPTION_WORDS + 1] = {NULL};
    for (int i = 0; i < DT_OPTION_WORDS; i++)
        names[i] = o->words[i].name;
    const char *meant = dt_suggest(text, names);
    return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is not %s%s%s%s%s", where, text, what,
                   words_text(o, ", nor ", words, sizeof words), meant ? "; did you mean '" : "",
                   meant ? meant : "", meant ? "'?" : "");
}

static dt_status set_int(const dt_option *o, void *field, const char *text, const char *where, dt_error *err)
{
    char *end;
    int word = dt_option_find_word(o, text);
    errno = 0;
    long long value = word >= 0 ? o->words[word].value : strtoll(text, &end, 10);
    if (word < 0 && !whole_text_was_read(text, end))
        return not_a_number(o, "a whole number", text, where, err);
    if (word < 0 && (errno == ERANGE || !in_range(o, (double)value)))
        return out_of_range(o, text, where, err);
    int64_t stored = value;
    memcpy(field, &stored, sizeof stored);
    return DT_OK;
}

static dt_status read_real(const dt_option *o, const char *text, const char *where, double *value,
                           dt_error *err)
{
    char *end;
    const int word = dt_option_find_word(o, text);
    *value = word >= 0 ? (double)o->words[word].value : strtod(text, &end);
    if (word >= 0)
        return DT_OK;
    if (!whole_text_was_read(text, end) || isnan(*value))
        return not_a_number(o, "a number", text, where, err);
    return in_range(o, *value) ? DT_OK : out_of_range(o, text, where, err);
}

static dt_status set_range(const dt_option *o, void *field, const char *text, const char *where,
                           dt_error *err)
{
    char low_text[64];
    double values[2];
    const char *comma = strchr(text, ',');
    if (!comma || comma == text || (size_t)(comma - text) >= sizeof low_text)
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is not %s, two numbers with a comma", where, text,
                       o->metavar);
    snprintf(low_text, sizeof low_text, "%.*s", (int)(comma - text), text);
    comma += strspn(comma + 1, " ");
    DT_TRY(read_real(o, low_text, where, &values[0], err));
    DT_TRY(read_real(o, comma + 1, where, &values[1], err));
    if (values[0] > values[1])
        return dt_fail(err, DT_ERR_USAGE, "%s: the first of %s is larger than the second", where, text);
    memcpy(field, values, sizeof values);
    return DT_OK;
}

static dt_status set_bool(bool turns_off, void *field, const char *text, const char *where, dt_error *err)
{
    static const char *const yes[] = {"yes", "true", "on", "1", NULL}, *const no[] = {"no", "false", "off",
                                                                                      "0", NULL};
    for (int i = 0; yes[i]; i++) {
        bool is_yes = !text || strcmp(text, yes[i]) == 0, is_no = text && strcmp(text, no[i]) == 0;
        if (is_yes || is_no) {
            *(bool *)field = is_yes != turns_off;
            return DT_OK;
        }
    }
    return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is neither yes nor no", where, text);
}

/* *index: that of the choice in its list. */
static dt_status find_choice(const dt_option *o, const char *text, const char *where, int *index,
                             dt_error *err)
{
    const char *const *choices = dt_option_choices(o);
    char list[256] = "";
    for (int i = 0; choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *index = i;
            return DT_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", choices[i]);
    }
    const char *meant = dt_suggest(text, choices);
    if (meant)
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is not one of %s; did you mean '%s'?", where, text, list,
                       meant);
    return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is not one of %s", where, text, list);
}

static dt_status set_text(const dt_option *o, char *field, const char *text, const char *where, dt_error *err)
{
    if (strlen(text) >= o->bytes)
        return dt_fail(err, DT_ERR_USAGE, "%s: longer than %zu bytes", where, o->bytes - 1);
    if (strpbrk(text, "\n\r"))
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' has a line break; use a name without one", where, text);
    memcpy(field, text, strlen(text) + 1);
    return DT_OK;
}

dt_status dt_option_set(dt_options *options, int row, const char *text, dt_origin origin, const char *where,
                        dt_error *err)
{
    const dt_option *o = dt_options_at(row);
    void *field = (char *)options + o->offset;
    double real;
    int choice;
    switch (o->type) {
    case DT_OPTION_FLAG:
    case DT_OPTION_UNFLAG:
        DT_TRY(set_bool(o->type == DT_OPTION_UNFLAG, field, text, where, err));
        break;
    case DT_OPTION_INT:
        DT_TRY(set_int(o, field, text, where, err));
        break;
    case DT_OPTION_REAL:
        DT_TRY(read_real(o, text, where, &real, err));
        memcpy(field, &real, sizeof real);
        break;
    case DT_OPTION_RANGE:
        DT_TRY(set_range(o, field, text, where, err));
        break;
    case DT_OPTION_CHOICE:
        DT_TRY(find_choice(o, text, where, &choice, err));
        memcpy(field, &choice, sizeof choice);
        break;
    case DT_OPTION_DURATION:
        if (!dt_duration_parse(text, &real))
            return dt_fail(err, DT_ERR_USAGE,
                           "%s: '%s' is not a length of time: " DT_DURATION_FORMS "; at most 100 years",
                           where, text);
        memcpy(field, &real, sizeof real);
        break;
    case DT_OPTION_NAME:
        DT_TRY(find_choice(o, text, where, &choice, err)); /* fall through */
    case DT_OPTION_PATH:
        DT_TRY(set_text(o, field, text, where, err));
        break;
    }
    options->origin[row] = origin;
    return DT_OK;
}

/* Writes the fewest digits that read back to the same value, from 15 on: 600 rather than 6e+02. */
static void format_real(double value, char *out, size_t out_bytes)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

void dt_option_format(const dt_options *options, int row, char *out, size_t out_bytes)
{
    const dt_option *o = dt_options_at(row);
    const char *field = (const char *)options + o->offset;
    char low[32], high[32];
    double reals[2];
    int64_t whole;
    int choice;
    switch (o->type) {
    case DT_OPTION_FLAG:
    case DT_OPTION_UNFLAG:
        snprintf(out, out_bytes, "%s", *(const bool *)field != (o->type == DT_OPTION_UNFLAG) ? "yes" : "no");
        break;
    case DT_OPTION_INT:
        memcpy(&whole, field, sizeof whole);
        snprintf(out, out_bytes, "%lld", (long long)whole);
        for (int i = 0; i < DT_OPTION_WORDS && o->words[i].name; i++)
            if (whole == o->words[i].value)
                snprintf(out, out_bytes, "%s", o->words[i].name);
        break;
    case DT_OPTION_REAL:
        memcpy(reals, field, sizeof reals[0]);
        format_real(reals[0], out, out_bytes);
        for (int i = 0; i < DT_OPTION_WORDS && o->words[i].name; i++)
            if (reals[0] == (double)o->words[i].value)
                snprintf(out, out_bytes, "%s", o->words[i].name);
        break;
    case DT_OPTION_RANGE:
        memcpy(reals, field, sizeof reals);
        format_real(reals[0], low, sizeof low);
        format_real(reals[1], high, sizeof high);
        snprintf(out, out_bytes, "%s,%s", low, high);
        break;
    case DT_OPTION_CHOICE:
        memcpy(&choice, field, sizeof choice);
        snprintf(out, out_bytes, "%s", dt_option_choices(o)[choice]);
        break;
    case DT_OPTION_DURATION:
        memcpy(reals, field, sizeof reals[0]);
        dt_duration_format(reals[0], out, out_bytes);
        break;
    case DT_OPTION_NAME:
    case DT_OPTION_PATH:
        snprintf(out, out_bytes, "%s", field);
        break;
    }
}

bool dt_option_counts(const dt_options *options, int row)
{
    char value[DT_PATH_BYTES];
    const dt_option *o = dt_options_at(row);
    if (!o->of)
        return true;
    const int of = dt_options_find(o->of, DT_COMMAND_TRAIN);
    dt_option_format(options, of, value, sizeof value);
    return o->of_value ? strcmp(value, o->of_value) == 0 : strcmp(value, dt_options_at(of)->by_default) != 0;
}

dt_dtype dt_options_dtype(const dt_options *options)
{
    return options->precision == DT_PRECISION_AUTO ? DT_F32
                                                   : (dt_dtype)(options->precision - DT_PRECISION_FP32);
}
