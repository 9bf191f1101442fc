/* dtrain plan --json. launch/estimate/README.md describes the object. */
#include "config.h"

#include "launch/commands/plan_output.h"
#include "launch/show/output.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* null where there is no limit: JSON has no infinity. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return text ? dt_output_text(text) : json_null();
}

static json_t *price_json(const dt_price *price)
{
    return price ? json_pack("{s:f, s:s, s:s}", "usd_h", price->usd_h, "date", price->date, "source",
                             price->source->id)
                 : json_null();
}

static json_t *stages_json(const dt_throughput *t)
{
    json_t *stages = json_object();
    for (int stage = 0; stage < DT_N_STAGES; stage++)
        if (stage != DT_STAGE_CHECKPOINT && t->stage_images_s[stage] > 0)
            json_object_set_new(stages, dt_stage_name((dt_stage)stage), number(t->stage_images_s[stage]));
    return stages;
}

static json_t *throughput_json(const dt_throughput *t)
{
    json_t *rate = json_pack("{s:f, s:s, s:s, s:s, s:b}", "images_s_per_gpu", t->rate->images_s, "confidence",
                             dt_confidence_name(t->rate->source->confidence), "source", t->rate->source->id,
                             "software", t->rate->software, "is_scaled", t->is_scaled);
    json_t *startup = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "total", t->startup_s, "boot", t->boot_s,
                                "staging", t->staging_s, "tuning", t->tuning_s, "first_epoch",
                                t->first_epoch_s, "restart", t->restart_s);
    json_t *memory =
        json_pack("{s:f, s:f}", "needed_bytes", t->memory_bytes, "usable_bytes", t->memory_limit_bytes);
    json_t *step = json_pack("{s:f, s:f, s:f, s:f}", "compute", t->step_s, "all_reduce", t->all_reduce_s,
                             "exposed", t->exposed_s, "straggler", t->straggler_s);
    json_t *object =
        json_pack("{s:o, s:f, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:s, s:f, s:f, s:f}", "step_s", step,
                  "images_s", t->images_s, "limit", dt_stage_name(t->limit), "images_s_without_limit",
                  number(t->without_limit_images_s), "stages_images_s", stages_json(t), "rate", rate,
                  "startup_s", startup, "gpu_memory", memory, "batch", (json_int_t)t->batch, "data_on",
                  dt_data_location_name(t->location), "train_s", t->train_s, "evaluation_s", t->eval_s,
                  "checkpoint_s", t->checkpoint_s);
    return object;
}

static json_t *marks_json(const dt_plan_row *row)
{
    const struct {
        bool is_set;
        const char *name;
    } marks[] = {{row->is_front, "front"},
                 {row->is_cheapest, "cheapest"},
                 {row->is_fastest, "fastest"},
                 {row->is_best_value, "best value"},
                 {row->is_cheapest_in_time, "cheapest in time"},
                 {row->is_fastest_in_budget, "fastest in budget"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i].is_set)
            json_array_append_new(list, json_string(marks[i].name));
    return list;
}

static json_t *usd_json(const dt_plan_row *row)
{
    json_t *parts = json_object();
    for (int part = 0; part < DT_N_COST_PARTS; part++)
        json_object_set_new(parts, dt_cost_part_name((dt_cost_part)part), json_real(row->usd_part[part]));
    return json_pack("{s:f, s:f, s:o}", "mean", row->usd_mean, "p95", row->usd_p95, "parts", parts);
}

static json_t *spot_json(const dt_plan_row *row)
{
    const dt_spot_outcome *o = &row->outcome;
    if (row->purchase == DT_PURCHASE_ON_DEMAND)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "interruptions_mean", o->n_interruptions_mean,
                     "checkpoint_interval_s", o->interval_s, "paid_hours_mean", o->paid_s_mean / 3600,
                     "on_demand_hours_mean", o->on_demand_s_mean / 3600, "runs_on_demand", o->switches,
                     "on_demand_after_hours_mean", o->switch_s_mean / 3600);
}

static json_t *row_json(const dt_plan_row *row)
{
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:i, s:s}", "instance", row->instance->type, "region", row->region, "zone",
                  text_or_null(row->zone), "nodes", row->nodes, "buy", dt_purchase_name(row->purchase));
    json_object_set_new(object, "excluded", text_or_null(row->excluded[0] ? row->excluded : NULL));
    json_object_set_new(object, "price", price_json(row->price));
    if (row->excluded[0])
        return object;
    json_object_set_new(object, "hours",
                        json_pack("{s:f, s:f, s:f, s:f, s:f}", "mean", row->hours_mean, "p95", row->hours_p95,
                                  "training_mean", row->train_hours, "startup_mean", row->startup_hours,
                                  "waiting_mean", row->wait_hours));
    json_object_set_new(object, "usd", usd_json(row));
    json_object_set_new(object, "throughput", throughput_json(&row->throughput));
    json_object_set_new(object, "spot", spot_json(row));
    json_object_set_new(object, "marks", marks_json(row));
    json_object_set_new(object, "meets_deadline", json_boolean(row->meets_deadline));
    json_object_set_new(object, "meets_budget", json_boolean(row->meets_budget));
    json_object_set_new(object, "retiring", text_or_null(row->instance->retiring.text));
    return object;
}

static json_t *workload_json(const dt_workload *w)
{
    json_t *sizes = json_array();
    for (int i = 0; i < w->n_sizes; i++)
        json_array_append_new(sizes, json_pack("{s:I, s:f}", "image_size", (json_int_t)w->sizes[i].image_size,
                                               "share", w->sizes[i].share));
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:o, s:I}", "arch", w->arch, "precision",
                     dt_dtype_name(w->precision), "epochs", w->epochs, "images", w->n_images, "val_images",
                     w->n_val_images, "evaluations", w->n_evaluations, "data_bytes", w->data_bytes, "sizes",
                     sizes, "parameters", (json_int_t)w->n_params);
}

static json_t *recommendations_json(const dt_plan *plan)
{
    json_t *list = json_array();
    for (int i = 0; i < plan->n_recommendations; i++) {
        const dt_recommendation *r = &plan->recommendations[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:s}", "title", r->title, "row",
                                              r->row >= 0 ? json_integer(r->row) : json_null(), "text",
                                              r->text, "command", r->command, "cluster", r->cluster));
    }
    return list;
}

dt_status dt_plan_print_json(const dt_plan *plan, FILE *stream, dt_error *err)
{
    json_t *rows = json_array(), *notes = json_array();
    for (int64_t i = 0; i < plan->n_rows; i++)
        json_array_append_new(rows, row_json(&plan->rows[i]));
    for (int i = 0; i < plan->n_notes; i++)
        json_array_append_new(notes, dt_output_text(plan->notes[i]));
    const dt_plan_settings *s = &plan->settings;
    json_t *root = json_pack("{s:i, s:s, s:o, s:s, s:f, s:o, s:o, s:o}", "version", 1, "date", s->today,
                             "workload", workload_json(&plan->work), "interruptions", s->interruptions->name,
                             "mtti_hours", s->interruptions->mtti_h, "recommendations",
                             recommendations_json(plan), "notes", notes, "rows", rows);
    const dt_status status = dt_output_json(root, stream, err);
    json_decref(root);
    return status;
}
