#include "config.h"

#include "launch/cluster/quotas.h"

#include "launch/cloud/aws_check.h"
#include "launch/show/output.h"
#include "launch/show/shell.h"
#include "launch/show/table.h"

#include <stdlib.h>
#include <string.h>

/* Adds what one type needs. Where it counts with one that is there already, EC2 gives nodes of either, and
 * the types have the same vCPUs. */
static void add_type(const dt_cluster *c, const dt_instance *type, bool is_spot, dt_cluster_quota *quotas,
                     int *n)
{
    const dt_aws_quota *quota = dt_aws_quota_of(type->type, is_spot);
    for (int i = 0; quota && i < *n; i++)
        if (quotas[i].code && strcmp(quotas[i].code, quota->code) == 0)
            return;
    quotas[(*n)++] = (dt_cluster_quota){.code = quota ? quota->code : NULL,
                                        .name = quota ? quota->name : NULL,
                                        .type = type->type,
                                        .is_spot = is_spot,
                                        .vcpus = c->n_nodes * (int)type->vcpus.value};
}

/* "large" has 2 vCPUs, "xlarge" 4, "8xlarge" 32; 0: not known. */
static int vcpus_of_size(const char *type)
{
    const char *size = strchr(type, '.') + 1;
    if (strcmp(size, "medium") == 0 || strcmp(size, "large") == 0)
        return 2;
    char *end;
    const long factor = size[0] == 'x' ? 1 : strtol(size, &end, 10);
    return strcmp(size[0] == 'x' ? size : end, "xlarge") == 0 && factor > 0 && factor < 1000 ? 4 * (int)factor
                                                                                             : 0;
}

int dt_cluster_list_quotas(const dt_cluster *cluster, dt_cluster_quota quotas[DT_CLUSTER_MAX_QUOTAS])
{
    static const char standard[] = "acdhimrtz"; /* families of one quota */
    const dt_cluster *c = cluster;
    int n = 0;
    for (int i = 0; i < c->n_types && c->has_spot; i++)
        add_type(c, c->types[i], true, quotas, &n);
    for (int i = 0; i < c->n_types && c->has_on_demand; i++)
        add_type(c, c->types[i], false, quotas, &n);
    if (strchr(standard, c->head_type[0]) && strchr("0123456789", c->head_type[1]))
        quotas[n++] =
            (dt_cluster_quota){.code = "L-1216C47A",
                               .name = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
                               .type = c->head_type,
                               .vcpus = vcpus_of_size(c->head_type)};
    return n;
}

static dt_status fill_table(dt_table *table, const dt_cluster_quota *quotas, int n, dt_error *err)
{
    char name[160], vcpus[24];
    for (int i = 0; i < n; i++) {
        const dt_cluster_quota *q = &quotas[i];
        snprintf(name, sizeof name, "not known: that of %s, %s", q->type, q->is_spot ? "spot" : "on demand");
        snprintf(vcpus, sizeof vcpus, "%d", q->vcpus);
        const char *cells[] = {q->code ? q->name : name, q->code ? q->code : "-", q->vcpus > 0 ? vcpus : "-"};
        DT_TRY(dt_table_add(table, cells, err));
    }
    return DT_OK;
}

static void print_requests(const dt_cluster *c, const dt_cluster_quota *quotas, int n, FILE *stream)
{
    char command[256];
    const int columns = dt_table_columns(stream);
    dt_output_paragraph(stream,
                        "A new account has 0 vCPUs of instances with GPUs, and then no node starts. dtrain "
                        "plan --check and the "
                        "quota's page in the console show what the account has. These commands ask for more, "
                        "which takes hours "
                        "to days:",
                        columns, 0);
    for (int i = 0; i < n; i++) {
        if (!quotas[i].code || quotas[i].type == c->head_type)
            continue;
        snprintf(command, sizeof command,
                 "aws service-quotas request-service-quota-increase --region %s --service-code ec2 "
                 "--quota-code %s "
                 "--desired-value %d",
                 c->region, quotas[i].code, quotas[i].vcpus);
        dt_shell_print(stream, command, columns, 2);
    }
    if (!c->has_spot)
        return;
    dt_output_paragraph(
        stream, "Spot needs a role, once in each account; the command fails where it is there:", columns, 0);
    dt_shell_print(stream, "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
                   columns, 2);
}

dt_status dt_cluster_print_quotas(const dt_cluster *cluster, FILE *stream, dt_error *err)
{
    static const char *const headings[] = {"quota", "code", "vCPUs needed"};
    dt_cluster_quota quotas[DT_CLUSTER_MAX_QUOTAS];
    const int n = dt_cluster_list_quotas(cluster, quotas);
    dt_table *table = NULL;
    DT_TRY(dt_table_create(headings, 3, &table, err));
    dt_table_align_right(table, 2);
    dt_status status = fill_table(table, quotas, n, err);
    if (status == DT_OK)
        status = dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(table);
    if (status == DT_OK)
        print_requests(cluster, quotas, n, stream);
    return status;
}
