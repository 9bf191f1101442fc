#include "tests/call_script.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 8, MAX_CALLS = 4096, SHOWN_BYTES = 200 };

typedef struct rule {
    const char *name;
    char pattern[96];
    int nth, times, error, n_seen;
    call_action action;
} rule;

typedef struct recorded {
    const char *name;
    char path[SHOWN_BYTES];
    char text[3 * SHOWN_BYTES];
} recorded;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static char base[256];                                    /* "/NAME" of the folder; "": none */
static char ignored[96];                                  /* a pattern; "": none */
static rule rules[MAX_RULES];
static bool is_recording;
static int n_rules, n_calls;
static recorded *calls;
static char changed[2 * SHOWN_BYTES];

/* The path relative to the folder; NULL: it is elsewhere. */
static const char *shown(const char *path)
{
    const char *at = base[0] ? strstr(path, base) : NULL;
    const size_t n = strlen(base);
    if (!at || (at[n] != '\0' && at[n] != '/'))
        return NULL;
    return at[n] && at[n + 1] ? at + n + 1 : ".";
}

static bool matches(const char *name, const char *pattern, const char *call_name, const char *path)
{
    return (strcmp(name, "*") == 0 || strcmp(name, call_name) == 0) && fnmatch(pattern, path, 0) == 0;
}

static bool is_recorded(const call *c)
{
    return strcmp(c->name, "stat") != 0 && strcmp(c->name, "opendir") != 0 && shown(c->path) &&
           (!ignored[0] || fnmatch(ignored, shown(c->path), 0) != 0);
}

static void format(const call *c, char *text, size_t bytes)
{
    const char *other = c->other[0] ? shown(c->other) : NULL;
    snprintf(text, bytes, "%s %.180s%s%.180s", c->name, shown(c->path), other ? " -> " : "",
             other ? other : "");
}

call_action call_before(const call *c, int *error)
{
    pthread_mutex_lock(&mutex);
    const bool is_sync = is_recorded(c) && strstr(c->name, "sync");
    call_action action = is_sync ? CALL_SKIP : CALL_MAKE;
    bool is_changed = false;
    for (int i = 0; i < n_rules && is_recorded(c); i++) {
        rule *r = &rules[i];
        if (!matches(r->name, r->pattern, c->name, shown(c->path)))
            continue;
        r->n_seen++;
        if (is_changed || r->n_seen < r->nth || r->n_seen - r->nth >= r->times)
            continue;
        action = r->action;
        is_changed = true;
        *error = r->error;
        if (i == 0)
            format(c, changed, sizeof changed);
    }
    pthread_mutex_unlock(&mutex);
    return action;
}

void call_after(const call *c, int error)
{
    pthread_mutex_lock(&mutex);
    if (is_recording && is_recorded(c) && n_calls < MAX_CALLS) {
        recorded *r = &calls[n_calls++];
        r->name = c->name;
        snprintf(r->path, sizeof r->path, "%.180s", shown(c->path));
        format(c, r->text, sizeof r->text);
        const size_t n = strlen(r->text);
        snprintf(r->text + n, sizeof r->text - n, "%s%s", error ? ": " : "", error ? strerror(error) : "");
    }
    pthread_mutex_unlock(&mutex);
}

void calls_record(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    pthread_mutex_lock(&mutex);
    calls = calls ? calls : malloc(MAX_CALLS * sizeof *calls);
    if (!calls)
        abort();
    is_recording = true;
    n_rules = n_calls = 0;
    changed[0] = ignored[0] = '\0';
    snprintf(base, sizeof base, "/%s", slash ? slash + 1 : folder);
    pthread_mutex_unlock(&mutex);
}

void calls_stop(void)
{
    pthread_mutex_lock(&mutex);
    n_rules = 0;
    is_recording = false;
    pthread_mutex_unlock(&mutex);
}

void calls_ignore(const char *pattern)
{
    pthread_mutex_lock(&mutex);
    snprintf(ignored, sizeof ignored, "%s", pattern);
    pthread_mutex_unlock(&mutex);
}

static void add(const char *name, const char *pattern, rule r)
{
    pthread_mutex_lock(&mutex);
    if (n_rules == MAX_RULES)
        abort();
    r.name = name;
    snprintf(r.pattern, sizeof r.pattern, "%s", pattern);
    rules[n_rules++] = r;
    pthread_mutex_unlock(&mutex);
}

void calls_fail(const char *name, const char *pattern, int nth, int times, int error)
{
    add(name, pattern, (rule){.nth = nth, .times = times, .error = error, .action = CALL_FAIL});
}

void calls_halve(const char *name, const char *pattern, int nth)
{
    add(name, pattern, (rule){.nth = nth, .times = 1, .action = CALL_HALF});
}

void calls_end(const char *name, const char *pattern, int nth)
{
    add(name, pattern, (rule){.nth = nth, .times = 1, .action = CALL_SKIP});
}

void calls_flip(const char *name, const char *pattern, int nth)
{
    add(name, pattern, (rule){.nth = nth, .times = 1, .action = CALL_FLIP});
}

const char *calls_text(void)
{
    static char *text;
    size_t n = 0;
    pthread_mutex_lock(&mutex);
    text = text ? text : malloc((size_t)MAX_CALLS * sizeof calls->text);
    if (!text)
        abort();
    text[0] = '\0';
    for (int i = 0; i < n_calls; i++)
        if (i == 0 || strcmp(calls[i - 1].text, calls[i].text) != 0)
            n += (size_t)sprintf(text + n, "%s\n", calls[i].text);
    pthread_mutex_unlock(&mutex);
    return text;
}

int calls_count(const char *name, const char *pattern)
{
    int n = 0;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < n_calls; i++)
        n += matches(name, pattern, calls[i].name, calls[i].path);
    pthread_mutex_unlock(&mutex);
    return n;
}

const char *calls_changed(void)
{
    return changed;
}
