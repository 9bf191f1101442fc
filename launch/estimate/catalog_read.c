/* What all files of a catalog have: sources, texts and figures with a source. */
#include "launch/estimate/catalog_build.h"

#include "core/base/alloc.h"
#include "launch/estimate/catalog_date.h"
#include "launch/options/suggest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

dt_status dt_catalog_read_text(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                               const char **text, dt_error *err)
{
    const char *read = NULL;
    if (!dt_json_member(object, key).value)
        return DT_OK;
    DT_TRY(dt_json_get_text(object, key, &read, err));
    const char *kept = dt_catalog_keep_text(input->build, read);
    if (!kept)
        return dt_fail_memory(err, strlen(read), "a text of the planner's data");
    *text = kept;
    return DT_OK;
}

dt_status dt_catalog_need_text(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                               const char **text, dt_error *err)
{
    const char *read = NULL;
    DT_TRY(dt_json_get_text(object, key, &read, err));
    return dt_catalog_read_text(input, object, key, text, err);
}

/* ---- Sources ---- */

static dt_status read_confidence(const dt_json_place *object, dt_confidence *confidence, dt_error *err)
{
    const char *names[DT_N_CONFIDENCES + 1] = {NULL}, *text = NULL;
    DT_TRY(dt_json_get_text(object, "confidence", &text, err));
    for (dt_confidence c = 0; c < DT_N_CONFIDENCES; c++) {
        names[c] = dt_confidence_name(c);
        if (strcmp(text, names[c]) == 0) {
            *confidence = c;
            return DT_OK;
        }
    }
    const dt_json_place member = dt_json_member(object, "confidence");
    const char *meant = dt_suggest(text, names);
    return dt_json_fail(&member, err,
                        "\"confidence\" is \"%s\"%s%s%s; it is measured, published, third party or estimated",
                        text, meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
}

static dt_status read_source_entry(dt_catalog_input *input, const dt_json_place *entry,
                                   const dt_data_source **source, dt_error *err)
{
    static const char *const keys[] = {"text", "date", "confidence", NULL};
    dt_data_source read = {.id = dt_catalog_keep_text(input->build, entry->key)};
    if (!read.id)
        return dt_fail_memory(err, strlen(entry->key), "a source's name");
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_catalog_need_text(input, entry, "text", &read.text, err));
    DT_TRY(dt_catalog_need_text(input, entry, "date", &read.date, err));
    const dt_json_place date = dt_json_member(entry, "date");
    if (!dt_catalog_is_date(read.date))
        return dt_json_fail(&date, err, "\"date\" is \"%s\"; write YYYY-MM-DD, YYYY-MM or YYYY", read.date);
    DT_TRY(read_confidence(entry, &read.confidence, err));
    dt_data_source *kept = dt_catalog_keep(input->build, sizeof *kept);
    if (!kept)
        return dt_fail_memory(err, sizeof *kept, "a source");
    *kept = read;
    *source = kept;
    return DT_OK;
}

dt_status dt_catalog_read_sources(dt_catalog_input *input, dt_error *err)
{
    const dt_json_place all = dt_json_member(&input->root, "sources");
    if (!json_is_object(input->root.value))
        return dt_json_fail(&input->root, err, "the file is not an object, { ... }");
    if (!json_is_object(all.value))
        return dt_json_fail(&all, err, "\"sources\" is %s; it says where the figures come from",
                            all.value ? "not an object, { ... }" : "missing");
    const int n = dt_json_length(&all);
    const dt_data_source **sources = dt_calloc((size_t)n + 1, sizeof *sources);
    if (!sources)
        return dt_fail_memory(err, (size_t)n * sizeof *sources, "a list of sources");
    for (int i = 0; i < n; i++) {
        const dt_json_place entry = dt_json_member_at(&all, i);
        const dt_status status = read_source_entry(input, &entry, &sources[i], err);
        if (status != DT_OK) {
            dt_free(sources);
            return status;
        }
    }
    input->sources = sources;
    input->n_sources = n;
    return DT_OK;
}

