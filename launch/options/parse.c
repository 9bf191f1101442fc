/* Parses the command line with argp, which also prints --help. dtrain checks the words before argp sees them,
 * because argp prints its own errors in two lines, exits, and accepts `--bat` for `--batch`. */
#include "config.h"

#include "launch/options/options.h"

#include "launch/hardware/transports.h"
#include "launch/options/suggest.h"

#include <argp.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_FILE "dtrain.conf"
#define DOC_OF_CONFIG                                                                                        \
    "read options from this file: a line 'batch = 64;' for --batch 64. The command line beats the file"
#define DOC_OF_DEFAULT_FILE ". Without --config, ./" DEFAULT_FILE " is read, if it exists"
#define KEY_CONFIG 900
#define KEY_FIRST 1000 /* + row */

/* What argp's callback collects. Texts point into argv. */
typedef struct parsed {
    const dt_command_usage *usage;
    const char *config_file, *second_config_file; /* NULL: not given */
    const char *arguments[DT_ARGUMENTS_MAX];
    int n_arguments;
    bool is_given[DT_OPTIONS_MAX];
    const char *text[DT_OPTIONS_MAX]; /* NULL: a flag without a value */
} parsed;

/* -- checks before argp ---------------------------------------------------------------------------------- */

static dt_status unknown_option(const dt_command_usage *usage, const char *name, dt_error *err)
{
    const char *names[DT_OPTIONS_MAX + 5] = {"config", "help", "usage", "version"};
    int n = 4;
    for (int row = 0; row < dt_options_count(); row++)
        if (dt_options_at(row)->commands & usage->bit)
            names[n++] = dt_options_at(row)->name;
    const char *meant = dt_suggest(name, names);
    if (meant)
        return dt_fail(err, DT_ERR_USAGE, "unknown option --%s; did you mean --%s?", name, meant);
    return dt_fail(err, DT_ERR_USAGE, "unknown option --%s; '%s --help' lists them all", name, usage->name);
}

static bool is_option_of_argp(const char *name)
{
    return strcmp(name, "help") == 0 || strcmp(name, "usage") == 0 || strcmp(name, "version") == 0;
}

/* Checks argv[*i], an option "--name[=value]". Advances *i to the value if that is the next word. */
static dt_status check_option(const dt_command_usage *usage, int argc, char **argv, int *i, dt_error *err)
{
    char name[64];
    const char *equals = strchr(argv[*i], '=');
    int length = equals ? (int)(equals - argv[*i]) - 2 : (int)strlen(argv[*i]) - 2;
    snprintf(name, sizeof name, "%.*s", length, argv[*i] + 2);
    if (is_option_of_argp(name))
        return equals ? dt_fail(err, DT_ERR_USAGE, "--%s takes no value", name) : DT_OK;
    int row = strchr(name, '_') ? -1 : dt_options_find(name, usage->bit);
    bool is_config = usage->bit && strcmp(name, "config") == 0;
    if (row < 0 && !is_config)
        return unknown_option(usage, name, err);
    const char *metavar = is_config ? "FILE" : dt_options_at(row)->metavar;
    if (!metavar || equals)
        return DT_OK;
    if (*i + 1 >= argc)
        return dt_fail(err, DT_ERR_USAGE, "--%s needs a value: --%s %s", name, name, metavar);
    if (strncmp(argv[++*i], "--", 2) == 0) /* as in `--data $UNSET --epochs 2` */
        return dt_fail(err, DT_ERR_USAGE,
                       "--%s needs a value: --%s %s, but '%s' follows; a value that begins like an option is "
                       "written --%s='%s'",
                       name, name, metavar, argv[*i], name, argv[*i]);
    return DT_OK;
}

