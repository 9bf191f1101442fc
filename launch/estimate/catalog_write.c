/* Writes prices and rates in the format of the files of the planner's data. */
#include "launch/estimate/catalog.h"

#include "core/base/alloc.h"
#include "core/base/printable.h"
#include "io/replace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BYTES = 256 };

/* The sources of a file, each once, under ids of which no two are equal. */
struct sources {
    const dt_data_source **all;
    char (*ids)[ID_BYTES];
    int n;
};

/* `key` is written by the caller; this writes a text with its quotes. */
static void put_text(FILE *f, const char *text)
{
    char escaped[6 * 1024];
    dt_printable_json(escaped, sizeof escaped, text);
    fprintf(f, "\"%s\"", escaped);
}

static void put_pair(FILE *f, const char *key, const char *text)
{
    fprintf(f, "\"%s\": ", key);
    put_text(f, text);
    fputs(", ", f);
}

static bool is_same_source(const dt_data_source *a, const dt_data_source *b)
{
    return a == b || (strcmp(a->id, b->id) == 0 && strcmp(a->text, b->text) == 0 &&
                      strcmp(a->date, b->date) == 0 && a->confidence == b->confidence);
}

static const char *id_of(const struct sources *sources, const dt_data_source *source)
{
    int i = 0;
    while (!is_same_source(sources->all[i], source))
        i++;
    return sources->ids[i];
}

static bool is_taken(const struct sources *sources, const char *id)
{
    for (int i = 0; i < sources->n; i++)
        if (strcmp(sources->ids[i], id) == 0)
            return true;
    return false;
}

/* Adds a source that is not there yet; a second one with its id becomes ID-2. */
static void add_source(struct sources *sources, const dt_data_source *source)
{
    char id[ID_BYTES];
    for (int i = 0; i < sources->n; i++)
        if (is_same_source(sources->all[i], source))
            return;
    snprintf(id, sizeof id, "%.200s", source->id);
    for (int k = 2; is_taken(sources, id); k++)
        snprintf(id, sizeof id, "%.200s-%d", source->id, k);
    memcpy(sources->ids[sources->n], id, sizeof id);
    sources->all[sources->n++] = source;
}

static dt_status make_sources(struct sources *sources, int most, dt_error *err)
{
    sources->all = dt_calloc((size_t)most + 1, sizeof *sources->all);
    sources->ids = dt_calloc((size_t)most + 1, sizeof *sources->ids);
    if (!sources->all || !sources->ids)
        return dt_fail_memory(err, (size_t)most * ID_BYTES, "a list of sources");
    return DT_OK;
}

static void free_sources(struct sources *sources)
{
    dt_free(sources->all);
    dt_free(sources->ids);
}

static void put_sources(FILE *f, const struct sources *sources)
{
    fputs("{\n \"sources\": {", f);
    for (int i = 0; i < sources->n; i++) {
        fputs(i ? ",\n  " : "\n  ", f);
        put_text(f, sources->ids[i]);
        fputs(": {", f);
        put_pair(f, "text", sources->all[i]->text);
        fputs("\n   ", f);
        put_pair(f, "date", sources->all[i]->date);
        fprintf(f, "\"confidence\": \"%s\"}", dt_confidence_name(sources->all[i]->confidence));
    }
    fputs("\n },\n", f);
}

/* Closes a stream in memory; the text then replaces the file `path` as a whole. */
static dt_status replace_file(FILE *f, char **text, const char *path, dt_error *err)
{
    if (fclose(f) != 0)
        return dt_fail_memory(err, 0, path);
    return dt_replace_file(path, *text, (int64_t)strlen(*text), err);
}

dt_status dt_catalog_write_prices(const char *path, const dt_price *prices, int n_prices, dt_error *err)
{
    struct sources sources = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = NULL;
    dt_status status;
    DT_TRY_OR_FAIL(status, make_sources(&sources, n_prices, err));
    for (int i = 0; i < n_prices; i++)
        add_source(&sources, prices[i].source);
    f = open_memstream(&text, &bytes);
    if (!f) {
        status = dt_fail_memory(err, 0, path);
        goto fail;
    }
    put_sources(f, &sources);
    fputs(" \"prices\": [", f);
    for (int i = 0; i < n_prices; i++) {
        const dt_price *price = &prices[i];
        fputs(i ? ",\n  {" : "\n  {", f);
        put_pair(f, "type", price->type);
        put_pair(f, "region", price->region);
        if (price->zone)
            put_pair(f, "zone", price->zone);
        put_pair(f, "kind", price->is_spot ? "spot" : "on demand");
        fprintf(f, "\"usd_h\": %.10g, ", price->usd_h);
        put_pair(f, "date", price->date);
        fputs("\"source\": ", f);
        put_text(f, id_of(&sources, price->source));
        fputs("}", f);
    }
    fputs("\n ]\n}\n", f);
    status = replace_file(f, &text, path, err);
fail:
    free(text); /* open_memstream's */
    free_sources(&sources);
    return status;
}

