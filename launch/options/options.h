/* options.h: every option of every command, in one table. The command line and --help (argp), the
 * configuration file (libconfig), the table printed at the start and a run's config.conf are made from it.
 *
 *   dt_options options;
 *   DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
 *   options.config.batch                                         the value
 *   options.origin[dt_options_find("batch", DT_COMMAND_TRAIN)]   where it came from
 *
 * CONTRIBUTING.md says how to add an option.
 *
 * A configuration file holds `name = value;` with the same names ('_' may stand for '-'). An empty text there
 * means that the option is not given, except for `data`; on the command line it is an error, because it is
 * what an unset variable of the shell leaves. An option that is given twice on the command line has its last
 * value. Only --help, --usage and --version print, and end the program. Everything here is local.
 */
#ifndef DT_LAUNCH_OPTIONS_OPTIONS_H
#define DT_LAUNCH_OPTIONS_OPTIONS_H

#include "core/base/config.h"
#include "core/base/error.h"
#include "io/source/loader.h"
#include "layers/cuda/plan_cache.h"

#include <stddef.h>
#include <stdint.h>

/* Commands with options in the table, as bits. */
#define DT_COMMAND_TRAIN 1U
#define DT_COMMAND_EVAL 2U
#define DT_COMMAND_INFO 4U
#define DT_COMMAND_INSPECT 8U
#define DT_COMMAND_EXPORT 16U
#define DT_COMMAND_PLAN 32U
#define DT_COMMAND_BENCH 64U
#define DT_COMMAND_STAGE 128U
#define DT_COMMAND_CLUSTER 256U

#define DT_ARGUMENTS_MAX 3 /* positional arguments of a command, at most */
#define DT_OPTIONS_MAX 192 /* rows of the table, at most */
#define DT_OPTION_WORDS 4  /* words that a number accepts, at most */
/* dt_option.max of a number without a limit; the largest of libconfig's plain integers */
#define DT_OPTION_NO_LIMIT 2147483647.0

typedef enum dt_origin {
    DT_ORIGIN_DEFAULT,
    DT_ORIGIN_DEMO,
    DT_ORIGIN_OPTIMIZER, /* the value that --optimizer lars sets unless the user has set another */
    DT_ORIGIN_TRAINING,  /* eval: the value that the training of the weights had */
    DT_ORIGIN_FILE,
    DT_ORIGIN_COMMAND_LINE
} dt_origin;

typedef enum dt_input_kind { DT_INPUT_LOADER, DT_INPUT_SYNTHETIC } dt_input_kind;
/* From DT_PRECISION_FP32 on in the order of dt_dtype. AUTO: the backend's, dt_backend_options. */
typedef enum dt_precision {
    DT_PRECISION_AUTO,
    DT_PRECISION_FP32,
    DT_PRECISION_FP16,
    DT_PRECISION_BF16,
    DT_PRECISION_TF32
} dt_precision;
#define DT_MTTI_TRACES (-1.0) /* dt_config.mtti_h of `dtrain plan`: published traces */
typedef enum dt_assume_kind { DT_ASSUME_TODAY, DT_ASSUME_SEED } dt_assume_kind;
typedef enum dt_cluster_choice {
    DT_CLUSTER_CHOICE_AUTO,
    DT_CLUSTER_CHOICE_CHEAPEST,
    DT_CLUSTER_CHOICE_FASTEST,
    DT_CLUSTER_CHOICE_BEST_VALUE,
    DT_CLUSTER_CHOICE_IN_DEADLINE,
    DT_CLUSTER_CHOICE_IN_BUDGET
} dt_cluster_choice;
typedef enum dt_buy_kind { DT_BUY_AUTO, DT_BUY_BOTH, DT_BUY_SPOT, DT_BUY_ON_DEMAND } dt_buy_kind;
typedef enum dt_spot_kind { DT_SPOT_AUTO, DT_SPOT_IMDS, DT_SPOT_OFF } dt_spot_kind;
typedef enum dt_bind_kind { DT_BIND_AUTO, DT_BIND_NONE } dt_bind_kind;

