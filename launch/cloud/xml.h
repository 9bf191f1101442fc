/* xml.h: reads an XML answer of AWS, element by element.
 *
 *   static void visit(void *context, const char *path, const char *text)
 *   {
 *       if (strcmp(path, "GetRoleResponse/GetRoleResult/Role/RoleName") == 0) ...
 *   }
 *   DT_TRY(dt_xml_walk(text, bytes, visit, context, err));
 */
#ifndef DT_LAUNCH_CLOUD_XML_H
#define DT_LAUNCH_CLOUD_XML_H

#include "core/base/error.h"

#include <stddef.h>

/* Called at the end of each element, in the order of the text: after all that are in it. `path` is the names
 * of the elements around it and its own, separated by '/'. `text` is the text of an element without others in
 * it. */
typedef void dt_xml_visit(void *context, const char *path, const char *text);

/* Whether this build has expat. If not, dt_xml_walk fails with DT_ERR_UNSUPPORTED. */
bool dt_xml_is_built_in(void);

/* Local. DT_ERR_FORMAT: no XML, or XML with a document type (which could define entities), more than 32
 * levels, or a text of more than 64 KiB. Elements before the mistake have been visited. DT_ERR_MEMORY. */
dt_status dt_xml_walk(const char *text, size_t bytes, dt_xml_visit *visit, void *context, dt_error *err);

#endif
