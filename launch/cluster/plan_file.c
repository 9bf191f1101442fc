#include "config.h"

#include "launch/cluster/plan_file.h"

#include "launch/estimate/json_reader.h"

#include <stdio.h>
#include <string.h>

enum { MOST_NODES = 512 };

/* Which titles a choice stands for: a whole title, or the beginning of one that ends with a figure. */
static const struct {
    const char *name, *title;
    bool is_prefix;
} choices[] = {
    [DT_CLUSTER_CHOICE_CHEAPEST] = {"cheapest", "Cheapest", false},
    [DT_CLUSTER_CHOICE_FASTEST] = {"fastest", "Fastest", false},
    [DT_CLUSTER_CHOICE_BEST_VALUE] = {"best-value", "Best value", false},
    [DT_CLUSTER_CHOICE_IN_DEADLINE] = {"in-deadline", "Cheapest in ", true},
    [DT_CLUSTER_CHOICE_IN_BUDGET] = {"in-budget", "Fastest for ", true},
};
enum { N_CHOICES = sizeof choices / sizeof choices[0] };

static bool has_title(const char *title, dt_cluster_choice choice)
{
    const char *wanted = choices[choice].title;
    return choices[choice].is_prefix ? strncmp(title, wanted, strlen(wanted)) == 0
                                     : strcmp(title, wanted) == 0;
}

/* Copies a member that is a text. */
static dt_status copy_text(const dt_json_place *object, const char *key, char *out, size_t bytes,
                           dt_error *err)
{
    const char *text = NULL;
    DT_TRY(dt_json_get_text(object, key, &text, err));
    if (strlen(text) >= bytes) {
        const dt_json_place member = dt_json_member(object, key);
        return dt_json_fail(&member, err, "\"%s\" is longer than %zu bytes", key, bytes - 1);
    }
    snprintf(out, bytes, "%s", text);
    return DT_OK;
}

static dt_status read_buy(const dt_json_place *row, dt_buy_kind *buy, dt_error *err)
{
    static const struct {
        const char *text;
        dt_buy_kind buy;
    } kinds[] = {{"spot", DT_BUY_SPOT}, {"on demand", DT_BUY_ON_DEMAND}, {"mixed", DT_BUY_BOTH}};
    const dt_json_place place = dt_json_member(row, "buy");
    const char *text = NULL;
    DT_TRY(dt_json_get_text(row, "buy", &text, err));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(text, kinds[i].text) == 0) {
            *buy = kinds[i].buy;
            return DT_OK;
        }
    return dt_json_fail(&place, err, "\"buy\" is \"%s\"; it is \"spot\", \"on demand\" or \"mixed\"", text);
}

static dt_status read_row(const dt_json_place *row, dt_cluster_plan *plan, dt_error *err)
{
    const dt_json_place zone = dt_json_member(row, "zone");
    const dt_json_place usd = dt_json_member(row, "usd"), hours = dt_json_member(row, "hours");
    DT_TRY(copy_text(row, "instance", plan->type, sizeof plan->type, err));
    DT_TRY(copy_text(row, "region", plan->region, sizeof plan->region, err));
    if (zone.value && !json_is_null(zone.value))
        DT_TRY(copy_text(row, "zone", plan->zone, sizeof plan->zone, err));
    DT_TRY(dt_json_get_int(row, "nodes", 1, MOST_NODES, &plan->nodes, err));
    DT_TRY(read_buy(row, &plan->buy, err));
    DT_TRY(dt_json_get_number(&usd, "mean", &plan->usd_mean, err));
    DT_TRY(dt_json_get_number(&usd, "p95", &plan->usd_p95, err));
    DT_TRY(dt_json_get_number(&hours, "mean", &plan->hours_mean, err));
    return dt_json_get_number(&hours, "p95", &plan->hours_p95, err);
}

/* Finds the recommendation; -1: there is none. */
static dt_status find(const dt_json_place *recommendations, dt_cluster_choice choice, int *found,
                      dt_error *err)
{
    *found = -1;
    for (int i = 0; i < dt_json_length(recommendations) && *found < 0; i++) {
        const dt_json_place entry = dt_json_element(recommendations, i);
        const char *title = NULL;
        DT_TRY(dt_json_get_text(&entry, "title", &title, err));
        if (has_title(title, choice))
            *found = i;
    }
    return DT_OK;
}