/* The values of all options, and where each came from (by row of the table). */
typedef struct dt_options {
    dt_config config; /* what core reads; config.precision is set when the backend is open */

    /* data */
    int64_t workers; /* decoding threads per rank; 0: by the number of cores */
    dt_augment_kind augment;
    bool shuffle;
    double crop_scale_min, crop_scale_max; /* random-resized-crop's share of the area */
    double flip;                           /* probability of a horizontal flip */
    double eval_crop;                      /* evaluation, with eval_resize auto: the largest shorter side is
                                              image_size / eval_crop */
    int64_t eval_resize;                   /* dt_crop_centre_settings.resize */
    dt_input_kind input;                   /* synthetic: the same random pixels in every step, to measure
                                              the net alone */
    char resize_schedule[256];             /* as given: "160:0,192:0.6"; "": image_size throughout */

    /* optimization */
    char step_epochs[256]; /* as given: "30,60,80"; "": the default drops */

    /* model */
    char arch[32];
    bool zero_init_gamma; /* of each residual branch's last BatchNorm */
    char init[DT_PATH_BYTES], export_to[DT_PATH_BYTES];

    /* where it runs */
    char backend[8], comm[8];
    int64_t threads; /* compute threads per rank; 0: as many as the rank may use */
    dt_bind_kind bind;
    dt_autotune_kind autotune;
    dt_precision precision;
    double peer_timeout_s; /* after which a collective that does not end is an error */

    /* the run */
    char out[DT_PATH_BYTES];
    char checkpoint_dir[DT_PATH_BYTES], checkpoint_mirror[DT_PATH_BYTES]; /* "": inside out; none */
    double log_every_s;    /* plain progress lines where there is no terminal */
    int64_t profile_steps; /* measure each layer over so many steps, print a table, stop; 0: train */
    double time_limit_s;   /* of this start; 0: none */
    dt_spot_kind spot;
    char imds_endpoint[256];
    char config_file[DT_PATH_BYTES]; /* the file that was read, or "" */
    char weights[DT_PATH_BYTES];     /* eval: what to evaluate */
    bool plans;                      /* info: what a training would do on `device` */
    char device[DT_PATH_BYTES];      /* info: a GPU of launch/estimate/gpu_spec.h, by name or file; "" */
    bool verify, diff;               /* inspect */
    bool json;                       /* info, inspect, plan */
    char output[DT_PATH_BYTES];      /* export, bench: the file */
    double seconds;                  /* bench: of each measurement */
    char url[DT_PATH_BYTES];         /* bench: what to download, or "" */
    char stage_dir[DT_PATH_BYTES];   /* where data from an address is copied to; "": chosen */
    char endpoint_url[256], aws_profile[128]; /* of S3; "": the environment's */
    bool anonymous, requester_pays;           /* requests to S3 */
    bool split;                               /* stage: each node keeps a part */
    int64_t connections;                      /* stage; 0: as many as help */
    int64_t images;      /* plan: of the training set; 0: those of --data, or ImageNet's */
    char data_bytes[64]; /* plan: as given, "144G"; "": of --data, or ImageNet's */
    char types[DT_PATH_BYTES], regions[DT_PATH_BYTES]; /* plan, cluster: as given, with commas; "": all */
    char nodes[256];                                   /* plan: as given, "1,2,4"; "": by max_nodes */
    int64_t max_nodes;                                 /* plan */
    double deadline_s, budget_usd;                     /* plan; budget_usd also cluster; 0: none */
    double startup_s;                                  /* plan: of each start; 0: estimated */
    dt_assume_kind assume;                             /* plan */
    bool markdown, here, check;                        /* plan */
    char html[DT_PATH_BYTES];                          /* plan: the page to write, or "" */
    char refresh_prices[DT_PATH_BYTES];                /* plan: the file to write, or "" */
    char instances_file[DT_PATH_BYTES], prices_file[DT_PATH_BYTES], rates_file[DT_PATH_BYTES]; /* plan */
    char plan_file[DT_PATH_BYTES];      /* cluster: what `dtrain plan --json` printed, or "" */
    dt_cluster_choice choice;           /* cluster: of plan_file */
    char region[64], zone[64];          /* cluster; "": of plan_file. stage: region; "": found */
    char bucket[256], key[256];         /* cluster */
    int64_t cluster_nodes;              /* cluster; 0: of plan_file, or 1 */
    dt_buy_kind buy;                    /* cluster */
    char subnet[64], head_subnet[64];   /* cluster; "" */
    char create_network[DT_PATH_BYTES]; /* cluster: the template to write, or "" */
    char cluster_name[128], head_type[64], ssh_from[64]; /* cluster */
    int64_t shared_gb, fsx_gb;                           /* cluster: GiB; fsx_gb 0: none */
    char source[DT_PATH_BYTES];                          /* cluster: of dtrain, or "" */
    int64_t step;                                    /* export: the checkpoint; -1: the newest whole one */
    bool fp16, ema;                                  /* export: in float16; the running averages */
    char arguments[DT_ARGUMENTS_MAX][DT_PATH_BYTES]; /* the command's positional arguments */
    int n_arguments;
    dt_origin origin[DT_OPTIONS_MAX];
    int line[DT_OPTIONS_MAX]; /* of config_file, where the origin is DT_ORIGIN_FILE; 0: in a file that it
                                 includes */
} dt_options;

