/* recommend.h: which rows of a plan to choose, and why, in plain words. Local. */
#ifndef DT_LAUNCH_ESTIMATE_RECOMMEND_H
#define DT_LAUNCH_ESTIMATE_RECOMMEND_H

#include "launch/estimate/choices.h"

/* Fills plan->recommendations from the marks of its rows. */
void dt_plan_recommend(dt_plan *plan);

#endif
