#include "config.h"

#include "launch/cloud/aws_zones.h"

#include "core/base/alloc.h"
#include "launch/cloud/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PAGES = 100 };

static const char *const denied[] = {"UnauthorizedOperation", NULL};

const dt_aws_zone *dt_aws_zones_find(const dt_aws_zones *zones, const char *name)
{
    for (int i = 0; i < zones->n; i++)
        if (strcmp(zones->items[i].name, name) == 0 || strcmp(zones->items[i].id, name) == 0)
            return &zones->items[i];
    return NULL;
}

/* -- all ------------------------------------------------------------------------------------------------- */

typedef struct all_page {
    dt_aws_zones zones;
    dt_aws_zone zone;
    bool is_complete;
} all_page;

static void visit_zone(void *context, const char *path, const char *text)
{
    all_page *p = context;
    static const char item[] = "DescribeAvailabilityZonesResponse/availabilityZoneInfo/item";
    const size_t n = strlen(item);
    if (strcmp(path, "DescribeAvailabilityZonesResponse") == 0)
        p->is_complete = true;
    else if (strcmp(path, item) == 0) {
        if (p->zones.n < DT_AWS_MAX_ZONES && p->zone.name[0] && p->zone.id[0])
            p->zones.items[p->zones.n++] = p->zone;
        p->zone = (dt_aws_zone){{0}, {0}};
    } else if (strncmp(path, item, n) == 0 && strcmp(path + n, "/zoneName") == 0)
        snprintf(p->zone.name, sizeof p->zone.name, "%s", text);
    else if (strncmp(path, item, n) == 0 && strcmp(path + n, "/zoneId") == 0)
        snprintf(p->zone.id, sizeof p->zone.id, "%s", text);
}

dt_status dt_aws_zones_read(dt_aws_client *client, const char *region, dt_aws_zones *zones,
                            dt_aws_finding *finding, dt_error *err)
{
    all_page p = {.is_complete = false};
    dt_aws_answer answer;
    DT_TRY(dt_aws_call(client,
                       &(dt_aws_request){.service = DT_AWS_EC2,
                                         .region = region,
                                         .action = "DescribeAvailabilityZones",
                                         .error_codes = denied},
                       &answer, err));
    dt_status status = DT_OK;
    *finding = answer.error_code[0] ? DT_AWS_DENIED : DT_AWS_KNOWN;
    if (*finding == DT_AWS_KNOWN)
        status = dt_xml_walk(answer.text, answer.bytes, visit_zone, &p, err);
    if (status == DT_OK && *finding == DT_AWS_KNOWN && !p.is_complete)
        status =
            dt_fail(err, DT_ERR_FORMAT, "ec2:DescribeAvailabilityZones in %s: the answer is another", region);
    if (status == DT_OK && *finding == DT_AWS_KNOWN)
        *zones = p.zones;
    dt_aws_answer_free(&answer);
    return status;
}

/* -- those with a type ----------------------------------------------------------------------------------- */

typedef struct offerings {
    const dt_aws_zones *all;
    dt_aws_zones zones;
    char *next; /* the token of the next page; NULL: none */
    bool is_complete, out_of_memory;
} offerings;

#define RESPONSE "DescribeInstanceTypeOfferingsResponse"

static void visit_offering(void *context, const char *path, const char *text)
{
    offerings *o = context;
    if (strcmp(path, RESPONSE) == 0)
        o->is_complete = true;
    else if (strcmp(path, RESPONSE "/instanceTypeOfferingSet/item/location") == 0) {
        const dt_aws_zone *zone = dt_aws_zones_find(o->all, text);
        if (zone && o->zones.n < DT_AWS_MAX_ZONES)
            o->zones.items[o->zones.n++] = *zone;
    } else if (strcmp(path, RESPONSE "/nextToken") == 0 && text[0]) {
        dt_free(o->next);
        o->out_of_memory = !(o->next = dt_strdup(text));
    }
}

static dt_status offering_form(const char *type, const char *token, char **form, dt_error *err)
{
    DT_TRY(dt_aws_form_add(form, "LocationType", "availability-zone", err));
    DT_TRY(dt_aws_form_add(form, "Filter.1.Name", "instance-type", err));
    DT_TRY(dt_aws_form_add(form, "Filter.1.Value.1", type, err));
    return token ? dt_aws_form_add(form, "NextToken", token, err) : DT_OK;
}

/* Adds one page to `o`, whose `next` is the page's token and becomes the next one's. */
static dt_status offering_page(dt_aws_client *client, const char *region, const char *type, offerings *o,
                               dt_aws_finding *finding, dt_error *err)
{
    char *form = NULL;
    dt_aws_answer answer = {0};
    dt_status status = offering_form(type, o->next, &form, err);
    if (status == DT_OK)
        status = dt_aws_call(client,
                             &(dt_aws_request){.service = DT_AWS_EC2,
                                               .region = region,
                                               .action = "DescribeInstanceTypeOfferings",
                                               .parameters = form,
                                               .error_codes = denied},
                             &answer, err);
    dt_free(form);
    dt_free(o->next);
    o->next = NULL;
    o->is_complete = false;
    *finding = answer.error_code[0] ? DT_AWS_DENIED : DT_AWS_KNOWN;
    if (status == DT_OK && *finding == DT_AWS_KNOWN) {
        status = dt_xml_walk(answer.text, answer.bytes, visit_offering, o, err);
        if (status == DT_OK && o->out_of_memory)
            status = dt_fail_memory(err, answer.bytes, "an answer");
        else if (status == DT_OK && !o->is_complete)
            status = dt_fail(err, DT_ERR_FORMAT,
                             "ec2:DescribeInstanceTypeOfferings in %s: the answer is another", region);
    }
    dt_aws_answer_free(&answer);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const dt_aws_zone *)a)->name, ((const dt_aws_zone *)b)->name);
}

dt_status dt_aws_zones_with(dt_aws_client *client, const char *region, const char *type, dt_aws_zones *zones,
                            dt_aws_finding *finding, dt_error *err)
{
    dt_aws_zones all;
    offerings o = {.all = &all};
    dt_status status = dt_aws_zones_read(client, region, &all, finding, err);
    for (int n = 0; status == DT_OK && *finding == DT_AWS_KNOWN && (n == 0 || o.next); n++)
        status = n < MAX_PAGES
                     ? offering_page(client, region, type, &o, finding, err)
                     : dt_fail(err, DT_ERR_FORMAT,
                               "ec2:DescribeInstanceTypeOfferings in %s: the answer does not end", region);
    dt_free(o.next);
    if (status != DT_OK || *finding != DT_AWS_KNOWN)
        return status;
    qsort(o.zones.items, (size_t)o.zones.n, sizeof o.zones.items[0], by_name);
    *zones = o.zones;
    if (o.zones.n == 0)
        *finding = DT_AWS_ABSENT;
    return DT_OK;
}
