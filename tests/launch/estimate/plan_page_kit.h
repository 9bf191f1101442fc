/* plan_page_kit.h: a plan for tests of its page, as `dtrain plan` makes one: 16 types on one to four nodes,
 * on demand, on spot and mixed. */
#ifndef DTRAIN_TESTS_LAUNCH_ESTIMATE_PLAN_PAGE_KIT_H
#define DTRAIN_TESTS_LAUNCH_ESTIMATE_PLAN_PAGE_KIT_H

#include "launch/estimate/choices.h"

/* A name that a user's file may give to a type. */
#define DT_HOSTILE_TYPE "<script>alert(1)</script>\" x='&"

enum { DT_PAGE_KIT_ROWS = 160 };

typedef struct dt_page_kit {
    dt_plan plan;
    dt_plan_row rows[DT_PAGE_KIT_ROWS];
    dt_instance instances[20];
    dt_price prices[DT_PAGE_KIT_ROWS];
    dt_rate rates[20];
    dt_interruptions interruptions;
} dt_page_kit;

/* Fill the kit, which the caller keeps as long as it uses kit->plan. is_hostile: one type has
 * DT_HOSTILE_TYPE as its name, and so have texts that come from files. */
void dt_page_kit_fill(dt_page_kit *kit, bool is_hostile);

#endif