/* Resolves `auto`: what the plan's user asked for comes first. */
static dt_status choose(const dt_json_place *recommendations, dt_cluster_choice choice, int *found,
                        dt_error *err)
{
    static const dt_cluster_choice order[] = {DT_CLUSTER_CHOICE_IN_DEADLINE, DT_CLUSTER_CHOICE_IN_BUDGET,
                                              DT_CLUSTER_CHOICE_BEST_VALUE};
    char list[256] = "";
    *found = -1;
    if (choice != DT_CLUSTER_CHOICE_AUTO)
        DT_TRY(find(recommendations, choice, found, err));
    for (size_t i = 0; choice == DT_CLUSTER_CHOICE_AUTO && *found < 0 && i < sizeof order / sizeof order[0];
         i++)
        DT_TRY(find(recommendations, order[i], found, err));
    if (*found >= 0)
        return DT_OK;
    for (int k = 1; k < N_CHOICES; k++) {
        int i;
        DT_TRY(find(recommendations, (dt_cluster_choice)k, &i, err));
        if (i >= 0)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] ? ", " : "",
                     choices[k].name);
    }
    return dt_json_fail(
        recommendations, err, "the plan does not have the recommendation '%s'%s%s",
        choices[choice == DT_CLUSTER_CHOICE_AUTO ? DT_CLUSTER_CHOICE_BEST_VALUE : choice].name,
        list[0] ? "; --choice can be " : ": no choice was possible", list);
}

/* What follows "dtrain" in "mpirun -np 8 dtrain --data DIR". A plan without it, or with a longer one, has no
 * options. */
static void read_options(const dt_json_place *entry, dt_cluster_plan *plan)
{
    static const char program[] = " dtrain ";
    const dt_json_place command = dt_json_member(entry, "command");
    const char *text = command.value ? json_string_value(command.value) : NULL;
    const char *found = text ? strstr(text, program) : NULL;
    if (found && strlen(found) < sizeof plan->options)
        snprintf(plan->options, sizeof plan->options, "%s", found + strlen(program) - 1);
}

static dt_status read_plan(const dt_json_place *root, dt_cluster_choice choice, dt_cluster_plan *plan,
                           dt_error *err)
{
    const dt_json_place recommendations = dt_json_member(root, "recommendations");
    const dt_json_place rows = dt_json_member(root, "rows"), version = dt_json_member(root, "version");
    if (!json_is_object(root->value) || !recommendations.value || !rows.value || !version.value)
        return dt_json_fail(root, err, "this is no plan: dtrain plan --json > FILE writes one");
    int found, i;
    DT_TRY(dt_json_get_int(root, "version", 1, 1, &i, err));
    DT_TRY(dt_json_check_array(&recommendations, err));
    DT_TRY(dt_json_check_array(&rows, err));
    DT_TRY(choose(&recommendations, choice, &found, err));
    const dt_json_place entry = dt_json_element(&recommendations, found), row = dt_json_member(&entry, "row");
    DT_TRY(copy_text(&entry, "title", plan->title, sizeof plan->title, err));
    if (!row.value || json_is_null(row.value))
        return dt_json_fail(&entry, err,
                            "'%s' has no choice that fits: take another with --choice, or plan again",
                            plan->title);
    DT_TRY(dt_json_get_int(&entry, "row", 0, dt_json_length(&rows) - 1, &i, err));
    const dt_json_place chosen = dt_json_element(&rows, i);
    read_options(&entry, plan);
    return read_row(&chosen, plan, err);
}

dt_status dt_cluster_plan_read(const char *path, dt_cluster_choice choice, dt_cluster_plan *plan,
                               dt_error *err)
{
    dt_json_file file;
    dt_cluster_plan read = {.nodes = 0};
    DT_TRY(dt_json_file_open(path, &file, err));
    const dt_json_place root = dt_json_root(&file);
    const dt_status status = read_plan(&root, choice, &read, err);
    dt_json_file_close(&file);
    if (status == DT_OK)
        *plan = read;
    return status;
}
