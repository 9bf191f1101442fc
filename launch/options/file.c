/* Reads and writes the configuration file with libconfig. Its keys are the options' names. */
#include "config.h"

#include "launch/options/options.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "launch/options/file_slips.h"
#include "launch/options/suggest.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- reading --------------------------------------------------------------------------------------------- */

static const char *type_name(int type)
{
    switch (type) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return "a whole number";
    case CONFIG_TYPE_FLOAT:
        return "a number";
    case CONFIG_TYPE_STRING:
        return "a text";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_GROUP:
        return "a group";
    case CONFIG_TYPE_ARRAY:
        return "an array";
    default:
        return "a list";
    }
}

static bool is_number(int type)
{
    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64 || type == CONFIG_TYPE_FLOAT;
}

/* What follows "name =" in a line, which may hold several settings. NULL: it is not there. */
static const char *value_in_line(const char *line, const char *name)
{
    for (const char *p = line; p && (p = strstr(p, name)) != NULL; p++) {
        const char *after = p + strlen(name);
        after += strspn(after, " \t");
        if ((p == line || strchr(" \t;,", p[-1])) && (*after == '=' || *after == ':'))
            return after;
    }
    return NULL;
}

/* Formats a number. libconfig 1.5 silently keeps only 32 bits of an integer without the suffix L, so that
 * long integers are read from the text of their line. */
static void number_text(const config_setting_t *s, const char *line, char *out, size_t out_bytes)
{
    if (config_setting_type(s) == CONFIG_TYPE_FLOAT) {
        snprintf(out, out_bytes, "%.17g", config_setting_get_float(s));
        return;
    }
    snprintf(out, out_bytes, "%lld", config_setting_get_int64(s));
    const char *name = config_setting_name(s);
    const char *value = line && name ? value_in_line(line, name) : NULL;
    if (!value || config_setting_type(s) == CONFIG_TYPE_INT64)
        return;
    value += 1 + strspn(value + 1, " \t");
    size_t n_digits = strspn(value + (*value == '-'), "0123456789");
    if (n_digits >= 10)
        snprintf(out, out_bytes, "%.*s", (int)n_digits + (*value == '-'), value);
}

static dt_status wrong_type(const dt_option *o, int type, const char *where, dt_error *err)
{
    static const char *const wanted[] = {
        "true or false",  "true or false",           "a whole number",
        "a number",       "two numbers, (MIN, MAX)", "a text in \"\"",
        "a text in \"\"", "a text in \"\"",          "a number of seconds or a text in \"\""};
    const bool needs_no_quotes = type == CONFIG_TYPE_STRING;
    return dt_fail(err, DT_ERR_USAGE, "%s: %s was expected, this is %s%s", where, wanted[o->type],
                   type_name(type), needs_no_quotes ? "; leave the quotes out" : "");
}

/* Formats the value of a setting as text for dt_option_set. */
static dt_status setting_text(const dt_option *o, const config_setting_t *s, const char *line,
                              const char *where, char *out, size_t out_bytes, dt_error *err)
{
    int type = config_setting_type(s);
    bool ok = false;
    switch (o->type) {
    case DT_OPTION_FLAG:
    case DT_OPTION_UNFLAG:
        ok = type == CONFIG_TYPE_BOOL;
        if (ok)
            snprintf(out, out_bytes, "%s", config_setting_get_bool(s) ? "yes" : "no");
        break;
    case DT_OPTION_INT:
    case DT_OPTION_REAL:
        if (type == CONFIG_TYPE_STRING && dt_option_find_word(o, config_setting_get_string(s)) >= 0) {
            ok = true;
            snprintf(out, out_bytes, "%s", config_setting_get_string(s));
            break;
        }
        ok = is_number(type) && !(o->type == DT_OPTION_INT && type == CONFIG_TYPE_FLOAT);
        if (ok)
            number_text(s, line, out, out_bytes);
        break;
    case DT_OPTION_DURATION:
        ok = is_number(type) || type == CONFIG_TYPE_STRING;
        if (is_number(type))
            number_text(s, line, out, out_bytes);
        else if (ok)
            snprintf(out, out_bytes, "%s", config_setting_get_string(s));
        break;
    case DT_OPTION_RANGE:
        ok = (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY) && config_setting_length(s) == 2;
        for (unsigned i = 0; ok && i < 2; i++) {
            const config_setting_t *element = config_setting_get_elem(s, i);
            size_t used = i ? strlen(out) : 0;
            ok = is_number(config_setting_type(element));
            if (ok && i)
                out[used++] = ',';
            if (ok)
                number_text(element, NULL, out + used, out_bytes - used);
        }
        break;
    case DT_OPTION_CHOICE:
    case DT_OPTION_NAME:
    case DT_OPTION_PATH:
        ok = type == CONFIG_TYPE_STRING;
        if (ok && strlen(config_setting_get_string(s)) >= out_bytes)
            return dt_fail(err, DT_ERR_USAGE, "%s: longer than %zu bytes", where, out_bytes - 1);
        if (ok)
            snprintf(out, out_bytes, "%s", config_setting_get_string(s));
        break;
    }
    return ok ? DT_OK : wrong_type(o, type, where, err);
}

