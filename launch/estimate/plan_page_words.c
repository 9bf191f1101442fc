/* The words and numbers that the sections of the page share. */
#include "launch/estimate/plan_page_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const dt_page_form dt_page_forms[DT_PAGE_N_FORMS] = {{"wide", 860, false}, {"narrow", 358, true}};

const char *dt_page_purchase_class(dt_purchase purchase)
{
    return purchase == DT_PURCHASE_SPOT ? "spot" : purchase == DT_PURCHASE_MIXED ? "mixed" : "on-demand";
}

const char *dt_page_purchase(dt_purchase purchase)
{
    return purchase == DT_PURCHASE_SPOT    ? "on spot"
           : purchase == DT_PURCHASE_MIXED ? "on spot, then on demand"
                                           : "on demand";
}

dt_marker dt_page_purchase_marker(dt_purchase purchase)
{
    return purchase == DT_PURCHASE_SPOT    ? DT_MARKER_DIAMOND
           : purchase == DT_PURCHASE_MIXED ? DT_MARKER_SQUARE
                                           : DT_MARKER_CIRCLE;
}

/* -- numbers --------------------------------------------------------------------------------------------- */

enum { N_TEXTS = 16, TEXT_BYTES = 128 };

static char *next_text(void)
{
    static char texts[N_TEXTS][TEXT_BYTES];
    static unsigned next;
    return texts[next++ % N_TEXTS];
}

const char *dt_page_arch(const char *arch)
{
    char *text = next_text();
    if (strncmp(arch, "resnet", 6) == 0 && arch[6])
        snprintf(text, TEXT_BYTES, "ResNet-%s", arch + 6);
    else
        snprintf(text, TEXT_BYTES, "%s", arch);
    return text;
}

const char *dt_page_number(double value)
{
    char *text = next_text();
    dt_axis_format_value(value, text, TEXT_BYTES);
    return text;
}

const char *dt_page_count(double count)
{
    char *text = next_text();
    if (count < 100)
        snprintf(text, TEXT_BYTES, "%.0f", count);
    else
        dt_axis_format_value(count, text, TEXT_BYTES);
    return text;
}

const char *dt_page_usd(double usd)
{
    char *text = next_text();
    if (usd < 99.995)
        snprintf(text, TEXT_BYTES, "%.2f", usd);
    else
        dt_axis_format_value(usd, text, TEXT_BYTES);
    return text;
}

const char *dt_page_hours(double hours)
{
    return dt_page_number(hours);
}

const char *dt_page_time(double hours)
{
    char *text = next_text();
    const double minutes = round(hours * 60);
    if (!(minutes >= 0 && minutes < 1e9))
        snprintf(text, TEXT_BYTES, "%.3g h", hours);
    else if (minutes < 60)
        snprintf(text, TEXT_BYTES, "%.0f min", minutes);
    else if (minutes < 48 * 60 && fmod(minutes, 60) == 0)
        snprintf(text, TEXT_BYTES, "%.0f h", minutes / 60);
    else if (minutes < 48 * 60)
        snprintf(text, TEXT_BYTES, "%.0f h %.0f min", floor(minutes / 60), fmod(minutes, 60));
    else if (minutes >= 10 * 24 * 60)
        snprintf(text, TEXT_BYTES, "%.0f days", round(hours / 24));
    else
        snprintf(text, TEXT_BYTES, "%.0f days %.0f h", floor(round(hours) / 24), fmod(round(hours), 24));
    return text;
}

/* -- a choice -------------------------------------------------------------------------------------------- */

const char *dt_page_choice(const dt_plan_row *row)
{
    char *text = next_text();
    if (row->nodes == 1)
        snprintf(text, TEXT_BYTES, "%s", row->instance->type);
    else
        snprintf(text, TEXT_BYTES, "%d \u00d7 %s", row->nodes, row->instance->type);
    return text;
}

const char *dt_page_place(const dt_plan_row *row)
{
    return row->zone ? row->zone : row->region;
}

void dt_page_legend(dt_html *page, const char *classes, dt_marker marker, const char *text)
{
    dt_html_printf(page, "<li><svg viewBox=\"0 0 30 16\" aria-hidden=\"true\"><g class=\"%s\">", classes);
    dt_svg_marker(page, marker, 15, 8, 6);
    dt_html_markup(page, "</g></svg>");
    dt_html_element(page, "span", NULL, "%s", text);
    dt_html_markup(page, "</li>\n");
}

const dt_plan_row *dt_page_example(const dt_plan *plan, bool is_spot)
{
    const dt_plan_row *found = NULL;
    for (int64_t i = 0; i < plan->n_possible; i++) {
        const dt_plan_row *row = &plan->rows[i];
        const bool is_interrupted = row->purchase == DT_PURCHASE_SPOT || row->purchase == DT_PURCHASE_MIXED;
        if (is_spot && !is_interrupted)
            continue;
        if (row->is_best_value)
            return row;
        if (!found)
            found = row;
    }
    return found;
}