struct named_figure {
    const char *key;
    dt_figure figure;
};
enum { N_MACHINE_FIGURES = 10, N_TRAINING_FIGURES = 5, N_FIGURES = N_MACHINE_FIGURES + N_TRAINING_FIGURES };

/* The figures of the machine, then those of the training. */
static void list_figures(const dt_measured_machine *machine, struct named_figure *list)
{
    const struct named_figure all[N_FIGURES] = {
        {"cores", machine->cores},
        {"ram_gib", machine->ram_gib},
        {"gpu_memory_gib", machine->gpu_memory_gib},
        {"decode_images_s_core", machine->decode_images_s_core},
        {"decode_images_s", machine->decode_images_s},
        {"disk_read_mb_s", machine->disk_read_mb_s},
        {"checkpoint_write_mb_s", machine->checkpoint_write_mb_s},
        {"download_mb_s", machine->download_mb_s},
        {"start_s", machine->start_s},
        {"usd_h", machine->usd_h},
        {"train_images_s", machine->train_images_s},
        {"evaluate_images_s", machine->evaluate_images_s},
        {"checkpoint_s", machine->checkpoint_s},
        {"last_checkpoint_s", machine->last_checkpoint_s},
        {"checkpoint_mb", machine->checkpoint_mb},
    };
    memcpy(list, all, sizeof all);
}

static void put_figures(FILE *f, const struct named_figure *figures, int n, const struct sources *sources)
{
    for (int i = 0; i < n; i++) {
        if (!dt_figure_is_known(figures[i].figure))
            continue;
        fprintf(f, ",\n  \"%s\": {\"value\": %.10g, \"source\": ", figures[i].key, figures[i].figure.value);
        put_text(f, id_of(sources, figures[i].figure.source));
        fputs("}", f);
    }
}

static void put_machine(FILE *f, const dt_measured_machine *machine, const struct sources *sources)
{
    struct named_figure figures[N_FIGURES];
    list_figures(machine, figures);
    fputs(" \"machine\": {", f);
    put_pair(f, "name", machine->name);
    put_pair(f, "gpu", machine->gpu);
    fprintf(f, "\"gpus\": %d, ", machine->n_gpus);
    fputs("\"versions\": ", f);
    put_text(f, machine->versions);
    put_figures(f, figures, N_MACHINE_FIGURES, sources);
    if (machine->arch) {
        fputs(",\n  \"training\": {", f);
        put_pair(f, "arch", machine->arch);
        put_pair(f, "precision", machine->precision);
        fprintf(f, "\"image_size\": %d, \"batch\": %d, \"ranks\": %d", machine->image_size, machine->batch,
                machine->n_ranks);
        put_figures(f, figures + N_MACHINE_FIGURES, N_TRAINING_FIGURES, sources);
        fputs("}", f);
    }
    fputs("},\n", f);
}

static void put_rates(FILE *f, const dt_rate *rates, int n_rates, const struct sources *sources)
{
    fputs(" \"rates\": [", f);
    for (int i = 0; i < n_rates; i++) {
        const dt_rate *rate = &rates[i];
        fputs(i ? ",\n  {" : "\n  {", f);
        put_pair(f, "gpu", rate->gpu);
        put_pair(f, "arch", rate->arch);
        put_pair(f, "precision", rate->precision);
        fprintf(f, "\"image_size\": %d, \"gpus\": %d, \"images_s\": %.10g, ", rate->image_size, rate->n_gpus,
                rate->images_s);
        put_pair(f, "software", rate->software);
        fputs("\"source\": ", f);
        put_text(f, id_of(sources, rate->source));
        fputs("}", f);
    }
    fputs("\n ]\n}\n", f);
}

dt_status dt_catalog_write_rates(const char *path, const dt_rate *rates, int n_rates,
                                 const dt_measured_machine *machine, dt_error *err)
{
    struct sources sources = {0};
    struct named_figure figures[N_FIGURES];
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = NULL;
    dt_status status;
    DT_TRY_OR_FAIL(status, make_sources(&sources, n_rates + N_FIGURES, err));
    for (int i = 0; i < n_rates; i++)
        add_source(&sources, rates[i].source);
    if (machine)
        list_figures(machine, figures);
    for (int i = 0; machine && i < N_FIGURES; i++)
        if (dt_figure_is_known(figures[i].figure))
            add_source(&sources, figures[i].figure.source);
    f = open_memstream(&text, &bytes);
    if (!f) {
        status = dt_fail_memory(err, 0, path);
        goto fail;
    }
    put_sources(f, &sources);
    if (machine)
        put_machine(f, machine, &sources);
    put_rates(f, rates, n_rates, &sources);
    status = replace_file(f, &text, path, err);
fail:
    free(text); /* open_memstream's */
    free_sources(&sources);
    return status;
}