typedef enum dt_option_type {
    DT_OPTION_FLAG,    /* bool; no value is yes */
    DT_OPTION_UNFLAG,  /* bool that the option turns off: --no-shuffle */
    DT_OPTION_INT,     /* int64_t (or uint64_t) */
    DT_OPTION_REAL,    /* double */
    DT_OPTION_RANGE,   /* two doubles, one after the other, MIN,MAX with min <= max */
    DT_OPTION_CHOICE,  /* an enum: the value is the index in the list of choices */
    DT_OPTION_NAME,    /* char[]: one of the choices */
    DT_OPTION_PATH,    /* char[DT_PATH_BYTES] */
    DT_OPTION_DURATION /* double, seconds: launch/options/duration.h */
} dt_option_type;

typedef enum dt_option_group {
    DT_GROUP_DATA = 1,
    DT_GROUP_MODEL,
    DT_GROUP_OPTIMIZATION,
    DT_GROUP_RUN,
    DT_GROUP_MACHINE,
    DT_N_GROUPS
} dt_option_group;

typedef struct dt_option_word {
    const char *name;
    int64_t value; /* that it stands for; may be out of the option's range */
} dt_option_word;

typedef struct dt_option {
    const char *name;
    const char *metavar; /* NULL for flags */
    unsigned commands;
    dt_option_group group;
    dt_option_type type;
    size_t offset, bytes; /* of the field in dt_options */
    double min, max;      /* of numbers */
    bool above_min;       /* min itself is out of range */
    const char *const *choices;
    const char *const *(*get_choices)(void); /* returns the choices, if another file has the list */
    dt_option_word words[DT_OPTION_WORDS];   /* INT, REAL: what it accepts beside numbers; NULL: none */
    const char *by_default;
    const char *of, *of_value; /* counts only where the option `of` has this value; of_value NULL: where it
                                  has not its default. of NULL: counts always */
    bool per_rank;             /* ranks may have different values */
    bool one_start; /* concerns one start, not the training as a whole: a resume may change it unreported */
    const char *help;
} dt_option;

/* Describes a command to the parser. */
typedef struct dt_command_usage {
    const char *name;     /* "dtrain eval": shown in --help */
    const char *args_doc; /* "DIR"; at least one positional argument is required. NULL: there is none */
    int n_arguments;      /* positional arguments at most; 0: one if there is args_doc, else none */
    const char *doc;      /* one paragraph; --help prints text after a '\v' below the options */
    unsigned bit;         /* DT_COMMAND_...: which rows of the table it has; 0: none */
} dt_command_usage;