static dt_status unknown_key(const char *where, const char *key, unsigned command, dt_error *err)
{
    const char *names[DT_OPTIONS_MAX + 1] = {NULL};
    int n = 0;
    for (int row = 0; row < dt_options_count(); row++)
        if (dt_options_at(row)->commands & command)
            names[n++] = dt_options_at(row)->name;
    const char *meant = dt_suggest(key, names);
    if (meant)
        return dt_fail(err, DT_ERR_USAGE, "%s: unknown key '%s'; did you mean '%s'?", where, key, meant);
    return dt_fail(err, DT_ERR_USAGE,
                   "%s: unknown key '%s'; 'dtrain --help' lists the options, and keys have the same names",
                   where, key);
}

/* Copies line `number` of the text; NULL: there is none. The caller frees it. */
static char *copy_line(const char *text, unsigned number)
{
    while (number > 1 && (text = strchr(text, '\n')) != NULL) {
        text++;
        number--;
    }
    return text ? dt_strprintf("%.*s", (int)strcspn(text, "\n"), text) : NULL;
}

static dt_status apply_setting(const char *path, const char *file_text, unsigned command,
                               const config_setting_t *s, bool *seen, dt_options *options, dt_error *err)
{
    char position[DT_PATH_BYTES + 32], where[DT_PATH_BYTES + 128], text[DT_PATH_BYTES];
    const char *key = config_setting_name(s);
    const char *file = config_setting_source_file(s);
    snprintf(position, sizeof position, "%s:%u", file ? file : path, config_setting_source_line(s));
    int row = dt_options_find(key, command);
    if (row < 0 &&
        dt_options_find(key, DT_COMMAND_TRAIN | DT_COMMAND_EVAL | DT_COMMAND_INFO | DT_COMMAND_PLAN) >= 0)
        return DT_OK; /* an option of another command: `eval` accepts a run's config.conf too */
    if (row < 0)
        return unknown_key(position, key, command, err);
    snprintf(where, sizeof where, "%s: %s", position, key);
    if (seen[row])
        return dt_fail(err, DT_ERR_USAGE, "%s: this key is already in the file", where);
    seen[row] = true;
    char *line = file ? NULL : copy_line(file_text, config_setting_source_line(s));
    dt_status status = setting_text(dt_options_at(row), s, line, where, text, sizeof text, err);
    dt_free(line);
    DT_TRY(status);
    options->line[row] = file ? 0 : (int)config_setting_source_line(s);
    return dt_option_set(options, row, text, DT_ORIGIN_FILE, where, err);
}

/* A configuration has some 60 lines: a larger text is not one. libconfig's time grows with the square of it.
 * */
enum { LARGEST = 128 << 10 };

/* Reads the whole file, and appends a zero byte. The caller frees *text. */
static dt_status read_text(const char *path, char **text, dt_error *err)
{
    FILE *stream = NULL;
    if (dt_file_open_stream(path, &stream, err) != DT_OK)
        return err ? dt_fail(err, DT_ERR_USAGE, "%s", err->message) : DT_ERR_USAGE;
    char *buffer = dt_alloc(LARGEST + 1);
    if (!buffer) {
        fclose(stream);
        return dt_fail_memory(err, LARGEST + 1, "the configuration file");
    }
    size_t n = fread(buffer, 1, LARGEST, stream);
    bool is_too_long = n == LARGEST;
    bool failed = ferror(stream) != 0;
    fclose(stream);
    buffer[n] = '\0';
    if (!failed && !is_too_long && strlen(buffer) == n) {
        *text = buffer;
        return DT_OK;
    }
    dt_free(buffer);
    return dt_fail(err, DT_ERR_USAGE, "%s: not a configuration file: %s", path,
                   failed        ? "it cannot be read"
                   : is_too_long ? "larger than 128 KiB"
                                 : "there is a zero byte in it; is it UTF-16?");
}

/* libconfig opens what a line "@include" names, any path and any kind of file, also for a text from a
 * manifest. So such a line is refused. */