static dt_status check_words(const dt_command_usage *usage, int argc, char **argv, dt_error *err)
{
    int n_arguments = 0, most = !usage->args_doc ? 0 : usage->n_arguments ? usage->n_arguments : 1;
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool is_option = word[0] == '-' && word[1] != '\0' && !options_end;
        if (is_option && (strcmp(word, "--help") == 0 || strcmp(word, "--usage") == 0 ||
                          strcmp(word, "--version") == 0 || strcmp(word, "-h") == 0))
            return DT_OK; /* argp will end the program at this word */
        if (is_option && strcmp(word, "--") == 0)
            options_end = true;
        else if (is_option && word[1] == '-')
            DT_TRY(check_option(usage, argc, argv, &i, err));
        else if (is_option && strcmp(word, "-?") != 0 && strcmp(word, "-V") != 0)
            return dt_fail(err, DT_ERR_USAGE, "unknown option %s; '%s --help' lists them all", word,
                           usage->name);
        else if (!is_option && n_arguments++ >= most)
            return dt_fail(err, DT_ERR_USAGE, "unexpected argument '%s'; '%s --help' shows the usage", word,
                           usage->name);
    }
    if (usage->args_doc && n_arguments == 0)
        return dt_fail(err, DT_ERR_USAGE, "%s is missing: %s %s", usage->args_doc, usage->name,
                       usage->args_doc);
    return DT_OK;
}

/* -- argp ------------------------------------------------------------------------------------------------ */

static error_t collect(int key, char *text, struct argp_state *state)
{
    parsed *p = state->input;
    if (key >= KEY_FIRST && key < KEY_FIRST + dt_options_count()) {
        p->is_given[key - KEY_FIRST] = true;
        p->text[key - KEY_FIRST] = text;
        return 0;
    }
    switch (key) {
    case KEY_CONFIG:
        p->second_config_file = p->config_file;
        p->config_file = text;
        return 0;
    case ARGP_KEY_ARG:
        p->arguments[p->n_arguments++] = text;
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *without_the_note_on_short_options(int key, const char *text, void *input)
{
    (void)input;
    return key == ARGP_KEY_HELP_DUP_ARGS_NOTE ? NULL : (char *)text;
}

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "dtrain %s\n", PACKAGE_VERSION);
}

/* Writes the help of an option, its choices and its default. */
static void describe(const dt_option *o, char *out, size_t out_bytes)
{
    const char *const *choices =
        o->type == DT_OPTION_CHOICE || o->type == DT_OPTION_NAME ? dt_option_choices(o) : NULL;
    size_t used = (size_t)snprintf(out, out_bytes, "%s", o->help);
    for (int i = 0; choices && choices[i] && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? ", " : " (", choices[i]);
    if (used < out_bytes && o->metavar && o->by_default[0])
        snprintf(out + used, out_bytes - used, "%sdefault %s)", choices ? "; " : " (", o->by_default);
    else if (used < out_bytes && choices)
        snprintf(out + used, out_bytes - used, ")");
}

static void run_argp(const dt_command_usage *usage, int argc, char **argv, parsed *p)
{
    enum { N = DT_OPTIONS_MAX + DT_N_GROUPS + 4, HELP_BYTES = 480 };
    static char help[DT_OPTIONS_MAX][HELP_BYTES]; /* 30 KB; once per process */
    static char title[DT_N_GROUPS][32];
    struct argp_option options[N] = {{0}};
    int n = 0;
    dt_option_group group = 0;
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        if (!(o->commands & usage->bit))
            continue;
        if (o->group != group) {
            group = o->group;
            snprintf(title[group], sizeof title[group], "%s:", dt_option_group_title(group));
            options[n++] = (struct argp_option){.doc = title[group], .group = (int)group};
        }
        describe(o, help[row], HELP_BYTES);
        options[n++] = (struct argp_option){.name = o->name,
                                            .key = KEY_FIRST + row,
                                            .arg = o->metavar ? o->metavar : "no",
                                            .doc = help[row],
                                            .flags = o->metavar ? 0 : OPTION_ARG_OPTIONAL,
                                            .group = (int)group};
    }
    if (usage->bit) {
        options[n++] = (struct argp_option){.doc = "This program:", .group = DT_N_GROUPS};
        options[n++] = (struct argp_option){
            .name = "config",
            .key = KEY_CONFIG,
            .arg = "FILE",
            .group = DT_N_GROUPS,
            .doc = usage->bit == DT_COMMAND_TRAIN ? DOC_OF_CONFIG DOC_OF_DEFAULT_FILE : DOC_OF_CONFIG};
    }
    options[n++] =
        (struct argp_option){.key = 'h', .flags = OPTION_HIDDEN, .group = -1, .doc = "like --help"};

    struct argp argp = {.options = options,
                        .parser = collect,
                        .args_doc = usage->args_doc,
                        .doc = usage->doc,
                        .help_filter = without_the_note_on_short_options};
    argp_program_version_hook = print_version;
    argp_err_exit_status = dt_status_exit_code(DT_ERR_USAGE);
    char *name = argv[0];
    argv[0] = (char *)usage->name; /* the name shown in the help; argp does not write to it */
    (void)argp_parse(&argp, argc, argv, 0, NULL, p);
    argv[0] = name;
}

