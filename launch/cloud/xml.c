#include "config.h"

#include "launch/cloud/xml.h"

#ifdef HAVE_EXPAT

#    include "core/base/alloc.h"

#    include <expat.h>
#    include <limits.h>
#    include <stdio.h>
#    include <string.h>

enum { PATH_BYTES = 1024, TEXT_BYTES = 65536, MAX_DEPTH = 32 };

typedef struct walk {
    XML_Parser parser;
    dt_xml_visit *visit;
    void *context;
    const char *problem;    /* why the walk was stopped; NULL: it was not */
    size_t ends[MAX_DEPTH]; /* the length of the path at each level */
    int depth;
    size_t text_used;
    char path[PATH_BYTES];
    char text[TEXT_BYTES];
} walk;

static void stop(walk *w, const char *problem)
{
    if (!w->problem)
        w->problem = problem;
    (void)XML_StopParser(w->parser, XML_FALSE);
}

static void XMLCALL on_start(void *context, const char *name, const char **attributes)
{
    walk *w = context;
    const size_t used = w->depth > 0 ? w->ends[w->depth - 1] : 0;
    (void)attributes;
    if (w->depth == MAX_DEPTH || used + strlen(name) + 2 > PATH_BYTES) {
        stop(w, "too many levels");
        return;
    }
    w->ends[w->depth] =
        used + (size_t)snprintf(w->path + used, PATH_BYTES - used, "%s%s", used ? "/" : "", name);
    w->depth++;
    w->text_used = 0;
}

static void XMLCALL on_text(void *context, const char *text, int n)
{
    walk *w = context;
    if (w->text_used + (size_t)n >= TEXT_BYTES) {
        stop(w, "a text of more than 64 KiB");
        return;
    }
    memcpy(w->text + w->text_used, text, (size_t)n);
    w->text_used += (size_t)n;
}

static void XMLCALL on_end(void *context, const char *name)
{
    walk *w = context;
    (void)name;
    if (w->problem)
        return;
    w->text[w->text_used] = '\0';
    w->visit(w->context, w->path, w->text);
    w->depth--;
    w->path[w->depth > 0 ? w->ends[w->depth - 1] : 0] = '\0';
    w->text_used = 0; /* what follows belongs to the element around it */
}

static void XMLCALL on_document_type(void *context, const char *name, const char *system, const char *public,
                                     int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    stop(context, "a document type");
}

bool dt_xml_is_built_in(void)
{
    return true;
}

dt_status dt_xml_walk(const char *text, size_t bytes, dt_xml_visit *visit, void *context, dt_error *err)
{
    dt_status status = DT_OK;
    walk *w = dt_calloc(1, sizeof *w);
    if (!w || !(w->parser = XML_ParserCreate("UTF-8"))) {
        dt_free(w);
        return dt_fail_memory(err, sizeof *w, "an XML parser");
    }
    w->visit = visit;
    w->context = context;
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_document_type);
    const bool is_small = bytes <= INT_MAX;
    if (!is_small || XML_Parse(w->parser, text, (int)bytes, XML_TRUE) != XML_STATUS_OK)
        status = dt_fail(err, DT_ERR_FORMAT, "the XML of the answer, line %lu: %s",
                         (unsigned long)XML_GetCurrentLineNumber(w->parser),
                         !is_small    ? "too large"
                         : w->problem ? w->problem
                                      : XML_ErrorString(XML_GetErrorCode(w->parser)));
    XML_ParserFree(w->parser);
    dt_free(w);
    return status;
}

#else

bool dt_xml_is_built_in(void)
{
    return false;
}

dt_status dt_xml_walk(const char *text, size_t bytes, dt_xml_visit *visit, void *context, dt_error *err)
{
    (void)text;
    (void)bytes;
    (void)visit;
    (void)context;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "this build has no expat");
}

#endif
