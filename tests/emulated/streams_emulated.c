/* streams_emulated.c: queues of work, events between them, and capture. */
#include "core/base/clock.h"
#include "tests/emulated/device_internal.h"

#include <stdlib.h>

dt_stream *dt_emulated_stream(emulated_device *d, void *stream)
{
    return stream ? stream : &d->main;
}

static void free_item(item *it)
{
    if (it->kind == ITEM_WORK && !it->borrowed && it->work.destroy)
        it->work.destroy(it->work.context);
    free(it);
}

void dt_emulated_free_items(item *first)
{
    while (first) {
        item *next = first->next;
        free_item(first);
        first = next;
    }
}

static dt_status run_work(emulated_device *d, const dt_emulated_work *work, dt_error *err)
{
    d->counts.n_work++;
    DT_TRY(work->run(work->context, err));
    return dt_emulated_check_guards(d, work->name, err);
}

/* Run the first item of a stream and remove it, even if it fails: its error is returned once, and later items
 * still run. */
dt_status dt_emulated_step(emulated_device *d, dt_stream *s, dt_error *err)
{
    dt_status status = DT_OK;
    if (!s->first)
        return DT_OK;
    item *it = s->first;
    if (it->kind == ITEM_WAIT) {
        /* run the event's stream up to the record that is waited for */
        status = dt_emulated_run_to_event(d, it->event, it->sequence, err);
    } else if (it->kind == ITEM_RECORD) {
        it->event->n_done = it->sequence;
        it->event->time_s = dt_clock_s();
    } else {
        status = run_work(d, &it->work, err);
    }
    s->first = it->next;
    if (!s->first)
        s->last = NULL;
    free_item(it);
    return status;
}

dt_status dt_emulated_drain(emulated_device *d, dt_stream *s, dt_error *err)
{
    dt_status first = DT_OK;
    while (s->first) {
        dt_error later = {0};
        dt_status status = dt_emulated_step(d, s, first == DT_OK ? err : &later);
        first = first == DT_OK ? status : first;
    }
    return first;
}

dt_status dt_emulated_drain_all(emulated_device *d, dt_error *err)
{
    dt_status first = dt_emulated_drain(d, &d->main, err);
    for (dt_stream *s = d->streams; s; s = s->next) {
        dt_error later = {0};
        dt_status status = dt_emulated_drain(d, s, first == DT_OK ? err : &later);
        first = first == DT_OK ? status : first;
    }
    return first;
}

dt_status dt_emulated_run_to_event(emulated_device *d, dt_event *e, int64_t sequence, dt_error *err)
{
    dt_status first = DT_OK;
    while (e->n_done < sequence && e->stream->first) {
        dt_error later = {0};
        dt_status status = dt_emulated_step(d, e->stream, first == DT_OK ? err : &later);
        first = first == DT_OK ? status : first;
    }
    return first;
}

/* -- enqueueing ------------------------------------------------------------------------------------------ */

static dt_status append(item **first, item **last, const item *what, dt_error *err)
{
    item *it = malloc(sizeof *it);
    if (!it)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    *it = *what;
    it->next = NULL;
    if (*last)
        (*last)->next = it;
    else
        *first = it;
    *last = it;
    return DT_OK;
}

/* Handle an item during a capture: keep work; use events only to find the streams that belong to the
 * capture. */
static dt_status capture_item(emulated_device *d, dt_stream *s, const item *what, dt_error *err)
{
    if (what->kind == ITEM_WORK) {
        s->n_captured++;
        return append(&d->capture->first, &d->capture->last, what, err);
    }
    if (what->kind == ITEM_RECORD) {
        what->event->captured = true;
        what->event->n_captured = s->n_captured;
        what->event->n_recorded--; /* outside of the capture the event is unchanged: waits that are still
                                      in a queue refer to earlier records */
        return DT_OK;
    }
    if (!what->event->captured) {
        if (what->event->n_done < what->sequence)
            return dt_emulated_set_fault(
                d, err, "a captured stream waits for an event that was recorded outside of the capture");
        return DT_OK;
    }
    if (s == &d->main)
        what->event->stream->n_joined = what->event->n_captured;
    return DT_OK;
}

dt_status dt_emulated_push(emulated_device *d, dt_stream *s, const item *what, dt_error *err)
{
    dt_status status;
    if (d->capture && what->kind == ITEM_WAIT && what->event->captured)
        s->capturing = true;
    if (s->capturing)
        status = capture_item(d, s, what, err);
    else
        status = append(&s->first, &s->last, what, err);
    if (status != DT_OK) {
        if (what->kind == ITEM_WORK && !what->borrowed && what->work.destroy)
            what->work.destroy(what->work.context);
        return status;
    }
    if (d->options.lazy || s->capturing)
        return DT_OK;
    return dt_emulated_drain(d, s, err);
}

/* -- capture --------------------------------------------------------------------------------------------- */

dt_status dt_emulated_capture_begin(emulated_device *d, dt_error *err)
{
    if (d->capture)
        return dt_emulated_set_fault(d, err, "capture_begin while capturing");
    d->capture = calloc(1, sizeof *d->capture);
    if (!d->capture)
        return dt_fail(err, DT_ERR_MEMORY, "emulated device: out of memory");
    d->main.capturing = true;
    return DT_OK;
}

dt_status dt_emulated_capture_end(emulated_device *d, void **graph, dt_error *err)
{
    captured_graph *g = d->capture;
    bool unjoined = false;
    if (!g)
        return dt_emulated_set_fault(d, err, "capture_end without capture_begin");
    d->capture = NULL;
    d->main.capturing = false;
    for (dt_stream *s = d->streams; s; s = s->next) {
        unjoined = unjoined || s->n_joined < s->n_captured;
        s->capturing = false;
        s->n_joined = s->n_captured = 0;
    }
    if (unjoined) {
        dt_emulated_free_items(g->first);
        free(g);
        return dt_emulated_set_fault(
            d, err, "a stream went into the capture and the main stream does not wait for it");
    }
    d->counts.n_graphs++;
    *graph = g;
    return DT_OK;
}

dt_status dt_emulated_launch(emulated_device *d, captured_graph *graph, dt_error *err)
{
    d->counts.n_launches++;
    for (const item *it = graph->first; it; it = it->next) {
        item copy = *it;
        copy.borrowed = true;
        DT_TRY(dt_emulated_push(d, &d->main, &copy, err));
    }
    return DT_OK;
}