/* -- all together ---------------------------------------------------------------------------------------- */

/* A variable that is not set, as in `--data "$DATA"`, must not become the default. */
static dt_status empty_value(const char *option, dt_error *err)
{
    return dt_fail(
        err, DT_ERR_USAGE,
        "%s: the value is empty: is a variable of the shell not set? Without a value, leave it out", option);
}

/* An existing file, or a link to one that does not exist: that is a mistake, and not a file that is not
 * there. */
static bool default_file_exists(void)
{
    struct stat st;
    return lstat(DEFAULT_FILE, &st) == 0;
}

static dt_status read_config_file(const parsed *p, dt_options *options, dt_error *err)
{
    const unsigned command = p->usage->bit;
    if (p->second_config_file)
        return dt_fail(err, DT_ERR_USAGE, "--config is given twice, %s and %s; one file is read",
                       p->second_config_file, p->config_file);
    if (!p->config_file)
        return command == DT_COMMAND_TRAIN && default_file_exists()
                   ? dt_options_read_file(DEFAULT_FILE, command, options, err)
                   : DT_OK;
    if (!p->config_file[0])
        return empty_value("--config", err);
    dt_status status = dt_options_read_file(p->config_file, command, options, err);
    const size_t n = strlen(p->config_file);
    const bool names_file = status == DT_ERR_USAGE && err && strncmp(err->message, p->config_file, n) == 0;
    if (names_file && !(err->message[n] == ':' && isdigit((unsigned char)err->message[n + 1]))) /* no line */
        return dt_fail(err, status, "--config %s", err->message);
    return status;
}

static dt_status apply_command_line(const parsed *p, dt_options *options, dt_error *err)
{
    char where[80];
    for (int row = 0; row < dt_options_count(); row++) {
        if (!p->is_given[row])
            continue;
        snprintf(where, sizeof where, "--%s", dt_options_at(row)->name);
        if (dt_options_at(row)->type == DT_OPTION_PATH && !p->text[row][0])
            return empty_value(where, err);
        DT_TRY(dt_option_set(options, row, p->text[row], DT_ORIGIN_COMMAND_LINE, where, err));
    }
    return DT_OK;
}

dt_status dt_options_parse(const dt_command_usage *usage, int argc, char **argv, dt_options *options,
                           dt_error *err)
{
    parsed p = {.usage = usage};
    bool is_train = usage->bit == DT_COMMAND_TRAIN;
    dt_options_set_defaults(options, usage->bit);
    DT_TRY(check_words(usage, argc, argv, err));
    run_argp(usage, argc, argv, &p);
    for (int i = 0; i < p.n_arguments; i++) {
        if (!p.arguments[i][0])
            return empty_value(usage->args_doc, err);
        if (strlen(p.arguments[i]) >= sizeof options->arguments[i])
            return dt_fail(err, DT_ERR_USAGE, "%s: longer than %zu bytes", usage->args_doc,
                           sizeof options->arguments[i] - 1);
        snprintf(options->arguments[i], sizeof options->arguments[i], "%s", p.arguments[i]);
    }
    options->n_arguments = p.n_arguments;
    DT_TRY(read_config_file(&p, options, err));
    DT_TRY(apply_command_line(&p, options, err));
    dt_launch_env launched;
    dt_launch_env_read(&launched);
    if (is_train && !options->config.data[0] && options->input == DT_INPUT_LOADER)
        dt_options_apply_demo(options, launched.size);
    if (is_train)
        dt_options_complete(options);
    dt_status status = dt_options_parse_resize(options, err);
    if (status == DT_OK)
        status = dt_options_parse_step_epochs(options, err);
    if (status == DT_OK)
        status = dt_options_check(options, usage->bit, err);
    return status == DT_OK || !err ? status : dt_options_locate(options, usage->bit, err);
}