static dt_status refuse_includes(const char *name, const char *text, dt_error *err)
{
    int number = 1;
    for (const char *line = text; line; number++) {
        if (strncmp(line + strspn(line, " \t\r\v\f"), "@include", strlen("@include")) == 0)
            return dt_fail(err, DT_ERR_USAGE,
                           "%s:%d: @include is not allowed; write all options into one file", name, number);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return strlen(text) < LARGEST ? DT_OK
                                  : dt_fail(err, DT_ERR_USAGE, "%s: larger than %d KiB: not a configuration",
                                            name, LARGEST >> 10);
}

/* `lenient`: ignore settings that cannot be applied. */
static dt_status read_settings(const char *name, const char *text, unsigned command, bool lenient,
                               dt_options *options, dt_error *err)
{
    bool seen[DT_OPTIONS_MAX] = {false};
    config_t config;
    DT_TRY(refuse_includes(name, text, err));
    dt_status status = DT_OK;
    config_init(&config);
    if (!config_read_string(&config, text)) {
        const char *file = config_error_file(&config);
        const char *why = config_error_text(&config);
        char explained[512], *line = file ? NULL : copy_line(text, (unsigned)config_error_line(&config));
        if (line && strcmp(why, "syntax error") == 0)
            why = dt_file_slips_explain(line, explained, sizeof explained);
        else if (strncmp(why, "duplicate", 9) == 0)
            why = "a key in this line is already in the file";
        status = dt_fail(err, DT_ERR_USAGE, "%s:%d: %s", file ? file : name, config_error_line(&config), why);
        dt_free(line);
        goto fail;
    }
    const config_setting_t *root = config_root_setting(&config);
    for (int i = 0; i < config_setting_length(root); i++) {
        status = apply_setting(name, text, command, config_setting_get_elem(root, (unsigned)i), seen, options,
                               lenient ? NULL : err);
        if (status == DT_ERR_USAGE && lenient)
            status = DT_OK;
        if (status != DT_OK)
            goto fail;
    }
fail:
    config_destroy(&config);
    return status;
}

dt_status dt_options_read_text(const char *name, const char *text, unsigned command, dt_options *options,
                               dt_error *err)
{
    return read_settings(name, text, command, false, options, err);
}

dt_status dt_options_read_trained(const char *text, unsigned command, dt_options *options, dt_error *err)
{
    return read_settings("the training's configuration", text, command, true, options, err);
}

dt_status dt_options_read_file(const char *path, unsigned command, dt_options *options, dt_error *err)
{
    char *text = NULL;
    if (strlen(path) >= sizeof options->config_file)
        return dt_fail(err, DT_ERR_USAGE, "%s: longer than %zu bytes", path, sizeof options->config_file - 1);
    DT_TRY(read_text(path, &text, err));
    dt_status status = dt_file_slips_normalize(path, text, err);
    if (status == DT_OK)
        status = dt_options_read_text(path, text, command, options, err);
    if (status == DT_OK)
        snprintf(options->config_file, sizeof options->config_file, "%s", path);
    dt_free(text);
    return status;
}

dt_status dt_options_locate(const dt_options *options, unsigned command, dt_error *err)
{
    char name[40];
    const char *begin = err->message + (strncmp(err->message, "--", 2) == 0 ? 2 : 0);
    size_t length = strcspn(begin, " :");
    snprintf(name, sizeof name, "%.*s", (int)length, begin);
    int row = begin == err->message && begin[length] != ':' ? -1 : dt_options_find(name, command);
    if (row < 0 || options->origin[row] != DT_ORIGIN_FILE || options->line[row] == 0)
        return err->status;
    return dt_error_prefix(err, "%s:%d", options->config_file, options->line[row]);
}

/* -- writing --------------------------------------------------------------------------------------------- */

/* Writes `value` in libconfig's syntax. */
static void write_value(FILE *out, const dt_option *o, const char *value)
{
    switch (dt_option_find_word(o, value) >= 0 ? DT_OPTION_NAME : o->type) {
    case DT_OPTION_FLAG:
    case DT_OPTION_UNFLAG:
        fputs(strcmp(value, "yes") == 0 ? "true" : "false", out);
        return;
    case DT_OPTION_INT:
    case DT_OPTION_REAL:
        fputs(value, out);
        return;
    case DT_OPTION_RANGE:
        fprintf(out, "(%.*s, %s)", (int)strcspn(value, ","), value, value + strcspn(value, ",") + 1);
        return;
    case DT_OPTION_CHOICE:
    case DT_OPTION_NAME:
    case DT_OPTION_PATH:
    case DT_OPTION_DURATION:
        fputc('"', out);
        for (; *value; value++) {
            if (*value == '"' || *value == '\\')
                fputc('\\', out);
            fputc(*value, out);
        }
        fputc('"', out);
        return;
    }
}

dt_status dt_options_write(const dt_options *options, unsigned command, const char *comment, char **text,
                           dt_error *err)
{
    char value[DT_PATH_BYTES], *buffer = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&buffer, &bytes);
    dt_option_group group = 0;
    if (!out)
        return dt_fail_memory(err, 0, "the configuration's text");
    fprintf(out, "# %s\n", comment);
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        if (!(o->commands & command))
            continue;
        if (o->group != group)
            fprintf(out, "\n# %s\n", dt_option_group_title(o->group));
        group = o->group;
        dt_option_format(options, row, value, sizeof value);
        if (!value[0])
            fputs("# ", out); /* not given */
        fprintf(out, "%s = ", o->name);
        write_value(out, o, value);
        fputs(";\n", out);
    }
    bool failed = fclose(out) != 0;
    *text = failed ? NULL : dt_strdup(buffer);
    free(buffer);
    return *text ? DT_OK : dt_fail_memory(err, bytes, "the configuration's text");
}
