#include "io/metrics/progress.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/printable.h"
#include "core/base/units.h"
#include "io/metrics/progress_text.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>

#define REDRAW_EVERY_S 0.1
#define DEFAULT_COLUMNS 80
#define MAX_BAR 40 /* columns; a longer bar shows nothing more */
#define MIN_BAR 8  /* columns; rather than make the bar shorter, leave a field out */

typedef struct progress {
    dt_sink base; /* first */
    FILE *stream;
    dt_progress_options options;
    pthread_mutex_t lock; /* any thread may log */
    dt_metrics_start start;
    dt_metrics_step step;          /* the last one */
    int64_t n_steps;               /* reported so far */
    int64_t eval_done, eval_total; /* batches; 0 of 0: not evaluating */
    dt_progress_work work;         /* total 0: none */
    double drawn_s, line_s;        /* when the bar was drawn, when the last plain line was printed */
    bool shown;                    /* the bar is on the screen, and the cursor after it */
} progress;

static double now(const progress *p)
{
    return p->options.clock_s ? p->options.clock_s() : dt_clock_s();
}

static int columns(const progress *p)
{
    struct winsize size;
    if (p->options.columns > 0)
        return p->options.columns;
    if (ioctl(fileno(p->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

/* The beginning of every line: "epoch  3/15  WHAT  step  468/2340". It aligns the lines in columns. */
static void add_line_start(const progress *p, dt_progress_text *t, const char *what, int64_t epoch,
                           int64_t step)
{
    dt_progress_add(t, "epoch %*" PRId64 "/%" PRId64, dt_progress_digits(p->start.epochs), epoch + 1,
                    p->start.epochs);
    dt_progress_add(t, "  %4s", what);
    dt_progress_add(t, "  step %*" PRId64 "/%" PRId64, dt_progress_digits(p->start.total_steps), step,
                    p->start.total_steps);
}

static const char *percent(const progress *p, char out[8])
{
    double share = p->step.epoch_progress * 100;
    snprintf(out, 8, "%3d%%", share >= 0 && share <= 100 ? (int)share : 0);
    return out;
}

/* The progress line without its bar, as plain text. */
static void step_line(const progress *p, dt_progress_text *t)
{
    char share[8];
    add_line_start(p, t, percent(p, share), p->step.epoch, p->step.step);
    dt_progress_add_loss(t, p->step.loss);
    dt_progress_add_lr(t, p->step.lr);
    dt_progress_add_rate(t, p->step.images_per_s);
    dt_progress_add_left(t, p->step.left_s);
}

/* The fields of work that is no training: what, how much; the rest. */
static void work_fields(const dt_progress_work *w, dt_progress_text fields[4])
{
    dt_progress_text done = {0}, total = {0}, rate = {0};
    const double share = w->total > 0 ? (double)w->done / (double)w->total : 0;
    dt_progress_add(&fields[0], "%s  %3d%%", w->what, share < 1 ? (int)(share * 100) : 100);
    dt_progress_add_bytes(&done, w->done);
    dt_progress_add_bytes(&total, w->total);
    dt_progress_add_bytes(&rate, (int64_t)w->bytes_per_s);
    dt_progress_add(&fields[1], "  %s of %s", done.text + 2, total.text + 2);
    dt_progress_add(&fields[2], "  %s/s", rate.text + 2);
    dt_progress_add_left(&fields[3], w->left_s);
}

static void work_line(const dt_progress_work *w, dt_progress_text *t)
{
    dt_progress_text fields[4] = {0};
    work_fields(w, fields);
    for (int f = 0; f < 4; f++)
        dt_progress_add(t, "%s", fields[f].text);
}

/* The same for a terminal: with a bar after the share, and without the amount where that does not fit. */
static void work_status(const progress *p, dt_progress_text *t)
{
    dt_progress_text fields[4] = {0};
    const int width = columns(p) - 1;
    work_fields(&p->work, fields);
    int used = 2;
    for (int f = 0; f < 4; f++)
        used += (int)fields[f].n;
    if (used + MIN_BAR > width) {
        used -= (int)fields[1].n;
        fields[1] = (dt_progress_text){0};
    }
    dt_progress_add(t, "%s", fields[0].text);
    dt_progress_add_bar(t, (double)p->work.done / (double)p->work.total,
                        width - used < MAX_BAR ? width - used : MAX_BAR, p->options.utf8);
    for (int f = 1; f < 4; f++)
        dt_progress_add(t, "%s", fields[f].text);
}

/* The status line for a terminal. Fields that do not fit are left out, the least important first; the bar
 * fills the rest. */
static void status_line(const progress *p, dt_progress_text *t)
{
    enum { EPOCH, SHARE, BAR, STEP, LOSS, LR, RATE, LEFT, N_FIELDS };
    static const int dispensable[] = {LR, STEP, RATE, EPOCH, LOSS, LEFT};
    const int width = columns(p) - 1; /* the last column stays empty: some terminals wrap when it is filled */
    dt_progress_text fields[N_FIELDS] = {0};
    int used = 0, bar = 0;
    char share[8];
    bool evaluating = p->eval_total > 0;
    if (p->start.epochs > 0 || !evaluating) /* `dtrain eval` has no epochs */
        dt_progress_add(&fields[EPOCH], "epoch %*" PRId64 "/%" PRId64, dt_progress_digits(p->start.epochs),
                        p->step.epoch + 1, p->start.epochs);
    dt_progress_add(&fields[SHARE], "  %4s", evaluating ? "eval" : percent(p, share));
    if (evaluating) {
        dt_progress_add(&fields[STEP], "  batch %*" PRId64 "/%" PRId64, dt_progress_digits(p->eval_total),
                        p->eval_done, p->eval_total);
    } else {
        dt_progress_add(&fields[STEP], "  step %*" PRId64 "/%" PRId64,
                        dt_progress_digits(p->start.total_steps), p->step.step, p->start.total_steps);
        dt_progress_add_loss(&fields[LOSS], p->step.loss);
        dt_progress_add_lr(&fields[LR], p->step.lr);
        dt_progress_add_rate(&fields[RATE], p->step.images_per_s);
        dt_progress_add_left(&fields[LEFT], p->step.left_s);
    }
    for (int f = 0; f < N_FIELDS; f++)
        used += (int)fields[f].n;
    for (size_t d = 0; used + MIN_BAR + 2 > width && d < sizeof dispensable / sizeof *dispensable; d++) {
        used -= (int)fields[dispensable[d]].n;
        fields[dispensable[d]].n = 0;
    }
    bar = width - used - 2 < MAX_BAR ? width - used - 2 : MAX_BAR;
    double done = evaluating ? (double)p->eval_done / (double)p->eval_total : p->step.epoch_progress;
    dt_progress_add_bar(&fields[BAR], done, bar, p->options.utf8);
    for (int f = 0; f < N_FIELDS; f++)
        dt_progress_add(t, "%.*s", (int)fields[f].n, fields[f].text);
}

/* Print a line above the bar (NULL: none) and redraw the bar. One fwrite and one fflush: the screen does not
 * flicker, and output of other processes does not split the line. */
static dt_status emit(progress *p, const char *above, bool with_status, dt_error *err)
{
    dt_progress_text status = {0};
    dt_status result = DT_OK;
    if (with_status && p->options.terminal && p->work.total > 0)
        work_status(p, &status);
    else if (with_status && p->options.terminal)
        status_line(p, &status);
    size_t above_bytes = above ? strlen(above) : 0, n = 0;
    char *out = dt_alloc(above_bytes + status.n + 16);
    if (!out)
        return dt_fail_memory(err, above_bytes + status.n + 16, "the progress display");
    if (p->shown && p->options.terminal) {
        memcpy(out, "\r\x1b[K", 4); /* go to the beginning of the line and erase it */
        n = 4;
    }
    if (above) {
        memcpy(out + n, above, above_bytes);
        n += above_bytes;
        out[n++] = '\n';
    }
    memcpy(out + n, status.text, status.n);
    n += status.n;
    p->shown = status.n > 0;
    if (status.n > 0)
        p->drawn_s = now(p);
    if (fwrite(out, 1, n, p->stream) != n || fflush(p->stream) != 0) {
        clearerr(p->stream);
        result = dt_fail_errno(err, "cannot write the progress line");
    }
    dt_free(out);
    return result;
}

static dt_status emit_text(progress *p, const dt_progress_text *t, bool with_status, dt_error *err)
{
    pthread_mutex_lock(&p->lock);
    dt_status status = emit(p, t->text, with_status, err);
    pthread_mutex_unlock(&p->lock);
    return status;
}

dt_status dt_progress_show_work(dt_sink *sink, const dt_progress_work *work, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_status status = DT_OK;
    pthread_mutex_lock(&p->lock);
    const double at = now(p);
    const bool first = p->work.total == 0, last = work->done >= work->total;
    p->work = *work;
    if (p->options.terminal && (first || last || at - p->drawn_s >= REDRAW_EVERY_S)) {
        status = emit(p, NULL, work->total > 0, err);
    } else if (!p->options.terminal && (last || (!first && at - p->line_s >= p->options.every_s))) {
        dt_progress_text t = {0};
        work_line(work, &t);
        status = emit(p, t.text, false, err);
    }
    if (first || at - p->line_s >= p->options.every_s)
        p->line_s = at;
    pthread_mutex_unlock(&p->lock);
    return status;
}

void dt_progress_line(dt_sink *sink, const char *line)
{
    progress *p = (progress *)sink;
    pthread_mutex_lock(&p->lock);
    emit(p, line, p->shown, NULL);
    pthread_mutex_unlock(&p->lock);
}

static dt_status progress_start(dt_sink *sink, const dt_metrics_start *m, dt_error *err)
{
    progress *p = (progress *)sink;
    (void)err;
    pthread_mutex_lock(&p->lock);
    p->start = *m;
    p->step = (dt_metrics_step){.step = m->first_step, .epoch = m->first_epoch};
    p->n_steps = 0;
    pthread_mutex_unlock(&p->lock);
    return DT_OK;
}

static dt_status progress_step(dt_sink *sink, const dt_metrics_step *m, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_status status = DT_OK;
    pthread_mutex_lock(&p->lock);
    double at = now(p);
    bool first = p->n_steps++ == 0, last = m->step >= p->start.total_steps;
    p->step = *m;
    p->eval_done = p->eval_total = 0;
    if (p->options.terminal) {
        if (first || last || !p->shown || at - p->drawn_s >= REDRAW_EVERY_S)
            status = emit(p, NULL, true, err);
    } else if (first || last || at - p->line_s >= p->options.every_s) {
        dt_progress_text t = {0};
        step_line(p, &t);
        status = emit(p, t.text, false, err);
        p->line_s = at;
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

static dt_status progress_eval_progress(dt_sink *sink, int64_t done, int64_t total, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_status status = DT_OK;
    pthread_mutex_lock(&p->lock);
    const double at = now(p);
    if (p->eval_total == 0 && p->start.epochs == 0)
        p->line_s = at; /* `dtrain eval` begins */
    p->eval_done = done;
    p->eval_total = total;
    if (p->options.terminal) {
        if (at - p->drawn_s >= REDRAW_EVERY_S)
            status = emit(p, NULL, true, err);
    } else if (p->start.epochs == 0 && at - p->line_s >= p->options.every_s) {
        dt_progress_text t = {0};
        dt_progress_add(&t, "eval  batch %*" PRId64 "/%" PRId64, dt_progress_digits(total), done, total);
        status = emit(p, t.text, false, err);
        p->line_s = at;
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

static dt_status progress_eval(dt_sink *sink, const dt_metrics_eval *m, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_progress_text t = {0};
    add_line_start(p, &t, "eval", m->epoch, m->step);
    dt_progress_add_loss(&t, m->val_loss);
    dt_progress_add_share(&t, "top-1", m->val_top1);
    dt_progress_add_share(&t, "top-5", m->val_top5);
    dt_progress_add(&t, "  %" PRId64 " image%s", m->n, DT_PLURAL(m->n));
    dt_progress_add_duration(&t, m->elapsed_s);
    if (m->n_broken > 0)
        dt_progress_add(&t, "  %" PRId64 " broken file%s left out", m->n_broken, m->n_broken == 1 ? "" : "s");
    p->eval_done = p->eval_total = 0;
    return emit_text(p, &t, p->n_steps > 0, err);
}

static dt_status progress_epoch(dt_sink *sink, const dt_metrics_epoch *m, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_progress_text t = {0};
    add_line_start(p, &t, "done", m->epoch, m->step);
    dt_progress_add_loss(&t, m->mean_loss);
    dt_progress_add_share(&t, "top-1", m->mean_top1);
    dt_progress_add_rate(&t, m->images_per_s);
    dt_progress_add_duration(&t, m->elapsed_s);
    if (m->n_broken > 0)
        dt_progress_add(&t, "  %" PRId64 " broken file%s replaced", m->n_broken, m->n_broken == 1 ? "" : "s");
    return emit_text(p, &t, true, err);
}

static dt_status print_folder(progress *p, const char *word, const dt_metrics_checkpoint *m, dt_error *err)
{
    dt_progress_text t = {0};
    char path[sizeof t.text];
    add_line_start(p, &t, word, p->step.epoch, m->step);
    dt_progress_add_bytes(&t, m->bytes);
    dt_progress_add_duration(&t, m->elapsed_s);
    (void)dt_printable(path, sizeof path, m->path);
    dt_progress_add(&t, "  %s", path);
    return emit_text(p, &t, m->step < p->start.total_steps, err);
}

static dt_status progress_checkpoint(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    return print_folder((progress *)sink, "save", m, err);
}

static dt_status progress_mirror(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    return m->error[0] ? DT_OK : print_folder((progress *)sink, "copy", m, err); /* errors are logged */
}

/* The weights of the best evaluation are not kept for their own sake, and the text must not sound like it. */
static void add_evaluations(dt_progress_text *t, const dt_metrics_end *m)
{
    if (m->final_top1 >= 0) {
        dt_progress_add(t, m->final_step == m->steps ? "\nfinal " : "\nlast  ");
        dt_progress_add_share(t, "top-1", m->final_top1);
        dt_progress_add_share(t, "top-5", m->final_top5);
        dt_progress_add_loss(t, m->final_loss);
        if (m->final_step != m->steps)
            dt_progress_add(t, "  after step %" PRId64, m->final_step);
    }
    if (m->best_top1 < 0)
        return;
    dt_progress_add(t, "\nbest  ");
    dt_progress_add_share(t, "top-1", m->best_top1);
    if (m->final_top1 >= 0 && m->best_step == m->final_step)
        dt_progress_add(t, "  in that evaluation");
    else if (m->best_step >= 0 && m->best_is_kept)
        dt_progress_add(t, "  in epoch %" PRId64 "; its weights are in the checkpoint of step %" PRId64,
                        m->best_epoch + 1, m->best_step);
    else if (m->best_step >= 0)
        dt_progress_add(t, "  in epoch %" PRId64 "%s", m->best_epoch + 1,
                        m->stopped_on_request ? "" : "; its weights were not kept");
    else
        dt_progress_add(t, "  in an earlier start");
}

static void add_broken(dt_progress_text *t, int64_t n, int64_t of, const char *which,
                       const char *what_is_done)
{
    if (n > 0)
        dt_progress_add(t, "\nbroken  at least %" PRId64 " of %" PRId64 " %s file%s, %s; the log names them",
                        n, of, which, of == 1 ? "" : "s", what_is_done);
}

static dt_status progress_end(dt_sink *sink, const dt_metrics_end *m, dt_error *err)
{
    progress *p = (progress *)sink;
    dt_progress_text t = {0};
    char duration[32];
    dt_clock_format(m->elapsed_s, duration, sizeof duration);
    dt_progress_add(&t, m->stopped_on_request ? "stopped " : "done    ");
    if (m->epochs > 0)
        dt_progress_add(&t, "%" PRId64 " epoch%s, ", m->epochs, m->epochs == 1 ? "" : "s");
    dt_progress_add(&t, "%" PRId64 " step%s", m->steps, m->steps == 1 ? "" : "s");
    if (p->start.first_step > 0)
        dt_progress_add(&t, "; those after step %" PRId64, p->start.first_step);
    dt_progress_add(&t, " in %s", duration);
    dt_progress_add_rate(&t, m->images_per_s);
    add_evaluations(&t, m);
    add_broken(&t, m->n_broken, m->n_train, "training", "each replaced by another sample");
    add_broken(&t, m->n_broken_val, m->n_val, "evaluation", "left out");
    return emit_text(p, &t, false, err);
}

static void progress_destroy(dt_sink *sink)
{
    progress *p = (progress *)sink;
    if (!p)
        return;
    if (p->shown) { /* an error ended the training: keep the last line readable */
        fputc('\n', p->stream);
        fflush(p->stream);
    }
    pthread_mutex_destroy(&p->lock);
    dt_free(p);
}

static const dt_sink_ops progress_ops = {
    .name = "progress",
    .destroy = progress_destroy,
    .start = progress_start,
    .step = progress_step,
    .eval_progress = progress_eval_progress,
    .eval = progress_eval,
    .epoch = progress_epoch,
    .checkpoint = progress_checkpoint,
    .mirror = progress_mirror,
    .end = progress_end,
};

dt_status dt_progress_create(FILE *stream, const dt_progress_options *options, dt_sink **sink, dt_error *err)
{
    progress *p = dt_calloc(1, sizeof *p);
    if (!p)
        return dt_fail_memory(err, sizeof *p, "the progress display");
    p->base.ops = &progress_ops;
    p->stream = stream;
    p->options = *options;
    pthread_mutex_init(&p->lock, NULL);
    *sink = &p->base;
    return DT_OK;
}