static dt_status no_such_source(const dt_catalog_input *input, const dt_json_place *member, const char *id,
                                dt_error *err)
{
    const char **ids = dt_calloc((size_t)input->n_sources + 1, sizeof *ids);
    if (!ids)
        return dt_fail_memory(err, (size_t)input->n_sources * sizeof *ids, "a list of sources");
    for (int i = 0; i < input->n_sources; i++)
        ids[i] = input->sources[i]->id;
    const char *meant = dt_suggest(id, ids);
    dt_status status = dt_json_fail(member, err, "no source \"%s\" is in \"sources\" of this file%s%s%s", id,
                                    meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
    dt_free(ids);
    return status;
}

dt_status dt_catalog_read_source(const dt_catalog_input *input, const dt_json_place *object,
                                 const dt_data_source *by_default, const dt_data_source **source,
                                 dt_error *err)
{
    const dt_json_place member = dt_json_member(object, "source");
    const char *id = NULL;
    if (!member.value) {
        *source = by_default;
        return DT_OK;
    }
    DT_TRY(dt_json_get_text(object, "source", &id, err));
    for (int i = 0; i < input->n_sources; i++)
        if (strcmp(input->sources[i]->id, id) == 0) {
            *source = input->sources[i];
            return DT_OK;
        }
    return no_such_source(input, &member, id, err);
}

/* ---- Figures and remarks ---- */

static dt_status read_figure(const dt_catalog_input *input, const dt_json_place *object,
                             const dt_data_source *source, const dt_figure_rule *rule, dt_figure *figure,
                             dt_error *err)
{
    static const char *const keys[] = {"value", "source", NULL};
    const dt_json_place member = dt_json_member(object, rule->key);
    double value = NAN;
    if (json_is_object(member.value)) {
        DT_TRY(dt_json_check_keys(&member, keys, err));
        DT_TRY(dt_json_get_number(&member, "value", &value, err));
        DT_TRY(dt_catalog_read_source(input, &member, source, &source, err));
    } else if (json_is_number(member.value)) {
        value = json_number_value(member.value);
    } else {
        return dt_json_fail(&member, err, "\"%s\" is not a number, nor {\"value\": NUMBER, \"source\": ID}",
                            rule->key);
    }
    if (!source)
        return dt_json_fail(
            &member, err,
            "\"%s\" has no source; write {\"value\": %g, \"source\": ID}, with an ID of \"sources\"",
            rule->key, value);
    DT_TRY(dt_json_check_range(&member, value, rule->least, rule->most, err));
    *figure = (dt_figure){.value = value, .source = source};
    return DT_OK;
}

dt_status dt_catalog_read_figures(const dt_catalog_input *input, const dt_json_place *object,
                                  const dt_data_source *source, bool is_new, const dt_figure_rule *rules,
                                  int n_rules, void *record, dt_error *err)
{
    for (int i = 0; i < n_rules; i++) {
        const dt_figure_rule *rule = &rules[i];
        dt_figure *figure = (dt_figure *)((char *)record + rule->offset);
        if (dt_json_member(object, rule->key).value)
            DT_TRY(read_figure(input, object, source, rule, figure, err));
        else if (is_new && rule->is_required)
            return dt_json_fail(object, err, "\"%s\" is missing", rule->key);
        else if (is_new)
            figure->value = NAN;
    }
    return DT_OK;
}

dt_status dt_catalog_read_remark(const dt_catalog_input *input, const dt_json_place *object, const char *key,
                                 dt_remark *remark, dt_error *err)
{
    static const char *const keys[] = {"text", "source", NULL};
    const dt_json_place member = dt_json_member(object, key);
    dt_remark read = {0};
    if (!member.value)
        return DT_OK;
    DT_TRY(dt_json_check_keys(&member, keys, err));
    DT_TRY(dt_catalog_need_text(input, &member, "text", &read.text, err));
    DT_TRY(dt_catalog_read_source(input, &member, NULL, &read.source, err));
    if (!read.source)
        return dt_json_fail(&member, err, "\"%s\" has no \"source\"", key);
    *remark = read;
    return DT_OK;
}
