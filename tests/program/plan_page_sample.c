/* Writes the page of a plan that has all that a page may have: plan_page_sample FILE [hostile|none]. For
 * plan_page_test.sh. */
#include "launch/estimate/plan_page.h"
#include "tests/launch/estimate/plan_page_kit.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static dt_page_kit kit;
    dt_error err = {0};
    const char *kind = argc > 2 ? argv[2] : "";
    if (argc < 2)
        return 2;
    dt_page_kit_fill(&kit, strcmp(kind, "hostile") == 0);
    if (strcmp(kind, "none") == 0)
        kit.plan.n_possible = kit.plan.n_recommendations = 0;
    if (dt_plan_page_save(&kit.plan, argv[1], &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return 0;
}