/* Set defaults, then the values of the configuration file (--config; for train without it ./dtrain.conf, if
 * it exists), then those of argv[1..]. Check each value, and then values against each other. DT_ERR_USAGE,
 * with the line to print ("--batch: 0 is out of range: 1 to 65536", "run.conf:3: batch: ..."); DT_ERR_MEMORY.
 * On failure *options is filled in part, but options->comm is valid. */
dt_status dt_options_parse(const dt_command_usage *usage, int argc, char **argv, dt_options *options,
                           dt_error *err);

/* -- the steps of dt_options_parse ----------------------------------------------------------------------- */

void dt_options_set_defaults(dt_options *options, unsigned command);
dt_status dt_options_read_file(const char *path, unsigned command, dt_options *options, dt_error *err);
dt_status dt_options_read_text(const char *name, const char *text, unsigned command, dt_options *options,
                               dt_error *err);
/* Read the configuration in a checkpoint. Another version of dtrain, with other options, may have written it:
 * settings that this one does not know are ignored. DT_ERR_USAGE: it is not a configuration. */
dt_status dt_options_read_trained(const char *text, unsigned command, dt_options *options, dt_error *err);
/* Set the demo's values of those options that still have their defaults. */
void dt_options_apply_demo(dt_options *options, int n_ranks);
dt_status dt_options_check(const dt_options *options, unsigned command, dt_error *err);
/* For train: derive --warmup-epochs, --no-bn-decay, --no-bias-decay and --out from other options, unless the
 * user has set them. Where the command line has the schedule, set the file's options of other schedules to
 * their defaults. */
void dt_options_complete(dt_options *options);
/* Parse resize_schedule, "SIZE:SHARE,SIZE:SHARE,...", into config.resize and config.n_resize.
 * DT_ERR_USAGE. */
dt_status dt_options_parse_resize(dt_options *options, dt_error *err);
/* Parse step_epochs, "EPOCH,EPOCH,...", into config.step_epochs and config.n_step_epochs. DT_ERR_USAGE. */
dt_status dt_options_parse_step_epochs(dt_options *options, dt_error *err);

/* -- others ---------------------------------------------------------------------------------------------- */

/* If the message of *err begins with the name of an option ("--out x: ...", "data: ..."), and the option's
 * value is from line 3 of the configuration file: prefix the message with "run.conf:3: ". Returns
 * err->status. */
dt_status dt_options_locate(const dt_options *options, unsigned command, dt_error *err);

/* Write all options of a command as the text of a configuration file, from which --config reads the same
 * values. *text is dt_alloc'ed; the caller frees it. DT_ERR_MEMORY. */
dt_status dt_options_write(const dt_options *options, unsigned command, const char *comment, char **text,
                           dt_error *err);

/* Rows of the table. */
int dt_options_count(void);
const dt_option *dt_options_at(int row);
int dt_options_find(const char *name, unsigned command); /* '_' matches '-'; -1: none */
const char *const *dt_option_choices(const dt_option *option);

/* Set one option from text; NULL for a flag is yes. `where` begins the message: "--batch". DT_ERR_USAGE. */
dt_status dt_option_set(dt_options *options, int row, const char *text, dt_origin origin, const char *where,
                        dt_error *err);

/* The precision that the user chose; DT_F32 for DT_PRECISION_AUTO. */
dt_dtype dt_options_dtype(const dt_options *options);

/* Whether the option counts, given the value of the option `of`. */
bool dt_option_counts(const dt_options *options, int row);

/* Format the value as text, from which dt_option_set reads the same value. */
void dt_option_format(const dt_options *options, int row, char *out, size_t out_bytes);

/* The index in option->words of a word; -1: text is none of them. */
int dt_option_find_word(const dt_option *option, const char *text);

/* Names of groups and origins. Static storage. */
const char *dt_option_group_title(dt_option_group group);
const char *dt_origin_name(dt_origin origin);

#endif
