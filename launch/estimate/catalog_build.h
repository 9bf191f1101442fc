/* catalog_build.h: a catalog while its files are read. Internal to catalog_*.c. */
#ifndef DT_LAUNCH_ESTIMATE_CATALOG_BUILD_H
#define DT_LAUNCH_ESTIMATE_CATALOG_BUILD_H

#include "launch/estimate/catalog.h"
#include "launch/estimate/json_reader.h"

#include <stddef.h>

/* The first member is what the caller of dt_catalog_load gets. */
typedef struct dt_catalog_build {
    dt_catalog catalog;
    dt_instance *instances; /* the same arrays, to write */
    dt_price *prices;
    dt_rate *rates;
    struct dt_catalog_block *blocks; /* texts and sources */
} dt_catalog_build;

/* Memory that lives as long as the catalog; a copy of a text. NULL: out of memory. */
void *dt_catalog_keep(dt_catalog_build *build, size_t bytes);
const char *dt_catalog_keep_text(dt_catalog_build *build, const char *text);

/* Append an entry, or remove one; the others keep their order. DT_ERR_MEMORY. */
dt_status dt_catalog_add_instance(dt_catalog_build *build, const dt_instance *instance, dt_error *err);
dt_status dt_catalog_add_price(dt_catalog_build *build, const dt_price *price, dt_error *err);
dt_status dt_catalog_add_rate(dt_catalog_build *build, const dt_rate *rate, dt_error *err);
void dt_catalog_remove_price(dt_catalog_build *build, int index);
void dt_catalog_remove_rate(dt_catalog_build *build, int index);

/* A file that is being read. */
typedef struct dt_catalog_input {
    dt_catalog_build *build;
    dt_json_place root;
    bool is_users;
    const dt_data_source **sources; /* of "sources", in its order */
    int n_sources;
} dt_catalog_input;

/* Reads "sources". On success the caller frees input->sources with dt_free. */
dt_status dt_catalog_read_sources(dt_catalog_input *input, dt_error *err);

/* The source that the member "source" of an object names; `by_default`, which may be NULL, if it has none. */
dt_status dt_catalog_read_source(const dt_catalog_input *input, const dt_json_place *object,
                                 const dt_data_source *by_default, const dt_data_source **source,
                                 dt_error *err);

/* The member `key` of an object as a copy that the catalog keeps; where it is missing, *text stays. */
dt_status dt_catalog_read_text(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                               const char **text, dt_error *err);

/* As dt_catalog_read_text, of a text that must be there. */
dt_status dt_catalog_need_text(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                               const char **text, dt_error *err);

/* A member that is a number, or {"value": NUMBER, "source": ID}. */
typedef struct dt_figure_rule {
    const char *key;
    size_t offset; /* of the dt_figure in the record */
    bool is_required;
    double least, most;
} dt_figure_rule;

/* Reads those of the figures that the object has into `record`. `source`: of plain numbers; may be NULL.
 * `is_new`: the required ones must be there. */
dt_status dt_catalog_read_figures(const dt_catalog_input *input, const dt_json_place *object,
                                  const dt_data_source *source, bool is_new, const dt_figure_rule *rules,
                                  int n_rules, void *record, dt_error *err);

/* The member `key`, {"text": TEXT, "source": ID}; where it is missing, *remark stays. */
dt_status dt_catalog_read_remark(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                                 dt_remark *remark, dt_error *err);

/* Each reads one kind of file. */
dt_status dt_catalog_read_instances(dt_catalog_input *input, dt_error *err);
dt_status dt_catalog_read_prices(dt_catalog_input *input, dt_error *err);
dt_status dt_catalog_read_rates(dt_catalog_input *input, dt_error *err);

/* "machine" of a rates file, which becomes the catalog's. */
dt_status dt_catalog_read_machine(dt_catalog_input *input, const dt_json_place *entry, dt_error *err);

#endif
