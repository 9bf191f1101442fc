#include "io/class_names_json.h"

#include "core/base/alloc.h"
#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

json_t *dt_class_names_to_json(const dt_class_names *names)
{
    json_t *array = json_array();
    const char *name = names->text;
    for (int64_t i = 0; array && i < names->n; i++, name += strlen(name) + 1) {
        char *utf8 = dt_utf8_escape(name);
        if (!utf8 || json_array_append_new(array, json_string(utf8)) != 0) {
            json_decref(array);
            array = NULL;
        }
        dt_free(utf8);
    }
    return array;
}

static dt_status add_name(const json_t *value, dt_class_names *names, dt_error *err)
{
    const char *utf8 = json_string_value(value);
    if (!utf8)
        return dt_fail(err, DT_ERR_FORMAT, "has an entry that is not a string");
    if (!utf8[0] || strchr(utf8, '/'))
        return dt_fail(err, DT_ERR_FORMAT, "has a name that is empty or contains '/'");
    char *name = dt_utf8_unescape(utf8);
    if (!name)
        return dt_fail_memory(err, strlen(utf8) + 1, "the names of the classes");
    dt_status status = dt_class_names_add(names, name, err);
    dt_free(name);
    return status;
}

dt_status dt_class_names_from_json(const json_t *array, dt_class_names *names, dt_error *err)
{
    dt_class_names found = {0};
    if (!json_is_array(array))
        return dt_fail(err, DT_ERR_FORMAT, "is not an array");
    json_t *seen = json_object();
    dt_status status = seen ? DT_OK : dt_fail_memory(err, 1, "the names of the classes");
    for (size_t i = 0; i < json_array_size(array) && status == DT_OK; i++) {
        const json_t *value = json_array_get(array, i);
        status = add_name(value, &found, err);
        if (status == DT_OK && json_object_set_new(seen, json_string_value(value), json_null()) != 0)
            status = dt_fail_memory(err, 1, "the names of the classes");
    }
    if (status == DT_OK && json_object_size(seen) != json_array_size(array))
        status = dt_fail(err, DT_ERR_FORMAT, "has a name twice");
    json_decref(seen);
    if (status == DT_OK)
        *names = found;
    else
        dt_class_names_clear(&found);
    return status;
}

char *dt_class_names_to_text(const dt_class_names *names)
{
    json_t *array = dt_class_names_to_json(names);
    char *escaped = array ? json_dumps(array, JSON_COMPACT) : NULL;
    char *text = escaped ? dt_utf8_unescape(escaped) : NULL;
    free(escaped); /* jansson's */
    json_decref(array);
    return text;
}

dt_status dt_class_names_from_text(const char *text, dt_class_names *names, dt_error *err)
{
    json_error_t why;
    json_t *array = json_loads(text, 0, &why);
    if (!array)
        return dt_fail(err, DT_ERR_FORMAT, "is not JSON: %s", why.text);
    dt_status status = dt_class_names_from_json(array, names, err);
    json_decref(array);
    return status;
}
